"""Calls a running node about documents that are kept apart: admin/v1, its quarantine."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc

from edoccore.errors import NodeNotRunningError
from edoccore.signing.statements import uuid_text
from edoccore.wire.status import raise_for
from edockit.console import local_time
from edockit.grpc_client import unix_channel_sync
from edocnet.admin.v1 import quarantine_service_pb2 as messages
from edocnet.admin.v1 import quarantine_service_pb2_grpc as services
from edocnode.rpc.office_messages import moment_from

QUARANTINE_SCHEMA = "edoc.quarantine/v1"
RELEASE_SCHEMA = "edoc.quarantine-release/v1"
DISCARD_SCHEMA = "edoc.quarantine-discard/v1"
SCAN_SCHEMA = "edoc.scan/v1"
CALL_TIMEOUT_S = 600.0  # all documents of years may be named at once

Json = dict[str, Any]  # as json.dumps takes it


class QuarantineClient:
    """An administrator's calls to one node."""

    def __init__(self, channel: grpc.Channel) -> None:
        """Takes an open channel; ``open_quarantine`` makes one."""
        self._stub = services.QuarantineServiceStub(channel)

    def documents(self, *, limit: int, after: str) -> Json:
        """A page of what is kept apart, ``edoc.quarantine/v1``."""
        request = messages.ListQuarantineRequest(limit=limit, after=after)
        with _errors():
            answer = self._stub.ListQuarantine(request, timeout=CALL_TIMEOUT_S)
        return {
            "schema": QUARANTINE_SCHEMA,
            "documents": [_document(item) for item in answer.documents],
            "waiting": answer.waiting,
            "next": answer.next or None,
        }

    def release(self, document: str, reason: str, actor: str) -> Json:
        """Lets a document through, ``edoc.quarantine-release/v1``."""
        request = messages.ReleaseDocumentRequest(id=document, reason=reason, actor=actor)
        with _errors():
            answer = self._stub.ReleaseDocument(request, timeout=CALL_TIMEOUT_S)
        return {
            "schema": RELEASE_SCHEMA,
            "message_id": uuid_text(answer.message_id),
            "repeated_request": answer.repeated_request,
        }

    def discard(self, document: str, reason: str, actor: str) -> Json:
        """Destroys a document that is kept apart, ``edoc.quarantine-discard/v1``."""
        request = messages.DiscardDocumentRequest(id=document, reason=reason, actor=actor)
        with _errors():
            answer = self._stub.DiscardDocument(request, timeout=CALL_TIMEOUT_S)
        return {
            "schema": DISCARD_SCHEMA,
            "message_id": uuid_text(answer.message_id),
            "repeated_request": answer.repeated_request,
        }

    def scan(self, document: str) -> Json:
        """Lets one document, or all, wait for a scan, ``edoc.scan/v1``."""
        with _errors():
            answer = self._stub.ScanDocuments(
                messages.ScanDocumentsRequest(id=document), timeout=CALL_TIMEOUT_S
            )
        return {"schema": SCAN_SCHEMA, "documents": answer.documents}


@contextlib.contextmanager
def open_quarantine(socket: Path) -> Iterator[QuarantineClient]:
    """A client on the socket of a running node, for a block."""
    with unix_channel_sync(socket) as channel:
        yield QuarantineClient(channel)


@contextlib.contextmanager
def _errors() -> Iterator[None]:
    try:
        yield
    except grpc.RpcError as error:
        raise raise_for(error, unreachable=NodeNotRunningError) from error


def _document(item: messages.QuarantinedDocument) -> Json:
    return {
        "document_id": uuid_text(item.document_id),
        "message_id": uuid_text(item.message_id),
        "sender": item.sender,
        "recipient": item.recipient,
        "state": item.state,
        "shown": item.shown,
        "blocked": item.blocked,
        "received_at": local_time(moment_from(item.receive_time)),
        "scanned_at": local_time(moment_from(item.scan_time))
        if item.HasField("scan_time")
        else None,
        "cause": item.cause,
        "part": item.part,
        "part_name": item.part_name,
        "detail": item.detail,
        "scanner": item.scanner,
    }
