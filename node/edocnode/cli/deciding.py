"""Commands that decide on a received document: accept, reject, assign, process, finish."""

import unicodedata
from typing import Annotated, Any

import typer

from edockit.language import _
from edocnode.cli.context import CommandContext, operating_system_user
from edocnode.cli.wording import plain, step_words
from edocnode.domain.reasons import REJECT_CODES, known_codes

Id = Annotated[
    str, typer.Argument(metavar="ID", help="Document id, message id, or its first 8 characters.")
]
Actor = Annotated[str, typer.Option("--actor", help="Who decides; default: you.")]


def accept(context: typer.Context, document: Id, actor: Actor = "") -> None:
    """Takes a received document in and tells its sender."""
    options: CommandContext = context.obj
    with options.office() as office:
        found = office.accept(document, _name(actor))
    tell_step(options, found)


def assign(
    context: typer.Context,
    document: Id,
    to: Annotated[str, typer.Option("--to", metavar="WHO", help="Unit or person.")],
    actor: Actor = "",
) -> None:
    """Gives an accepted document to a unit or person.

    Its sender is told. Give it to somebody else the same way, until it is finished.
    """
    options: CommandContext = context.obj
    with options.office() as office:
        found = office.assign(document, _name(actor), assignee=_nfc(to))
    tell_step(options, found)


def process(context: typer.Context, document: Id, actor: Actor = "") -> None:
    """Notes that somebody deals with a document now; tells its sender."""
    options: CommandContext = context.obj
    with options.office() as office:
        found = office.process(document, _name(actor))
    tell_step(options, found)


def finish(context: typer.Context, document: Id, actor: Actor = "") -> None:
    """Notes that a document was dealt with; tells its sender."""
    options: CommandContext = context.obj
    with options.office() as office:
        found = office.finish(document, _name(actor))
    tell_step(options, found)


def reject(
    context: typer.Context,
    document: Id,
    code: Annotated[
        str,
        typer.Option(
            "--code",
            help=f"Code: {known_codes(REJECT_CODES)}; see: edocnode codes reasons.",
        ),
    ],
    reason: Annotated[
        str, typer.Option("--reason", help="For the sender to read; 10 characters or more.")
    ],
    actor: Actor = "",
) -> None:
    """Gives a received document back and tells its sender why."""
    options: CommandContext = context.obj
    with options.office() as office:
        found = office.reject(document, _name(actor), code=code, reason=_nfc(reason))
    tell_step(options, found)


def _name(actor: str) -> str:
    return _nfc(actor or operating_system_user())


def _nfc(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def tell_step(options: CommandContext, found: dict[str, Any]) -> None:
    """Prints what became of a document by a decision."""
    values = {
        "step": step_words(found["last_step"]),
        "sender": found["sender"],
        "document_id": found["document_id"],
    }
    text = (
        _("was already {step}; {sender} is told. ({document_id})", **values)
        if found["repeated"]
        else _("is {step}; {sender} is told. ({document_id})", **values)
    )
    options.console.data(found, f"{plain(found['subject'])}\n{text}")
