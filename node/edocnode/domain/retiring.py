"""When a node may end for good: what is still open on it, and what of that would be lost.

What stops a retirement is what this node has acknowledged, to its office or to a peer, and what
nobody else would do in its place. Whatever stays readable in the archive is told and stops
nothing, once a person has said that he knows.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from edoccore.directory.layout import WIND_UP, AgencyState
from edoccore.directory.view import Directory
from edoccore.signing.statements import time_text

RETIRED = "retired"  # why keys end, for all to read; never a compromise
AGAIN = "Start the node, let it finish, stop it, and run this again."


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenWork:
    """How much is open, of each kind.

    Attributes:
        unsealed: Received documents without their receipt, local acts the journal lacks.
        undelivered: Deliveries that are queued, under way, waiting or to be sent later; statuses,
            revocations and what goes to the node of a successor among them.
        held: Deliveries that wait for a person.
        arriving: Offers whose parts are on their way.
        damaged: Parts and documents that are asked for again from peers.
        undestroyed: Documents that were taken back, whose files still lie here.
        asked: Revocations and updates that wait for a clerk's answer.
        unscanned: Received documents that wait for the scanner, so that nobody has seen them.
        quarantined: Documents that are infected, or could not be scanned.
        undecided: Received documents that nobody has decided about.
        due: Received documents with a due date that nobody has finished.
        unanswered: Delivered documents whose recipients have not yet told what became of them.
    """

    unsealed: int = 0
    undelivered: int = 0
    held: int = 0
    arriving: int = 0
    damaged: int = 0
    undestroyed: int = 0
    asked: int = 0
    unscanned: int = 0
    quarantined: int = 0
    undecided: int = 0
    due: int = 0
    unanswered: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenItem:
    """One kind of open work.

    Attributes:
        code: For programs.
        count: How many; 0 for what is no number.
        stops: Whether the node may not end before it is done.
        message: For people.
        hint: What to do.
    """

    code: str
    count: int
    stops: bool
    message: str
    hint: str


def open_items(
    work: OpenWork, directory: Directory, agency: str, now: datetime
) -> Sequence[OpenItem]:
    """All that is open, what stops the retirement first."""
    found = [
        *_of_life(directory, agency, now),
        *_owed(work),
        *_undone(work),
        *_left(work),
    ]
    return sorted(found, key=lambda item: not item.stops)


def may_end(items: Sequence[OpenItem]) -> bool:
    """Whether nothing that was acknowledged would be lost."""
    return not any(item.stops for item in items)


def _of_life(directory: Directory, agency: str, now: datetime) -> Iterator[OpenItem]:
    """What the directory says of the agency's own end."""
    moment = directory.not_before(now)
    owner, end = directory.ownership.owners.get(agency), directory.end_of(agency)
    if owner is None:
        return
    if owner.state is AgencyState.SUSPENDED:
        yield OpenItem(
            code="suspended",
            count=0,
            stops=True,
            message=f"{agency} is suspended, so the registry would not hear its word.",
            hint=f"Ask the registry's officers to end the suspension, or to end the keys "
            f"themselves: edocregistry revoke {agency}",
        )
    elif end is None or moment < end:
        yield OpenItem(
            code="agency_goes_on",
            count=0,
            stops=False,
            message=f"{agency} has not ended in the directory: peers will go on writing to it, and "
            f"their documents wait until they expire.",
            hint=f"Ask the registry's officers first: edocregistry agency close {agency}, or merge",
        )
    elif moment < end + WIND_UP:
        yield OpenItem(
            code="winding_up",
            count=0,
            stops=False,
            message=f"{agency} winds up until {time_text(end + WIND_UP)}; peers may still ask for "
            f"answers and parts until then.",
            hint="Better wait until then.",
        )


def _owed(work: OpenWork) -> Iterator[OpenItem]:
    """What was acknowledged, to the office or to a peer, and would be lost."""
    if work.unsealed:
        yield _stop(
            "unsealed",
            work.unsealed,
            f"{work.unsealed} receipts or entries of the journal are not sealed.",
        )
    if work.undelivered:
        yield _stop(
            "undelivered",
            work.undelivered,
            f"{work.undelivered} deliveries have not arrived; statuses and revocations count too.",
            f"See: edocnode outbox --state queued. Take back what shall not go: edocnode revoke "
            f"ID. {AGAIN}",
        )
    if work.held:
        yield _stop(
            "held",
            work.held,
            f"{work.held} deliveries are held and wait for a person.",
            "See: edocnode outbox --state held. Start the node; then edocnode retry ID, or "
            "edocnode revoke ID.",
        )


def _undone(work: OpenWork) -> Iterator[OpenItem]:
    """What nobody else would do."""
    if work.damaged:
        yield _stop(
            "damaged",
            work.damaged,
            f"{work.damaged} parts are damaged here and asked for again from peers.",
        )
    if work.undestroyed:
        yield _stop(
            "undestroyed",
            work.undestroyed,
            f"Files of {work.undestroyed} documents that were taken back still lie here.",
        )
    if work.asked:
        yield _stop(
            "asked",
            work.asked,
            f"{work.asked} revocations or updates wait for a clerk's answer.",
            "Start the node; then edocnode agree ID, or edocnode decline ID.",
        )
    if work.unscanned:
        yield _stop(
            "unscanned",
            work.unscanned,
            f"{work.unscanned} received documents wait for the malware scanner; nobody has seen "
            f"them.",
        )


def _left(work: OpenWork) -> Iterator[OpenItem]:
    """What stays in the archive as it is, or at a peer."""
    if work.arriving:
        yield _tell(
            "arriving",
            work.arriving,
            f"{work.arriving} documents were on their way here; their senders keep them.",
            AGAIN,
        )
    if work.quarantined:
        yield _tell(
            "quarantined",
            work.quarantined,
            f"{work.quarantined} received documents are in quarantine and stay there.",
            "Those that are no malware: start the node, then edocnode quarantine release ID.",
        )
    if work.undecided:
        yield _tell(
            "undecided",
            work.undecided,
            f"Nobody has decided about {work.undecided} received documents; their senders will "
            f"never be told more than that they arrived.",
            "See: edocnode inbox --state received",
        )
    if work.due:
        yield _tell(
            "due",
            work.due,
            f"{work.due} received documents with a due date are not finished.",
            "See: edocnode late",
        )
    if work.unanswered:
        yield _tell(
            "unanswered",
            work.unanswered,
            f"Recipients of {work.unanswered} delivered documents have not told what became of "
            f"them; what they tell later goes nowhere.",
            "See: edocnode late",
        )


def _stop(code: str, count: int, message: str, hint: str = AGAIN) -> OpenItem:
    return OpenItem(code=code, count=count, stops=True, message=message, hint=hint)


def _tell(code: str, count: int, message: str, hint: str) -> OpenItem:
    return OpenItem(code=code, count=count, stops=False, message=message, hint=hint)
