"""Parts that only their recipients can read: the form of an encrypted part, both ways.

An encrypted part is a prefix, a header that says for whom and of which document it is, and its
content in chunks. Whoever seals, sends, keeps, repairs or proves a part works on these bytes and
needs no key. Plaintext comes out chunk by chunk, each checked; that nothing is missing is known
only at the end, where the digest of the content stands: until ``finish`` nothing of it is good.

Source: proto/README.md, section Encrypted parts.
"""

import struct
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from typing import Annotated, NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from msgspec import Meta, Struct

from edoccore.errors import EdocError
from edoccore.identity.encryption import SUITE, PrivateEncryptionKey, PublicEncryptionKey
from edoccore.office_errors import PartNotDecryptedError
from edoccore.signing import canonical
from edoccore.signing.statements import MAX_PARTS, Code, Sha256, Statement, Uuid

ENCRYPTED_MEDIA_TYPE = "application/vnd.edoc.encrypted"
MAX_KEYS = 200  # of one part: nodes that can read it, the sender's included
MAX_HEADER_BYTES = 512 * 1024
CHUNK_BYTES = 64 * 1024  # of plaintext; only the last may be shorter
CONTENT_KEY_BYTES = 32

_MAGIC = b"EDOC-ENCRYPTED-1\n"
_PREFIX = len(_MAGIC) + 4
_TAG = 16
_DIGEST = 32
_COMMITMENT = b"edoc.encryption/v1 commitment"
_PAYLOAD = b"edoc.encryption/v1 payload"


Index = Annotated[int, Meta(ge=1, lt=MAX_PARTS)]
Suite = Annotated[int, Meta(ge=1, le=255)]


class PartPlace(Struct, frozen=True, kw_only=True):
    """Where an encrypted part belongs; it is readable nowhere else.

    Attributes:
        document_id: As in the envelope, as text.
        sender: The envelope's ``from``.
    """

    network: str
    document_id: str
    sender: str
    index: int


class WrappedKey(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The content key for one node.

    Attributes:
        agency: Whose node it is.
        key: SHA-256 of the public key that it is wrapped to.
        wrapped: Base64.
    """

    agency: Code
    key: Sha256
    wrapped: Annotated[str, Meta(pattern=r"^[A-Za-z0-9+/]+={0,2}\Z", max_length=2048)]


class Encryption(
    Statement, frozen=True, kw_only=True, tag="edoc.encryption/v1", rename={"from_": "from"}
):
    """The header of an encrypted part.

    Attributes:
        from_: Code that the document is sent from.
        index: Of the part in its envelope.
        suite: Of the wrapping and the content.
        commitment: Derived from the content key, so that no two keys open one part differently.
        keys: One for each node that can read it.
    """

    document_id: Uuid
    from_: Code
    index: Index
    suite: Suite
    commitment: Sha256
    keys: Annotated[tuple[WrappedKey, ...], Meta(min_length=1, max_length=MAX_KEYS)]


class Wrapping(
    Statement, frozen=True, kw_only=True, tag="edoc.wrapping/v1", rename={"from_": "from"}
):
    """What a wrapped key is for: its bytes are the ``info`` of HPKE."""

    document_id: Uuid
    from_: Code
    to: Code
    index: Index
    suite: Suite
    commitment: Sha256


class Reader(NamedTuple):
    """A node that is to read a part."""

    agency: str
    key: PublicEncryptionKey


def commitment_of(content_key: bytes) -> str:
    """What stands for a content key in the header; tells nothing about it."""
    return _derived(content_key, _COMMITMENT, salt=b"").hex()


def header_for(place: PartPlace, content_key: bytes, readers: Sequence[Reader]) -> bytes:
    """The header of a part; random as wrapping is.

    Args:
        content_key: 32 random bytes, used for no other part.

    Raises:
        EncryptionKeyError: A reader's key is none.
    """
    commitment = commitment_of(content_key)
    keys = tuple(
        WrappedKey(
            agency=reader.agency,
            key=reader.key.sha256,
            wrapped=b64encode(
                reader.key.wrap(content_key, wrapping_info(place, reader.agency, commitment))
            ).decode(),
        )
        for reader in readers
    )
    header = Encryption(
        network=place.network,
        document_id=place.document_id,
        from_=place.sender,
        index=place.index,
        suite=SUITE,
        commitment=commitment,
        keys=keys,
    )
    return canonical.encode(header, limit=MAX_HEADER_BYTES)


def encrypted_size(header: bytes, size: int) -> int:
    """Bytes of a part whose content has ``size`` bytes."""
    plain = size + _DIGEST
    return _PREFIX + len(header) + plain + _TAG * -(-plain // CHUNK_BYTES)


class PartEncryptor:
    """Encrypts one part; what it returns is joined to the part."""

    def __init__(self, header: bytes, content_key: bytes) -> None:
        """Takes a header that ``header_for`` made with this key."""
        self._start = _MAGIC + struct.pack(">I", len(header)) + header
        self._chunks = _Chunks(content_key, header)
        self._digest = sha256()
        self._rest = bytearray()

    @property
    def sha256(self) -> bytes:
        """Digest of the content so far."""
        return self._digest.digest()

    def update(self, content: bytes | memoryview) -> bytes:
        """Takes the next bytes of the content."""
        self._digest.update(content)
        self._rest += content
        return self._sealed()

    def finish(self) -> bytes:
        """Ends the part."""
        self._rest += self.sha256
        return self._sealed() + self._chunks.seal(bytes(self._rest), last=True)

    def _sealed(self) -> bytes:
        made, self._start = [self._start], b""
        while len(self._rest) > CHUNK_BYTES:  # the last chunk is never empty
            made.append(self._chunks.seal(bytes(self._rest[:CHUNK_BYTES]), last=False))
            del self._rest[:CHUNK_BYTES]
        return b"".join(made)


KeyOf = Callable[[Encryption], bytes]


class PartDecryptor:
    """Decrypts one part as its bytes come; see the module for when its content is good."""

    def __init__(self, place: PartPlace, key_of: KeyOf) -> None:
        """Takes where the part was found, and who opens its header.

        Args:
            key_of: Gives the content key; see ``content_key``.
        """
        self._place = place
        self._key_of = key_of
        self._chunks: _Chunks | None = None
        self._digest = sha256()
        self._rest = bytearray()
        self._held = b""  # of the plaintext: it may be the digest at the end

    @property
    def sha256(self) -> bytes:
        """Digest of the content, after ``finish``."""
        return self._digest.digest()

    def update(self, data: bytes) -> bytes:
        """Takes the next bytes of the part; returns what it may say of the content.

        Raises:
            PartNotDecryptedError: It was made for another place or key, or is damaged.
        """
        self._rest += data
        if self._chunks is None and not self._begin():
            return b""
        assert self._chunks is not None
        opened = []
        while len(self._rest) > CHUNK_BYTES + _TAG:
            opened.append(self._chunks.open(bytes(self._rest[: CHUNK_BYTES + _TAG]), last=False))
            del self._rest[: CHUNK_BYTES + _TAG]
        return self._given(b"".join(opened))

    def finish(self) -> bytes:
        """Ends the part; returns the last of its content, which now is good.

        Raises:
            PartNotDecryptedError: Something is missing, or the digest does not fit.
        """
        if self._chunks is None:
            raise _not_decrypted("it ends before its content")
        given = self._given(self._chunks.open(bytes(self._rest), last=True))
        if self._held != self.sha256:
            raise _not_decrypted("its content does not have the digest at its end")
        return given

    def _begin(self) -> bool:
        if not _MAGIC.startswith(self._rest[: len(_MAGIC)]):
            raise _not_decrypted("it has another form")
        if len(self._rest) < _PREFIX:
            return False
        [size] = struct.unpack(">I", self._rest[len(_MAGIC) : _PREFIX])
        if not 0 < size <= MAX_HEADER_BYTES:
            raise _not_decrypted("its header is too large")
        if len(self._rest) < _PREFIX + size:
            return False
        data = bytes(self._rest[_PREFIX : _PREFIX + size])
        del self._rest[: _PREFIX + size]
        self._chunks = _Chunks(self._key_of(read_header(data, self._place)), data)
        return True

    def _given(self, plain: bytes) -> bytes:
        joined = self._held + plain
        given, self._held = joined[:-_DIGEST], joined[-_DIGEST:]
        self._digest.update(given)
        return given


def read_header(data: bytes, place: PartPlace) -> Encryption:
    """The header of a part that was found in a place.

    Raises:
        PartNotDecryptedError: It is none, or of another place.
    """
    try:
        header = canonical.decode(data, Encryption, limit=MAX_HEADER_BYTES)
    except EdocError as error:
        raise _not_decrypted("its header cannot be read") from error
    found = PartPlace(
        network=header.network,
        document_id=header.document_id,
        sender=header.from_,
        index=header.index,
    )
    if found != place:
        raise _not_decrypted(
            f"it was made for part {found.index} of document {found.document_id} from "
            f"{found.sender}"
        )
    if header.suite != SUITE:
        raise _not_decrypted(f"its suite {header.suite} is not known here")
    return header


def content_key(
    header: Encryption, agency: str, keys: Mapping[str, Callable[[], PrivateEncryptionKey]]
) -> bytes:
    """Unwraps the content key with whichever key of a node fits.

    Args:
        agency: Whose node it is.
        keys: Loads a private key, by the SHA-256 of its public one.

    Raises:
        PartNotDecryptedError: None fits, or what was wrapped is not what the header commits to.
    """
    for wrapped in header.keys:
        if wrapped.key in keys:
            place = place_of(header)
            info = wrapping_info(place, agency, header.commitment)
            found = keys[wrapped.key]().unwrap(_bytes_of(wrapped), info)
            return checked_key(header, found)
    wanted = [item.key[:16] for item in header.keys if item.agency == agency]
    if wanted:
        raise PartNotDecryptedError(
            f"The part was encrypted to the key {wanted[0]} of {agency}, which is not here.",
            hint="Restore keys/ of the data folder from a backup that has it, or ask the sender to "
            "send it again.",
            key=wanted[0],
        )
    raise PartNotDecryptedError(
        f"The part was not encrypted for {agency}.", hint="Ask its sender to send it again."
    )


def _bytes_of(wrapped: WrappedKey) -> bytes:
    try:
        return b64decode(wrapped.wrapped, validate=True)
    except ValueError as error:  # the sender may write anything; the pattern looks at letters alone
        raise _not_decrypted("a wrapped key in its header is no base64") from error


def checked_key(header: Encryption, found: bytes) -> bytes:
    """A content key that is the one that a header commits to.

    Raises:
        PartNotDecryptedError: It is another.
    """
    if len(found) != CONTENT_KEY_BYTES or commitment_of(found) != header.commitment:
        raise _not_decrypted("its content key is not the one that its header commits to")
    return found


def place_of(header: Encryption) -> PartPlace:
    """The place that a header names."""
    return PartPlace(
        network=header.network,
        document_id=header.document_id,
        sender=header.from_,
        index=header.index,
    )


class _Chunks:
    """The chunks of one part, in order (the STREAM construction of Hoang et al., 2015)."""

    def __init__(self, content_key: bytes, header: bytes) -> None:
        self._cipher = AESGCM(_derived(content_key, _PAYLOAD, salt=sha256(header).digest()))
        self._next = 0

    def seal(self, plain: bytes, *, last: bool) -> bytes:
        return self._cipher.encrypt(self._nonce(last=last), plain, None)

    def open(self, data: bytes, *, last: bool) -> bytes:
        number = self._next
        try:
            return self._cipher.decrypt(self._nonce(last=last), data, None)
        except (InvalidTag, ValueError) as error:
            raise _not_decrypted(
                f"chunk {number} was changed, moved or is where the part was cut off"
            ) from error

    def _nonce(self, *, last: bool) -> bytes:
        nonce = self._next.to_bytes(11, "big") + (b"\x01" if last else b"\x00")
        self._next += 1
        return nonce


def _derived(content_key: bytes, info: bytes, *, salt: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=salt or None, info=info).derive(content_key)


def wrapping_info(place: PartPlace, agency: str, commitment: str) -> bytes:
    """What a content key is wrapped for: the ``info`` of HPKE."""
    return canonical.encode(
        Wrapping(
            network=place.network,
            document_id=place.document_id,
            from_=place.sender,
            to=agency,
            index=place.index,
            suite=SUITE,
            commitment=commitment,
        )
    )


def _not_decrypted(why: str) -> PartNotDecryptedError:
    return PartNotDecryptedError(
        f"The encrypted part cannot be read: {why}.",
        hint="Nothing of it is to be trusted; ask its sender to send it again.",
    )
