"""Takes many small documents in at once: office/v1 SubmitMany.

A message is worked on as a whole, so that what a document costs is its own work: all of it is
judged and built in few steps, the database keeps it in one transaction shared with other messages.
What is wrong with one document is told in its place; only a failing disk ends the stream.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

import grpc
from msgspec import Struct

from edoccore.errors import (
    AgencyInactiveError,
    AgencyUnknownError,
    DecisionConflictError,
    EdocError,
    LimitExceededError,
    PeerUnreachableError,
    RequestConflictError,
    RequestInvalidError,
    StorageFailedError,
)
from edoccore.signing.digests import digest_of
from edoccore.signing.statements import Operation
from edoccore.wire.status import MAX_FIELD_LENGTH, MAX_MESSAGE_LENGTH
from edockit.leaving import to_its_end
from edockit.pieces import in_pieces
from edockit.steps import of_each
from edocnet.office.v1 import office_service_pb2 as messages
from edocnode.domain.model import DocumentId, MessageId, Submission, SubmissionResult
from edocnode.domain.office import (
    Admitted,
    Record,
    SendTimePastError,
    SubmitHeader,
    build_record,
    build_submission,
    decoded_fields,
    is_inline,
)
from edocnode.domain.official_numbers import GivenNumber, NumberRequest, number_request
from edocnode.rpc.office_admission import OfficeParts, has_newer_directory
from edocnode.rpc.office_messages import header_from_message, submission_to_message

MAX_SUBMISSIONS = 500  # of one message
MAX_RECIPIENTS_TOGETHER = 5000  # of one message: its answer must fit into one too
MAX_RECIPIENTS_EACH = 500
MESSAGES_AT_ONCE = 4  # of one stream; more wait, which slows the caller down
REFRESH_PAUSE_S = 10.0  # between two questions to the registry about unknown recipients


class _Whole(Struct, frozen=True):
    """A document whose header was judged, taken apart; ``digests`` are those of ``bodies``."""

    admitted: Admitted
    fields: bytes
    bodies: Sequence[bytes]
    digests: Sequence[bytes]
    document_id: DocumentId
    message_ids: Sequence[MessageId]


@dataclass(frozen=True, slots=True)
class _Unnumbered:
    """A document in which nothing is wrong, and that is to be numbered here."""

    whole: _Whole
    request: NumberRequest


class _Kept(Struct, frozen=True):
    """What was kept, and the number that was given to it."""

    result: SubmissionResult
    number: GivenNumber | None


Ready = Submission | EdocError
Prepared = Ready | _Unnumbered
_WasKept = SubmissionResult | RequestConflictError | DecisionConflictError
Outcome = _Kept | EdocError
Wholes = Sequence[messages.WholeSubmission]
Context = grpc.aio.ServicerContext[messages.SubmitManyRequest, messages.SubmitManyResponse]


class BatchDesk:
    """Keeps the documents of messages."""

    def __init__(self, parts: OfficeParts) -> None:
        """Takes what it works with."""
        self._parts = parts
        self._ask_again_at = 0.0  # on the loop's clock

    async def serve(
        self, requests: AsyncIterator[messages.SubmitManyRequest], context: Context
    ) -> None:
        """Answers the messages of a stream in their order; a few are worked on at once.

        Raises:
            LimitExceededError: A message is over its limits.
            StorageFailedError: The disk failed; the node must stop.
        """
        answers: asyncio.Queue[asyncio.Task[messages.SubmitManyResponse] | None]
        answers = asyncio.Queue(MESSAGES_AT_ONCE - 1)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(_write(answers, context))
                async for request in requests:
                    await answers.put(tasks.create_task(self.answer(request.submissions)))
                await answers.put(None)
        except ExceptionGroup as group:
            raise group.exceptions[0] from group

    async def answer(self, wholes: Wholes) -> messages.SubmitManyResponse:
        """Keeps what can be kept of a message.

        Raises:
            LimitExceededError: The message is over its limits; nothing was kept.
            StorageFailedError: The disk failed; the node must stop.
        """
        _check_limits(wholes)
        moments = [self._parts.clock()] * len(wholes)
        outcomes = await self._keep(await self._prepare_all(wholes, moments))
        again = await self._second_look(wholes, outcomes)
        for place, outcome in again.items():
            outcomes[place] = outcome
        return messages.SubmitManyResponse(
            answers=[
                _answer(whole.header.request_id, outcome)
                for whole, outcome in zip(wholes, outcomes, strict=True)
            ]
        )

    async def _prepare_all(self, wholes: Wholes, moments: Sequence[datetime]) -> Sequence[Prepared]:
        """Judges and builds documents, each as of its moment; a thread writes large parts."""
        each = list(zip(wholes, moments, strict=True))
        if all(is_inline(len(whole.content)) for whole in wholes):
            return await in_pieces(each, lambda item: len(item[0].content), self._prepare)
        return await asyncio.to_thread(self._prepare, each)

    def _prepare(self, each: Sequence[tuple[messages.WholeSubmission, datetime]]) -> list[Prepared]:
        """Judges and builds documents step by step, each step for all of them."""
        step = partial(of_each, failures=EdocError)
        headers = step(_header, [whole.header for whole, _ in each])
        admitted = step(self._parts.judged, headers, [now for _, now in each])
        wholes = step(self._taken_apart, admitted, [whole.content for whole, _ in each])
        records = step(self._record, wholes)
        return step(self._prepared, records, wholes)

    def _prepared(self, record: Record, whole: _Whole) -> Submission | _Unnumbered:
        if whole.admitted.header.number_here:
            return self._to_be_numbered(whole)
        return self._built(whole, record)

    def _taken_apart(self, admitted: Admitted, content: bytes) -> _Whole:
        header = admitted.header
        sizes = [header.record_size, *[part.size for part in admitted.parts]]
        if len(content) != sum(sizes):
            raise RequestInvalidError(
                f"{len(content)} bytes of content came; the header declares {sum(sizes)}."
            )
        fields, *bodies = _cut(content, sizes)
        digests = [digest_of(body) for body in bodies]
        return _Whole(
            admitted, fields, bodies, digests, *self._parts.fresh_ids(len(admitted.recipients))
        )

    def _to_be_numbered(self, whole: _Whole) -> _Unnumbered:
        """A document that is refused without its number takes none: it has its record by now."""
        request = number_request(
            decoded_fields(whole.fields),
            self._parts.numbering,
            sender=whole.admitted.sender,
            request_id=whole.admitted.header.request_id,
            now=whole.admitted.created,
        )
        return _Unnumbered(whole, request)

    def _record(self, whole: _Whole, number: GivenNumber | None = None) -> Record:
        return build_record(
            whole.admitted,
            whole.fields,
            network=self._parts.directory.current.network,
            document_id=whole.document_id,
            number=number,
        )

    def _built(
        self, whole: _Whole, record: Record, number: GivenNumber | None = None
    ) -> Submission:
        return build_submission(
            whole.admitted,
            record,
            whole.digests,
            fields_digest=digest_of(whole.fields),
            document_id=whole.document_id,
            message_ids=whole.message_ids,
            inline=self._inline(record.data, whole),
            number=number,
        )

    async def _numbered(self, prepared: Sequence[Prepared]) -> list[Ready]:
        """Gives numbers to those that want one, in the order of the message, and builds them."""
        waiting = [item for item in prepared if isinstance(item, _Unnumbered)]
        if not waiting:
            return [item for item in prepared if not isinstance(item, _Unnumbered)]
        requests = [item.request for item in waiting]
        try:
            given = await self._parts.book.take_many(requests, self._parts.clock())
        except StorageFailedError:
            raise
        except EdocError as error:  # a full disk: no number was given
            return [error if isinstance(item, _Unnumbered) else item for item in prepared]
        built = iter(await asyncio.to_thread(self._build_all, waiting, given))
        return [next(built) if isinstance(item, _Unnumbered) else item for item in prepared]

    def _build_all(
        self, waiting: Sequence[_Unnumbered], given: Sequence[GivenNumber | DecisionConflictError]
    ) -> list[Ready]:
        return [
            number
            if isinstance(number, EdocError)
            else self._built(item.whole, self._record(item.whole, number), number)
            for item, number in zip(waiting, given, strict=True)
        ]

    def _inline(self, record: bytes, whole: _Whole) -> bytes:
        """The small parts joined; the others are on disk when this returns."""
        small = [record] if is_inline(len(record)) else []
        if not small:
            self._parts.blobs.put(record, digest_of(record).hex())
        for body, digest in zip(whole.bodies, whole.digests, strict=True):
            if is_inline(len(body)):
                small.append(body)
            else:
                self._parts.blobs.put(body, digest.hex())
        return b"".join(small)

    async def _keep(self, prepared: Sequence[Prepared]) -> list[Outcome]:
        ready = await self._numbered(prepared)
        submissions = [item for item in ready if isinstance(item, Submission)]
        if not submissions:
            return [item for item in ready if isinstance(item, EdocError)]
        try:
            kept = await to_its_end(self._kept(submissions))
        except StorageFailedError:
            raise
        except EdocError as error:  # a full disk: nothing of them was kept
            return [item if isinstance(item, EdocError) else error for item in ready]
        in_order = iter(
            _Kept(result, each.number) if isinstance(result, SubmissionResult) else result
            for each, result in zip(submissions, kept, strict=True)
        )
        return [item if isinstance(item, EdocError) else next(in_order) for item in ready]

    async def _kept(self, submissions: Sequence[Submission]) -> Sequence[_WasKept]:
        """Keeps documents and hands them on, which must follow also when the caller has left."""
        kept = await self._parts.submissions.submit_many(submissions)
        self._parts.kept(
            (each, result)
            for each, result in zip(submissions, kept, strict=True)
            if isinstance(result, SubmissionResult)
        )
        return kept

    async def _second_look(
        self, wholes: Wholes, outcomes: Sequence[Outcome]
    ) -> Mapping[int, Outcome]:
        """What was refused for a reason that may have ended: see ``office_admission``."""
        places = [
            place
            for place, outcome in enumerate(outcomes)
            if isinstance(outcome, AgencyUnknownError | AgencyInactiveError)
        ]
        places = places if places and await self._has_newer_directory() else []
        moments: dict[int, datetime] = {place: self._parts.clock() for place in places}
        for place, outcome in enumerate(outcomes):
            if isinstance(outcome, SendTimePastError):
                request_id = wholes[place].header.request_id
                if (made := await self._parts.submissions.handed_in(request_id)) is not None:
                    moments[place] = made
        if not moments:
            return {}
        order = sorted(moments)
        prepared = await self._prepare_all(
            [wholes[place] for place in order], [moments[place] for place in order]
        )
        return dict(zip(order, await self._keep(prepared), strict=True))

    async def _has_newer_directory(self) -> bool:
        """Asks the registry, but not for every message of a caller who names unknown agencies."""
        clock = asyncio.get_running_loop().time
        if clock() < self._ask_again_at:
            return False
        try:
            return await has_newer_directory(self._parts)
        finally:
            self._ask_again_at = clock() + REFRESH_PAUSE_S


async def _write(
    answers: asyncio.Queue[asyncio.Task[messages.SubmitManyResponse] | None], context: Context
) -> None:
    while (task := await answers.get()) is not None:
        answer = await task
        try:
            await context.write(answer)
        except grpc.aio.InternalError as error:
            raise PeerUnreachableError("The caller ended the stream.") from error


def _header(message: messages.SubmitHeader) -> SubmitHeader:
    """The header of a document that may come with others."""
    header = header_from_message(message)
    if len(header.recipients) > MAX_RECIPIENTS_EACH:
        raise LimitExceededError(
            f"A document to more than {MAX_RECIPIENTS_EACH} recipients is handed in alone.",
            hint="Use Submit for it.",
        )
    if header.operation is not Operation.NEW or header.earlier:
        raise RequestInvalidError(
            "A document that changes an earlier one is handed in alone.",
            hint="Use Submit for it.",
        )
    if header.encrypt:
        raise RequestInvalidError(
            "A document that is to be encrypted is handed in alone; it was not sent.",
            hint="Use Submit for it.",
        )
    return header


def _check_limits(wholes: Wholes) -> None:
    recipients = sum(len(whole.header.recipients) for whole in wholes)
    if not 1 <= len(wholes) <= MAX_SUBMISSIONS or recipients > MAX_RECIPIENTS_TOGETHER:
        raise LimitExceededError(
            f"The message has {len(wholes)} documents to {recipients} recipients; 1 to "
            f"{MAX_SUBMISSIONS} documents to at most {MAX_RECIPIENTS_TOGETHER} are allowed.",
            hint="Cut it into several messages.",
        )


def _cut(content: bytes, sizes: Sequence[int]) -> list[bytes]:
    pieces, start = [], 0
    for size in sizes:
        pieces.append(content[start : start + size])
        start += size
    return pieces


def _answer(request_id: str, outcome: Outcome) -> messages.SubmissionAnswer:
    if isinstance(outcome, _Kept):
        kept = submission_to_message(outcome.result, outcome.number)
        return messages.SubmissionAnswer(request_id=request_id, kept=kept)
    refusal = messages.SubmissionRefusal(
        reason=outcome.reason,
        message=_shown(outcome.message, MAX_MESSAGE_LENGTH),
        hint=_shown(outcome.hint, MAX_FIELD_LENGTH),
    )
    return messages.SubmissionAnswer(request_id=request_id, refused=refusal)


def _shown(text: str, length: int) -> str:
    """Shortens a text; half a character becomes a question mark."""
    return text[:length].encode("utf-8", "replace").decode("utf-8")
