"""Commands about key files of officers: make one, protect one, show the public key."""

from pathlib import Path
from typing import Annotated

import typer

from edockit.language import _
from edocregistry.cli.context import CommandContext

KEY_SCHEMA = "edoc.registry-key/v1"

KeyFile = Annotated[Path, typer.Argument(metavar="KEYFILE", help="File of the private key.")]
PassphraseFile = Annotated[
    Path | None,
    typer.Option("--passphrase-file", help="Private file with the passphrase; else it is asked."),
]


def build_app() -> typer.Typer:
    """Puts the commands about key files together."""
    app = typer.Typer(
        no_args_is_help=True, rich_markup_mode=None, help="Makes and protects officers' keys."
    )
    app.command("new")(new)
    app.command("protect")(protect)
    app.command("show")(show)
    return app


def new(
    context: typer.Context,
    file: KeyFile,
    passphrase_file: PassphraseFile = None,
    no_passphrase: Annotated[
        bool, typer.Option("--no-passphrase", help="Whoever has the file can sign.")
    ] = False,
) -> None:
    """Makes a key of an officer, and its public key in KEYFILE.pub; needs no registry."""
    from edocregistry.cli.passphrases import new_passphrase
    from edocregistry.storage.officer_keys import make_key

    secret = None if no_passphrase else new_passphrase(passphrase_file, str(file))
    signer = make_key(file, secret)
    _tell(context, file, signer.public_key.keyid)


def protect(context: typer.Context, file: KeyFile, passphrase_file: PassphraseFile = None) -> None:
    """Puts a key file that init made under a passphrase, and writes its public key beside it."""
    from securesystemslib.signer import CryptoSigner

    from edocregistry.cli.passphrases import new_passphrase
    from edocregistry.storage.officer_keys import load_key, write_key

    key = load_key(file, None)
    write_key(file, key, new_passphrase(passphrase_file, str(file)))
    _tell(context, file, CryptoSigner(key).public_key.keyid)


def show(context: typer.Context, file: KeyFile) -> None:
    """Shows which key a KEYFILE.pub is, as status and drafts name it."""
    from edocregistry.storage.officer_keys import load_public

    _tell(context, file, load_public(file).keyid)


def _tell(context: typer.Context, file: Path, keyid: str) -> None:
    options: CommandContext = context.obj
    options.console.data(
        {"schema": KEY_SCHEMA, "file": str(file), "key": keyid},
        _("{file} is the key {key}", file=file, key=keyid),
    )
