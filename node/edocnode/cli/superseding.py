"""Commands that change a document sent before: update, replace."""

import json
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from edoccore.signing.statements import Operation, Urgency
from edocnode.cli import record
from edocnode.cli.context import CommandContext
from edocnode.cli.deciding import Id
from edocnode.cli.send_options import ON_PAPER, Encrypt, RequestId, Wait
from edocnode.cli.sending import AUTO, Made, checked, hand_in, tell
from edocnode.domain.secrecy import secrecy_remarks

# What the node fills in, and what belongs to the earlier document alone.
_FILLED_IN = ("type", "network", "document_id", "recipients", "replaces", "recipient_changes")
_NAMES_IT = frozenset({"number", "notation", "issued_date"})  # with the issuer its official code

Files = Annotated[
    list[Path],
    typer.Argument(metavar="FILE...", exists=True, dir_okay=False, help="The whole document."),
]
Reason = Annotated[
    str, typer.Option("--reason", help="For the recipients to read; 10 characters or more.")
]
Subject = Annotated[str, typer.Option("--subject", help="What it is about; default: as before.")]
Kind = Annotated[str, typer.Option("--type", help="Type, such as QĐ; default: as before.")]
Due = Annotated[str, typer.Option("--due", help="Day by which it is due; default: as before.")]
Number = Annotated[
    str,
    typer.Option("--number", help="Number (số); default: as before.", rich_help_panel=ON_PAPER),
]
NewNumber = Annotated[
    str,
    typer.Option(
        "--number",
        help="Number (số), or auto: the node numbers it; default: as before.",
        rich_help_panel=ON_PAPER,
    ),
]
Notation = Annotated[
    str, typer.Option("--notation", help="Notation; default: as before.", rich_help_panel=ON_PAPER)
]
Issued = Annotated[
    str,
    typer.Option(
        "--issued-date", help="Day of issue; default: as before.", rich_help_panel=ON_PAPER
    ),
]


def update(
    context: typer.Context,
    document: Id,
    files: Files,
    *,
    reason: Reason,
    subject: Subject = "",
    document_type: Kind = "",
    due: Due = "",
    number: Number = "",
    notation: Notation = "",
    issued_date: Issued = "",
    encrypt: Encrypt = False,
    request_id: RequestId = "",
    wait: Wait = 0,
) -> int:
    """Sends a newer version of a document to its recipients.

    The whole document again, under its id. At the recipient the version before can still be read,
    and what was done with the document stays. Content is amended or replaced by a document of the
    same form: see `edocnode replace` (Decree 30/2020, Article 18).
    """
    texts = {"subject": subject, "document_type": document_type, "reason": reason}
    given = texts | _on_paper(due, number, notation, issued_date)
    asked = Asked(encrypt, request_id, wait)
    return _send(context.obj, document, files, Operation.UPDATE, given, asked)


def replace(
    context: typer.Context,
    document: Id,
    files: Files,
    *,
    reason: Reason,
    subject: Subject = "",
    document_type: Kind = "",
    due: Due = "",
    number: NewNumber = "",
    notation: Notation = "",
    issued_date: Issued = "",
    encrypt: Encrypt = False,
    request_id: RequestId = "",
    wait: Wait = 0,
) -> int:
    """Sends a new document in place of one sent before.

    Both show which replaces which. A document is replaced once; then the new one may be.
    """
    texts = {"subject": subject, "document_type": document_type, "reason": reason}
    given = texts | _on_paper(due, number, notation, issued_date)
    asked = Asked(encrypt, request_id, wait)
    return _send(context.obj, document, files, Operation.REPLACE, given, asked)


class Asked(NamedTuple):
    """How a document is handed in."""

    encrypt: bool
    request_id: str
    wait: float


def _on_paper(due: str, number: str, notation: str, issued_date: str) -> dict[str, str]:
    return {
        "due_date": record.day(due, "--due"),
        "number": number,
        "notation": notation,
        "issued_date": record.day(issued_date, "--issued-date"),
    }


def _send(
    options: CommandContext,
    document: str,
    files: list[Path],
    operation: Operation,
    given: dict[str, Any],
    asked: "Asked",
) -> int:
    from edocnode.domain.official import remarks_on_replacing

    numbered_here = operation is Operation.REPLACE and given["number"] == AUTO
    with options.office() as office:
        before = json.loads(b"".join(office.part(document, 0)))
        fields = _changed(before, given, numbered_here=numbered_here)
        fields = checked(options, fields, given["document_type"], numbered_here=numbered_here)
        tell(options, secrecy_remarks(fields, [record.nfc(path.name) for path in files]))
        if operation is Operation.REPLACE:
            tell(options, remarks_on_replacing(before, fields))
            fields["replaces"] = [record.reference(office, document)]
        sent = office.document(document)["sent"]
        urgency = Urgency.NORMAL if sent is None else Urgency(sent["urgency"])
        made = Made(
            *(fields, files, (), "", urgency, None, asked.request_id, numbered_here),
            operation=operation,
            earlier=document,
            encrypt=asked.encrypt,
        )
        return hand_in(options, office, made, wait=asked.wait)


def _changed(
    before: dict[str, Any], given: dict[str, Any], *, numbered_here: bool
) -> dict[str, Any]:
    """The fields of the earlier record with those of options over them."""
    kept = {name: value for name, value in before.items() if name not in _FILLED_IN}
    if numbered_here:
        given = given | {"number": ""}
        for name in ("number", *(() if given["issued_date"] else ("issued_date",))):
            kept.pop(name, None)  # a number given now is of its own day of issue
    if numbered_here or any(given[name] for name in _NAMES_IT):
        kept.pop("document_code", None)  # it is made anew
    return record.merged(kept, given)
