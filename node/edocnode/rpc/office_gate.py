"""Guards office/v1 on the socket for offices, and writes down who saw and did what on both.

On the office's socket each call needs the token of an account and the right that ``office_rights``
names; a call without a rule is refused. It is answered by an office that sees what the account may
see (``storage.scope``). Token and rights are looked at again with every message, so that a change
holds at once. Wrong, ended and absent tokens are told alike, a second later, unread.
"""

from __future__ import annotations  # gRPC types are generic for the type checker only

import asyncio
import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing
from datetime import datetime
from typing import Any, TypeAlias

import grpc
import structlog
from google.protobuf.message import Message

from edoccore.errors import DocumentUnknownError, EdocError
from edoccore.office_errors import AccessDeniedError, TokenNotAcceptedError
from edockit.grpc_peer import behaviour_of, rebuilt
from edocnode.domain.access import (
    Account,
    Right,
    actor_of,
    check_sender,
    require,
    require_on_document,
)
from edocnode.domain.access_log import (
    OPERATOR,
    Access,
    Records,
    filter_text,
)
from edocnode.domain.model import DocumentId
from edocnode.domain.office_model import Found, OfficeStore
from edocnode.rpc import opaque_messages
from edocnode.rpc.access_desk import AccessDesk, Session
from edocnode.rpc.access_journal import Journal, Metadata
from edocnode.rpc.office_rights import CALLS, CallRule, right_of

REFUSAL_HOLD_S = 1.0  # before a wrong token is told; bounds what a flood of them costs
TOLD_EVERY_S = 10.0  # between two log lines about wrong tokens
_NOT_ASKED = frozenset({"id", "actor", "after", "position"})
_OFFICE = "edocnet.office.v1.OfficeService"
_EVIDENCE = "/edocnet.admin.v1.AdminService/ExportEvidence"

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
Continuation: TypeAlias = "Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]]"

log = structlog.get_logger(__name__)


class TokenGate(grpc.aio.ServerInterceptor):
    """Lets accounts call office/v1, each its own office; nobody else, and nothing else."""

    def __init__(
        self,
        desk: AccessDesk,
        office_of: Callable[[Session], tuple[OfficeStore, object]],
        records: Records,
        clock: Callable[[], datetime],
    ) -> None:
        """Takes the accounts.

        Args:
            office_of: The documents that a session sees, and the servicer that works on them.
        """
        self._desk = desk
        self._office_of = office_of
        self._records = records
        self._clock = clock
        self._offices: dict[bytes, tuple[OfficeStore, object]] = {}
        self._refused = 0
        self._tell_at = 0.0

    async def intercept_service(
        self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> Handler | None:
        """Puts the account's own office behind a call, or refuses it."""
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        service, _, call = handler_call_details.method.lstrip("/").partition("/")
        metadata = Metadata(handler_call_details)
        try:
            session = self._desk.session(metadata.token)
        except TokenNotAcceptedError as error:
            self._count_refused()
            return refusing(error, hold_s=REFUSAL_HOLD_S)
        journal = Journal(
            self._records, self._clock, account=session.name, call=call, metadata=metadata
        )
        rule = CALLS.get(call) if service == _OFFICE else None
        if rule is None:
            denial = AccessDeniedError(f"{call} is not offered to accounts.")
            journal.denied(denial, call, "")
            return refusing(denial)
        store, servicer = self._office(session)
        guarded = GuardedCall(session, rule, call, store=store, journal=journal)
        return guarded.around(handler, getattr(servicer, call))

    def _office(self, session: Session) -> tuple[OfficeStore, object]:
        found = self._offices.get(session.digest)
        if found is None:
            if len(self._offices) > len(self._desk.all()):
                self._offices.clear()  # of tokens that were renewed
            found = self._offices[session.digest] = self._office_of(session)
        return found

    def _count_refused(self) -> None:
        self._refused += 1
        now = asyncio.get_running_loop().time()
        if now >= self._tell_at:
            log.warning("access.refused", calls=self._refused)
            self._refused, self._tell_at = 0, now + TOLD_EVERY_S


class GuardedCall:
    """One call of an account: checked with every message, narrowed, written down."""

    def __init__(
        self, session: Session, rule: CallRule, call: str, *, store: OfficeStore, journal: Journal
    ) -> None:
        """Takes who calls what."""
        self._session = session
        self._rule = rule
        self._call = call
        self._store = store
        self._journal = journal

    def around(self, handler: Handler, behaviour: Any) -> Handler:  # noqa: ANN401 - four shapes
        """The same handler around the account's own servicer."""

        async def told(request: Message, context: Context) -> AsyncIterator[Message]:
            async for answer in self._streamed(request, context, behaviour):
                yield answer

        if handler.request_streaming and handler.response_streaming:

            async def both(requests: AsyncIterator[Message], context: Context) -> None:
                await self._kept(
                    behaviour(self._checked(requests), _Answers(context, self._answer))
                )

            return rebuilt(handler, both)
        if handler.request_streaming:

            async def taken(requests: AsyncIterator[Message], context: Context) -> Message:
                return self._answer(await self._kept(behaviour(self._checked(requests), context)))

            return rebuilt(handler, taken)
        if handler.response_streaming:
            return rebuilt(handler, told)

        async def answered(request: Message, context: Context) -> Message:
            document_id, detail = await self._found(request)
            answer: Message = await self._kept(behaviour(self._request(request), context))
            self._journal.note(document_id, detail=detail)
            opaque_messages.hide(answer, self._session.opaque)
            return answer

        return rebuilt(handler, answered)

    async def _streamed(
        self,
        request: Message,
        context: Context,
        behaviour: Any,  # noqa: ANN401 - a bound call
    ) -> AsyncIterator[Message]:
        document_id, detail = await self._found(request)
        noted = False
        async with aclosing(behaviour(self._request(request), context)) as answers:
            async for answer in answers:
                self._account(self._rule.right)
                if not noted:  # before the first byte leaves
                    self._journal.note(document_id, detail=detail)
                noted = True
                opaque_messages.hide(answer, self._session.opaque)
                yield answer

    async def _found(self, request: Message) -> tuple[bytes | None, str]:
        """The document that a request names, looked for among those the account sees.

        Raises:
            TokenNotAcceptedError, AccessDeniedError: The account has ended, or may not do this.
            DocumentUnknownError: It sees none of this id.
        """
        text = getattr(request, "id", "")
        right = right_of(self._rule, request)
        self._account(right, text)
        asked = _asked(request)
        if not text:
            return None, asked
        return await self._on_document(text, right), asked

    async def _on_document(self, text: str, right: Right) -> DocumentId:
        """The document of an id, with which the account may do this.

        Raises:
            DocumentUnknownError: It sees none of this id.
            AccessDeniedError: It is named on the document, without this right.
        """
        found: Found = await self._kept(self._store.find(text), text)
        document_id = found.document.document_id
        if right is not Right.READ:
            audience = await self._session.desk.store.audience(document_id)
            account = self._session.account()
            is_assigned = any(each.workflow.assignee == account.name for each in found.received)
            try:
                require_on_document(
                    account, right, audience, document=text, is_assigned=is_assigned
                )
            except AccessDeniedError as error:
                self._journal.denied(error, self._call, text)
                raise
        return document_id

    def _request(self, request: Message) -> Message:
        """A request as the office behind understands it."""
        opaque_messages.read(request, self._session.opaque)
        if "actor" in request.DESCRIPTOR.fields_by_name:
            actor = actor_of(self._session.name, request.actor)  # type: ignore[attr-defined]
            request.actor = actor  # type: ignore[attr-defined]  # by its descriptor
        if field := self._rule.agency_field:
            desk = self._session.desk
            asked = functools.reduce(getattr, field.split("."), request)
            code = desk.directory.agency(str(asked) or desk.owner).code
            check_sender(self._session.caller(), code)
        return request

    async def _checked(self, requests: AsyncIterator[Message]) -> AsyncIterator[Message]:
        self._account(self._rule.right)
        async for request in requests:
            self._account(self._rule.right)
            for earlier in _earlier(request):  # it is changed by what is handed in
                await self._on_document(earlier, self._rule.right)
            yield self._request(request)

    def _answer(self, answer: Message) -> Message:
        """An answer to something handed in, written down and with its places hidden."""
        self._account(self._rule.right)
        for document_id in _kept_documents(answer):
            self._journal.note(document_id)
        opaque_messages.hide(answer, self._session.opaque)
        return answer

    async def _kept(self, answer: Awaitable[Any], asked: str = "") -> Any:  # noqa: ANN401
        """Waits for an answer; writes down that it was denied."""
        try:
            return await answer
        except (AccessDeniedError, DocumentUnknownError) as error:
            self._journal.denied(error, self._call, asked)
            raise

    def _account(self, right: Right, asked: str = "") -> Account:
        """The account, which may still do this.

        Raises:
            TokenNotAcceptedError, AccessDeniedError: It has ended, or may not.
        """
        account = self._session.account()
        try:
            require(account, right)
        except AccessDeniedError as error:
            self._journal.denied(error, self._call, asked)
            raise
        return account


class OperatorRecord(grpc.aio.ServerInterceptor):
    """Writes down what is read and done on the administrator's socket; checks nothing."""

    def __init__(self, store: OfficeStore, records: Records, clock: Callable[[], datetime]) -> None:
        """Takes where documents are found by their ids."""
        self._store = store
        self._records = records
        self._clock = clock

    async def intercept_service(
        self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> Handler | None:
        """Puts the record around a call of office/v1, and around evidence."""
        handler = await continuation(handler_call_details)
        service, _, call = handler_call_details.method.lstrip("/").partition("/")
        is_evidence = handler_call_details.method == _EVIDENCE
        if handler is None or not (is_evidence or (service == _OFFICE and call in CALLS)):
            return handler
        journal = Journal(
            self._records,
            self._clock,
            account=OPERATOR,
            call=call,
            metadata=Metadata(handler_call_details),
        )
        action = Access.EVIDENCE_EXPORTED if is_evidence else None
        return self._around(handler, journal, action)

    def _around(self, handler: Handler, journal: Journal, action: Access | None) -> Handler:
        behaviour = behaviour_of(handler)

        async def answered(request: Message, context: Context) -> Message:
            answer: Message = await behaviour(request, context)
            await self._note(request, journal, action)
            return answer

        if handler.request_streaming:
            around = _many if handler.response_streaming else _one
            return rebuilt(handler, around(behaviour, journal))
        if handler.response_streaming:
            return rebuilt(handler, self._told(behaviour, journal, action))
        return rebuilt(handler, answered)

    def _told(self, behaviour: Any, journal: Journal, action: Access | None) -> Any:  # noqa: ANN401
        async def told(request: Message, context: Context) -> AsyncIterator[Message]:
            noted = False
            async with aclosing(behaviour(request, context)) as answers:
                async for answer in answers:
                    if not noted:
                        await self._note(request, journal, action)
                    noted = True
                    yield answer

        return told

    async def _note(self, request: Message, journal: Journal, action: Access | None) -> None:
        asked = _asked(request)
        text = getattr(request, "id", "")
        found = await self._store.find(text) if text else None
        document_id = None if found is None else found.document.document_id
        journal.note(document_id, detail=asked, action=action)


def _many(behaviour: Any, journal: Journal) -> Any:  # noqa: ANN401 - functions of gRPC
    async def many(requests: AsyncIterator[Message], context: Context) -> None:
        count = _Count()
        try:
            await behaviour(requests, _Answers(context, count.add))
        finally:  # one entry: the documents themselves say when they were handed in
            journal.note(detail=f"documents={count.documents}")

    return many


def _one(behaviour: Any, journal: Journal) -> Any:  # noqa: ANN401 - functions of gRPC
    async def one(requests: AsyncIterator[Message], context: Context) -> Message:
        answer: Message = await behaviour(requests, context)
        for document_id in _kept_documents(answer):
            journal.note(document_id)
        return answer

    return one


class _Count:
    """How many documents the answers of a stream kept."""

    def __init__(self) -> None:
        self.documents = 0

    def add(self, answer: Message) -> Message:
        """Counts those of one answer."""
        self.documents += len(getattr(answer, "answers", ()))
        return answer


class _Answers:
    """A context whose answers are looked at before they are written."""

    def __init__(self, context: Context, look: Callable[[Message], Message]) -> None:
        self._context = context
        self._look = look

    async def write(self, answer: Message) -> None:
        """Writes an answer."""
        await self._context.write(self._look(answer))

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - of the context
        return getattr(self._context, name)


def _asked(request: Message) -> str:
    """What a request asked for beside its document, in one line."""
    return filter_text(
        {
            field.name: value
            for field, value in request.ListFields()
            if field.message_type is None and field.name not in _NOT_ASKED
        }
    )


def _earlier(request: Message) -> list[str]:
    """Earlier documents that a submission names."""
    many: Sequence[Any] = getattr(request, "submissions", [request])
    return [each.header.earlier for each in many if each.header.earlier]


def _kept_documents(answer: Message) -> Sequence[bytes]:
    """Documents that an answer says were handed in."""
    if hasattr(answer, "answers"):
        return [each.kept.document_id for each in answer.answers if each.HasField("kept")]
    document_id: bytes = getattr(answer, "document_id", b"")
    return [document_id] if document_id else []


def refusing(error: EdocError, *, hold_s: float = 0.0) -> Handler:
    """A handler that reads nothing and ends with an error."""

    async def refuse(_: AsyncIterator[bytes], __: Context) -> None:
        await asyncio.sleep(hold_s)
        raise error

    handler: Handler = grpc.stream_stream_rpc_method_handler(refuse)
    return handler
