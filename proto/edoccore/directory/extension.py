"""The officers' extension: it lets an expired directory count for some days more.

For the emergency in which the registry is lost for longer than its roles live. Enough keys of the
root sign it offline, as many as a new root would need; nodes get it as a file. It names the lowest
directory that it holds for, so that it brings back no older one, and at most ``MAX_EXTENSION``.

Source: proto/README.md, section Directory.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import msgspec
from msgspec import Struct
from securesystemslib.signer import Signature
from tuf.api.exceptions import UnsignedMetadataError
from tuf.api.metadata import Root

from edoccore.directory import layout
from edoccore.directory.wrapping import unwrap, wrap
from edoccore.directory_errors import ExtensionInvalidError
from edoccore.errors import EdocError, StorageDamagedError
from edoccore.signing import canonical
from edoccore.signing.readers import reader_of
from edoccore.signing.statements import DirectoryMark, Statement, Text, Time, parse_time, time_text

MAX_EXTENSION = timedelta(days=90)  # from its signing to its end
MAX_SKEW = timedelta(minutes=5)  # of the officers' clock
MAX_EXTENSION_BYTES = 256 * 1024
MAX_SIGNATURES = 64
KIND = b"edoc.directory-extension/v1"


class ExtensionStatement(Statement, frozen=True, kw_only=True, tag="edoc.extension/v1"):
    """What the officers sign.

    Attributes:
        directory: The lowest directory that it holds for; of that version, only this one.
        created: When it was made.
        until: When it ends.
        reason: For people.
    """

    directory: DirectoryMark
    created: Time
    until: Time
    reason: Text


class _OneSignature(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    keyid: str
    sig: str


class _File(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The content of a file: exact bytes of the statement as text, signatures of root keys."""

    statement: str
    signatures: tuple[_OneSignature, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Extension:
    """A verified extension.

    Attributes:
        statement: What was signed.
        created: When it was made; aware.
        until: When it ends; at that moment it no longer holds.
        data: The file as it was brought.
    """

    statement: ExtensionStatement
    created: datetime
    until: datetime
    data: bytes

    def holds_for(self, mark: DirectoryMark) -> bool:
        """Whether a directory is the named one or a newer one."""
        named = self.statement.directory
        return mark.version > named.version or mark == named


def new_statement(
    network: str, mark: DirectoryMark, *, now: datetime, life: timedelta, reason: str
) -> bytes:
    """What officers sign to extend a directory, as exact bytes.

    Raises:
        ExtensionInvalidError: The life is not more than nothing and at most ``MAX_EXTENSION``.
    """
    if not timedelta(0) < life <= MAX_EXTENSION:
        raise ExtensionInvalidError(
            f"An extension lasts between 1 and {MAX_EXTENSION.days} days, not {life.days}.",
            hint="Choose fewer days; another extension can follow.",
        )
    statement = ExtensionStatement(
        network=network,
        directory=mark,
        created=time_text(now),
        until=time_text(now + life),
        reason=reason,
    )
    return canonical.encode(statement)


def encode_extension(statement: bytes, signatures: Mapping[str, Signature]) -> bytes:
    """Puts a statement and its signatures, by key id, into a file."""
    signed = tuple(
        _OneSignature(keyid=keyid, sig=found.signature)
        for keyid, found in sorted(signatures.items())
    )
    content = _File(statement=statement.decode("utf-8"), signatures=signed)
    return wrap(KIND, msgspec.json.encode(content))


def decode_extension(data: bytes) -> tuple[bytes, dict[str, Signature]]:
    """Takes statement and signatures out of a file; nothing is checked but its form.

    Raises:
        ExtensionInvalidError: The bytes are not what ``encode_extension`` wrote.
    """
    try:
        if len(data) > MAX_EXTENSION_BYTES:
            raise _invalid(f"it has {len(data)} bytes, over the limit of {MAX_EXTENSION_BYTES}")
        found = reader_of(_File).decode(unwrap(KIND, data))
    except (StorageDamagedError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _invalid("the file is damaged") from error
    if len(found.signatures) > MAX_SIGNATURES:
        raise _invalid(f"it has more than {MAX_SIGNATURES} signatures")
    signatures = {item.keyid: Signature(item.keyid, item.sig) for item in found.signatures}
    return found.statement.encode("utf-8"), signatures


def read_extension(data: bytes, root: Root, network: str) -> Extension:
    """Verifies an extension; whether it has ended is not asked, ``state`` judges that.

    Args:
        data: The file.
        root: The newest root in hand.
        network: Of the directory in hand.

    Raises:
        ExtensionInvalidError: Not signed by enough keys of the root, of another network, or
            longer than allowed.
    """
    statement, signatures = decode_extension(data)
    try:
        root.verify_delegate(layout.ROOT, statement, signatures)
    except (UnsignedMetadataError, ValueError) as error:
        raise _invalid(f"{error}; the keys of root {root.version} must sign it") from error
    try:
        stated = canonical.decode(statement, ExtensionStatement)
        created, until = parse_time(stated.created), parse_time(stated.until)
    except (EdocError, ValueError) as error:
        raise _invalid(f"its statement cannot be read: {error}") from error
    if stated.network != network:
        raise _invalid(f"it is of the network {stated.network}, not {network}")
    if not timedelta(0) < until - created <= MAX_EXTENSION:
        raise _invalid(f"it lasts longer than {MAX_EXTENSION.days} days, or not at all")
    return Extension(statement=stated, created=created, until=until, data=data)


def require_in_force(extension: Extension, now: datetime) -> None:
    """Accepts an extension that is brought now.

    Raises:
        ExtensionInvalidError: It has ended, or was made in the future.
    """
    if now >= extension.until:
        raise _invalid(f"it ended at {extension.until.isoformat()}")
    if extension.created > now + MAX_SKEW:
        raise _invalid(f"it was made at {extension.created.isoformat()}, which is in the future")


def _invalid(why: str) -> ExtensionInvalidError:
    return ExtensionInvalidError(
        f"The extension of the directory does not hold: {why}.",
        hint="Nothing was changed. Check the clock of this machine, then ask the officers.",
    )
