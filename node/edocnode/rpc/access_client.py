"""Calls a running node from its administrator's command line: access/v1 over its socket.

Synchronous; answers are plain values as ``--json`` prints them.
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import grpc

from edoccore.errors import NodeNotRunningError
from edoccore.signing.statements import uuid_text
from edoccore.wire.status import raise_for
from edockit.console import local_time
from edockit.grpc_client import unix_channel_sync
from edocnet.access.v1 import access_service_pb2 as messages
from edocnet.access.v1 import access_service_pb2_grpc as services
from edocnode.rpc.office_messages import moment_from, optional_timestamp

ACCOUNT_SCHEMA = "edoc.account/v1"
ACCOUNTS_SCHEMA = "edoc.accounts/v1"
RESTRICTION_SCHEMA = "edoc.restriction/v1"
HISTORY_SCHEMA = "edoc.history/v1"
HOLD_SCHEMA = "edoc.hold/v1"
HOLDS_SCHEMA = "edoc.holds/v1"
DUE_SCHEMA = "edoc.due/v1"
CALL_TIMEOUT_S = 30.0

Json = dict[str, Any]  # as json.dumps takes it


class AccessClient:
    """The administrator's calls about access to one node.

    Each raises what the node says, an ``EdocError``.
    """

    def __init__(self, channel: grpc.Channel) -> None:
        """Takes an open channel; ``open_access`` makes one."""
        self._stub = services.AccessServiceStub(channel)

    def add(
        self, name: str, *, agencies: Sequence[str], subtree: bool, may: Sequence[str], actor: str
    ) -> Json:
        """Makes an account, ``edoc.account/v1`` with its token."""
        request = messages.AddAccountRequest(
            name=name, agencies=agencies, subtree=subtree, may=may, actor=actor
        )
        with _errors():
            answer = self._stub.AddAccount(request, timeout=CALL_TIMEOUT_S)
        return {"schema": ACCOUNT_SCHEMA, **_account(answer.account), "token": answer.token}

    def accounts(self) -> Json:
        """All accounts, ``edoc.accounts/v1``."""
        with _errors():
            answer = self._stub.ListAccounts(messages.ListAccountsRequest(), timeout=CALL_TIMEOUT_S)
        return {"schema": ACCOUNTS_SCHEMA, "accounts": [_account(item) for item in answer.accounts]}

    def change(
        self, name: str, *, agencies: Sequence[str], subtree: bool, may: Sequence[str], actor: str
    ) -> Json:
        """Changes an account, ``edoc.account/v1``; what is empty stays as it was."""
        request = messages.ChangeAccountRequest(
            name=name, agencies=agencies, subtree=subtree, may=may, actor=actor
        )
        with _errors():
            answer = self._stub.ChangeAccount(request, timeout=CALL_TIMEOUT_S)
        return {"schema": ACCOUNT_SCHEMA, **_account(answer.account)}

    def renew(self, name: str, actor: str) -> Json:
        """Gives an account a new token, ``edoc.account/v1`` with it."""
        request = messages.RenewAccountRequest(name=name, actor=actor)
        with _errors():
            answer = self._stub.RenewAccount(request, timeout=CALL_TIMEOUT_S)
        return {"schema": ACCOUNT_SCHEMA, **_account(answer.account), "token": answer.token}

    def end(self, name: str, actor: str) -> Json:
        """Ends an account, ``edoc.account/v1``."""
        request = messages.EndAccountRequest(name=name, actor=actor)
        with _errors():
            answer = self._stub.EndAccount(request, timeout=CALL_TIMEOUT_S)
        return {
            "schema": ACCOUNT_SCHEMA,
            **_account(answer.account),
            "repeated": answer.repeated_request,
        }

    def account(self, name: str) -> Json:
        """One account with documents on which it is named, ``edoc.account/v1``."""
        with _errors():
            request = messages.ListAccountsRequest(name=name)
            answer = self._stub.ListAccounts(request, timeout=CALL_TIMEOUT_S)
        named = [
            {"document_id": uuid_text(each.document_id), "may": list(each.may)}
            for each in answer.named
        ]
        return {
            "schema": ACCOUNT_SCHEMA,
            **_account(answer.accounts[0]),
            "named": named,
            "named_count": answer.named_count,
        }

    def restrict(self, document: str, named: Mapping[str, Sequence[str]], actor: str) -> Json:
        """Lets only these accounts see a document, ``edoc.restriction/v1``; none: opens it.

        Args:
            named: What each may do with it, by name; empty: read it.
        """
        accounts = [messages.NamedAccount(account=name, may=may) for name, may in named.items()]
        request = messages.RestrictDocumentRequest(id=document, named=accounts, actor=actor)
        with _errors():
            answer = self._stub.RestrictDocument(request, timeout=CALL_TIMEOUT_S)
        return {
            "schema": RESTRICTION_SCHEMA,
            "document_id": uuid_text(answer.document_id),
            "accounts": [{"name": each.account, "may": list(each.may)} for each in answer.named],
            "repeated": answer.repeated_request,
        }

    def history(
        self, document: str, *, account: str, since: datetime | None, limit: int, after: str
    ) -> Json:
        """A page of who saw and did what, ``edoc.history/v1``, newest first."""
        request = messages.ListHistoryRequest(
            id=document,
            account=account,
            since_time=optional_timestamp(since),
            limit=limit,
            after=after,
        )
        with _errors():
            answer = self._stub.ListHistory(request, timeout=CALL_TIMEOUT_S)
        return {
            "schema": HISTORY_SCHEMA,
            "entries": [_entry(item) for item in answer.entries],
            "next": answer.next,
        }

    def hold(self, document: str, reason: str, actor: str) -> Json:
        """Holds a document, ``edoc.hold/v1``."""
        request = messages.HoldDocumentRequest(id=document, reason=reason, actor=actor)
        with _errors():
            answer = self._stub.HoldDocument(request, timeout=CALL_TIMEOUT_S)
        return {
            "schema": HOLD_SCHEMA,
            **_hold(answer.hold),
            "held": True,
            "repeated": answer.repeated_request,
        }

    def release(self, document: str, reason: str, actor: str) -> Json:
        """Releases a document, ``edoc.hold/v1``."""
        request = messages.ReleaseDocumentRequest(id=document, reason=reason, actor=actor)
        with _errors():
            answer = self._stub.ReleaseDocument(request, timeout=CALL_TIMEOUT_S)
        return {
            "schema": HOLD_SCHEMA,
            "document_id": uuid_text(answer.document_id),
            "held": False,
            "repeated": answer.repeated_request,
        }

    def holds(self, *, limit: int, after: str) -> Json:
        """A page of the documents that are held, ``edoc.holds/v1``."""
        request = messages.ListHoldsRequest(limit=limit, after=after)
        with _errors():
            answer = self._stub.ListHolds(request, timeout=CALL_TIMEOUT_S)
        return {
            "schema": HOLDS_SCHEMA,
            "holds": [_hold(item) for item in answer.holds],
            "next": answer.next,
        }

    def due(self, *, limit: int, after: str) -> Json:
        """A page of the documents whose time is over, ``edoc.due/v1``."""
        request = messages.ListDueRequest(limit=limit, after=after)
        with _errors():
            answer = self._stub.ListDue(request, timeout=CALL_TIMEOUT_S)
        return {
            "schema": DUE_SCHEMA,
            "documents": [_due(item) for item in answer.documents],
            "next": answer.next,
        }

    def destroy(self, document: str, actor: str) -> Json:
        """Destroys a document that is due, ``edoc.destroyed/v1``."""
        request = messages.DestroyDocumentRequest(id=document, actor=actor)
        with _errors():
            answer = self._stub.DestroyDocument(request, timeout=CALL_TIMEOUT_S)
        return {
            "document_id": uuid_text(answer.document_id),
            "repeated": answer.repeated_request,
        }


@contextlib.contextmanager
def open_access(socket: Path) -> Iterator[AccessClient]:
    """Opens the administrator's side of the node at a socket, for a block."""
    with unix_channel_sync(socket) as channel:
        yield AccessClient(channel)


@contextlib.contextmanager
def _errors() -> Iterator[None]:
    try:
        yield
    except grpc.RpcError as error:
        raise raise_for(error, unreachable=NodeNotRunningError) from error


def _account(item: messages.Account) -> Json:
    return {
        "name": item.name,
        "agencies": list(item.agencies),
        "subtree": item.subtree,
        "may": list(item.may),
        "created_at": local_time(moment_from(item.create_time)),
        "changed_at": local_time(moment_from(item.change_time)),
        "ended_at": local_time(moment_from(item.end_time)) if item.HasField("end_time") else None,
    }


def _entry(item: messages.HistoryEntry) -> Json:
    return {
        "time": local_time(moment_from(item.time)),
        "account": item.account,
        "actor": item.actor,
        "action": item.action,
        "document_id": uuid_text(item.document_id) if item.document_id else "",
        "detail": item.detail,
    }


def _due(item: messages.DueDocument) -> Json:
    return {
        "document_id": uuid_text(item.document_id),
        "type": item.document_type,
        "subject": item.subject,
        "received_at": local_time(moment_from(item.receive_time)),
        "due_at": local_time(moment_from(item.due_time)),
        "held": item.held,
    }


def _hold(item: messages.Hold) -> Json:
    return {
        "document_id": uuid_text(item.document_id),
        "reason": item.reason,
        "actor": item.actor,
        "since": local_time(moment_from(item.create_time)),
    }
