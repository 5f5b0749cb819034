"""What the domain and the workers need from storage: each method is one atomic transaction.

What a method returned after a write is on disk (fsynced). Implemented in ``edocnode.storage`` for
SQLite (file and memory) and PostgreSQL with one set of contract tests. Every method may raise
``DiskFullError`` (nothing changed) or ``StorageFailedError`` (the node must stop).
"""

from collections.abc import Collection, Mapping, MutableMapping, Sequence
from datetime import datetime
from typing import Protocol

from edoccore.errors import DecisionConflictError, RequestConflictError
from edoccore.signing.seal import SealedStatement, SignedSeal
from edocnode.domain.alarms import Alarm
from edocnode.domain.model import (
    ABOVE_ALL_EPOCHS,
    Arrival,
    DeliveryOutcome,
    EpochHead,
    IncomingId,
    KeepOutcome,
    KnownMessage,
    Lane,
    MessageId,
    PeerJournal,
    PeerQueue,
    PeerStatus,
    QueuedDelivery,
    SealCommit,
    StagedPart,
    Submission,
    SubmissionResult,
    Unsealed,
)


class Submissions(Protocol):
    """Where documents of the office begin."""

    async def submit(self, submission: Submission) -> SubmissionResult:
        """Keeps a document and its deliveries; they wait for the sealer, or for their moment.

        All recipients or none, however many they are. The same request id and hash again keeps
        nothing and returns what was kept.

        Raises:
            RequestConflictError: The request id stands for another request.
        """

    async def submit_many(
        self, submissions: Sequence[Submission]
    ) -> Sequence[SubmissionResult | RequestConflictError | DecisionConflictError]:
        """Keeps documents of at most 500 recipients each, as ``submit`` would keep one by one.

        What is wrong with one is returned in its place and spoils no other.
        """

    async def handed_in(self, request_id: str) -> datetime | None:
        """When a request was first handed in; None when it is not known."""


class Schedule(Protocol):
    """Kept deliveries that are not for the sealer yet."""

    async def next_due(self) -> datetime | None:
        """When the next are for the sealer; None when there are none."""

    async def release(self, now: datetime) -> int:
        """Gives the sealer what is due, a bounded piece, urgent lanes first; returns how many."""

    async def forget_cut_off(self, before: datetime) -> int:
        """Forgets a bounded piece of a submission to many that was cut off; returns how many."""


class Outbox(Protocol):
    """Documents on their way out."""

    async def due(
        self, to_node: str, now: datetime, limit: int, held: Collection[int] = ()
    ) -> Sequence[QueuedDelivery]:
        """Sealed deliveries of one peer that may be offered, urgent lanes first, then oldest.

        Urgent ones that would fill the batch leave a share to the lanes below (``domain.lanes``).
        Nothing is changed by asking: who takes them remembers it and says so.

        Args:
            held: Places of deliveries that were taken before and whose outcome is not recorded.
        """

    async def parts_leave(self, message_ids: Sequence[MessageId]) -> None:
        """Makes QUEUED deliveries SENDING: their parts begin to travel."""

    async def give_back(self, message_ids: Sequence[MessageId]) -> None:
        """Makes SENDING deliveries QUEUED again, unanswered: the stream broke."""

    async def give_back_all(self) -> int:
        """Makes every SENDING delivery QUEUED again; called once at start. Returns how many."""

    async def record(self, outcomes: Sequence[DeliveryOutcome], at: datetime) -> None:
        """Records what became of offers; receipts are stored with their seals.

        A receipt wins over every other state, EXPIRED included; nothing wins over a receipt.
        """

    async def queues(self) -> Sequence[PeerQueue]:
        """What waits, by peer."""

    async def requeue_lost(self, agency: str, *, kept: EpochHead | None, epoch: bytes) -> int:
        """Queues again what ``agency`` acknowledged in seals that its journal left out.

        Args:
            kept: Head that the new epoch continues from; None: nothing was kept.
            epoch: The new epoch.

        Returns:
            How many deliveries are offered again.
        """

    async def adopt(
        self,
        envelope: SealedStatement,
        receipt: SealedStatement | None,
        record: bytes,
        at: datetime,
    ) -> bool:
        """Takes back an own envelope (and receipt) that a peer returned after a restore.

        Returns:
            False when it was here already.
        """


class Peers(Protocol):
    """What is known of other nodes."""

    async def peer_failed(
        self, agency: str, at: datetime, *, reason: str, message: str, next_at: datetime
    ) -> None:
        """Notes that a peer did not answer; its queue waits until ``next_at``."""

    async def peer_answered(self, agency: str, at: datetime) -> None:
        """Notes that a peer answered or said hello; its queue may go on at once."""

    async def end_waits(self, now: datetime) -> None:
        """Makes due whatever waits for its next attempt, of peers and of deliveries."""

    async def peer_statuses(self) -> Mapping[str, PeerStatus]:
        """Every peer ever met or tried."""

    async def journal_of(self, agency: str, below: bytes = ABOVE_ALL_EPOCHS) -> PeerJournal:
        """What is known of an agency's journal.

        Args:
            below: Only seals of epochs below this one count as the highest known.
        """

    async def note_opening(self, agency: str, opening: SealedStatement, at: datetime) -> bool:
        """Remembers the opening of an agency's newest epoch. Returns False for a lower epoch."""

    async def note_seal(self, agency: str, seal: SignedSeal, at: datetime) -> SignedSeal | None:
        """Stores a seal of another agency.

        Returns:
            Another seal stored under the same epoch and index, if there is one: both in hand
            prove two histories. They are kept as evidence.
        """


class Inbox(Protocol):
    """Documents on their way in."""

    async def known(
        self, keys: Sequence[tuple[str, MessageId]]
    ) -> Mapping[tuple[str, MessageId], KnownMessage]:
        """What is stored under (sender code, message id)."""

    async def keep(self, arrivals: Sequence[Arrival]) -> Sequence[KeepOutcome]:
        """Keeps arrivals, each once; they wait for the sealer and are not visible before.

        The stage of (signer, message id) ends with it; parts over ``INLINE_PART_BYTES`` are then
        in the blob folder and counted as used by it. Seals are stored as ``note_seal`` does.
        """

    async def lost_envelopes(
        self, agency: str, *, kept: EpochHead | None, epoch: bytes
    ) -> Sequence[tuple[SealedStatement, SealedStatement | None, bytes]]:
        """Envelopes of ``agency`` of its lost tail: envelope, receipt, record."""

    async def stage(
        self,
        sender: str,
        envelope: SealedStatement,
        parts: Sequence[StagedPart],
        at: datetime,
        expires: datetime,
    ) -> Sequence[StagedPart]:
        """Remembers an offer; returns its parts with the progress made so far.

        Args:
            sender: Agency that sealed the envelope. A part that this same agency delivered before
                is complete at once (never by what others delivered: possession must not be
                probed).
        """

    async def staged(self, sender: str, message_id: MessageId) -> Sequence[StagedPart]:
        """Progress of the parts of an offer; empty when none is known."""

    async def progress(self, part: StagedPart) -> None:
        """Notes how many bytes of a part are on disk, or that it is complete."""

    async def expired_stages(self, now: datetime) -> Sequence[StagedPart]:
        """Forgets offers whose lifetime ended; returns their parts so that files can be removed."""

    async def staged_bytes(self, sender: str) -> int:
        """Bytes reserved by a sender's unfinished offers."""


class SealerStore(Protocol):
    """What the sealer takes and gives. One sealer per agency: ``epoch`` is the fence."""

    async def last_head(self, agency: str) -> EpochHead | None:
        """Head of the newest epoch in this database, computed from the stored seals."""

    async def open_epoch(self, agency: str, epoch: bytes, at: datetime) -> None:
        """Takes the lease: from now on only commits of ``epoch`` succeed.

        Raises:
            EpochSupersededError: A newer epoch holds the lease.
        """

    async def unsealed(
        self, limit: int, looked_up_to: MutableMapping[Lane, str] | None = None
    ) -> Unsealed:
        """What waits to be sealed; at most ``limit`` statements and as many effects.

        When both wait, envelopes and receipts get at least half of the room each. What waits for
        one node holds up no other of its lane.

        Args:
            looked_up_to: By lane, behind which node the last look ended; changed by this one.
        """

    async def last_seqs(self, agency: str) -> Mapping[str, int]:
        """Highest seq given so far, by to_node."""

    async def commit_seal(self, commit: SealCommit) -> bool:
        """Commits a seal and all that is under it: deliveries queue, arrivals become visible.

        Returns:
            Whether all its deliveries wait now, with these envelopes.

        Raises:
            EpochSupersededError: Another epoch holds the lease; nothing was committed.
        """

    async def add_effect(self, salt: bytes, data: bytes) -> int:
        """Keeps a local effect for the journal."""

    async def own_statement(self, kind: str) -> SealedStatement | None:
        """The newest sealed statement of a kind (epoch, endpoint)."""

    async def own_statements(self, kind: str, limit: int) -> Sequence[SealedStatement]:
        """Sealed statements of a kind, the newest first."""

    async def receipts(self, ids: Sequence[IncomingId]) -> Mapping[IncomingId, SealedStatement]:
        """Sealed receipts of kept arrivals; those still waiting are absent."""


class Journals(Peers, SealerStore, Protocol):
    """What is known of the journals of all agencies, this one's own included."""


class Alarms(Protocol):
    """What a person must know; shown by ``status``. See ``domain.alarms``."""

    async def raise_alarm(
        self, kind: str, subject: str, message: str, at: datetime, proof: str = ""
    ) -> None:
        """Notes an alarm.

        Args:
            proof: Of what lasts; a new one makes a new alarm, the same one stays acknowledged if it
                was. Empty: the alarm ends by itself, and raising it again only updates it.
        """

    async def clear_alarm(self, kind: str, subject: str) -> None:
        """Ends an alarm that ends by itself; what lasts stays."""

    async def alarms(self) -> Sequence[Alarm]:
        """The alarms that have not ended and were not acknowledged, oldest first."""
