"""Commands that end and replace the keys of this node: keys revoke, replace; see ``key_files``."""

from datetime import datetime
from typing import Annotated

import typer

from edoccore.errors import RequestInvalidError
from edockit.console import new_app
from edockit.language import _, marked
from edocnode.cli import encryption_keys, key_files
from edocnode.cli.context import CommandContext, operating_system_user

REPLACE_SCHEMA = "edoc.keys-replace/v1"
OWN_WORD = marked("revoked by its own agency")


def build_app() -> typer.Typer:
    """Puts the commands about keys together."""
    app = new_app("Lists the node's keys, encrypts their files, ends and replaces keys.")
    app.command("list")(key_files.list_keys)
    app.command()(key_files.protect)
    app.command()(key_files.unprotect)
    app.command("import")(key_files.import_certificate)
    app.add_typer(encryption_keys.build_app(), name="encryption")
    app.command()(revoke)
    app.command()(replace)
    return app


def revoke(
    context: typer.Context,
    tls: Annotated[
        bool, typer.Option("--tls", help="The TLS certificate in use; the next takes over.")
    ] = False,
    seal: Annotated[bool, typer.Option("--seal", help="All seal certificates.")] = False,
    compromised_since: Annotated[
        str,
        typer.Option(
            "--compromised-since",
            help="RFC 3339 time; what the key sealed from then on needs another proof of time.",
        ),
    ] = "",
    reason: Annotated[str, typer.Option("--reason", help="Why, for all to read.")] = OWN_WORD,
    actor: Annotated[str, typer.Option("--actor", help="Who decides; default: you.")] = "",
    yes: Annotated[bool, typer.Option("--yes", help="Really; it cannot be undone.")] = False,
) -> None:
    """Ends keys of this node at once; without --tls or --seal, both kinds."""
    if not yes:
        raise RequestInvalidError(
            "Keys that were revoked never come back.",
            hint="Add --yes. After --seal nothing is sealed until a new join string was used.",
        )
    options: CommandContext = context.obj
    both = tls == seal
    with options.admin() as node:
        found = node.revoke_keys(
            tls=tls or both,
            seal=seal or both,
            reason=reason,
            compromised_since=_moment(compromised_since) if compromised_since else None,
            actor=actor or operating_system_user(),
        )
    lines = [_("revoked {sha256}", sha256=item) for item in found["certificates"]]
    options.console.data(found, "\n".join(lines))
    if seal or both:
        options.console.say(
            _(
                "Nothing is sealed any more; arrivals and documents of the office are kept. Ask "
                "the registry's officer for a join string, stop the node, run: edocnode keys "
                "replace JOIN --yes, and start it."
            )
        )


def replace(
    context: typer.Context,
    join: Annotated[str, typer.Argument(metavar="JOIN", help="Join string of the registry.")],
    yes: Annotated[bool, typer.Option("--yes", help="Really: the old keys end for good.")] = False,
) -> None:
    """Gives a stopped node new keys; documents, journal and settings stay."""
    import asyncio

    from edockit.logs import LogFormat, set_up_logs
    from edocnode.app.replacing import replace_keys
    from edocnode.cli.context import now

    if not yes:
        raise RequestInvalidError(
            "The seal and TLS keys in use end for good.", hint="Stop the node, then add --yes."
        )
    set_up_logs(LogFormat.TEXT, "WARNING")  # what is done is told below
    options: CommandContext = context.obj
    folder, settings = key_files.folder_of(options), options.settings()
    joined = asyncio.run(
        replace_keys(
            folder,
            join,
            advertise=settings.advertise or settings.listen,
            settings=settings,
            clock=now,
        )
    )
    data = {
        "schema": REPLACE_SCHEMA,
        "agency": joined.identity.agency,
        "directory_version": joined.directory_version,
    }
    text = _("{agency} has new keys. Start: edocnode serve", agency=joined.identity.agency)
    options.console.data(data, text)


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise RequestInvalidError(
            f"{text!r} is no time with a zone.", hint="Write 2026-11-23T10:00:00+07:00."
        )
    return moment
