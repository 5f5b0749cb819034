"""Signed notes: a few lines of text, readable by people, under one or more Ed25519 signatures.

The form of the transparency logs of C2SP, so that tools which are not ours read and check it. Two
kinds of signature: a note's own (0x01), over the text; and a cosignature (0x04), over the text and
the moment at which a witness saw it. A reader looks at the signatures of keys that it knows and
leaves the others alone, so keys can be replaced and witnesses added.

Source: https://c2sp.org/signed-note@v1.0.0, https://c2sp.org/tlog-cosignature; RFC 8032.
"""

import base64
import binascii
import re
from dataclasses import dataclass
from enum import IntEnum
from hashlib import sha256

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from edoccore.directory_errors import NoteInvalidError

MAX_NOTE_BYTES = 32 * 1024
MAX_SIGNATURES = 64
KEY_BYTES = 32
SIGNATURE_BYTES = 64
_ID_BYTES = 4
_TIME_BYTES = 8
_NAME = re.compile(r"[^\s+\x00-\x1f]{1,200}")
_LINE = re.compile(r"\u2014 (\S+) ([A-Za-z0-9+/]+={0,2})\n")
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f]")


class Kind(IntEnum):
    """What a key signs; part of its id, so that no signature passes for one of another kind."""

    NOTE = 1
    COSIGNATURE = 4


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """A public key by the name that it signs under.

    Attributes:
        key: 32 bytes, RFC 8032.
    """

    name: str
    kind: Kind
    key: bytes

    @property
    def key_id(self) -> bytes:
        """Names the key in a signature line, 4 bytes; not to be relied on alone."""
        data = b"%s\n%c%s" % (self.name.encode(), self.kind, self.key)
        return sha256(data).digest()[:_ID_BYTES]

    def text(self) -> str:
        """One line: name, id and key, as C2SP writes them."""
        material = base64.b64encode(bytes([self.kind]) + self.key).decode("ascii")
        return f"{self.name}+{self.key_id.hex()}+{material}"


@dataclass(frozen=True, slots=True)
class NoteSignature:
    """One signature line; ``data`` is what follows the key's id."""

    name: str
    key_id: bytes
    data: bytes

    def line(self) -> str:
        """As it stands in the note."""
        return f"\u2014 {self.name} {base64.b64encode(self.key_id + self.data).decode('ascii')}\n"


@dataclass(frozen=True, slots=True)
class Note:
    """A text and its signatures; who signed it is not looked at yet.

    Attributes:
        text: Ends with a newline.
    """

    text: str
    signatures: tuple[NoteSignature, ...]

    def encode(self) -> bytes:
        """The note as a file."""
        return f"{self.text}\n{''.join(item.line() for item in self.signatures)}".encode()

    def with_signature(self, added: NoteSignature) -> "Note":
        """The same note with a signature, in place of an older one of the same key."""
        kept = [item for item in self.signatures if _owner(item) != _owner(added)]
        return Note(self.text, (*kept, added))


def read_verifier_key(text: str, kind: Kind) -> VerifierKey:
    """Reads what ``VerifierKey.text`` wrote.

    Raises:
        NoteInvalidError: It is no key of that kind, or was mistyped.
    """
    name, _, rest = text.partition("+")
    key_id, _, material = rest.partition("+")
    try:
        data = base64.b64decode(material, validate=True)
    except binascii.Error:
        data = b""
    if not _NAME.fullmatch(name) or len(data) != 1 + KEY_BYTES or data[0] != kind:
        raise NoteInvalidError(f"{text[:80]!r} is no verifier key of kind {int(kind)}.")
    found = VerifierKey(name, kind, data[1:])
    if found.key_id.hex() != key_id:
        raise NoteInvalidError(f"The verifier key {text[:80]!r} was altered: its id does not fit.")
    return found


def read_note(data: bytes) -> Note:
    """Reads a note; no signature is checked.

    Raises:
        NoteInvalidError: It is none.
    """
    if len(data) > MAX_NOTE_BYTES:
        raise NoteInvalidError(f"A note has at most {MAX_NOTE_BYTES} bytes.")
    try:
        whole = data.decode("utf-8")
    except UnicodeDecodeError:
        raise NoteInvalidError("A note is UTF-8.") from None
    head, found, rest = whole.rpartition("\n\n")
    lines = _LINE.findall(rest)
    whole_lines = "".join(f"\u2014 {name} {text}\n" for name, text in lines)
    if not found or not lines or whole_lines != rest or _CONTROL.search(whole):
        raise NoteInvalidError("A note is text, an empty line and signature lines.")
    if len(lines) > MAX_SIGNATURES:
        raise NoteInvalidError(f"A note has at most {MAX_SIGNATURES} signatures.")
    return Note(f"{head}\n", tuple(_signature(name, text) for name, text in lines))


def is_signed_by(note: Note, key: VerifierKey) -> bool:
    """Whether a key of the kind ``NOTE`` signed the text.

    Raises:
        NoteInvalidError: A line says that it did, and it did not: somebody forged it.
    """
    for item in _of(note, key):
        _verify(key, item.data, note.text.encode())
        return True
    return False


def cosigned_at(note: Note, key: VerifierKey) -> int | None:
    """When a witness cosigned a note, seconds since 1970; None: it did not.

    Args:
        key: Of the kind ``COSIGNATURE``.

    Raises:
        NoteInvalidError: As ``is_signed_by``.
    """
    for item in _of(note, key):
        time = int.from_bytes(item.data[:_TIME_BYTES])
        _verify(key, item.data[_TIME_BYTES:], _cosigned(note.text, time))
        return time
    return None


def signature_of(note: Note, key: VerifierKey) -> NoteSignature:
    """The signature line of a key; whether it fits is not looked at.

    Raises:
        NoteInvalidError: The key has none.
    """
    found = _of(note, key)
    if not found:
        raise NoteInvalidError(f"The note has no signature of {key.name}.")
    return found[0]


class NoteSigner:
    """Signs notes with one private key under one name."""

    def __init__(self, name: str, kind: Kind, private_key: Ed25519PrivateKey) -> None:
        """Takes the key.

        Raises:
            NoteInvalidError: The name has spaces, a plus sign, or is none.
        """
        if not _NAME.fullmatch(name):
            raise NoteInvalidError(f"{name[:80]!r} cannot be the name of a key.")
        self._private_key = private_key
        self.key = VerifierKey(name, kind, private_key.public_key().public_bytes_raw())

    def sign(self, text: str) -> NoteSignature:
        """Signs a text that ends with a newline."""
        return self._made(self._private_key.sign(text.encode()))

    def cosign(self, text: str, time: int) -> NoteSignature:
        """Cosigns a text as seen at a moment, seconds since 1970."""
        signature = self._private_key.sign(_cosigned(text, time))
        return self._made(time.to_bytes(_TIME_BYTES) + signature)

    def _made(self, data: bytes) -> NoteSignature:
        return NoteSignature(self.key.name, self.key.key_id, data)


def _of(note: Note, key: VerifierKey) -> list[NoteSignature]:
    wanted = key.name, key.key_id
    return [item for item in note.signatures if _owner(item) == wanted]


def _owner(item: NoteSignature) -> tuple[str, bytes]:
    return item.name, item.key_id


def _verify(key: VerifierKey, signature: bytes, data: bytes) -> None:
    try:
        Ed25519PublicKey.from_public_bytes(key.key).verify(signature, data)
    except (InvalidSignature, ValueError):
        raise NoteInvalidError(f"The signature of {key.name} does not fit the note.") from None


def _cosigned(text: str, time: int) -> bytes:
    return f"cosignature/v1\ntime {time}\n{text}".encode()


def _signature(name: str, text: str) -> NoteSignature:
    try:
        data = base64.b64decode(text, validate=True)
    except binascii.Error:
        data = b""
    if len(data) <= _ID_BYTES or not _NAME.fullmatch(name):
        raise NoteInvalidError("A signature line of the note is damaged.")
    return NoteSignature(name, data[:_ID_BYTES], data[_ID_BYTES:])
