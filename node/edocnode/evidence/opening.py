"""Takes the content of encrypted parts out of an evidence file, and gives away what opens it.

The file itself is judged by ``verify``. Here it is shown that a content is that of a part in it:
the part has the digest that its sealed envelope states, and opens under the one content key that
its header commits to. A content key opens one part of one document and nothing else, so it can be
given to a court without the keys of the node.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from edoccore.errors import EdocError, RequestInvalidError
from edoccore.office_errors import PartNotDecryptedError
from edoccore.signing import canonical
from edoccore.signing.encryption import Encryption, PartDecryptor, PartPlace, checked_key
from edoccore.signing.readers import reader_of
from edoccore.signing.statements import Envelope, Part, Sha256
from edocnode.domain.encryption import place_in
from edocnode.evidence.container import Container, invalid
from edocnode.evidence.members import part_name

SCHEMA = "edoc.content-keys/v1"
MAX_KEYS_BYTES = 64 * 1024


class ContentKey(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What opens one part.

    Attributes:
        part: SHA-256 of the encrypted part, as its envelope states it.
        key: Hexadecimal.
    """

    part: Sha256
    key: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]


class ContentKeys(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A file of content keys."""

    schema: str
    keys: tuple[ContentKey, ...]


@dataclass(slots=True)
class KeyBook:
    """Gives content keys, and remembers which it gave.

    Attributes:
        key_of: The content key of a part, by its sealed digest and its header.
        used: By the sealed digest of the part.
    """

    key_of: Callable[[str, Encryption], bytes]
    used: dict[str, bytes] = field(default_factory=dict)

    def decryptor(self, part: str, place: PartPlace) -> PartDecryptor:
        """Decrypts the part with this sealed digest."""

        def key_of(header: Encryption) -> bytes:
            self.used[part] = self.key_of(part, header)
            return self.used[part]

        return PartDecryptor(place, key_of)


@dataclass(frozen=True, slots=True)
class EncryptedPart:
    """A part of an evidence file that is encrypted, and where it belongs."""

    part: Part
    place: PartPlace

    def content(self, container: Container, keys: KeyBook) -> Iterator[bytes]:
        """Its content; good only when this ends without an error.

        Raises:
            EvidenceInvalidError: The part is not the one that was sealed.
            PartNotDecryptedError: It cannot be read with these keys.
        """
        decryptor, digest = keys.decryptor(self.part.sha256, self.place), sha256()
        member = part_name(self.part.index)
        for piece in container.pieces(member):
            digest.update(piece)
            yield decryptor.update(piece)
        if digest.hexdigest() != self.part.sha256:
            raise invalid(member, "it has other bytes than its envelope states")
        yield decryptor.finish()


def encrypted_parts(container: Container) -> list[EncryptedPart]:
    """The encrypted parts of an evidence file, in order.

    Raises:
        EvidenceInvalidError: It has no envelope.
    """
    member = "envelope/statement.json"
    try:
        envelope = canonical.decode(container.read(member), Envelope)
    except EdocError as error:
        raise invalid(member, error.message.rstrip(".")) from error
    placed = [(part, place_in(envelope, part)) for part in envelope.parts]
    return [EncryptedPart(part, place) for part, place in placed if place is not None]


def read_keys(data: bytes) -> Mapping[str, bytes]:
    """Content keys out of a file, by the digest of their part.

    Raises:
        RequestInvalidError: It is no such file.
    """
    try:
        found = reader_of(ContentKeys).decode(data)
    except msgspec.DecodeError as error:
        raise RequestInvalidError(
            "The file of content keys cannot be read.",
            hint="It is made by: edocnode evidence open FILE --to DIR --keys-out KEYS",
        ) from error
    if found.schema != SCHEMA:
        raise RequestInvalidError(f"The file of content keys has another form than {SCHEMA}.")
    return {each.part: bytes.fromhex(each.key) for each in found.keys}


def write_keys(keys: Mapping[str, bytes]) -> bytes:
    """Content keys as a file, by the digest of their part."""
    given = tuple(ContentKey(part=part, key=key.hex()) for part, key in keys.items())
    made = ContentKeys(schema=SCHEMA, keys=given)
    return msgspec.json.format(msgspec.json.encode(made), indent=2) + b"\n"


def given_key(keys: Mapping[str, bytes], part: str, header: Encryption) -> bytes:
    """The content key that was given for a part; it must be the one that its header commits to.

    Args:
        keys: By the sealed digest of the part.

    Raises:
        PartNotDecryptedError: There is none, or it is another.
    """
    if part not in keys:
        raise PartNotDecryptedError(
            f"The content keys have none for part {header.index} of this evidence.",
            hint="Ask whoever gave them to you for those of this evidence file.",
        )
    return checked_key(header, keys[part])
