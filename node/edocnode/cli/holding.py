"""Commands about legal hold: hold add, release, list."""

import unicodedata
from typing import Annotated

import typer

from edockit.console import new_app
from edockit.language import _
from edocnode.cli.context import CommandContext, operating_system_user
from edocnode.cli.wording import clock, plain

Id = Annotated[
    str, typer.Argument(metavar="ID", help="Document id, message id, or its first 8 characters.")
]
Reason = Annotated[str, typer.Option("--reason", help="Why; goes into the journal.")]
Actor = Annotated[str, typer.Option("--actor", help="Who decides; default: you.")]


def build_app() -> typer.Typer:
    """Puts the commands together."""
    app = new_app("Holds documents: nothing destroys them until they are released.")
    app.command()(add)
    app.command()(release)
    app.command("list")(list_holds)
    return app


def add(context: typer.Context, document: Id, reason: Reason, actor: Actor = "") -> None:
    """Holds a document: neither its end of time nor a revocation destroys it."""
    options: CommandContext = context.obj
    with options.access() as node:
        found = node.hold(document, _text(reason), actor or operating_system_user())
    text = _(
        "{document_id} is held since {at}: {reason}",
        document_id=found["document_id"],
        at=clock(found["since"]),
        reason=plain(found["reason"]),
    )
    options.console.data(found, text)


def release(context: typer.Context, document: Id, reason: Reason, actor: Actor = "") -> None:
    """Releases a document that was held."""
    options: CommandContext = context.obj
    with options.access() as node:
        found = node.release(document, _text(reason), actor or operating_system_user())
    text = _("{document_id} is not held.", document_id=found["document_id"])
    options.console.data(found, text)


def list_holds(
    context: typer.Context,
    limit: Annotated[
        int, typer.Option("--limit", min=1, max=1000, help="At most this many.")
    ] = 100,
    after: Annotated[str, typer.Option("--after", help="Where the page before ended.")] = "",
) -> None:
    """Lists the documents that are held."""
    options: CommandContext = context.obj
    with options.access() as node:
        found = node.holds(limit=limit, after=after)
    lines = [
        f"{item['document_id']}  {clock(item['since'])}  {plain(item['actor'])}: "
        f"{plain(item['reason'])}"
        for item in found["holds"]
    ]
    options.console.data(found, "\n".join(lines) or _("Nothing is held."))
    if found["next"]:
        options.console.say(_("More: add --after {next}", next=found["next"]))


def _text(reason: str) -> str:
    return unicodedata.normalize("NFC", reason)
