"""Commands about alarms: alarms list, acknowledge."""

import re
import unicodedata
from typing import Annotated, Any

import typer

from edoccore.errors import RequestInvalidError
from edockit.console import new_app
from edockit.language import _, told
from edocnode.cli.context import CommandContext, operating_system_user
from edocnode.cli.wording import clock, plain

_ID = re.compile(r"[0-9a-f]{12}")


def build_app() -> typer.Typer:
    """Puts the commands together."""
    app = new_app("What a person must know: alarms, and who has seen to those that last.")
    app.command("list")(list_alarms)
    app.command()(acknowledge)
    return app


def list_alarms(
    context: typer.Context,
    *,
    only_open: Annotated[
        bool, typer.Option("--open", help="Only those that nobody has acknowledged.")
    ] = False,
) -> None:
    """Lists alarms: since when, how often, what to do, who acknowledged them and why."""
    options: CommandContext = context.obj
    with options.alarms() as node:
        found = node.alarms(only_open=only_open)
    ordered = sorted(found["alarms"], key=lambda item: item["acknowledged"] is not None)
    text = "\n".join(line for item in ordered for line in _lines(item))
    options.console.data(found, text or _("There is no alarm."))


def acknowledge(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="ID|KIND", help="Id of the alarm, or its kind.")],
    subject: Annotated[
        str, typer.Argument(metavar="SUBJECT", help="After a kind: what the alarm is about.")
    ] = "",
    *,
    reason: Annotated[str, typer.Option("--reason", help="Why; goes into the journal.")],
    actor: Annotated[str, typer.Option("--actor", help="Who decides; default: you.")] = "",
) -> None:
    """Notes that you have seen to a lasting alarm: it is shown as open no more.

    Covers the proof at hand; another proof is another alarm. What this node refuses because of it
    stays refused.
    """
    is_id = _ID.fullmatch(name) is not None
    if is_id == bool(subject):
        raise RequestInvalidError(
            "Name the alarm by its id, or by kind and subject.", hint="See: edocnode alarms list"
        )
    options: CommandContext = context.obj
    with options.alarms() as node:
        found = node.acknowledge(
            alarm_id=name if is_id else "",
            kind="" if is_id else name,
            subject=subject,
            reason=unicodedata.normalize("NFC", reason),
            actor=actor or operating_system_user(),
        )
    alarm = found["alarm"]
    options.console.data(found, f"{_head(alarm)}\n{_acknowledged(alarm)}")


def _lines(alarm: dict[str, Any]) -> list[str]:
    lines = [_head(alarm), f"      {told(alarm['message'])}"]
    if alarm["proof"]:
        lines.append(f"      {_('proof: {proof}', proof=alarm['proof'])}")
    if alarm["evidence_command"]:
        command = alarm["evidence_command"]
        lines.append(f"      {_('as a file: {command}', command=command)}")
    if alarm["acknowledged"]:
        lines.append(_acknowledged(alarm))
    else:
        lines.append(f"      -> {told(alarm['advice'])}")
    return lines


def _head(alarm: dict[str, Any]) -> str:
    values = {
        "id": alarm["id"],
        "kind": alarm["kind"],
        "subject": plain(alarm["subject"]),
        "since": clock(alarm["since"]),
        "times": alarm["times"],
        "last": clock(alarm["last_at"]),
    }
    if alarm["times"] == 1:
        return _("{id}  {kind} ({subject}), on {since}", **values)
    return _("{id}  {kind} ({subject}), since {since}, {times} times, last {last}", **values)


def _acknowledged(alarm: dict[str, Any]) -> str:
    word = alarm["acknowledged"]
    text = _(
        "acknowledged by {actor} on {at}: {reason}",
        actor=plain(word["actor"]),
        at=clock(word["at"]),
        reason=plain(word["reason"]),
    )
    return f"      {text}"
