"""What lists show of a document, as tables hold it, and how it is searched."""

from collections.abc import Mapping, Sequence

import msgspec

from edoccore.signing.readers import reader_of
from edoccore.signing.statements import Part
from edocnode.domain.folding import folded
from edocnode.domain.model import INLINE_PART_BYTES

LISTED = (
    "subject",
    "number",
    "notation",
    "document_type",
    "document_code",
    "issued_date",
    "due_date",
)


class _OwnPart(Part, frozen=True, kw_only=True):
    """A part whose texts are not looked at again."""

    index: int
    name: str
    media_type: str
    size: int
    sha256: str


_encoder = msgspec.json.Encoder()
_listing_decoder = reader_of(dict[str, str])
_parts_decoder = reader_of(tuple[Part, ...])
_own_parts_decoder = reader_of(tuple[_OwnPart, ...])


def encode_listing(listing: Mapping[str, str]) -> bytes:
    """A listing as JSON."""
    return _encoder.encode({key: value.replace("\x00", "") for key, value in listing.items()})


def decode_listing(data: bytes) -> dict[str, str]:
    """The listing in a row."""
    return _listing_decoder.decode(data)


def encode_parts(parts: Sequence[Part]) -> bytes:
    """Parts as JSON."""
    return _encoder.encode(parts)


def decode_parts(data: bytes) -> tuple[Part, ...]:
    """The parts in a row."""
    return _parts_decoder.decode(data)


def decode_own_parts(data: bytes) -> tuple[Part, ...]:
    """The parts in a row of a document, which were checked when it was handed in.

    A quarter of the cost of ``decode_parts``, and no equal of what that returns.
    """
    return _own_parts_decoder.decode(data)


def large_parts(parts: Sequence[Part]) -> list[Part]:
    """The parts that lie in the blob folder."""
    return [part for part in parts if part.size > INLINE_PART_BYTES]


def inline_piece(parts: Sequence[Part], inline: bytes, index: int) -> bytes:
    """The bytes of one inline part out of all of them joined; short when they are not all here."""
    start = sum(part.size for part in parts[:index] if part.size <= INLINE_PART_BYTES)
    return inline[start : start + parts[index].size]


def search_text(listing: Mapping[str, str]) -> str:
    """What a search looks at."""
    return folded(" ".join([listing[name] for name in LISTED if listing.get(name)]))
