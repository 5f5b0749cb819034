"""The command that tells what is late: late."""

from datetime import datetime, timedelta
from typing import Annotated, Any

import typer

from edoccore.errors import RequestInvalidError
from edockit.language import _, marked, told
from edocnode.cli.context import CommandContext, now
from edocnode.cli.wording import (
    URGENCY,
    clock,
    official_number,
    plain,
    sentence,
    short_ids,
)

COUNTED = 10_000  # the node counts no further
HEADINGS = {
    "undelivered": marked("Sent, and not at the recipient's node"),
    "unanswered": marked("Delivered, and neither accepted nor refused there"),
    "undecided": marked("Received, and neither accepted nor refused here"),
    "overdue": marked("Received, and not finished on the due date"),
}
DEADLINES = {
    "send": marked("to be sent"),
    "deliver": marked("to be delivered"),
    "acknowledge": marked("to be acknowledged"),
    "accept": marked("to be accepted"),
    "finish": marked("to be finished"),
}


def late(
    context: typer.Context,
    *,
    inbox: Annotated[bool, typer.Option("--inbox", help="Only received documents.")] = False,
    outbox: Annotated[bool, typer.Option("--outbox", help="Only sent documents.")] = False,
    agency: Annotated[str, typer.Option("--agency", help="Only of this agency here.")] = "",
    limit: Annotated[
        int, typer.Option("--limit", min=1, max=1000, help="At most this many of each kind.")
    ] = 20,
) -> None:
    """Lists what is late, and what to do about it.

    The oldest first: what is not delivered, what nobody has accepted there or here, and what is
    over its due date. By when each must be done is said in the node's settings.
    """
    from edocnode.domain.late import INCOMING, OUTGOING
    from edocnode.rpc.late import list_late

    if inbox and outbox:
        raise RequestInvalidError("Name either --inbox or --outbox; neither shows both.")
    kinds = [] if inbox == outbox else list(INCOMING if inbox else OUTGOING)
    options: CommandContext = context.obj
    with options.office() as office:
        found = list_late(office, agency=agency, kinds=kinds, limit=limit)
    options.console.data(found, _late_text(found, now()))


def number_text(count: int) -> str:
    """A count that the node stopped at some point."""
    return _("more than {counted}", counted=COUNTED) if count > COUNTED else str(count)


def length(amount: timedelta) -> str:
    """A time for people, in its two largest units: ``3 d 4 h``."""
    minutes = max(int(amount.total_seconds() // 60), 0)
    days, hours, rest = minutes // 1440, minutes // 60 % 24, minutes % 60
    pairs = [(days, _("d")), (hours, _("h")), (rest, _("min"))]
    shown = [f"{count} {unit}" for count, unit in pairs if count][:2]
    return " ".join(shown) or f"0 {_('min')}"


def _late_text(found: dict[str, Any], moment: datetime) -> str:
    if not found["documents"]:
        return _("Nothing is late.")
    ids = short_ids(item["message_id"] for item in found["documents"])
    lines: list[str] = []
    for kind, heading in HEADINGS.items():
        documents = [item for item in found["documents"] if item["kind"] == kind]
        if documents:
            total = found["counts"][kind]
            lines += ["", f"{told(heading)}: {number_text(total)}"]
            lines += [_line(item, ids[item["message_id"]], moment) for item in documents]
            if total > len(documents):
                lines.append(f"  {_('... for more: --limit NUMBER')}")
    return "\n".join(lines[1:])


def _line(item: dict[str, Any], shown_id: str, moment: datetime) -> str:
    sent = item["kind"] in ("undelivered", "unanswered")
    words = [
        shown_id,
        URGENCY[item["urgency"]],
        plain(official_number(item)),
        _("to {peer}", peer=item["peer"]) if sent else _("from {peer}", peer=item["peer"]),
        f"({item['agency']})",
    ]
    by = length(moment - datetime.fromisoformat(item["due_at"]))
    due = _(
        "was {deadline} by {due_at}, late by {by}",
        deadline=told(DEADLINES[item["deadline"]]),
        due_at=clock(item["due_at"]),
        by=by,
    )
    return (
        f"  {' '.join(filter(None, words))}  {plain(item['subject'])}\n"
        f"    {due}. {sentence(told(item['advice']))}"
    )
