"""Commands about keys: invite an agency to enrol, revoke what it has."""

import re
from datetime import timedelta
from hashlib import sha256
from typing import Annotated

import typer

from edoccore.errors import RequestInvalidError
from edockit.console import new_app
from edockit.language import _, marked, told
from edocregistry.cli.context import (
    CommandContext,
    moment_of,
    now,
    operating_system_user,
    require_yes,
)

INVITE_SCHEMA = "edoc.registry-invite/v1"
CA_SCHEMA = "edoc.registry-ca/v1"
REVOKE_SCHEMA = "edoc.registry-revoke/v1"
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}


def invite(
    context: typer.Context,
    code: Annotated[str, typer.Argument(metavar="CODE", help="Code of the agency.")],
    ttl: Annotated[str, typer.Option("--ttl", help="How long it can be used: 30m, 72h, 7d.")] = (
        "72h"
    ),
) -> None:
    """Prints a join string for an agency's node; for an enrolled one it replaces its keys."""
    from edockit.console import local_time, local_time_text

    options: CommandContext = context.obj
    life = _duration(ttl)
    expires = now() + life
    registry = options.registry()
    join = registry.invite(operating_system_user(), code, life)
    options.console.data(
        {"schema": INVITE_SCHEMA, "join": join, "agency": code, "expires": local_time(expires)},
        join,
    )
    options.console.say(
        _(
            "Good once, for {code}, until {expires}. It is a secret: hand it over by a safe way.",
            code=code,
            expires=local_time_text(expires),
        )
    )
    if registry.publishes_alone():
        options.console.say(
            _("auto_publish is on: this machine can replace the key of any agency at any time.")
        )
    else:
        options.console.say(
            _(
                "After the agency has run edocnode init, the officers have to sign its entry: "
                "edocregistry draft --out FILE. Its operator is told that it waits."
            )
        )


def revoke(
    context: typer.Context,
    code: Annotated[str, typer.Argument(metavar="CODE", help="Code of the agency.")],
    tls: Annotated[
        bool, typer.Option("--tls", help="The TLS certificate in use; the next takes over.")
    ] = False,
    seal: Annotated[bool, typer.Option("--seal", help="All its seal certificates.")] = False,
    compromised_since: Annotated[
        str | None,
        typer.Option(
            "--compromised-since",
            help="RFC 3339 time; what the key sealed from then on needs another proof of time.",
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Really; it cannot be undone.")] = False,
) -> None:
    """Ends keys of an agency; without --tls or --seal, both kinds."""
    from edoccore.directory.layout import RevocationKind

    since = None if compromised_since is None else moment_of(compromised_since)
    require_yes(given=yes, what=marked(f"Revoking keys of {code}"))
    chosen = [
        kind for kind, wanted in ((RevocationKind.SEAL, seal), (RevocationKind.TLS, tls)) if wanted
    ]
    options: CommandContext = context.obj
    registry = options.registry()
    ordered = registry.revoke(operating_system_user(), code, kinds=chosen, compromised_since=since)
    own = registry.keep_own_entry()
    lines = [
        _("revoked {kind} {sha256}", kind=told(item.kind.value), sha256=item.sha256)
        for item in ordered.revocations
    ]
    options.console.data(
        {
            "schema": REVOKE_SCHEMA,
            "agency": code,
            "revoked": [
                {"kind": item.kind.value, "sha256": item.sha256} for item in ordered.revocations
            ],
            "version": ordered.version,
        },
        "\n".join(lines) or _("nothing was left to revoke"),
    )
    if own:
        options.console.say(_("The registry has made new keys for itself; its server follows."))
    elif seal or not tls:
        options.console.say(
            _("To enrol it again with new keys: edocregistry invite {code}", code=code)
        )


def build_ca_app() -> typer.Typer:
    """Puts the commands about the issuing CA together."""
    app = new_app("Replaces the authority that issues seal certificates.")
    app.callback()(_of_ca)
    app.command("rotate")(rotate_ca)
    return app


def _of_ca() -> None:
    """Makes ``rotate`` a command of its own, though there is no other."""


def rotate_ca(
    context: typer.Context,
    yes: Annotated[bool, typer.Option("--yes", help="Really; it cannot be undone.")] = False,
) -> None:
    """Makes a new issuing CA; the old one issues no more, what it issued stays good."""
    require_yes(given=yes, what=marked("Replacing the issuing CA"))
    options: CommandContext = context.obj
    registry = options.registry()
    certificate, version = registry.rotate_authority(operating_system_user())
    registry.keep_own_entry()
    digest = sha256(certificate).hexdigest()
    options.console.data({"schema": CA_SCHEMA, "sha256": digest, "version": version}, digest)
    options.console.say(_("Nodes renew their seals under it by themselves within a month."))


def _duration(text: str) -> timedelta:
    found = re.fullmatch(r"([1-9][0-9]{0,5})([mhd])", text)
    if found is None:
        raise RequestInvalidError(f"{text!r} is no duration.", hint="Write 30m, 72h or 7d.")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})
