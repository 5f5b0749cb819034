"""Which parts are encrypted, to whom, and how they are read again here.

An office asks for it when it hands a document in. Then every part but the record is encrypted, to
the node of each recipient and to this one, or nothing is sent. Whoever reads a part of a document
gets it through ``DecryptingReader``; whoever carries, proves or repairs one needs no key.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from msgspec import structs

from edoccore.directory.endpoints import encryption_key
from edoccore.errors import LimitExceededError, RequestInvalidError
from edoccore.identity.encryption import PublicEncryptionKey
from edoccore.office_errors import EncryptionKeyError, PartNotDecryptedError
from edoccore.signing.encryption import (
    ENCRYPTED_MEDIA_TYPE,
    MAX_HEADER_BYTES,
    MAX_KEYS,
    PartDecryptor,
    PartEncryptor,
    PartPlace,
    Reader,
    encrypted_size,
    header_for,
)
from edoccore.signing.statements import Envelope, Part
from edocnode.domain.media_types import media_type_of
from edocnode.domain.model import Submission

if TYPE_CHECKING:
    from edoccore.directory.view import Directory

MOST_NAMED = 10  # agencies in a message


class EncryptionKeys(Protocol):
    """The encryption keys of this node."""

    def current(self) -> PublicEncryptionKey | None:
        """What others encrypt to; None: nothing.

        Raises:
            KeyUnusableError: There is one, but its private key cannot be used.
        """

    def decryptor(self, place: PartPlace) -> PartDecryptor:
        """Decrypts a part that was found in a place."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EncryptionOrder:
    """What the parts of one submission are encrypted with.

    Attributes:
        fresh_key: 32 random bytes, others each time.
    """

    network: str
    document_id: str
    sender: str
    readers: tuple[Reader, ...]
    fresh_key: Callable[[], bytes]

    def begin(self, index: int) -> tuple[PartEncryptor, Callable[[int], int]]:
        """Begins a part.

        Returns:
            What encrypts it, and what tells its size from that of its content.

        Raises:
            EncryptionKeyError: A reader's key is none.
        """
        place = PartPlace(
            network=self.network, document_id=self.document_id, sender=self.sender, index=index
        )
        key = self.fresh_key()
        header = header_for(place, key, self.readers)
        return PartEncryptor(header, key), lambda size: encrypted_size(header, size)


@dataclass(frozen=True, slots=True)
class KeptBytes:
    """What is kept of a part whose content was encrypted on the way in."""

    size: int
    sha256: bytes


def with_encrypted(submission: Submission, kept: Sequence[KeptBytes]) -> Submission:
    """A submission that was built of contents, with what is kept of them instead.

    Args:
        kept: Of each part but the record, in order.
    """
    record, *parts = submission.parts
    encrypted = [
        structs.replace(
            part,
            media_type=ENCRYPTED_MEDIA_TYPE,
            size=bytes_.size,
            sha256=bytes_.sha256.hex(),
        )
        for part, bytes_ in zip(parts, kept, strict=True)
    ]
    return replace(submission, parts=(record, *encrypted))


class Declared(Protocol):
    """A part that an office announced."""

    @property
    def name(self) -> str:
        """Of its file."""

    @property
    def media_type(self) -> str:
        """As the office gave it; may be empty."""


def check_parts(parts: Sequence[Declared], *, encrypt: bool) -> None:
    """Checks that what is announced can be encrypted, or is not taken for what was.

    Raises:
        RequestInvalidError: It is the one or the other.
    """
    if encrypt and not parts:
        raise RequestInvalidError(
            "The document has no files, so nothing of it could be encrypted. Nothing was sent.",
            hint="Subject, number and recipients stay readable; put into a file what must not be.",
        )
    for part in parts:
        if part.media_type == ENCRYPTED_MEDIA_TYPE:
            raise RequestInvalidError(
                f"The media type of part {part.name!r} is that of parts that the node encrypts.",
                hint="Give the type of the file itself, or none.",
            )


def check_still_encrypted(earlier: Sequence[Part], *, encrypt: bool) -> None:
    """Checks that what changes an encrypted document is encrypted as well.

    Args:
        earlier: Of all versions of it.

    Raises:
        RequestInvalidError: It is not to be.
    """
    if not encrypt and any(is_encrypted(part) for part in earlier):
        raise RequestInvalidError(
            "The earlier document was sent encrypted, and this one would not be. Nothing was sent.",
            hint="Add --encrypt to edocnode update or replace; a package of edXML cannot be "
            "encrypted. Or send it as a new document.",
        )


def is_encrypted(part: Part) -> bool:
    """Whether the bytes of a part are encrypted."""
    return part.media_type == ENCRYPTED_MEDIA_TYPE


def place_in(envelope: Envelope, part: Part) -> PartPlace | None:
    """Where an encrypted part of an envelope belongs; None: it is not encrypted."""
    if not is_encrypted(part):
        return None
    return PartPlace(
        network=envelope.network,
        document_id=envelope.document_id,
        sender=envelope.from_,
        index=part.index,
    )


def content_type(part: Part) -> str:
    """The media type of a part's content; of one that is encrypted, as its name tells."""
    return media_type_of(part.name) if is_encrypted(part) else part.media_type


def most_bytes(size: int) -> int:
    """More than which no part with a content of so many bytes has when it is encrypted."""
    return size + size // 1024 + MAX_HEADER_BYTES


def readers(
    nodes: Sequence[str],
    directory: "Directory",
    now: datetime,
    *,
    agency: str,
    own: PublicEncryptionKey | None,
) -> tuple[Reader, ...]:
    """Who can read what is sent to nodes: they, and this one.

    A key counts only as its agency's own seal says it in the directory in force.

    Args:
        agency: That owns this node, with its key ``own``.

    Raises:
        EncryptionKeyError: This node or another has published none.
        LimitExceededError: They are too many.
    """
    if own is None:
        raise EncryptionKeyError(
            f"This node ({agency}) has no encryption key, so it could not read again what it "
            "sends. Nothing was sent.",
            hint="Make one: edocnode keys encryption new",
            agency=agency,
        )
    found = [Reader(agency, own)]
    missing: list[str] = []
    for node in sorted(set(nodes) - {agency}):
        endpoint = directory.endpoint(node, now)
        key = None if endpoint is None else encryption_key(endpoint)
        if key is None:
            missing.append(node)
        else:
            found.append(Reader(node, key))
    if missing:
        named = ", ".join(missing[:MOST_NAMED]) + (" ..." if len(missing) > MOST_NAMED else "")
        raise EncryptionKeyError(
            f"No encryption key was published by: {named}. Nothing was sent, to nobody.",
            hint="Ask there for one: edocnode keys encryption new. It is known here a minute "
            "later. Or send to the others alone.",
            agency=missing[0],
        )
    if len(found) > MAX_KEYS:
        raise LimitExceededError(
            f"A document is encrypted for at most {MAX_KEYS} nodes, this one included; it has "
            f"{len(found)}.",
            hint="Send it in several documents.",
        )
    return tuple(found)


class DecryptingReader:
    """The content of an encrypted part, as its bytes are read."""

    def __init__(self, read: Callable[[int], bytes], decryptor: PartDecryptor) -> None:
        """Takes what reads the part; it proves at its end that these bytes were sealed."""
        self._read = read
        self._decryptor = decryptor
        self._ended = False

    @property
    def sha256(self) -> bytes:
        """Digest of the content, once all was read."""
        return self._decryptor.sha256

    def read(self, size_bytes: int) -> bytes:
        """The next bytes of the content, about so many; empty at the end.

        Only when that came, what came before is good.

        Raises:
            PartNotDecryptedError: It cannot be read with the keys of this node.
            StorageDamagedError: The part has other bytes than were sealed.
        """
        while not self._ended:
            data = self._read(size_bytes)
            try:
                plain = self._decryptor.update(data) if data else self._decryptor.finish()
            except PartNotDecryptedError:
                while data:  # a disk that lost some of it is told first: that can be mended
                    data = self._read(size_bytes)
                raise
            self._ended = not data
            if plain:
                return plain
        return b""


def read_from(data: bytes) -> Callable[[int], bytes]:
    """Reads bytes in memory as a file is read."""
    place = 0

    def read(size_bytes: int) -> bytes:
        nonlocal place
        piece = data[place : place + size_bytes]
        place += len(piece)
        return piece

    return read
