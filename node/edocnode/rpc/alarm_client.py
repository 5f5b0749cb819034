"""Calls a running node about its alarms, over its socket.

Synchronous; answers are plain values as ``--json`` prints them.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc

from edoccore.errors import NodeNotRunningError
from edoccore.wire.status import raise_for
from edockit.console import local_time
from edockit.grpc_client import unix_channel_sync
from edocnet.admin.v1 import admin_service_pb2
from edocnet.admin.v1 import alarm_service_pb2 as messages
from edocnet.admin.v1 import alarm_service_pb2_grpc as services
from edocnode.rpc.office_messages import moment_from

LIST_SCHEMA = "edoc.alarms/v1"
ACKNOWLEDGE_SCHEMA = "edoc.alarm-acknowledge/v1"
CALL_TIMEOUT_S = 30.0

Json = dict[str, Any]  # as json.dumps takes it


class AlarmClient:
    """Calls of one node's administrator. Each raises what the node says, an ``EdocError``."""

    def __init__(self, channel: grpc.Channel) -> None:
        """Takes an open channel; ``open_alarms`` makes one."""
        self._stub = services.AlarmServiceStub(channel)

    def alarms(self, *, only_open: bool) -> Json:
        """All alarms, ``edoc.alarms/v1``."""
        request = messages.ListAlarmsRequest(open=only_open)
        with _errors():
            pages = list(self._stub.ListAlarms(request, timeout=CALL_TIMEOUT_S))
        found = [alarm_json(item) for page in pages for item in page.alarms]
        return {"schema": LIST_SCHEMA, "alarms": found}

    def acknowledge(
        self, *, alarm_id: str, kind: str, subject: str, reason: str, actor: str
    ) -> Json:
        """Acknowledges the one alarm that is named, ``edoc.alarm-acknowledge/v1``."""
        request = messages.AcknowledgeAlarmRequest(
            id=alarm_id, kind=kind, subject=subject, reason=reason, actor=actor
        )
        with _errors():
            answer = self._stub.AcknowledgeAlarm(request, timeout=CALL_TIMEOUT_S)
        return {
            "schema": ACKNOWLEDGE_SCHEMA,
            "alarm": alarm_json(answer.alarm),
            "repeated_request": answer.repeated_request,
        }


@contextlib.contextmanager
def open_alarms(socket: Path) -> Iterator[AlarmClient]:
    """Opens a connection for a block; whether the node runs shows at the first call."""
    with unix_channel_sync(socket) as channel:
        yield AlarmClient(channel)


def alarm_json(item: admin_service_pb2.Alarm) -> Json:
    """An alarm as ``--json`` prints it; ``acknowledged`` is null while it is open."""
    word = item.acknowledgement
    return {
        "id": item.id,
        "kind": item.kind,
        "subject": item.subject,
        "message": item.message,
        "since": local_time(moment_from(item.raise_time)),
        "last_at": local_time(moment_from(item.last_time)),
        "times": item.times,
        "lasts": bool(item.proof),
        "proof": item.proof,
        "advice": item.advice,
        "evidence_command": item.evidence_command or None,
        "acknowledged": {
            "actor": word.actor,
            "reason": word.reason,
            "at": local_time(moment_from(word.create_time)),
        }
        if item.HasField("acknowledgement")
        else None,
    }


@contextlib.contextmanager
def _errors() -> Iterator[None]:
    try:
        yield
    except grpc.RpcError as error:
        raise raise_for(error, unreachable=NodeNotRunningError) from error
