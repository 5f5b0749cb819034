"""Commands about keys of officers: make one, in a file or a token, protect one, show it."""

from pathlib import Path
from typing import Annotated

import typer

from edoccore.errors import RequestInvalidError
from edockit.language import _
from edocregistry.cli.context import CommandContext

KEY_SCHEMA = "edoc.registry-key/v1"

KeyFile = Annotated[Path, typer.Argument(metavar="KEYFILE", help="File of the private key.")]
PassphraseFile = Annotated[
    Path | None,
    typer.Option("--passphrase-file", help="Private file with the passphrase; else it is asked."),
]


PinFile = Annotated[
    Path | None,
    typer.Option("--pin-file", help="Private file with the PIN of tokens; else it is asked."),
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
    token: Annotated[
        str,
        typer.Option("--token", help="Label of a PKCS#11 token; the key is made in it and stays."),
    ] = "",
    module: Annotated[
        Path | None, typer.Option("--module", help="PKCS#11 library of the token's maker.")
    ] = None,
    token_key: Annotated[
        str, typer.Option("--token-key", help="Label of the key in it; default: name of KEYFILE.")
    ] = "",
    pin_file: PinFile = None,
) -> None:
    """Makes a key of an officer, and its public key in KEYFILE.pub; needs no registry.

    Of a key in a token KEYFILE says where it is, and holds no secret.
    """
    if token or module is not None:
        if not token or module is None:
            raise RequestInvalidError(
                "A key in a token needs the token and its library.",
                hint="Name both: --token LABEL --module LIBRARY",
            )
        place = (str(module.absolute()), token, token_key or file.stem)
        _new_in_token(context, file, place, pin_file)
        return
    from edocregistry.cli.passphrases import new_passphrase
    from edocregistry.storage.officer_keys import make_key

    secret = None if no_passphrase else new_passphrase(passphrase_file, str(file))
    signer = make_key(file, secret)
    _tell(context, file, signer.public_key.keyid)


def _new_in_token(
    context: typer.Context, file: Path, place: tuple[str, str, str], pin_file: Path | None
) -> None:
    from edockit.files import write_file_atomic
    from edocregistry.cli.passphrases import pin_of
    from edocregistry.storage import officer_tokens
    from edocregistry.storage.officer_keys import check_new, write_public

    check_new(file)
    module, token, key = place
    found = officer_tokens.TokenKeyFile(
        schema=officer_tokens.SCHEMA, module=module, token=token, key=key
    )
    public = officer_tokens.make_in_token(file, found, pin_of(pin_file)(found))
    write_file_atomic(file, officer_tokens.encode_token_file(found))
    write_public(file, public)
    _tell(context, file, officer_tokens.public_half(public).keyid)


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
