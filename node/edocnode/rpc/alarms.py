"""Answers the administrator about alarms: admin/v1 on the node's own socket."""

import secrets
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import datetime

import grpc
import structlog

from edoccore.alarm_errors import AlarmUnknownError
from edoccore.errors import RequestInvalidError
from edoccore.signing import canonical
from edoccore.signing.seal import SALT_BYTES
from edoccore.signing.statements import Effect, time_text
from edocnet.admin.v1 import admin_service_pb2, alarm_service_pb2
from edocnet.admin.v1 import alarm_service_pb2_grpc as services
from edocnode.domain import alarms as rules
from edocnode.domain.alarms import Acknowledged, Acknowledgement, Alarm, AlarmBook
from edocnode.domain.holds import check_reason
from edocnode.rpc.office_admission import Wakes
from edocnode.rpc.office_messages import timestamp
from edocnode.rpc.retrying import check_actor

AT_ONCE = 100  # alarms in a message

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmParts:
    """What the service works with."""

    network: str
    agency: str
    book: AlarmBook
    sealer: Wakes
    clock: Callable[[], datetime]


class AlarmServicer(services.AlarmServiceServicer):
    """See alarm_service.proto."""

    def __init__(self, parts: AlarmParts) -> None:
        """Takes what it works with."""
        self._parts = parts

    async def ListAlarms(
        self,
        request: alarm_service_pb2.ListAlarmsRequest,
        context: grpc.aio.ServicerContext[
            alarm_service_pb2.ListAlarmsRequest, alarm_service_pb2.ListAlarmsResponse
        ],
    ) -> AsyncIterator[alarm_service_pb2.ListAlarmsResponse]:
        """Lists alarms."""
        found = await self._parts.book.every_alarm()
        shown = [alarm for alarm in found if alarm.is_open or not request.open]
        for start in range(0, len(shown), AT_ONCE):
            page = map(alarm_message, shown[start : start + AT_ONCE])
            yield alarm_service_pb2.ListAlarmsResponse(alarms=page)

    async def AcknowledgeAlarm(
        self,
        request: alarm_service_pb2.AcknowledgeAlarmRequest,
        context: grpc.aio.ServicerContext[
            alarm_service_pb2.AcknowledgeAlarmRequest, alarm_service_pb2.AcknowledgeAlarmResponse
        ],
    ) -> alarm_service_pb2.AcknowledgeAlarmResponse:
        """Acknowledges one alarm."""
        check_actor(request.actor)
        check_reason(request.reason)
        canonical.check_text(request.reason)
        if bool(request.id) == bool(request.kind):
            raise RequestInvalidError(
                "Name the alarm by its id, or by kind and subject.",
                hint="See: edocnode alarms list",
            )
        alarm = rules.chosen(
            await self._parts.book.every_alarm(),
            alarm_id=request.id,
            kind=request.kind,
            subject=request.subject,
        )
        word = Acknowledgement(actor=request.actor, reason=request.reason, at=self._parts.clock())
        done = await self._acknowledge(alarm, word)
        return alarm_service_pb2.AcknowledgeAlarmResponse(
            alarm=alarm_message(done.alarm), repeated_request=done.repeated
        )

    async def _acknowledge(self, alarm: Alarm, word: Acknowledgement) -> Acknowledged:
        parts = self._parts
        effect = Effect(
            network=parts.network,
            agency=parts.agency,
            kind=rules.ACKNOWLEDGED,
            subject=alarm.kind,
            actor=word.actor,
            time=time_text(word.at),
            detail=f"{alarm.subject}; proof {alarm.proof}: {word.reason}",
        )
        done = await parts.book.acknowledge(
            alarm, word, salt=secrets.token_bytes(SALT_BYTES), effect=canonical.encode(effect)
        )
        if done is None:
            raise AlarmUnknownError(
                f"The alarm {alarm.id} is there no more: another proof has taken its place.",
                hint="See: edocnode alarms list --open",
            )
        if not done.repeated:
            parts.sealer.wake()
            log.info("alarm.acknowledged", kind=alarm.kind, subject=alarm.subject, id=alarm.id)
        return done


def alarm_message(alarm: Alarm) -> admin_service_pb2.Alarm:
    """An alarm as it is told."""
    message = admin_service_pb2.Alarm(
        id=alarm.id,
        kind=alarm.kind,
        subject=alarm.subject,
        message=alarm.message,
        raise_time=timestamp(alarm.since),
        last_time=timestamp(alarm.last_at),
        times=alarm.times,
        proof=alarm.proof,
        advice=rules.advice(alarm.kind),
        evidence_command=rules.evidence_command(alarm),
    )
    if (word := alarm.acknowledged) is not None:
        message.acknowledgement.actor = word.actor
        message.acknowledgement.reason = word.reason
        message.acknowledgement.create_time.CopyFrom(timestamp(word.at))
    return message
