"""Answers those who run the node: admin/v1 on the node's own socket."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256
from typing import BinaryIO, Protocol

import grpc
from google.protobuf.duration_pb2 import Duration
from msgspec import UNSET

from edoccore.directory.layout import RevocationKind
from edoccore.directory.state import DirectoryState, Freshness
from edoccore.directory.view import Directory
from edoccore.errors import EpochSupersededError, RequestInvalidError, SealerStoppedError
from edoccore.signing import canonical
from edoccore.signing.seal import SALT_BYTES
from edoccore.signing.statements import Effect, time_text
from edocnet.admin.v1 import admin_service_pb2 as messages
from edocnet.admin.v1 import admin_service_pb2_grpc as services
from edocnode.domain.alarms import Alarm
from edocnode.domain.decisions import MAX_ACTOR
from edocnode.domain.directory import advice_of
from edocnode.domain.evidence_formats import EvidenceFormat
from edocnode.domain.exchange import Hello
from edocnode.domain.journal import JournalReport
from edocnode.domain.late import LateLook
from edocnode.domain.model import EpochHead, MessageId, PeerQueue, PeerStatus
from edocnode.domain.office import spellings
from edocnode.domain.office_model import OfficeStore
from edocnode.domain.own_keys import KeyState, OwnKeys
from edocnode.rpc.alarms import alarm_message
from edocnode.rpc.importing import DirectoryTaker, read_file, take_file
from edocnode.rpc.late import late_counts
from edocnode.rpc.office import CHUNK_BYTES, sent_message
from edocnode.rpc.office_admission import Wakes
from edocnode.rpc.office_messages import moment_from, optional_timestamp, timestamp

MAX_REASON = 1000  # characters
TAKEOVER = "admin.takeover"
IMPORT = "admin.directory_import"
ACCEPT = "admin.own_entry_accepted"
TLS = "TLSv1.3"  # no other is spoken
MAX_DETAIL = 2000  # characters of an effect
MAX_REASONS = 3  # of a directory's age, shown
SEALING = "sealing"
STOPPED = SealerStoppedError.reason
_STOPPED = {"superseded": EpochSupersededError.reason}  # other states are faults that may pass

_CONTAINERS = {messages.EVIDENCE_FORMAT_ASIC_E: EvidenceFormat.ASIC_E}
_FRESHNESS = {
    Freshness.FRESH: messages.DIRECTORY_STATE_FRESH,
    Freshness.STALE: messages.DIRECTORY_STATE_STALE,
    Freshness.EXPIRED: messages.DIRECTORY_STATE_EXPIRED,
    Freshness.EMERGENCY: messages.DIRECTORY_STATE_EMERGENCY,
}


class AdminStore(Protocol):
    """What is read for an operator, and where an operator's acts are kept."""

    async def every_alarm(self) -> Sequence[Alarm]:
        """The alarms that have not ended, those that were acknowledged too, oldest first."""

    async def queues(self) -> Sequence[PeerQueue]:
        """What waits, by peer."""

    async def peer_statuses(self) -> Mapping[str, PeerStatus]:
        """Every peer ever met or tried."""

    async def last_head(self, agency: str) -> EpochHead | None:
        """Head of the newest epoch."""

    async def add_effect(self, salt: bytes, data: bytes) -> int:
        """Keeps a local effect for the journal."""


class SealerView(Wakes, Protocol):
    """What is shown of the sealer, and the one thing an operator can tell it."""

    @property
    def epoch(self) -> bytes:
        """The epoch in force, 16 bytes; empty before the first."""

    @property
    def state(self) -> str:
        """``sealing``, or what keeps it from that."""

    @property
    def problem(self) -> str:
        """Why it does not seal, for a person."""

    async def takeover(self) -> None:
        """Goes on in a new epoch."""


class DirectoryView(DirectoryTaker, Protocol):
    """The directory in force."""

    @property
    def current(self) -> Directory:
        """The directory."""

    def state(self) -> DirectoryState:
        """Its age, judged now."""

    async def refresh(self) -> bool:
        """Fetches what the registry has that is newer; whether the directory changed."""


class Greets(Protocol):
    """Says hello to peers."""

    async def greet(self, agency: str) -> Hello:
        """Exchanges hellos with one peer."""


class Evidence(Protocol):
    """Proofs for third parties."""

    async def verify_journal(self) -> JournalReport:
        """Verifies this node's own journal."""

    async def export(
        self, message_id: MessageId, container: EvidenceFormat = EvidenceFormat.ZIP
    ) -> BinaryIO:
        """Writes the evidence of a message; the zip, open at its beginning.

        Raises:
            DocumentUnknownError: No sealed message here has this id.
        """


class AcceptsCodes(Protocol):
    """The watch over the own entry of the directory."""

    async def accept(self) -> Sequence[str]:
        """Accepts the codes that the directory lists now; returns them."""


@dataclass(slots=True, kw_only=True)
class Place:
    """Where the node listens; known once it is bound."""

    listen: str = ""
    socket: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AdminParts:
    """What the operators' service works with."""

    agency: str
    network: str
    version: str
    store: AdminStore
    office: OfficeStore
    late: LateLook
    sealer: SealerView
    directory: DirectoryView
    greeter: Greets
    evidence: Evidence
    own_entry: AcceptsCodes
    keys: OwnKeys
    clock: Callable[[], datetime]
    started_at: datetime
    place: Place = field(default_factory=Place)


class AdminServicer(services.AdminServiceServicer):
    """admin/v1 of this node."""

    def __init__(self, parts: AdminParts) -> None:
        """Takes what it works with."""
        self._parts = parts

    async def GetStatus(
        self,
        request: messages.GetStatusRequest,
        context: grpc.aio.ServicerContext[messages.GetStatusRequest, messages.GetStatusResponse],
    ) -> messages.GetStatusResponse:
        """Tells how the node is doing."""
        parts = self._parts
        directory = parts.directory.current
        oldest = await parts.office.oldest_undelivered()
        alarms = await parts.store.every_alarm()
        return messages.GetStatusResponse(
            agency=parts.agency,
            name=directory.agency(parts.agency).name,
            serves=_serves(directory, parts.agency),
            network=parts.network,
            version=parts.version,
            listen=parts.place.listen,
            socket=parts.place.socket,
            start_time=timestamp(parts.started_at),
            directory=_directory_status(directory, parts.directory.state()),
            sealer=await self._sealer_status(),
            alarms=[alarm_message(alarm) for alarm in alarms if alarm.is_open],
            acknowledged_alarms=sum(not alarm.is_open for alarm in alarms),
            queues=await self._queues(oldest),
            oldest_undelivered_time=optional_timestamp(min(oldest.values(), default=None)),
            late=late_counts(await parts.late.counts()),
            keys=[_key(item) for item in parts.keys.states()],
        )

    async def ListPeers(
        self,
        request: messages.ListPeersRequest,
        context: grpc.aio.ServicerContext[messages.ListPeersRequest, messages.ListPeersResponse],
    ) -> messages.ListPeersResponse:
        """Lists the nodes of the directory."""
        directory, now = self._parts.directory.current, self._parts.clock()
        statuses = await self._parts.store.peer_statuses()
        waiting = await self._parts.office.undelivered()
        peers = [
            _peer(directory, code, now, status=statuses.get(code), waiting=waiting.get(code, 0))
            for code in sorted(directory.endpoints)
            if code not in (self._parts.agency, directory.info.registry)
        ]
        status = _directory_status(directory, self._parts.directory.state())
        return messages.ListPeersResponse(peers=peers, directory=status)

    async def PingPeer(
        self,
        request: messages.PingPeerRequest,
        context: grpc.aio.ServicerContext[messages.PingPeerRequest, messages.PingPeerResponse],
    ) -> messages.PingPeerResponse:
        """Exchanges hellos with a peer, now."""
        directory = self._parts.directory.current
        agency = directory.node_of(request.agency, self._parts.clock())
        if agency == self._parts.agency:
            raise RequestInvalidError(f"{request.agency} is served by this node itself.")
        loop = asyncio.get_running_loop()
        begun_at, begun = self._parts.clock(), loop.time()
        theirs = await self._parts.greeter.greet(agency)
        round_trip = timedelta(seconds=loop.time() - begun)
        endpoint = directory.endpoint(agency, begun_at)
        return messages.PingPeerResponse(
            agency=agency,
            address=endpoint.addresses[0] if endpoint is not None else "",
            round_trip=_duration(round_trip),
            clock_difference=_duration(theirs.time - (begun_at + round_trip / 2)),
            directory_version=theirs.directory.version,
            protocol=TLS,
        )

    async def TakeOver(
        self,
        request: messages.TakeOverRequest,
        context: grpc.aio.ServicerContext[messages.TakeOverRequest, messages.TakeOverResponse],
    ) -> messages.TakeOverResponse:
        """Makes this copy of the node the one that speaks for its agency."""
        parts = self._parts
        if not 1 <= len(request.actor) <= MAX_ACTOR:
            raise RequestInvalidError("Who takes over must be named.", hint="Add --actor NAME.")
        await parts.sealer.takeover()
        await self._note(TAKEOVER, parts.agency, request.actor)
        if parts.sealer.state != SEALING:
            raise SealerStoppedError(parts.sealer.problem or None)
        return messages.TakeOverResponse(epoch=parts.sealer.epoch)

    async def ImportDirectory(
        self,
        request_iterator: AsyncIterator[messages.ImportDirectoryRequest],
        context: grpc.aio.ServicerContext[
            messages.ImportDirectoryRequest, messages.ImportDirectoryResponse
        ],
    ) -> messages.ImportDirectoryResponse:
        """Takes a directory or an extension that was brought as a file."""
        directory = self._parts.directory
        actor, data = await read_file(request_iterator)
        changed, until = await take_file(directory, data)
        what = "" if until is None else f"; extended until {time_text(until)}"
        subject = f"directory version {directory.current.mark.version}"
        digest = sha256(data).hexdigest()
        await self._note(IMPORT, subject, actor, detail=f"file of SHA-256 {digest}{what}")
        return messages.ImportDirectoryResponse(
            changed=changed,
            extended_time=optional_timestamp(until),
            directory=_directory_status(directory.current, directory.state()),
        )

    async def AcceptOwnEntry(
        self,
        request: messages.AcceptOwnEntryRequest,
        context: grpc.aio.ServicerContext[
            messages.AcceptOwnEntryRequest, messages.AcceptOwnEntryResponse
        ],
    ) -> messages.AcceptOwnEntryResponse:
        """Accepts the codes that the directory lists for this agency."""
        parts = self._parts
        if not 1 <= len(request.actor) <= MAX_ACTOR:
            raise RequestInvalidError("Who accepts must be named.", hint="Add --actor NAME.")
        codes = await parts.own_entry.accept()
        detail = ", ".join(codes)[:MAX_DETAIL]
        await self._note(ACCEPT, parts.agency, request.actor, detail=detail)
        return messages.AcceptOwnEntryResponse(codes=codes)

    async def _note(self, kind: str, subject: str, actor: str, *, detail: str = "") -> None:
        """Keeps an operator's act for the journal."""
        parts = self._parts
        effect = Effect(
            network=parts.network,
            agency=parts.agency,
            kind=kind,
            subject=subject,
            actor=actor,
            time=time_text(parts.clock()),
            detail=detail or UNSET,
        )
        await parts.store.add_effect(secrets.token_bytes(SALT_BYTES), canonical.encode(effect))
        parts.sealer.wake()

    async def RevokeKeys(
        self,
        request: messages.RevokeKeysRequest,
        context: grpc.aio.ServicerContext[messages.RevokeKeysRequest, messages.RevokeKeysResponse],
    ) -> messages.RevokeKeysResponse:
        """Ends keys of this node for good."""
        if not 1 <= len(request.actor) <= MAX_ACTOR or not 1 <= len(request.reason) <= MAX_REASON:
            raise RequestInvalidError("Who ends the keys and why must be said.")
        wanted = ((RevocationKind.TLS, request.tls), (RevocationKind.SEAL, request.seal))
        since = request.compromise_time
        ended = await self._parts.keys.end(
            [kind for kind, given in wanted if given],
            reason=request.reason,
            compromised_since=moment_from(since) if request.HasField("compromise_time") else None,
            actor=request.actor,
        )
        return messages.RevokeKeysResponse(
            directory_version=ended.version, certificates=ended.certificates
        )

    async def VerifyJournal(
        self,
        request: messages.VerifyJournalRequest,
        context: grpc.aio.ServicerContext[
            messages.VerifyJournalRequest, messages.VerifyJournalResponse
        ],
    ) -> messages.VerifyJournalResponse:
        """Checks the whole journal."""
        report = await self._parts.evidence.verify_journal()
        head = report.head
        return messages.VerifyJournalResponse(
            verdict=report.verdict,
            epochs=report.epochs,
            seals=report.seals,
            lost=report.lost,
            statements=report.statements,
            effects=report.effects,
            epoch=head.epoch if head else b"",
            size=head.size if head else 0,
            root=head.root if head else b"",
            findings=[
                messages.JournalFinding(
                    verdict=finding.verdict,
                    epoch=finding.epoch,
                    index=finding.index,
                    why=finding.why,
                )
                for finding in report.findings
            ],
        )

    async def ExportEvidence(
        self,
        request: messages.ExportEvidenceRequest,
        context: grpc.aio.ServicerContext[
            messages.ExportEvidenceRequest, messages.ExportEvidenceResponse
        ],
    ) -> AsyncIterator[messages.ExportEvidenceResponse]:
        """Sends the evidence of one delivery."""
        found = await self._parts.office.find(request.id)
        recipients = spellings(request.recipient, self._parts.directory.current)
        message_id = await sent_message(self._parts.office, found, recipients)
        container = _CONTAINERS.get(request.format, EvidenceFormat.ZIP)
        with await self._parts.evidence.export(message_id, container) as file:
            while chunk := await asyncio.to_thread(file.read, CHUNK_BYTES):
                yield messages.ExportEvidenceResponse(chunk=chunk)

    async def _sealer_status(self) -> messages.SealerStatus:
        sealer = self._parts.sealer
        head = await self._parts.store.last_head(self._parts.agency)
        return messages.SealerStatus(
            sealing=sealer.state == SEALING,
            reason="" if sealer.state == SEALING else _STOPPED.get(sealer.state, STOPPED),
            message=sealer.problem,
            epoch=sealer.epoch,
            seals=head.size if head is not None and head.epoch == sealer.epoch else 0,
            waiting=await self._parts.office.unsealed(),
        )

    async def _queues(self, oldest: Mapping[str, datetime]) -> list[messages.PeerQueue]:
        statuses = await self._parts.store.peer_statuses()
        waiting = await self._parts.office.undelivered()
        return [
            _queue(node, waiting.get(node, 0), oldest=oldest.get(node), status=statuses.get(node))
            for node in sorted(waiting.keys() | oldest.keys())
        ]


def _key(key: KeyState) -> messages.KeyStatus:
    return messages.KeyStatus(
        kind=key.kind.value,
        sha256=key.sha256,
        expire_time=timestamp(key.not_after),
        next_sha256=key.following,
        next_list_time=optional_timestamp(key.listed_since),
        change_time=timestamp(key.change_at),
        by_hand=key.by_hand,
    )


def _serves(directory: Directory, agency: str) -> list[str]:
    return [agency, *(code for code in directory.ownership.open_codes(agency) if code != agency)]


def _directory_status(directory: Directory, state: DirectoryState) -> messages.DirectoryStatus:
    return messages.DirectoryStatus(
        state=_FRESHNESS[state.freshness],
        version=directory.mark.version,
        expire_time=timestamp(state.expires),
        message=_reasons(state),
        since_time=optional_timestamp(state.since),
        advice=advice_of(state),
    )


def _reasons(state: DirectoryState) -> str:
    """The first reasons; when a directory has expired all its roles have, and they are hundreds."""
    shown = "; ".join(state.reasons[:MAX_REASONS])
    more = len(state.reasons) - MAX_REASONS
    return f"{shown}; and {more} more" if more > 0 else shown


def _queue(
    node: str, waiting: int, *, oldest: datetime | None, status: PeerStatus | None
) -> messages.PeerQueue:
    queue = messages.PeerQueue(agency=node, waiting=waiting, oldest_time=optional_timestamp(oldest))
    if status is not None and status.down_since is not None:
        queue.down_time.CopyFrom(timestamp(status.down_since))
        queue.reason = status.reason
        queue.message = status.message
        queue.attempts = status.attempts
        if status.next_at is not None:
            queue.next_attempt_time.CopyFrom(timestamp(status.next_at))
    return queue


def _peer(
    directory: Directory, code: str, now: datetime, *, status: PeerStatus | None, waiting: int
) -> messages.Peer:
    endpoint = directory.endpoint(code, now)
    peer = messages.Peer(
        agency=code,
        name=directory.agency(code).name,
        addresses=endpoint.addresses if endpoint is not None else (),
        state=messages.PEER_STATE_NEW,
        waiting=waiting,
    )
    if status is None:
        return peer
    if status.last_seen is not None:
        peer.state = messages.PEER_STATE_UP
        peer.seen_time.CopyFrom(timestamp(status.last_seen))
    if status.down_since is not None:
        peer.state = messages.PEER_STATE_DOWN
        peer.down_time.CopyFrom(timestamp(status.down_since))
        peer.reason, peer.message = status.reason, status.message
        if status.next_at is not None:
            peer.next_attempt_time.CopyFrom(timestamp(status.next_at))
    return peer


def _duration(length: timedelta) -> Duration:
    message = Duration()
    message.FromTimedelta(length)
    return message
