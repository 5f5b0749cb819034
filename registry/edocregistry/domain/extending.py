"""Extending an expired directory in an emergency: what officers of the root sign, offline.

One officer makes the extension, others add their signatures to it on their own machines, until the
root's threshold is reached. Nodes take it as a file; see ``edoccore.directory.extension``.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from securesystemslib.signer import Signature, Signer
from tuf.api.metadata import Root

from edoccore.directory import layout
from edoccore.directory.extension import (
    ExtensionStatement,
    decode_extension,
    encode_extension,
    new_statement,
)
from edoccore.directory.view import Directory
from edoccore.directory_errors import ExtensionInvalidError
from edoccore.errors import KeyUnusableError
from edoccore.signing import canonical
from edoccore.signing.statements import parse_time


@dataclass(frozen=True, slots=True, kw_only=True)
class Extended:
    """An extension, perhaps not signed by enough officers yet.

    Attributes:
        data: The file.
        until: When it ends.
        reason: Why it was made.
        signed: How many officers have signed it; ``threshold`` must.
    """

    data: bytes
    until: datetime
    reason: str
    signed: int
    threshold: int

    @property
    def missing(self) -> int:
        """How many officers must still sign."""
        return max(self.threshold - self.signed, 0)


def begin(
    directory: Directory,
    signers: Sequence[Signer],
    *,
    now: datetime,
    life: timedelta,
    reason: str,
) -> Extended:
    """Makes an extension for a directory and signs it.

    Raises:
        ExtensionInvalidError: The life is too long.
        KeyUnusableError: A key is none of the root.
    """
    statement = new_statement(directory.network, directory.mark, now=now, life=life, reason=reason)
    return _signed(directory, statement, {}, signers)


def add(directory: Directory, data: bytes, signers: Sequence[Signer]) -> Extended:
    """Adds signatures to an extension that was begun by another officer.

    Raises:
        ExtensionInvalidError: It is damaged, or of another directory than this officer has.
        KeyUnusableError: A key is none of the root.
    """
    statement, signatures = decode_extension(data)
    stated = canonical.decode(statement, ExtensionStatement)
    if (stated.network, stated.directory) != (directory.network, directory.mark):
        raise ExtensionInvalidError(
            f"The extension is of directory version {stated.directory.version} of "
            f"{stated.network}, not of version {directory.mark.version} of {directory.network}.",
            hint="Ask the other officer for the directory that was extended; nothing was signed.",
        )
    return _signed(directory, statement, signatures, signers)


def _signed(
    directory: Directory,
    statement: bytes,
    signatures: dict[str, Signature],
    signers: Sequence[Signer],
) -> Extended:
    root = directory.chain.root
    for signer in signers:
        _require_officer(root, signer)
        signature = signer.sign(statement)
        signatures[signature.keyid] = signature
    result = root.get_verification_result(layout.ROOT, statement, signatures)
    stated = canonical.decode(statement, ExtensionStatement)
    return Extended(
        data=encode_extension(statement, {keyid: signatures[keyid] for keyid in result.signed}),
        until=parse_time(stated.until),
        reason=stated.reason,
        signed=len(result.signed),
        threshold=result.threshold,
    )


def _require_officer(root: Root, signer: Signer) -> None:
    keyid = signer.public_key.keyid
    if keyid not in root.roles[layout.ROOT].keyids:
        raise KeyUnusableError(
            f"The key {keyid[:16]}… is not one of root {root.version} of this directory.",
            hint="Name the file of an officer's root key: --key FILE; nothing was signed.",
        )
