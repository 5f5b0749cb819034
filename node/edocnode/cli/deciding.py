"""Commands that decide on a received document: accept, reject."""

from typing import Annotated, Any

import typer

from edocnode.cli.context import CommandContext, operating_system_user
from edocnode.cli.wording import plain

Id = Annotated[
    str, typer.Argument(metavar="ID", help="Document id, message id, or its first 8 characters.")
]
Actor = Annotated[str, typer.Option("--actor", help="Who decides; default: you.")]


def accept(context: typer.Context, document: Id, actor: Actor = "") -> None:
    """Takes a received document in and tells its sender."""
    options: CommandContext = context.obj
    with options.office() as office:
        found = office.accept(document, actor or operating_system_user())
    _tell(options, found)


def reject(
    context: typer.Context,
    document: Id,
    code: Annotated[str, typer.Option("--code", help="Code of the reason.")],
    reason: Annotated[
        str, typer.Option("--reason", help="For the sender to read; 10 characters or more.")
    ],
    actor: Actor = "",
) -> None:
    """Gives a received document back and tells its sender why."""
    import unicodedata

    options: CommandContext = context.obj
    text = unicodedata.normalize("NFC", reason)
    with options.office() as office:
        found = office.reject(document, actor or operating_system_user(), code=code, reason=text)
    _tell(options, found)


def _tell(options: CommandContext, found: dict[str, Any]) -> None:
    before = "was already" if found["repeated"] else "is"
    options.console.data(
        found,
        f"{plain(found['subject'])}\n"
        f"{before} {found['state']}; {found['sender']} is told. ({found['document_id']})",
    )
