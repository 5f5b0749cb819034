"""Steps of documents in tables: those taken here, and those that recipients told of."""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from edoccore.signing import canonical
from edoccore.signing.records import DocumentState, StatusRecord, StatusStep
from edoccore.signing.statements import parse_time
from edocnode.domain.workflow import Step, timeline
from edocnode.storage.sql import AnyRow, Row, among, insert_missing, newest_among, select_by
from edocnode.storage.tables import StatusGotRow, table_of
from edocnode.storage.workflow_tables import StepRow

SHOWN = 100  # steps that a recipient tells of one delivery, and as many answers: the last

_STATUS, _STEP = table_of(StatusGotRow), table_of(StepRow)

_TAKEN = sa.select(_STEP).where(among(_STEP.c.incoming_id))
_TOLD = sa.select(_STATUS).where(
    newest_among(
        _STATUS.c.incoming_id,
        _STATUS.c.message_id,
        alike=(_STATUS.c.message_id, _STATUS.c.answers.is_(None)),
        age=(_STATUS.c.step_order, _STATUS.c.incoming_id),
        limit=SHOWN,
    )
)


def steps_taken(connection: Connection, incoming_ids: Sequence[int]) -> dict[int, tuple[Step, ...]]:
    """The steps taken here on received documents, by arrival."""
    return _by(select_by(connection, _TAKEN, incoming_ids), "incoming_id")


def steps_told(
    connection: Connection, message_ids: Sequence[bytes]
) -> dict[bytes, tuple[Step, ...]]:
    """The steps that recipients told of, by delivery: the last ``SHOWN``, whatever they send."""
    return _by(select_by(connection, _TOLD, message_ids), "message_id")


def step_in(record: bytes) -> tuple[bytes, Step]:
    """The step that the record of a status of this node tells, and the envelope it speaks of."""
    told = canonical.decode(record, StatusRecord)
    step = Step(
        order=told.order,
        step=told.step,
        state=told.state,
        actor=told.actor,
        at=parse_time(told.time),
        assignee=told.assignee or "",
        code=told.code or "",
        reason=told.reason or "",
        answers=bytes.fromhex(told.answers) if told.answers else None,
        still_held=told.still_held or (),
    )
    return bytes.fromhex(told.envelope), step


def add_step(connection: Connection, incoming_id: int, step: Step) -> bool:
    """Adds a step to those of a received document; False when another has its place."""
    return insert_missing(connection, _STEP, [_values(incoming_id, step)]) == 1


def told_values(listing: Mapping[str, str]) -> Row:
    """The columns of ``status_got`` that a status's record fills."""
    answers = listing.get("answers")
    return {
        "step_order": int(listing["order"]),
        "step": listing["step"],
        "state": listing["state"],
        "actor": listing["actor"],
        "at": parse_time(listing["time"]),
        "assignee": listing.get("assignee", ""),
        "code": listing.get("code", ""),
        "reason": listing.get("reason", ""),
        "answers": bytes.fromhex(answers) if answers else None,
        "still_held": listing.get("still_held", ""),
    }


def _values(incoming_id: int, step: Step) -> Row:
    held = json.dumps(step.still_held, ensure_ascii=False) if step.still_held else ""
    return {
        "incoming_id": incoming_id,
        "step_order": step.order,
        "step": step.step.value,
        "state": step.state.value,
        "actor": step.actor,
        "assignee": step.assignee,
        "code": step.code,
        "reason": step.reason,
        "answers": step.answers,
        "still_held": held,
        "at": step.at,
    }


def _by(rows: Iterable[AnyRow], column: str) -> dict[Any, tuple[Step, ...]]:
    found: dict[Any, list[Step]] = {}
    for row in rows:
        found.setdefault(getattr(row, column), []).append(_step(row))
    return {key: timeline(steps) for key, steps in found.items()}


def _step(row: AnyRow) -> Step:
    at: datetime = row.at
    return Step(
        order=row.step_order,
        step=StatusStep(row.step),
        state=DocumentState(row.state),
        actor=row.actor,
        at=at,
        assignee=row.assignee,
        code=row.code,
        reason=row.reason,
        answers=row.answers,
        still_held=tuple(json.loads(row.still_held)) if row.still_held else (),
    )
