"""Answers the office: office/v1 on the node's own socket.

Translates, keeps the order of steps, and decides nothing: rules are in ``domain.office`` and
``domain.decisions``, content is taken in by ``submissions``.
"""

import asyncio
import re
import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace

import grpc

from edoccore.errors import (
    DecisionConflictError,
    DocumentUnknownError,
    RequestInvalidError,
    StorageDamagedError,
)
from edoccore.signing.encryption import CHUNK_BYTES as ENCRYPTED_CHUNK
from edoccore.signing.encryption import PartPlace
from edoccore.signing.records import StatusStep
from edoccore.signing.seal import SALT_BYTES
from edoccore.signing.statements import Part, uuid_text
from edockit.leaving import to_its_end
from edocnet.office.v1 import office_service_pb2 as messages
from edocnet.office.v1 import office_service_pb2_grpc as services
from edocnode.domain.decisions import check_decision, is_repeated, plan_decision
from edocnode.domain.encryption import DecryptingReader, is_encrypted, read_from
from edocnode.domain.model import DocumentId, MessageId
from edocnode.domain.office import spellings
from edocnode.domain.office_model import Found, InboxEntry, OfficeStore, PageRequest
from edocnode.domain.revoking import RevokeOrder
from edocnode.domain.workflow import Decision
from edocnode.rpc.late import late_request, late_response
from edocnode.rpc.numbering import NumberDesk
from edocnode.rpc.office_admission import OfficeParts, admitted
from edocnode.rpc.office_batches import BatchDesk
from edocnode.rpc.office_messages import (
    decision_from_message,
    deliveries_request,
    delivery_to_message,
    event_to_message,
    fitting,
    header_from_message,
    inbox_request,
    inbox_to_message,
    limit_from,
    outbox_request,
    outbox_to_message,
    submission_to_message,
)
from edocnode.rpc.registers import register_pieces
from edocnode.rpc.retrying import RetryDesk, check_actor
from edocnode.rpc.revoking import RevokeDesk, answer_request
from edocnode.rpc.statistics import statistics_response
from edocnode.rpc.submissions import NewIds, take_in
from edocnode.rpc.superseding import resolved

CHUNK_BYTES = 960 * 1024
READ_BYTES = CHUNK_BYTES - 2 * ENCRYPTED_CHUNK  # what was read before may come out with it
HISTORY = 1000
EVENTS_AT_ONCE = 500
WATCH_EVERY_S = 0.2  # between two looks for new events while somebody watches

_CONSUMER = re.compile(r"[a-z0-9.-]{1,64}")
_TRIES = 5  # of a decision, when others decide at the same moment


class OfficeServicer(services.OfficeServiceServicer):
    """office/v1 of this node."""

    def __init__(self, parts: OfficeParts) -> None:
        """Takes what it works with."""
        self._parts = parts
        self._batches = BatchDesk(parts)
        self._numbers = NumberDesk(parts)

    async def Submit(
        self,
        request_iterator: AsyncIterator[messages.SubmitRequest],
        context: grpc.aio.ServicerContext[messages.SubmitRequest, messages.SubmitResponse],
    ) -> messages.SubmitResponse:
        """Takes a document in; answers when it is on disk."""
        parts = self._parts
        first = await anext(request_iterator, None)
        if first is None or first.WhichOneof("kind") != "header":
            raise RequestInvalidError("A submission begins with its header.")
        asked, updated = await resolved(
            parts.office, parts.submissions, header_from_message(first.header)
        )
        header = await admitted(parts, asked)
        document_id, message_ids = parts.fresh_ids(len(header.recipients))
        encryption = None
        if asked.encrypt:
            encryption = await asyncio.to_thread(
                parts.encryption_order, header, updated or document_id
            )
        submission = await take_in(
            header,
            request_iterator,
            parts.blobs,
            network=parts.directory.current.network,
            ids=NewIds(updated or document_id, message_ids, document_id),
            numbering=self._numbers.give,
            encryption=encryption,
        )
        kept = await to_its_end(parts.keep(submission))
        return submission_to_message(kept, submission.number)

    async def SubmitMany(  # type: ignore[override]  # grpc.aio also runs coroutines that write
        self,
        request_iterator: AsyncIterator[messages.SubmitManyRequest],
        context: grpc.aio.ServicerContext[messages.SubmitManyRequest, messages.SubmitManyResponse],
    ) -> None:
        """Takes many small documents in; see ``office_batches``."""
        await self._batches.serve(request_iterator, context)

    async def ListInbox(
        self,
        request: messages.ListInboxRequest,
        context: grpc.aio.ServicerContext[messages.ListInboxRequest, messages.ListInboxResponse],
    ) -> messages.ListInboxResponse:
        """Lists received documents."""
        page = await self._parts.office.inbox(inbox_request(request, self._parts.directory.current))
        shown, rest = fitting(
            [(inbox_to_message(entry), entry.position) for entry in page.entries], page.next
        )
        return messages.ListInboxResponse(documents=shown, next=rest)

    async def ListOutbox(
        self,
        request: messages.ListOutboxRequest,
        context: grpc.aio.ServicerContext[messages.ListOutboxRequest, messages.ListOutboxResponse],
    ) -> messages.ListOutboxResponse:
        """Lists documents handed in here."""
        page = await self._parts.office.outbox(
            outbox_request(request, self._parts.directory.current)
        )
        shown, rest = fitting(
            [(outbox_to_message(entry), entry.position) for entry in page.entries], page.next
        )
        return messages.ListOutboxResponse(documents=shown, next=rest)

    async def ListDeliveries(
        self,
        request: messages.ListDeliveriesRequest,
        context: grpc.aio.ServicerContext[
            messages.ListDeliveriesRequest, messages.ListDeliveriesResponse
        ],
    ) -> messages.ListDeliveriesResponse:
        """Lists the deliveries of one document."""
        found = await self._parts.office.find(request.id)
        if found.sent is None:
            raise DocumentUnknownError(
                "This document was received here; only a sent one has deliveries.",
                hint="See: edocnode outbox",
                id=request.id,
            )
        page = await self._parts.office.deliveries(found.sent, deliveries_request(request))
        shown, rest = fitting(
            [(delivery_to_message(entry), entry.position) for entry in page.entries], page.next
        )
        return messages.ListDeliveriesResponse(
            document_id=found.sent.document.document_id, deliveries=shown, next=rest
        )

    async def GetDocument(
        self,
        request: messages.GetDocumentRequest,
        context: grpc.aio.ServicerContext[
            messages.GetDocumentRequest, messages.GetDocumentResponse
        ],
    ) -> messages.GetDocumentResponse:
        """Shows all that is known of a document."""
        found = await self._parts.office.find(request.id)
        history = await self._parts.office.history(found.document.document_id, HISTORY)
        return messages.GetDocumentResponse(
            received=[inbox_to_message(entry, whole=True) for entry in found.received],
            sent=None if found.sent is None else outbox_to_message(found.sent, whole=True),
            history=[event_to_message(event) for event in history],
            updates=[outbox_to_message(entry) for entry in found.updates],
        )

    async def GetPart(
        self,
        request: messages.GetPartRequest,
        context: grpc.aio.ServicerContext[messages.GetPartRequest, messages.GetPartResponse],
    ) -> AsyncIterator[messages.GetPartResponse]:
        """Sends the bytes of a part."""
        found = await self._parts.office.find(request.id)
        try:
            inline = await self._parts.office.inline_part(found, request.index)
        except StorageDamagedError:
            self._parts.damage.suspect_document(found.document.document_id)
            raise
        part = found.document.parts[request.index]
        if inline is not None:
            if not is_encrypted(part):
                yield messages.GetPartResponse(chunk=inline)
                return
            async for answer in self._content(found, part, read_from(inline)):
                yield answer
            return
        try:
            reader = await asyncio.to_thread(self._parts.blobs.open, part.sha256)
            with reader:
                if is_encrypted(part):
                    async for answer in self._content(found, part, reader.read):
                        yield answer
                    return
                while chunk := await asyncio.to_thread(reader.read, CHUNK_BYTES):
                    yield messages.GetPartResponse(chunk=chunk)
        except StorageDamagedError:
            self._parts.damage.suspect(part.sha256)
            raise

    async def _content(
        self, found: Found, part: Part, read: Callable[[int], bytes]
    ) -> AsyncIterator[messages.GetPartResponse]:
        """The content of an encrypted part; its digest comes last, when all of it was good."""
        parts = self._parts
        place = PartPlace(
            network=parts.directory.current.network,
            document_id=uuid_text(found.document.document_id),
            sender=found.document.sender,
            index=part.index,
        )
        reader = DecryptingReader(read, parts.encryption.decryptor(place))
        while chunk := await asyncio.to_thread(reader.read, READ_BYTES):
            yield messages.GetPartResponse(chunk=chunk)
        yield messages.GetPartResponse(sha256=reader.sha256)

    async def Decide(
        self,
        request: messages.DecideRequest,
        context: grpc.aio.ServicerContext[messages.DecideRequest, messages.DecideResponse],
    ) -> messages.DecideResponse:
        """Takes the next step with a received document."""
        decision = decision_from_message(request)
        check_decision(decision)
        for _ in range(_TRIES):
            entry = _only_received(await self._parts.office.find(request.id), request.id)
            repeated = await self._taken(entry, decision)
            if repeated is not None:
                now = _only_received(await self._parts.office.find(request.id), request.id)
                return messages.DecideResponse(
                    document=inbox_to_message(now, whole=True), repeated_request=repeated
                )
        raise DecisionConflictError("The document is being decided by others at this moment.")

    async def Revoke(
        self,
        request: messages.RevokeRequest,
        context: grpc.aio.ServicerContext[messages.RevokeRequest, messages.RevokeResponse],
    ) -> messages.RevokeResponse:
        """Takes a document back that was handed in here."""
        parts = self._parts
        found = await parts.office.find(request.id)
        sent = found.sent_from_here()
        named = [spellings(code, parts.directory.current) for code in request.recipients]
        for codes in named:  # one that is unknown takes nothing back
            await sent_message(parts.office, replace(found, message_id=None), codes)
        desk = RevokeDesk(
            store=parts.revocations,
            directory=parts.directory.current,
            agency=parts.agency,
            fresh_id=parts.fresh_id,
            kept=parts.sealer.wake,
        )
        order = RevokeOrder(actor=request.actor, reason=request.reason, at=parts.clock())
        recipients = [code for codes in named for code in codes]
        done = await desk.revoke(sent, recipients, order)
        return messages.RevokeResponse(
            document_id=sent.document.document_id,
            taken_back=done.deliveries,
            repeated_request=not done.deliveries,
            not_reached=done.not_reached,
        )

    async def Retry(
        self,
        request: messages.RetryRequest,
        context: grpc.aio.ServicerContext[messages.RetryRequest, messages.RetryResponse],
    ) -> messages.RetryResponse:
        """Queues held deliveries again."""
        check_actor(request.actor)
        if bool(request.id) == bool(request.all_of):
            raise RequestInvalidError("Name either a document or an agency, not both.")
        if request.all_of and request.instead:
            raise RequestInvalidError("For whom it is instead is chosen for each document.")
        parts = self._parts
        desk = RetryDesk(
            office=parts.office,
            directory=parts.directory.current,
            agency=parts.agency,
            actor=request.actor,
            clock=parts.clock,
        )
        if request.all_of:
            queued, left = await desk.all_of(parts.directory.current.agency(request.all_of).code)
        else:
            found = await parts.office.find(request.id)
            message_id = await sent_message(
                parts.office, found, spellings(request.recipient, parts.directory.current)
            )
            queued, left = await desk.one(message_id, request.instead), 0
        parts.sealer.wake()
        return messages.RetryResponse(queued=queued, left=left)

    async def ListLate(
        self,
        request: messages.ListLateRequest,
        context: grpc.aio.ServicerContext[messages.ListLateRequest, messages.ListLateResponse],
    ) -> messages.ListLateResponse:
        """Lists what is late."""
        return late_response(await self._parts.overview.late.late(late_request(request)))

    async def GetStatistics(
        self,
        request: messages.GetStatisticsRequest,
        context: grpc.aio.ServicerContext[
            messages.GetStatisticsRequest, messages.GetStatisticsResponse
        ],
    ) -> messages.GetStatisticsResponse:
        """Sums up some days."""
        return await statistics_response(self._parts.overview, request)

    async def GetRegister(
        self,
        request: messages.GetRegisterRequest,
        context: grpc.aio.ServicerContext[
            messages.GetRegisterRequest, messages.GetRegisterResponse
        ],
    ) -> AsyncIterator[messages.GetRegisterResponse]:
        """Sends a register."""
        async for piece in register_pieces(self._parts.overview.registers, request):
            yield piece

    async def CheckSignatures(
        self,
        request: messages.CheckSignaturesRequest,
        context: grpc.aio.ServicerContext[
            messages.CheckSignaturesRequest, messages.CheckSignaturesResponse
        ],
    ) -> messages.CheckSignaturesResponse:
        """Lets signatures be checked again."""
        if bool(request.id) == request.all:
            raise RequestInvalidError("Name either a document or all of them, not both.")
        ids: list[DocumentId] = []
        if request.id:
            ids = [(await self._parts.office.find(request.id)).document.document_id]
        checks = await self._parts.rechecks.recheck(ids)
        return messages.CheckSignaturesResponse(checks=checks)

    async def FetchInbox(
        self,
        request: messages.FetchInboxRequest,
        context: grpc.aio.ServicerContext[messages.FetchInboxRequest, messages.FetchInboxResponse],
    ) -> messages.FetchInboxResponse:
        """Gives a consumer what it has not acknowledged."""
        consumer = _consumer(request.consumer)
        entries = await self._parts.office.fetch(consumer, limit_from(request.limit))
        return messages.FetchInboxResponse(documents=[inbox_to_message(item) for item in entries])

    async def AcknowledgeInbox(
        self,
        request: messages.AcknowledgeInboxRequest,
        context: grpc.aio.ServicerContext[
            messages.AcknowledgeInboxRequest, messages.AcknowledgeInboxResponse
        ],
    ) -> messages.AcknowledgeInboxResponse:
        """Moves a consumer's place."""
        consumer = _consumer(request.consumer)
        position = await self._parts.office.acknowledge(consumer, request.position)
        return messages.AcknowledgeInboxResponse(position=position)

    async def ReserveNumbers(
        self,
        request: messages.ReserveNumbersRequest,
        context: grpc.aio.ServicerContext[
            messages.ReserveNumbersRequest, messages.ReserveNumbersResponse
        ],
    ) -> messages.ReserveNumbersResponse:
        """Gives numbers for paper."""
        return await self._numbers.reserve(request)

    async def ListNumbers(
        self,
        request: messages.ListNumbersRequest,
        context: grpc.aio.ServicerContext[
            messages.ListNumbersRequest, messages.ListNumbersResponse
        ],
    ) -> messages.ListNumbersResponse:
        """Lists given numbers."""
        return await self._numbers.list(request)

    async def VoidNumber(
        self,
        request: messages.VoidNumberRequest,
        context: grpc.aio.ServicerContext[messages.VoidNumberRequest, messages.VoidNumberResponse],
    ) -> messages.VoidNumberResponse:
        """Gives a number up."""
        return await self._numbers.void(request)

    async def Watch(
        self,
        request: messages.WatchRequest,
        context: grpc.aio.ServicerContext[messages.WatchRequest, messages.WatchResponse],
    ) -> AsyncIterator[messages.WatchResponse]:
        """Streams what happens until the caller ends it."""
        after = request.after
        document_id = DocumentId(request.document_id) if request.document_id else None
        while True:
            events = await self._parts.office.events(after, EVENTS_AT_ONCE, document_id)
            if events:
                after = events[-1].position
                yield messages.WatchResponse(events=[event_to_message(event) for event in events])
            else:
                await asyncio.sleep(WATCH_EVERY_S)

    async def _taken(self, entry: InboxEntry, decision: Decision) -> bool | None:
        """Takes a step; True when it was taken before, None when something changed meanwhile."""
        if decision.step in (StatusStep.AGREED, StatusStep.DECLINED):
            return await answer_request(self._parts.answers, entry, decision)
        if is_repeated(entry, decision):
            return True
        return False if await self._decide(entry, decision) else None

    async def _decide(self, entry: InboxEntry, decision: Decision) -> bool:
        plan = plan_decision(
            entry,
            decision,
            self._parts.directory.current,
            agency=self._parts.agency,
            message_id=MessageId(self._parts.fresh_id()),
            now=self._parts.clock(),
        )
        plan = replace(plan, numbered=entry.recipient in self._parts.numbering.agencies)
        kept = await self._parts.office.decide(plan, secrets.token_bytes(SALT_BYTES))
        self._parts.sealer.wake()
        return kept


async def sent_message(office: OfficeStore, found: Found, recipients: Sequence[str]) -> MessageId:
    """The message that an id and, if need be, a recipient name.

    Args:
        recipients: Spellings of one code; empty: none was named.

    Raises:
        DocumentUnknownError: The document was not sent to the recipient.
        RequestInvalidError: It was sent to several, and none was named.
    """
    if found.message_id is not None:
        return found.message_id
    if found.sent is None:
        return _only_received(found, "").message_id
    page = await office.deliveries(found.sent, PageRequest(agencies=tuple(recipients), limit=2))
    if not page.entries:
        raise DocumentUnknownError(
            f"The document was not sent to {recipients[0]}.", hint="See: edocnode show ID"
        )
    if len(page.entries) > 1:
        raise RequestInvalidError(
            f"The document was sent to {sum(found.sent.counts.values())} agencies.",
            hint="Add --to CODE.",
        )
    return page.entries[0].message_id


def _consumer(name: str) -> str:
    if not _CONSUMER.fullmatch(name):
        raise RequestInvalidError(
            f"{name[:80]!r} is no name of a consumer.",
            hint="Use 1 to 64 of a-z, 0-9, dot and hyphen.",
        )
    return name


def _only_received(found: Found, text: str) -> InboxEntry:
    if not found.received:
        raise DocumentUnknownError(
            "This document was sent from here; only a received one is decided on.",
            hint="See: edocnode inbox",
            id=text,
        )
    if len(found.received) > 1:
        codes = ", ".join(entry.recipient for entry in found.received)
        raise RequestInvalidError(
            f"The document was received by {codes}.",
            hint="Name one by its message id; see: edocnode show ID",
        )
    return found.received[0]
