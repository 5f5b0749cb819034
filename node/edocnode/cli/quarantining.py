"""Commands about malware: scan, and quarantine list, release, discard."""

import unicodedata
from typing import Annotated, Any

import typer

from edoccore.errors import RequestInvalidError
from edockit.console import new_app
from edockit.language import _
from edocnode.cli.context import CommandContext, operating_system_user
from edocnode.cli.wording import clock, plain


def build_app() -> typer.Typer:
    """Puts the commands under ``quarantine`` together."""
    app = new_app("Documents that are infected, or could not be scanned.")
    app.command("list")(list_documents)
    app.command()(release)
    app.command()(discard)
    return app


def scan(
    context: typer.Context,
    document: Annotated[
        str,
        typer.Argument(metavar="[ID]", help="Document id, message id, or its first 8 characters."),
    ] = "",
    *,
    every: Annotated[bool, typer.Option("--all", help="All documents received so far.")] = False,
) -> None:
    """Has received documents scanned for malware again, with the signatures of today.

    What is shown stays shown; when malware is found in it, its content is given to nobody any more.
    """
    if bool(document) == every:
        raise RequestInvalidError("Name either a document or --all.", hint="See: edocnode inbox")
    options: CommandContext = context.obj
    with options.quarantine() as node:
        found = node.scan(document)
    options.console.data(found, _("To be scanned: {documents}.", documents=found["documents"]))


def list_documents(
    context: typer.Context,
    limit: Annotated[
        int, typer.Option("--limit", min=1, max=1000, help="At most this many.")
    ] = 100,
    after: Annotated[str, typer.Option("--after", help="Where the page before ended.")] = "",
) -> None:
    """Lists what is kept apart, and says how many documents wait for their scan."""
    options: CommandContext = context.obj
    with options.quarantine() as node:
        found = node.documents(limit=limit, after=after)
    lines = [_line(item) for item in found["documents"]]
    options.console.data(found, "\n".join(lines) or _("Nothing is kept apart."))
    if any(item["cause"] == "failed" for item in found["documents"]):
        told = _(
            "Report a fault of this program with its traceback in the log (scan.failed). After an "
            "update, run: edocnode scan ID"
        )
        options.console.say(told)
    if found["waiting"]:
        options.console.say(_("{waiting} documents wait for their scan.", waiting=found["waiting"]))
    if found["next"]:
        options.console.say(_("More: add --after {next}", next=found["next"]))


def release(
    context: typer.Context,
    document: Annotated[
        str,
        typer.Argument(metavar="ID", help="Document id, message id, or its first 8 characters."),
    ],
    reason: Annotated[str, typer.Option("--reason", help="Why; goes into the journal.")],
    *,
    yes: Annotated[
        bool, typer.Option("--yes", help="Really let it through, whatever the scanner said.")
    ] = False,
    actor: Annotated[str, typer.Option("--actor", help="Who decides; default: you.")] = "",
) -> None:
    """Lets a document through that was kept apart."""
    if not yes:
        raise RequestInvalidError(
            "A document that may have malware is let through only with --yes.",
            hint="First scan it again, with newer signatures: edocnode scan ID",
        )
    options: CommandContext = context.obj
    text = unicodedata.normalize("NFC", reason)
    with options.quarantine() as node:
        found = node.release(document, text, actor or operating_system_user())
    options.console.data(found, _("{message_id} is let through.", message_id=found["message_id"]))


def discard(
    context: typer.Context,
    document: Annotated[
        str,
        typer.Argument(metavar="ID", help="Document id, message id, or its first 8 characters."),
    ],
    reason: Annotated[
        str, typer.Option("--reason", help="Why; goes to the sender and into the journal.")
    ],
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do it; without it nothing is done.")] = False,
    actor: Annotated[str, typer.Option("--actor", help="Who decides; default: you.")] = "",
) -> None:
    """Destroys a document that is kept apart and was shown to nobody, and tells its sender.

    Envelope, receipts and the journal stay.
    """
    if not yes:
        raise RequestInvalidError(
            "What is destroyed cannot be had again.", hint="Add --yes to do it."
        )
    options: CommandContext = context.obj
    text = unicodedata.normalize("NFC", reason)
    with options.quarantine() as node:
        found = node.discard(document, text, actor or operating_system_user())
    told = _("{message_id} is destroyed.", message_id=found["message_id"])
    if found["repeated_request"]:
        told = _("{message_id} was destroyed before.", message_id=found["message_id"])
    options.console.data(found, told)


def _line(item: dict[str, Any]) -> str:
    causes = {
        "malware": _("malware"),
        "too_large": _("too large for the scanner"),
        "over_limit": _("over a limit of the scanner"),
        "not_decrypted": _("sent encrypted, and cannot be decrypted here"),
        "encrypted": _("encrypted, so it cannot be scanned"),
        "refused": _("refused by the scanner"),
        "broke": _("the scanner did not survive it"),
        "failed": _("a fault of this program kept it from being scanned"),
    }
    cause = causes.get(item["cause"], item["cause"])
    detail = f" ({plain(item['detail'])})" if item["detail"] else ""
    name = f"{plain(item['part_name'])}: " if item["part_name"] else ""
    place = _("shown before") if item["shown"] else _("shown to nobody")
    return (
        f"{item['message_id']}  {clock(item['received_at'])}  {item['sender']} -> "
        f"{item['recipient']}  {name}{cause}{detail}; {place}"
    )
