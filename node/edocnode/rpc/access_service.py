"""Answers the administrator about accounts, history and holds: access/v1."""

import re
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import grpc

from edoccore.errors import DecisionConflictError, RequestConflictError, RequestInvalidError
from edoccore.office_errors import AccessDeniedError, DocumentHeldError
from edoccore.signing.seal import SALT_BYTES
from edoccore.signing.statements import time_text, uuid_text
from edocnet.access.v1 import access_service_pb2 as messages
from edocnet.access.v1 import access_service_pb2_grpc as services
from edocnode.domain.access import (
    MAX_NAMED,
    TOKEN_BYTES,
    TOKEN_PREFIX,
    Account,
    AccountChange,
    Named,
    Restriction,
    access_effect,
    check_account,
    described,
    described_audience,
    document_rights_of,
    rights_of,
    token_digest,
)
from edocnode.domain.access_log import (
    MAX_DETAIL,
    OPERATOR,
    Access,
    AccessEntry,
    AccessLog,
    HistoryRequest,
    KeptEntry,
)
from edocnode.domain.holds import Hold, HoldStore, check_reason
from edocnode.domain.model import DocumentId
from edocnode.domain.office_model import OfficeStore
from edocnode.domain.opaque import KEY_BYTES
from edocnode.domain.retention import LOOKED_AT, KeptDocument, RetentionRules, RetentionStore
from edocnode.rpc.access_desk import AccessDesk
from edocnode.rpc.office_admission import Wakes
from edocnode.rpc.office_messages import limit_from, moment_from, optional_timestamp, timestamp

SHOWN_OPERATOR = "operator"  # what the administrator's socket is called in the history
SHOWN_NAMED = 100  # documents on which an account is named
_PLACE = re.compile(r"[1-9][0-9]{0,17}")
_ID = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessParts:
    """What the service works with."""

    desk: AccessDesk
    office: OfficeStore
    history: AccessLog
    holds: HoldStore
    retention: RetentionStore
    rules: RetentionRules
    sealer: Wakes
    clock: Callable[[], datetime]


class AccessServicer(services.AccessServiceServicer):
    """access/v1 of this node."""

    def __init__(self, parts: AccessParts) -> None:
        """Takes what it works with."""
        self._parts = parts
        self._desk = parts.desk

    async def AddAccount(
        self,
        request: messages.AddAccountRequest,
        context: grpc.aio.ServicerContext[messages.AddAccountRequest, messages.AddAccountResponse],
    ) -> messages.AddAccountResponse:
        """Makes an account and its token."""
        desk, now = self._desk, self._parts.clock()
        agencies = check_account(
            request.name,
            request.agencies,
            subtree=request.subtree,
            directory=desk.directory,
            owner=desk.owner,
        )
        token = _new_token()
        account = Account(
            name=request.name,
            agencies=agencies,
            subtree=request.subtree,
            may=rights_of(request.may),
            token_digest=token_digest(token),
            cursor_key=secrets.token_bytes(KEY_BYTES),
            created_at=now,
            changed_at=now,
        )
        effect = self._effect("access.added", account.name, request.actor, described(account))
        change = AccountChange(account=account, effect=effect)
        if not await desk.store.add_account(change, secrets.token_bytes(SALT_BYTES)):
            raise RequestConflictError(
                f"There is, or was, an account {account.name}.",
                hint="Choose another name, or: edocnode access renew NAME",
                name=account.name,
            )
        self._hold_good(account)
        return messages.AddAccountResponse(account=_account(account), token=token)

    async def ListAccounts(
        self,
        request: messages.ListAccountsRequest,
        context: grpc.aio.ServicerContext[
            messages.ListAccountsRequest, messages.ListAccountsResponse
        ],
    ) -> messages.ListAccountsResponse:
        """Lists accounts."""
        if not request.name:
            return messages.ListAccountsResponse(accounts=map(_account, self._desk.all()))
        account = self._desk.named(request.name)
        found = await self._desk.store.named_documents(account.name, SHOWN_NAMED)
        return messages.ListAccountsResponse(
            accounts=[_account(account)],
            named=[
                messages.NamedDocument(document_id=document_id, may=sorted(may))
                for document_id, may in found.documents
            ],
            named_count=found.count,
        )

    async def ChangeAccount(
        self,
        request: messages.ChangeAccountRequest,
        context: grpc.aio.ServicerContext[
            messages.ChangeAccountRequest, messages.ChangeAccountResponse
        ],
    ) -> messages.ChangeAccountResponse:
        """Changes what an account sees and may do."""
        account = self._living(request.name)
        changes_sight = bool(request.agencies) or request.subtree
        if changes_sight:
            agencies = check_account(
                request.name,
                request.agencies,
                subtree=request.subtree,
                directory=self._desk.directory,
                owner=self._desk.owner,
            )
            account = replace(account, agencies=agencies, subtree=request.subtree)
        if request.may:
            account = replace(account, may=rights_of(request.may))
        if not changes_sight and not request.may:
            raise RequestInvalidError(
                "Nothing is to be changed.", hint="Add --agency, --subtree or --may."
            )
        account = await self._keep("access.changed", account, request.actor, described(account))
        return messages.ChangeAccountResponse(account=_account(account))

    async def RenewAccount(
        self,
        request: messages.RenewAccountRequest,
        context: grpc.aio.ServicerContext[
            messages.RenewAccountRequest, messages.RenewAccountResponse
        ],
    ) -> messages.RenewAccountResponse:
        """Gives an account a new token."""
        token = _new_token()
        account = replace(self._living(request.name), token_digest=token_digest(token))
        account = await self._keep("access.renewed", account, request.actor, described(account))
        return messages.RenewAccountResponse(account=_account(account), token=token)

    async def EndAccount(
        self,
        request: messages.EndAccountRequest,
        context: grpc.aio.ServicerContext[messages.EndAccountRequest, messages.EndAccountResponse],
    ) -> messages.EndAccountResponse:
        """Ends an account for good."""
        account = self._desk.named(request.name)
        if account.ended_at is not None:
            return messages.EndAccountResponse(account=_account(account), repeated_request=True)
        account = replace(account, ended_at=self._parts.clock())
        account = await self._keep("access.ended", account, request.actor, described(account))
        return messages.EndAccountResponse(account=_account(account))

    async def RestrictDocument(
        self,
        request: messages.RestrictDocumentRequest,
        context: grpc.aio.ServicerContext[
            messages.RestrictDocumentRequest, messages.RestrictDocumentResponse
        ],
    ) -> messages.RestrictDocumentResponse:
        """Lets only the named accounts see a document, or opens it again."""
        named = self._named(request)
        document_id = await self._document(request.id)
        kind = "access.restricted" if named else "access.opened"
        detail = described_audience(named)
        restriction = Restriction(
            document_id=document_id,
            named=named,
            salt=secrets.token_bytes(SALT_BYTES),
            effect=self._effect(kind, uuid_text(document_id), request.actor, detail),
            entry=AccessEntry(
                at=self._parts.clock(),
                account=OPERATOR,
                actor=request.actor,
                action=Access.RESTRICTED if named else Access.OPENED,
                document_id=document_id,
                detail=detail[:MAX_DETAIL],
            ),
        )
        changed = await self._desk.store.restrict(restriction)
        self._parts.sealer.wake()
        return messages.RestrictDocumentResponse(
            document_id=document_id,
            repeated_request=not changed,
            named=[
                messages.NamedAccount(account=each.account, may=sorted(each.may)) for each in named
            ],
        )

    def _named(self, request: messages.RestrictDocumentRequest) -> list[Named]:
        """Whom a request names; of an account that is named twice the last counts."""
        rights = {
            self._living(each.account).name: document_rights_of(each.may) for each in request.named
        }
        if len(rights) > MAX_NAMED:
            raise RequestInvalidError(f"At most {MAX_NAMED} accounts can be named.")
        return [Named(account=name, may=rights[name]) for name in sorted(rights)]

    async def ListHistory(
        self,
        request: messages.ListHistoryRequest,
        context: grpc.aio.ServicerContext[
            messages.ListHistoryRequest, messages.ListHistoryResponse
        ],
    ) -> messages.ListHistoryResponse:
        """Shows who saw and did what, newest first."""
        limit = limit_from(request.limit)
        account = None
        if request.account == SHOWN_OPERATOR:
            account = OPERATOR
        elif request.account:
            account = self._desk.named(request.account).name
        since = moment_from(request.since_time) if request.HasField("since_time") else None
        found = await self._parts.history.access_history(
            HistoryRequest(
                document_id=await self._document(request.id) if request.id else None,
                account=account,
                since=since,
                before=_place(request.after),
                limit=limit + 1,
            )
        )
        shown = found[:limit]
        return messages.ListHistoryResponse(
            entries=map(_entry, shown),
            next=str(shown[-1].place) if len(found) > limit else "",
        )

    async def HoldDocument(
        self,
        request: messages.HoldDocumentRequest,
        context: grpc.aio.ServicerContext[
            messages.HoldDocumentRequest, messages.HoldDocumentResponse
        ],
    ) -> messages.HoldDocumentResponse:
        """Holds a document."""
        check_reason(request.reason)
        document_id = await self._document(request.id)
        wanted = Hold(
            document_id=document_id,
            reason=request.reason,
            actor=request.actor,
            at=self._parts.clock(),
        )
        effect = self._effect("hold.added", uuid_text(document_id), request.actor, request.reason)
        kept = await self._parts.holds.hold(
            wanted, salt=secrets.token_bytes(SALT_BYTES), effect=effect
        )
        self._parts.sealer.wake()
        return messages.HoldDocumentResponse(hold=_hold(kept), repeated_request=kept is not wanted)

    async def ReleaseDocument(
        self,
        request: messages.ReleaseDocumentRequest,
        context: grpc.aio.ServicerContext[
            messages.ReleaseDocumentRequest, messages.ReleaseDocumentResponse
        ],
    ) -> messages.ReleaseDocumentResponse:
        """Releases a document."""
        check_reason(request.reason)
        document_id = await self._document(request.id)
        effect = self._effect(
            "hold.released", uuid_text(document_id), request.actor, request.reason
        )
        released = await self._parts.holds.release(
            document_id,
            salt=secrets.token_bytes(SALT_BYTES),
            effect=effect,
            at=self._parts.clock(),
        )
        self._parts.sealer.wake()
        return messages.ReleaseDocumentResponse(
            document_id=document_id, repeated_request=not released
        )

    async def ListHolds(
        self,
        request: messages.ListHoldsRequest,
        context: grpc.aio.ServicerContext[messages.ListHoldsRequest, messages.ListHoldsResponse],
    ) -> messages.ListHoldsResponse:
        """Lists the documents that are held."""
        limit = limit_from(request.limit)
        if request.after and not _ID.fullmatch(request.after):
            raise _no_cursor(request.after)
        found = await self._parts.holds.holds(bytes.fromhex(request.after), limit + 1)
        shown: Sequence[Hold] = found[:limit]
        return messages.ListHoldsResponse(
            holds=map(_hold, shown),
            next=shown[-1].document_id.hex() if len(found) > limit else "",
        )

    async def ListDue(
        self,
        request: messages.ListDueRequest,
        context: grpc.aio.ServicerContext[messages.ListDueRequest, messages.ListDueResponse],
    ) -> messages.ListDueResponse:
        """Lists received documents whose time of keeping is over."""
        after, limit = _place(request.after), limit_from(request.limit)
        looked = await self._parts.retention.kept(after, LOOKED_AT)
        due = [(item, at) for item in looked if (at := self._due(item)) is not None]
        shown = due[:limit]
        last = shown[-1][0] if len(due) > limit else looked[-1] if looked else None
        is_end = len(looked) < LOOKED_AT and len(due) <= limit
        return messages.ListDueResponse(
            documents=[_due_message(item, at) for item, at in shown],
            next="" if is_end or last is None else str(last.position),
        )

    async def DestroyDocument(
        self,
        request: messages.DestroyDocumentRequest,
        context: grpc.aio.ServicerContext[
            messages.DestroyDocumentRequest, messages.DestroyDocumentResponse
        ],
    ) -> messages.DestroyDocumentResponse:
        """Destroys a received document that is due and not held."""
        document_id = await self._document(request.id)
        kept = await self._parts.retention.kept_of(document_id)
        if not kept:
            return messages.DestroyDocumentResponse(document_id=document_id, repeated_request=True)
        if any(self._due(item) is None for item in kept):
            raise DecisionConflictError(
                f"The time of document {uuid_text(document_id)} is not over.",
                hint="See: edocnode retention due; the setting retention says how long.",
            )
        detail = f"received {time_text(kept[0].received_at)}"
        effect = self._effect("document.destroyed", uuid_text(document_id), request.actor, detail)
        salt = secrets.token_bytes(SALT_BYTES)
        now = self._parts.clock()
        if not await self._parts.retention.end(kept, at=now, salt=salt, effect=effect):
            raise DocumentHeldError(
                f"Document {uuid_text(document_id)} is held and was not destroyed.",
                hint="See: edocnode hold list",
            )
        self._parts.sealer.wake()
        return messages.DestroyDocumentResponse(document_id=document_id)

    def _due(self, item: KeptDocument) -> datetime | None:
        """When the time of a document was over; None while it is not."""
        at = self._parts.rules.due_at(item.document_type, item.received_at)
        return at if at is not None and at <= self._parts.clock() else None

    async def _document(self, text: str) -> DocumentId:
        found = await self._parts.office.find(text)
        return found.document.document_id

    async def _keep(self, kind: str, account: Account, actor: str, detail: str) -> Account:
        account = replace(account, changed_at=self._parts.clock())
        change = AccountChange(
            account=account, effect=self._effect(kind, account.name, actor, detail)
        )
        await self._desk.store.change_account(change, secrets.token_bytes(SALT_BYTES))
        self._hold_good(account)
        return account

    def _hold_good(self, account: Account) -> None:
        """What was committed holds for every call from here on."""
        self._desk.take(account)
        self._parts.sealer.wake()

    def _living(self, name: str) -> Account:
        account = self._desk.named(name)
        if account.ended_at is not None:
            raise AccessDeniedError(
                f"The account {name} has ended, for good.",
                hint="Make another one: edocnode access add NAME",
                name=name,
            )
        return account

    def _effect(self, kind: str, subject: str, actor: str, detail: str) -> bytes:
        return access_effect(
            kind,
            subject,
            directory=self._desk.directory,
            owner=self._desk.owner,
            actor=actor,
            now=self._parts.clock(),
            detail=detail,
        )


def _new_token() -> str:
    return TOKEN_PREFIX + secrets.token_urlsafe(TOKEN_BYTES)


def _place(cursor: str) -> int:
    if cursor and not _PLACE.fullmatch(cursor):
        raise _no_cursor(cursor)
    return int(cursor or 0)


def _no_cursor(text: str) -> RequestInvalidError:
    return RequestInvalidError(
        f"{text[:40]!r} is no cursor.", hint="Use `next` of the page before."
    )


def _account(account: Account) -> messages.Account:
    return messages.Account(
        name=account.name,
        agencies=account.agencies,
        subtree=account.subtree,
        may=sorted(account.may),
        create_time=timestamp(account.created_at),
        change_time=timestamp(account.changed_at),
        end_time=optional_timestamp(account.ended_at),
    )


def _entry(kept: KeptEntry) -> messages.HistoryEntry:
    entry = kept.entry
    return messages.HistoryEntry(
        time=timestamp(entry.at),
        account=entry.account or SHOWN_OPERATOR,
        actor=entry.actor,
        action=entry.action,
        document_id=entry.document_id or b"",
        detail=entry.detail,
    )


def _due_message(item: KeptDocument, at: datetime) -> messages.DueDocument:
    return messages.DueDocument(
        document_id=item.document_id,
        document_type=item.document_type,
        subject=item.subject,
        receive_time=timestamp(item.received_at),
        due_time=timestamp(at),
        held=item.held,
    )


def _hold(hold: Hold) -> messages.Hold:
    return messages.Hold(
        document_id=hold.document_id,
        reason=hold.reason,
        actor=hold.actor,
        create_time=timestamp(hold.at),
    )
