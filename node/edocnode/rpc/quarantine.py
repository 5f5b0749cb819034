"""Answers the administrator about documents that a scanner did not find clean."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import grpc

from edoccore.errors import DecisionConflictError, RequestInvalidError
from edoccore.office_errors import ScannerOffError
from edoccore.signing.statements import uuid_text
from edocnet.admin.v1 import quarantine_service_pb2 as messages
from edocnet.admin.v1 import quarantine_service_pb2_grpc as services
from edocnode.domain.decisions import check_reason
from edocnode.domain.model import MessageId
from edocnode.domain.office_model import StepPlan, Subject
from edocnode.domain.scanning import (
    DISCARDED,
    RELEASED,
    Discard,
    Quarantine,
    ScanEntry,
    ScanOutcome,
    ScanState,
    check_may_discard,
    discarding,
    may_release,
    withdrawal,
)
from edocnode.domain.workflow import Step
from edocnode.rpc.office_messages import optional_timestamp, timestamp
from edocnode.rpc.retrying import check_actor

MAX_PAGE = 1000
MOST_TRIES = 5  # of a release while others decide on the same document


class Tells(Protocol):
    """Words what senders and the journal are told."""

    def plan(self, subject: Subject, step: Step | None) -> StepPlan | None:
        """All that is kept with a step."""

    def effect(self, kind: str, subject: Subject, *, actor: str, detail: str) -> bytes:
        """The leaf of the journal."""

    def salts(self) -> tuple[bytes, bytes]:
        """For the effects of a step and of the outcome."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QuarantineParts:
    """What the service works with.

    Attributes:
        waiting: How many documents wait for their scan.
        changed: Called after a decision: alarms, sealer and scans go on from it.
        has_scanner: The settings name one.
    """

    store: Quarantine
    telling: Tells
    waiting: Callable[[], Awaitable[int]]
    changed: Callable[[], Awaitable[None]]
    has_scanner: bool
    clock: Callable[[], datetime]


class QuarantineServicer(services.QuarantineServiceServicer):
    """See quarantine_service.proto."""

    def __init__(self, parts: QuarantineParts) -> None:
        """Takes what it works with."""
        self._parts = parts

    async def ListQuarantine(
        self,
        request: messages.ListQuarantineRequest,
        context: grpc.aio.ServicerContext[
            messages.ListQuarantineRequest, messages.ListQuarantineResponse
        ],
    ) -> messages.ListQuarantineResponse:
        """Lists what is kept apart."""
        if not 1 <= request.limit <= MAX_PAGE:
            raise RequestInvalidError(f"A page has 1 to {MAX_PAGE} entries.", hint="Give --limit.")
        found = await self._parts.store.scans(_cursor(request.after), request.limit + 1)
        shown: Sequence[ScanEntry] = found[: request.limit]
        return messages.ListQuarantineResponse(
            documents=map(_document, shown),
            next=str(shown[-1].place) if len(found) > len(shown) else "",
            waiting=await self._parts.waiting(),
        )

    async def ReleaseDocument(
        self,
        request: messages.ReleaseDocumentRequest,
        context: grpc.aio.ServicerContext[
            messages.ReleaseDocumentRequest, messages.ReleaseDocumentResponse
        ],
    ) -> messages.ReleaseDocumentResponse:
        """Lets a document through."""
        check_actor(request.actor)
        check_reason(request.reason)
        message_id = await self._named(request.id)
        released = False
        for _ in range(MOST_TRIES):
            entry = await self._parts.store.scan_entry(message_id)
            if not may_release(entry, message_id):
                break
            released = await self._release(message_id, request.actor, request.reason)
            if released:
                break
        else:
            raise _decided_elsewhere(message_id)
        await self._parts.changed()
        return messages.ReleaseDocumentResponse(
            message_id=message_id, repeated_request=not released
        )

    async def DiscardDocument(
        self,
        request: messages.DiscardDocumentRequest,
        context: grpc.aio.ServicerContext[
            messages.DiscardDocumentRequest, messages.DiscardDocumentResponse
        ],
    ) -> messages.DiscardDocumentResponse:
        """Destroys a document that is kept apart."""
        check_actor(request.actor)
        check_reason(request.reason)
        store = self._parts.store
        message_id = await self._named(request.id)
        discarded = False
        for _ in range(MOST_TRIES):
            if await store.is_destroyed(message_id):
                break
            entry = check_may_discard(await store.scan_entry(message_id), message_id)
            discarded = await self._discard(entry, request.actor, request.reason)
            if discarded:
                break
        else:
            raise _decided_elsewhere(message_id)
        await self._parts.changed()
        return messages.DiscardDocumentResponse(
            message_id=message_id, repeated_request=not discarded
        )

    async def ScanDocuments(
        self,
        request: messages.ScanDocumentsRequest,
        context: grpc.aio.ServicerContext[
            messages.ScanDocumentsRequest, messages.ScanDocumentsResponse
        ],
    ) -> messages.ScanDocumentsResponse:
        """Lets documents wait for a scan."""
        if not self._parts.has_scanner:
            raise ScannerOffError(hint="Set scanner in edocnode.toml and start the node again.")
        store = self._parts.store
        if request.id:
            wait = await store.scan_again(await store.received_named(request.id))
        else:
            wait = await self._all()
        await self._parts.changed()
        return messages.ScanDocumentsResponse(documents=wait)

    async def _all(self) -> int:
        until, place, total = self._parts.clock(), 0, 0
        while True:
            wait, next_place = await self._parts.store.scan_all_again(place, until)
            total += wait
            if next_place is None:
                return total
            place = next_place

    async def _named(self, text: str) -> MessageId:
        """The one message that is kept apart among those that an id names; else the newest."""
        named = await self._parts.store.received_named(text)
        for message_id in named:
            entry = await self._parts.store.scan_entry(message_id)
            if entry is not None and entry.state in (ScanState.INFECTED, ScanState.HELD):
                return message_id
        return named[-1]

    async def _release(self, message_id: MessageId, actor: str, reason: str) -> bool:
        parts = self._parts
        job = await parts.store.scan_subject(message_id)
        if job is None:
            return False
        now = parts.clock()
        outcome = ScanOutcome(
            subject=job.subject,
            state=ScanState.RELEASED,
            at=now,
            plan=parts.telling.plan(job.subject, withdrawal(job, actor, now)),
            effect=parts.telling.effect(RELEASED, job.subject, actor=actor, detail=reason),
        )
        return await parts.store.release_scan(outcome, parts.telling.salts())

    async def _discard(self, entry: ScanEntry, actor: str, reason: str) -> bool:
        parts = self._parts
        job = await parts.store.scan_subject(entry.message_id)
        if job is None:
            return False
        now = parts.clock()
        step = discarding(job, entry.state, actor=actor, reason=reason, at=now)
        discard = Discard(
            subject=job.subject,
            at=now,
            plan=parts.telling.plan(job.subject, step),
            effect=parts.telling.effect(DISCARDED, job.subject, actor=actor, detail=reason),
        )
        return await parts.store.discard(discard, parts.telling.salts())


def _decided_elsewhere(message_id: MessageId) -> DecisionConflictError:
    told = uuid_text(message_id)
    return DecisionConflictError(
        f"Others decide on message {told} at this moment.",
        hint="See where it stands: edocnode quarantine list. Then try again.",
        message_id=told,
    )


def _cursor(text: str) -> int:
    if text and not (text.isascii() and text.isdigit() and len(text) < 20):
        raise RequestInvalidError(
            f"{text[:40]!r} is no cursor.", hint="Use `next` of the page before."
        )
    return int(text or "0")


def _document(entry: ScanEntry) -> messages.QuarantinedDocument:
    finding = entry.finding
    return messages.QuarantinedDocument(
        document_id=entry.document_id,
        message_id=entry.message_id,
        sender=entry.sender,
        recipient=entry.recipient,
        state=entry.state.value,
        shown=entry.shown,
        blocked=entry.blocked,
        receive_time=timestamp(entry.received_at),
        scan_time=optional_timestamp(entry.scanned_at),
        cause="" if finding is None else finding.cause.value,
        part=0 if finding is None else finding.part,
        part_name="" if finding is None else finding.name,
        detail="" if finding is None else finding.detail,
        scanner=entry.scanner,
    )
