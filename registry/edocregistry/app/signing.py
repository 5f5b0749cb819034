"""Signing a draft on an officer's machine: no network, no data folder of a registry."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from datetime import datetime
from hashlib import sha256
from pathlib import Path

from securesystemslib.signer import CryptoSigner, Signer

from edoccore.directory import layout
from edoccore.officer_errors import DraftInvalidError
from edockit.secrets import Secret
from edocregistry.domain.drafting import Draft, encode_draft, with_roles
from edocregistry.storage import officer_keys
from edocregistry.storage.officer_tokens import TokenKeyFile, TokenOfficer, is_token_file


def check_root(draft: Draft, wanted: str | None) -> None:
    """Accepts a draft whose directory leads from a root that the officer knows.

    Args:
        draft: As read.
        wanted: SHA-256 of any root of the network, lower hex; None: a person compares.

    Raises:
        DraftInvalidError: It is of another network.
    """
    known = {sha256(data).hexdigest() for data in draft.before.chain.files.values()}
    if wanted is not None and wanted.lower() not in known:
        raise DraftInvalidError(
            f"No root in the draft has the SHA-256 {wanted}.",
            hint="Sign nothing; the draft is of another network, or somebody wants to deceive you.",
        )


@contextmanager
def open_keys(
    paths: Sequence[Path],
    passphrase: Callable[[Path], bytes],
    pin: Callable[[TokenKeyFile], Secret],
) -> Iterator[list[Signer]]:
    """Opens key files for a block, those of keys in tokens too.

    Args:
        paths: Of key files.
        passphrase: Gives that of a file; asked for encrypted ones only.
        pin: Gives that of a token.

    Raises:
        KeyUnusableError: A file cannot be opened.
    """
    with ExitStack() as opened:
        signers: list[Signer] = []
        for path in paths:
            if is_token_file(path):
                public = officer_keys.load_public(officer_keys.public_file(path))
                signers.append(opened.enter_context(closing(TokenOfficer(path, public, pin))))
            else:
                secret = passphrase(path) if officer_keys.is_encrypted(path) else None
                signers.append(CryptoSigner(officer_keys.load_key(path, secret)))
        yield signers


def signed_file(draft: Draft) -> bytes:
    """The draft with its signatures, as it goes on to the next officer or to the registry."""
    return encode_draft(with_roles(draft.file, draft.roles))


def signed_at(draft: Draft) -> datetime:
    """When the directory in the draft was signed last."""
    return draft.before.expiries[layout.TIMESTAMP] - layout.TIMESTAMP_LIFE
