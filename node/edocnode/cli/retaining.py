"""Commands about the end of a document's time: retention due, retention destroy."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edoccore.errors import RequestInvalidError
from edoccore.office_errors import DocumentHeldError
from edockit.console import new_app
from edockit.language import _
from edocnode.cli.context import CommandContext, operating_system_user
from edocnode.cli.wording import clock, plain

if TYPE_CHECKING:
    from edocnode.rpc.access_client import AccessClient

DESTROYED_SCHEMA = "edoc.destroyed/v1"
PAGE = 500


def build_app() -> typer.Typer:
    """Puts the commands together."""
    app = new_app("Shows received documents whose time is over, and destroys them when told to.")
    app.command()(due)
    app.command()(destroy)
    return app


def due(
    context: typer.Context,
    limit: Annotated[
        int, typer.Option("--limit", min=1, max=1000, help="At most this many.")
    ] = 100,
    after: Annotated[str, typer.Option("--after", help="Where the page before ended.")] = "",
) -> None:
    """Lists received documents whose time is over, the oldest first."""
    options: CommandContext = context.obj
    with options.access() as node:
        found = node.due(limit=limit, after=after)
        while found["next"] and not found["documents"]:  # much was looked through in vain
            found = node.due(limit=limit, after=found["next"])
    lines = [_line(item) for item in found["documents"]]
    options.console.data(found, "\n".join(lines) or _("Nothing is due."))
    if found["next"]:
        options.console.say(_("More: add --after {next}", next=found["next"]))


def destroy(
    context: typer.Context,
    document: Annotated[
        str,
        typer.Argument(metavar="[ID]", help="Document id, message id, or its first 8 characters."),
    ] = "",
    all_due: Annotated[bool, typer.Option("--due", help="All that are due and not held.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do it; without it nothing is done.")] = False,
    actor: Annotated[str, typer.Option("--actor", help="Who decides; default: you.")] = "",
) -> None:
    """Destroys record and files of received documents whose time is over.

    Envelope, receipts and the journal stay. Nothing is ever destroyed by itself.
    """
    options: CommandContext = context.obj
    if bool(document) == all_due:
        raise RequestInvalidError(
            "Name either a document or, with --due, all that are due.",
            hint="See: edocnode retention due",
        )
    if not yes:
        raise RequestInvalidError(
            "What is destroyed cannot be had again.", hint="Add --yes to do it."
        )
    who = actor or operating_system_user()
    with options.access() as node:
        ids = [document] if document else [item["document_id"] for item in _all_due(node)]
        done = [found for each in ids if (found := _destroyed(node, each, who, skip=all_due))]
    text = _("Destroyed: {count}", count=sum(not item["repeated"] for item in done))
    options.console.data({"schema": DESTROYED_SCHEMA, "documents": done}, text)


def _destroyed(
    node: "AccessClient", document: str, actor: str, *, skip: bool
) -> dict[str, Any] | None:
    """Destroys one; of many, one that was held meanwhile is left out."""
    try:
        return node.destroy(document, actor)
    except DocumentHeldError:
        if not skip:
            raise
        return None


def _all_due(node: "AccessClient") -> Iterator[dict[str, Any]]:
    after = ""
    while True:
        page = node.due(limit=PAGE, after=after)
        yield from (item for item in page["documents"] if not item["held"])
        after = page["next"]
        if not after:
            return


def _line(item: dict[str, Any]) -> str:
    held = _("held") if item["held"] else ""
    since = clock(item["due_at"])
    return f"{item['document_id']}  {since}  {plain(item['subject'])}  {held}".rstrip()
