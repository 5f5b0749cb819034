"""Whether a received document is shown: what a scanner found in it. Rules, and the ports they need.

Three answers, never two: clean, infected, not scanned. What was not scanned is not clean: it waits
for an administrator. A scanner that is away, or that cannot be trusted, says nothing at all: what
came meanwhile waits for it. No verdict is for ever, since signatures of malware change: nothing is
discarded for one, and each can be asked for again. Only an administrator discards, for good.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol

from edoccore.errors import DecisionConflictError, DocumentUnknownError
from edoccore.office_errors import DocumentQuarantinedError
from edoccore.signing import canonical
from edoccore.signing.encryption import PartPlace
from edoccore.signing.records import DocumentState, StatusStep
from edoccore.signing.statements import Effect, time_text, uuid_text
from edocnode.domain.model import DocumentId, IncomingId, Lane, MessageId
from edocnode.domain.office_model import StepPlan, Subject
from edocnode.domain.workflow import Step, timeline, workflow_of

ACTOR = "edocnode scan"  # who rejects, and takes that back, when nobody is asked
MALWARE = "MALWARE"  # codes of rejections, see ``domain.reasons``
OTHER = "OTHER"
RELEASED = "scan.released"  # kinds of effects in the journal
INFECTED = "scan.infected"
DISCARDED = "scan.discarded"
MOST_BREAKS = 3  # scans of one document that nobody survived or finished
_BREAK_WAIT = timedelta(seconds=2)  # after the first; doubled each time
_LIMITS = "Heuristics.Limits.Exceeded"  # clamd, with AlertExceedsMax
_ENCRYPTED = "Heuristics.Encrypted"  # clamd, with AlertEncrypted


class ScanState(StrEnum):
    """Where the scan of an arrival stands."""

    WAITING = "waiting"
    AGAIN = "again"  # the scanner broke while it had it
    CLEAN = "clean"
    INFECTED = "infected"
    HELD = "held"  # not scanned: an administrator decides
    RELEASED = "released"  # by an administrator


_APART = (ScanState.INFECTED, ScanState.HELD)


class Cause(StrEnum):
    """Why an arrival is not clean."""

    MALWARE = "malware"
    TOO_LARGE = "too_large"  # for the setting
    OVER_LIMIT = "over_limit"
    ENCRYPTED = "encrypted"
    NOT_DECRYPTED = "not_decrypted"  # it was encrypted to a key that is not here
    REFUSED = "refused"
    BROKE = "broke"
    FAILED = "failed"  # this program could not judge it, by a fault of its own


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What is wrong with one part.

    Attributes:
        detail: Name of the malware, or what the scanner said; may be empty.
    """

    cause: Cause
    part: int
    name: str
    detail: str

    @property
    def is_malware(self) -> bool:
        """Whether it is known to be bad, and not only unknown."""
        return self.cause is Cause.MALWARE


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanPart:
    """A part to be scanned; ``data`` is empty when it lies in the folder of parts.

    Attributes:
        encrypted: Where it belongs, when it is to be decrypted for the scan; None: it is not
            encrypted.
    """

    index: int
    name: str
    size: int
    sha256: str
    data: bytes
    encrypted: PartPlace | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanJob:
    """An arrival that waits for its scan.

    Attributes:
        shown: Offices see it already.
        blocked: Its content is given to nobody.
        steps: Taken here with it.
    """

    subject: Subject
    parts: tuple[ScanPart, ...]
    shown: bool
    blocked: bool
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """An arrival whose turn may come.

    Attributes:
        breaks: Scans of it that the scanner, or this program, did not survive or finish.
    """

    incoming_id: IncomingId
    sender: str
    lane: Lane
    breaks: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanOutcome:
    """What a scan or an administrator decided about an arrival, and all that is kept with it.

    Attributes:
        finding: Absent when it is clean or released.
        scanner: Version of the scanner and its signatures; empty when a person decided.
        plan: What its sender is told; None: nothing.
        effect: For the journal; None: nothing.
    """

    subject: Subject
    state: ScanState
    at: datetime
    finding: Finding | None = None
    scanner: str = ""
    plan: StepPlan | None = None
    effect: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Discard:
    """That what is kept apart is destroyed, and all that is kept with it.

    Attributes:
        plan: What its sender is told; None: it has left the directory.
        effect: For the journal.
    """

    subject: Subject
    at: datetime
    plan: StepPlan | None
    effect: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanEntry:
    """An arrival as an administrator sees it.

    Attributes:
        place: Pages go on after it.
        scanned_at: Absent before its first scan, and when a person decided alone.
    """

    place: int
    document_id: DocumentId
    message_id: MessageId
    sender: str
    recipient: str
    state: ScanState
    shown: bool
    blocked: bool
    received_at: datetime
    scanned_at: datetime | None
    finding: Finding | None
    scanner: str


def judge_finding(name: str) -> Cause:
    """What the name of a finding means: some names say only that a limit ended the scan."""
    if name.startswith(_LIMITS):
        return Cause.OVER_LIMIT
    return Cause.ENCRYPTED if name.startswith(_ENCRYPTED) else Cause.MALWARE


def state_for(finding: Finding | None) -> ScanState:
    """Where an arrival stands after its scan."""
    if finding is None:
        return ScanState.CLEAN
    return ScanState.INFECTED if finding.is_malware else ScanState.HELD


def unjudged(why: str) -> Finding:
    """What is kept of an arrival that this program could not judge.

    Args:
        why: The error, in a few words; its traceback is in the log.
    """
    return Finding(cause=Cause.FAILED, part=0, name="", detail=why)


def worse(one: Finding | None, other: Finding | None) -> Finding | None:
    """The one of two findings of a document that decides; the first of two alike."""
    if one is None or other is None:
        return one or other
    return other if other.is_malware and not one.is_malware else one


def break_wait(breaks: int) -> timedelta:
    """How long an arrival waits after so many scans that broke."""
    return _BREAK_WAIT * (1 << (breaks - 1))


def rejection(job: ScanJob, finding: Finding, at: datetime) -> Step | None:
    """The step that tells the sender of malware; None when somebody deals with it already."""
    workflow = workflow_of(job.steps)
    if workflow.state is not DocumentState.RECEIVED:
        return None
    return Step(
        order=workflow.order + 1,
        step=StatusStep.REJECTED,
        state=DocumentState.REJECTED,
        actor=ACTOR,
        at=at,
        code=MALWARE,
        reason=f"Tệp {finding.name} có mã độc {finding.detail}. Văn bản được giữ riêng, chưa ai "
        f"xem. (File {finding.name} has malware {finding.detail}. The document is kept apart and "
        f"was shown to nobody.)",
    )


def withdrawal(job: ScanJob, actor: str, at: datetime) -> Step | None:
    """The step that takes such a rejection back; None when there is none to be taken back."""
    known = timeline(job.steps)
    if not known or (known[-1].step, known[-1].code) != (StatusStep.REJECTED, MALWARE):
        return None
    return Step(
        order=known[-1].order + 1,
        step=StatusStep.RECEIVED,
        state=DocumentState.RECEIVED,
        actor=actor,
        at=at,
    )


def discarding(
    job: ScanJob, state: ScanState, *, actor: str, reason: str, at: datetime
) -> Step | None:
    """The step that tells the sender that a document is rejected for good.

    Args:
        state: Where its scan stands: what is infected is told so, what was only held is not.

    Returns:
        None when somebody dealt with the document in another way.
    """
    workflow = workflow_of(job.steps)
    if workflow.state not in (DocumentState.RECEIVED, DocumentState.REJECTED):
        return None
    return Step(
        order=workflow.order + 1,
        step=StatusStep.REJECTED,
        state=DocumentState.REJECTED,
        actor=actor,
        at=at,
        code=MALWARE if state is ScanState.INFECTED else OTHER,
        reason=f"Nội dung đã bị hủy, chưa ai xem. (The content was destroyed and shown to nobody.) "
        f"{reason}",
    )


def scan_effect(
    kind: str, subject: Subject, *, network: str, agency: str, actor: str, detail: str, at: datetime
) -> bytes:
    """The leaf of the journal about a finding, a release, or what was discarded.

    Args:
        kind: ``INFECTED``, ``RELEASED`` or ``DISCARDED``.
        actor: Who decided it.
        detail: What was found, or why it is released or discarded.
    """
    effect = Effect(
        network=network,
        agency=agency,
        kind=kind,
        subject=uuid_text(subject.message_id),
        actor=actor,
        time=time_text(at),
        detail=detail,
    )
    return canonical.encode(effect)


def may_release(entry: ScanEntry | None, message_id: MessageId) -> bool:
    """Whether an administrator may let an arrival through; False: it is let through already.

    Raises:
        DocumentUnknownError: It was never to be scanned.
        DecisionConflictError: It still waits for its scan.
    """
    if entry is None:
        raise _not_kept_apart(message_id)
    if entry.blocked:
        _check_was_scanned(entry)
    return entry.state in _APART


def check_may_discard(entry: ScanEntry | None, message_id: MessageId) -> ScanEntry:
    """Lets an administrator discard what is kept apart and was shown to nobody.

    Raises:
        DocumentUnknownError: It was never to be scanned.
        DecisionConflictError: It still waits for its scan, was let through, or was shown.
    """
    if entry is None:
        raise _not_kept_apart(message_id)
    _check_was_scanned(entry)
    told = uuid_text(message_id)
    if entry.state not in _APART:
        raise DecisionConflictError(
            f"Message {told} is not kept apart any more: its document is shown, and offices decide "
            "on it.",
            hint="See: edocnode quarantine list",
            message_id=told,
            state=entry.state,
        )
    if entry.shown:
        raise DecisionConflictError(
            f"The document of message {told} had been shown before malware was found in it, so it "
            "stays until its time of keeping is over; its content is given to nobody.",
            hint="See: edocnode retention due",
            message_id=told,
            state=entry.state,
        )
    return entry


def _not_kept_apart(message_id: MessageId) -> DocumentUnknownError:
    told = uuid_text(message_id)
    return DocumentUnknownError(
        f"Message {told} is not kept apart.",
        hint="See: edocnode quarantine list",
        message_id=told,
    )


def kept_back(document_id: DocumentId, state: ScanState) -> DocumentQuarantinedError:
    """What an office is told that asks for a document of its own that nobody was shown.

    Args:
        state: Where its scan stands.
    """
    told = uuid_text(document_id)
    if state in (ScanState.WAITING, ScanState.AGAIN):
        return DocumentQuarantinedError(
            f"Document {told} has arrived and waits for its scan for malware; it is shown when it "
            f"is found clean.",
            hint="If it takes long, the administrator sees why: edocnode status",
            document_id=told,
            state=state,
        )
    message = f"Document {told} has arrived and is in quarantine: it could not be scanned."
    if state is ScanState.INFECTED:
        message = (
            f"Document {told} has arrived and is in quarantine: malware was found in it, and its "
            f"sender was told."
        )
    return DocumentQuarantinedError(
        message,
        hint="The administrator sees why, and decides: edocnode quarantine list; then edocnode "
        "scan ID, edocnode quarantine release ID or edocnode quarantine discard ID",
        document_id=told,
        state=state,
    )


def _check_was_scanned(entry: ScanEntry) -> None:
    if entry.state in (ScanState.WAITING, ScanState.AGAIN):
        told = uuid_text(entry.message_id)
        raise DecisionConflictError(
            f"Message {told} still waits for its scan.",
            hint="See why: edocnode status. Turning the scanner off shows what waits.",
            message_id=told,
            state=entry.state,
        )


class ScanStore(Protocol):
    """What waits for its scan and what was found; each method is one transaction."""

    async def next_scans(self, limit: int, *, after: Mapping[int, str]) -> Sequence[Waiting]:
        """What is to be scanned next, urgent first, in turns between senders.

        Args:
            after: By lane, behind which sender to begin.
        """

    async def broken_scans(self, now: datetime) -> Waiting | None:
        """What broke the scanner before and whose time has come."""

    async def scan_job(self, incoming_id: IncomingId) -> ScanJob | None:
        """An arrival with its parts; None when it does not wait any more."""

    async def settle_scan(self, outcome: ScanOutcome, salts: Sequence[bytes]) -> bool:
        """Keeps an outcome with all that follows from it; False when it did not wait any more."""

    async def scan_broke(self, incoming_id: IncomingId, *, breaks: int, again_at: datetime) -> None:
        """Lets an arrival wait after a scan that the scanner did not survive or finish."""

    async def hold_unjudged(self, incoming_id: IncomingId, finding: Finding, at: datetime) -> bool:
        """Holds an arrival that could not be judged; False when it did not wait any more.

        Reads nothing of what it brought, shows nothing, and lets nothing through that was blocked.
        """

    async def show_unscanned(self, limit: int) -> int:
        """Shows what waits for a scanner that is no longer wanted; returns how many."""

    async def waiting_scans(self) -> int:
        """How many arrivals wait for their scan."""


class Quarantine(Protocol):
    """What administrators see and decide; each method is one transaction."""

    async def scans(self, after: int, limit: int) -> Sequence[ScanEntry]:
        """Arrivals that are infected or held, oldest first."""

    async def scan_entry(self, message_id: MessageId) -> ScanEntry | None:
        """The scan of a received message; None when there is none."""

    async def received_named(self, text: str) -> Sequence[MessageId]:
        """Messages that brought the document, or the version, that an id or its beginning names.

        Raises:
            DocumentUnknownError, IdAmbiguousError, RequestInvalidError: None or several.
        """

    async def scan_subject(self, message_id: MessageId) -> ScanJob | None:
        """A received message that is kept apart, for a decision on it."""

    async def release_scan(self, outcome: ScanOutcome, salts: Sequence[bytes]) -> bool:
        """Lets an arrival through; False when something changed meanwhile."""

    async def discard(self, discard: Discard, salts: Sequence[bytes]) -> bool:
        """Destroys what is kept apart; False when something changed meanwhile.

        Raises:
            DocumentHeldError: A hold keeps it.
        """

    async def is_destroyed(self, message_id: MessageId) -> bool:
        """Whether the content of a received message was destroyed."""

    async def scan_again(self, message_ids: Sequence[MessageId]) -> int:
        """Lets received documents wait for a scan, shown or not; returns how many."""

    async def scan_all_again(self, after: int, until: datetime) -> tuple[int, int | None]:
        """The same of a bounded piece of all that is here; returns how many, and the next place."""
