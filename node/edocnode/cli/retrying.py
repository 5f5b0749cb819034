"""The command that queues held deliveries again: retry."""

from typing import Annotated

import typer

from edoccore.errors import RequestInvalidError
from edockit.language import _
from edocnode.cli.context import CommandContext, operating_system_user


def retry(
    context: typer.Context,
    document: Annotated[
        str,
        typer.Argument(metavar="[ID]", help="Document id, message id, or its first 8 characters."),
    ] = "",
    to: Annotated[str, typer.Option("--to", help="Recipient, when the document has several.")] = "",
    all_of: Annotated[
        str, typer.Option("--all-of", help="All that is held for this agency or node.")
    ] = "",
    instead: Annotated[
        str,
        typer.Option(
            "--instead",
            help="Who gets it: one of those that follow a recipient that has ended.",
        ),
    ] = "",
    actor: Annotated[str, typer.Option("--actor", help="Who decides it; default: you.")] = "",
) -> None:
    """Queues held deliveries again.

    Message id and envelope stay the same, so nothing arrives twice. What was for an agency that
    was merged goes to the one that follows it; of one that was split, choose with --instead. What
    is held, since when and why: edocnode outbox --state held
    """
    if bool(document) == bool(all_of):
        raise RequestInvalidError(
            "Name either a document or, with --all-of, an agency.",
            hint="See: edocnode outbox --state held",
        )
    options: CommandContext = context.obj
    with options.office() as office:
        found = office.retry(
            document, to, all_of=all_of, actor=actor or operating_system_user(), instead=instead
        )
    text = _("Queued again: {queued}.", queued=found["queued"])
    if found["left"]:
        left = _("{left} stay held; see: edocnode outbox --state held", left=found["left"])
        text = f"{text} {left}"
    options.console.data(found, text)
