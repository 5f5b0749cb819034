"""Calls a running node from a program on the same machine: admin/v1 over its socket.

Synchronous, for command lines; answers are plain values as ``--json`` prints them.
"""

import contextlib
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

import grpc
from google.protobuf.duration_pb2 import Duration

from edoccore.errors import NodeNotRunningError
from edoccore.signing.statements import uuid_text
from edoccore.wire.status import raise_for
from edockit.console import local_time
from edockit.grpc_client import unix_channel_sync
from edocnet.admin.v1 import admin_service_pb2 as messages
from edocnet.admin.v1 import admin_service_pb2_grpc as services
from edocnode.domain.evidence_formats import EvidenceFormat
from edocnode.rpc.alarm_client import alarm_json
from edocnode.rpc.introducing import NOBODY, Introduction, introduced
from edocnode.rpc.office_messages import moment_from, optional_timestamp

STATUS_SCHEMA = "edoc.status/v1"
READY_SCHEMA = "edoc.ready/v1"
PEERS_SCHEMA = "edoc.peers/v1"
PING_SCHEMA = "edoc.ping/v1"
JOURNAL_SCHEMA = "edoc.journal/v1"
REVOKE_SCHEMA = "edoc.keys-revoke/v1"
REGISTRY_TIMEOUT_S = 60.0  # the registry publishes before it answers
TAKEOVER_SCHEMA = "edoc.takeover/v1"
ACCEPT_SCHEMA = "edoc.directory_accept/v1"
IMPORT_SCHEMA = "edoc.directory_import/v1"
CALL_TIMEOUT_S = 30.0
CHUNK_BYTES = 960 * 1024
PING_TIMEOUT_S = 60.0

LATE_KINDS = ("undelivered", "unanswered", "undecided", "overdue")
_FORMATS = {
    EvidenceFormat.ZIP: messages.EVIDENCE_FORMAT_UNSPECIFIED,
    EvidenceFormat.ASIC_E: messages.EVIDENCE_FORMAT_ASIC_E,
}

Json = dict[str, Any]  # as json.dumps takes it


class AdminClient:
    """An operator's calls to one node."""

    def __init__(self, channel: grpc.Channel) -> None:
        """Takes an open channel; ``open_admin`` makes one."""
        self.stub = services.AdminServiceStub(channel)

    def status(self) -> Json:
        """How the node is doing, ``edoc.status/v1``.

        Raises:
            NodeNotRunningError: It does not answer.
        """
        with _errors():
            answer = self.stub.GetStatus(messages.GetStatusRequest(), timeout=CALL_TIMEOUT_S)
        return {
            "schema": STATUS_SCHEMA,
            "ready": {"schema": READY_SCHEMA, "listen": answer.listen, "socket": answer.socket},
            "agency": answer.agency,
            "name": answer.name,
            "serves": list(answer.serves),
            "network": answer.network,
            "version": answer.version,
            "started_at": local_time(moment_from(answer.start_time)),
            "directory": _directory(answer.directory),
            "sealer": _sealer(answer.sealer),
            "alarms": [alarm_json(item) for item in answer.alarms],
            "acknowledged_alarms": answer.acknowledged_alarms,
            "queues": [_queue(item) for item in answer.queues],
            "oldest_undelivered_at": _time(answer, "oldest_undelivered_time"),
            "late": {name: getattr(answer.late, name) for name in LATE_KINDS},
            "keys": [_key(item) for item in answer.keys],
        }

    def peers(self) -> Json:
        """The nodes of the directory, ``edoc.peers/v1``.

        Raises:
            NodeNotRunningError: It does not answer.
        """
        with _errors():
            answer = self.stub.ListPeers(messages.ListPeersRequest(), timeout=CALL_TIMEOUT_S)
        return {
            "schema": PEERS_SCHEMA,
            "directory": _directory(answer.directory),
            "peers": [_peer(item) for item in answer.peers],
        }

    def ping(self, agency: str) -> Json:
        """What a hello with an agency's node found, ``edoc.ping/v1``.

        Raises:
            AgencyUnknownError, PeerUnreachableError, PeerNotTrustedError: As the node says.
        """
        request = messages.PingPeerRequest(agency=agency)
        with _errors():
            answer = self.stub.PingPeer(request, timeout=PING_TIMEOUT_S)
        return {
            "schema": PING_SCHEMA,
            "agency": answer.agency,
            "address": answer.address,
            "round_trip_ms": _milliseconds(answer.round_trip),
            "clock_difference_ms": _milliseconds(answer.clock_difference),
            "directory_version": answer.directory_version,
            "protocol": answer.protocol,
        }

    def take_over(self, actor: str) -> Json:
        """Makes this copy of the node the one that speaks, ``edoc.takeover/v1``.

        Raises:
            SealerStoppedError: It still cannot seal.
        """
        with _errors():
            request = messages.TakeOverRequest(actor=actor)
            answer = self.stub.TakeOver(request, timeout=CALL_TIMEOUT_S)
        return {"schema": TAKEOVER_SCHEMA, "epoch": uuid_text(answer.epoch)}

    def import_directory(self, file: BinaryIO, actor: str) -> Json:
        """Gives the node a directory or an extension from a file, ``edoc.directory_import/v1``.

        Raises:
            DirectoryFileError, DirectoryInvalidError: As the node says.
        """

        def pieces() -> Iterator[messages.ImportDirectoryRequest]:
            yield messages.ImportDirectoryRequest(actor=actor)
            while chunk := file.read(CHUNK_BYTES):
                yield messages.ImportDirectoryRequest(chunk=chunk)

        with _errors():
            answer = self.stub.ImportDirectory(pieces(), timeout=CALL_TIMEOUT_S)
        return {
            "schema": IMPORT_SCHEMA,
            "changed": answer.changed,
            "extended_until": _time(answer, "extended_time"),
            "directory": _directory(answer.directory),
        }

    def accept_own_entry(self, actor: str) -> Json:
        """Accepts the codes of the own entry, ``edoc.directory_accept/v1``.

        Raises:
            NodeNotRunningError: It does not answer.
        """
        with _errors():
            request = messages.AcceptOwnEntryRequest(actor=actor)
            answer = self.stub.AcceptOwnEntry(request, timeout=CALL_TIMEOUT_S)
        return {"schema": ACCEPT_SCHEMA, "codes": list(answer.codes)}

    def revoke_keys(
        self,
        *,
        tls: bool,
        seal: bool,
        reason: str,
        compromised_since: datetime | None,
        actor: str,
    ) -> Json:
        """Ends keys of this node for good, ``edoc.keys-revoke/v1``.

        Raises:
            SealerStoppedError: This node cannot seal its word.
            RegistryUnreachableError: The registry does not answer; nothing has ended.
        """
        request = messages.RevokeKeysRequest(
            tls=tls,
            seal=seal,
            reason=reason,
            compromise_time=optional_timestamp(compromised_since),
            actor=actor,
        )
        with _errors():
            answer = self.stub.RevokeKeys(request, timeout=REGISTRY_TIMEOUT_S)
        return {
            "schema": REVOKE_SCHEMA,
            "certificates": list(answer.certificates),
            "directory_version": answer.directory_version,
        }

    def verify_journal(self) -> Json:
        """What the node's own journal is worth, ``edoc.journal/v1``.

        Raises:
            NodeNotRunningError: It does not answer.
        """
        with _errors():
            answer = self.stub.VerifyJournal(messages.VerifyJournalRequest())
        names = ("verdict", "epochs", "seals", "lost", "statements", "effects", "size")
        return {
            "schema": JOURNAL_SCHEMA,
            **{name: getattr(answer, name) for name in names},
            "epoch": uuid_text(answer.epoch) if answer.epoch else "",
            "root": answer.root.hex(),
            "findings": [
                {
                    "verdict": item.verdict,
                    "epoch": item.epoch,
                    "index": item.index,
                    "why": item.why,
                }
                for item in answer.findings
            ],
        }

    def export_evidence(
        self, document: str, recipient: str, container: EvidenceFormat = EvidenceFormat.ZIP
    ) -> Iterator[bytes]:
        """The evidence of one delivery, a file in chunks.

        Raises:
            DocumentUnknownError: There is no such delivery, or it is not sealed yet.
            RequestInvalidError: It was sent to several, and no recipient is named.
        """
        request = messages.ExportEvidenceRequest(
            id=document, recipient=recipient, format=_FORMATS[container]
        )
        with _errors():
            for answer in self.stub.ExportEvidence(request):
                yield answer.chunk


@contextlib.contextmanager
def open_admin(socket: Path, who: Introduction = NOBODY) -> Iterator[AdminClient]:
    """Opens the operators' side of the node at a socket, for a block."""
    with unix_channel_sync(socket) as channel:
        yield AdminClient(introduced(channel, who))


@contextlib.contextmanager
def _errors() -> Iterator[None]:
    try:
        yield
    except grpc.RpcError as error:
        raise raise_for(error, unreachable=NodeNotRunningError) from error


def _key(item: messages.KeyStatus) -> Json:
    return {
        "kind": item.kind,
        "sha256": item.sha256,
        "expires_at": _time(item, "expire_time"),
        "next_sha256": item.next_sha256,
        "next_listed_at": _time(item, "next_list_time"),
        "changes_at": _time(item, "change_time"),
        "by_hand": item.by_hand,
    }


def _directory(item: messages.DirectoryStatus) -> Json:
    state = messages.DirectoryState.Name(item.state).removeprefix("DIRECTORY_STATE_").lower()
    return {
        "state": state,
        "version": item.version,
        "expires_at": _time(item, "expire_time"),
        "message": item.message,
        "since": _time(item, "since_time"),
        "advice": item.advice,
    }


def _sealer(item: messages.SealerStatus) -> Json:
    return {
        "sealing": item.sealing,
        "reason": item.reason,
        "message": item.message,
        "epoch": uuid_text(item.epoch) if item.epoch else "",
        "seals": item.seals,
        "waiting": item.waiting,
    }


def _queue(item: messages.PeerQueue) -> Json:
    return {
        "agency": item.agency,
        "waiting": item.waiting,
        "oldest_at": _time(item, "oldest_time"),
        "down_since": _time(item, "down_time"),
        "reason": item.reason,
        "message": item.message,
        "next_attempt_at": _time(item, "next_attempt_time"),
        "attempts": item.attempts,
    }


def _peer(item: messages.Peer) -> Json:
    return {
        "agency": item.agency,
        "name": item.name,
        "addresses": list(item.addresses),
        "state": messages.PeerState.Name(item.state).removeprefix("PEER_STATE_").lower(),
        "seen_at": _time(item, "seen_time"),
        "down_since": _time(item, "down_time"),
        "reason": item.reason,
        "message": item.message,
        "next_attempt_at": _time(item, "next_attempt_time"),
        "waiting": item.waiting,
    }


def _time(item: Any, name: str) -> str | None:  # noqa: ANN401 - any message with that field
    return local_time(moment_from(getattr(item, name))) if item.HasField(name) else None


def _milliseconds(length: Duration) -> float:
    return round(length.ToTimedelta().total_seconds() * 1000, 1)
