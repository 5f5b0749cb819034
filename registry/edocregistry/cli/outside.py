"""Commands about CAs outside the network: outside add, crl, seal, list."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edoccore.errors import RequestInvalidError
from edockit.language import _
from edocregistry.cli.context import CommandContext, operating_system_user

if TYPE_CHECKING:
    from edocregistry.domain.model import OutsideAuthority

OUTSIDE_SCHEMA = "edoc.registry-outside/v1"
File = Annotated[Path, typer.Argument(metavar="FILE", help="PEM or DER.")]


def build_app() -> typer.Typer:
    """Puts the commands together."""
    app = typer.Typer(
        no_args_is_help=True,
        rich_markup_mode=None,
        help="Trusts outside CAs for seals.",
    )
    app.command()(add)
    app.command()(crl)
    app.command()(seal)
    app.command("list")(list_authorities)
    return app


def add(context: typer.Context, file: File) -> None:
    """Trusts a CA; it vouches only for certificates that are listed."""
    options: CommandContext = context.obj
    added = options.registry().add_outside_authority(operating_system_user(), _der(file))
    _tell(options, [added])


def crl(context: typer.Context, file: File) -> None:
    """Publishes a newer revocation list of a trusted CA."""
    options: CommandContext = context.obj
    _tell(options, [options.registry().take_outside_list(operating_system_user(), _der(file))])


def seal(
    context: typer.Context,
    code: Annotated[str, typer.Argument(metavar="CODE", help="Code of the agency.")],
    file: File,
) -> None:
    """Lists a seal certificate of a trusted CA for an agency, beside those it has."""
    options: CommandContext = context.obj
    listed = options.registry().list_outside_seal(operating_system_user(), code, _der(file))
    options.console.data(
        {"schema": OUTSIDE_SCHEMA, "agency": listed.agency, "certificate_sha256": listed.sha256},
        _("{agency} may seal with {sha256}", agency=listed.agency, sha256=listed.sha256),
    )
    options.console.say(
        _("Next, on the stopped node of {agency}: edocnode keys import", agency=listed.agency)
    )


def list_authorities(context: typer.Context) -> None:
    """Lists the CAs that are trusted, and from when their revocation lists are."""
    options: CommandContext = context.obj
    _tell(options, options.registry().outside_authorities())


def _tell(options: CommandContext, authorities: "list[OutsideAuthority]") -> None:
    from cryptography import x509

    found = []
    for one in authorities:
        name = x509.load_der_x509_certificate(one.certificate).subject.rfc4514_string()
        listed = None if one.crl is None else x509.load_der_x509_crl(one.crl).last_update_utc
        since = "" if listed is None else listed.strftime("%Y-%m-%dT%H:%M:%SZ")
        found.append({"sha256": one.sha256, "name": name, "crl_of": since})
    lines = [f"{row['sha256']}  {row['name']}  {row['crl_of'] or '-'}" for row in found]
    options.console.data({"schema": OUTSIDE_SCHEMA, "authorities": found}, "\n".join(lines))


def _der(file: Path) -> bytes:
    from edockit.certificates import der_of

    try:
        return der_of(file.read_bytes())
    except (OSError, ValueError) as error:
        raise RequestInvalidError(
            f"{file} cannot be read as PEM or DER.", hint="Check the path."
        ) from error
