"""Alarms: what a person must know, which of them last, and what acknowledging one covers.

Two kinds of things are told. What is wrong now, such as a clock or a scanner, ends by itself when
it is right again. What has happened, such as two signed directories of one version, nothing undoes:
such an alarm lasts, has a proof, and a person acknowledges it. Each proof is an alarm of its own,
so an acknowledgement covers one proof and no other, over restarts too.

Nothing is decided by whether an alarm was acknowledged: that is for people alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import sha256
from typing import Protocol

from edoccore.alarm_errors import AlarmEndsError, AlarmUnknownError
from edoccore.errors import MessageConflictError, RequestInvalidError

MOST_OPEN = 8  # proofs of one kind and subject; whoever makes thousands is one trouble
MAX_PROOF = 200  # characters
ID_DIGITS = 12
ACKNOWLEDGED = "alarm.acknowledged"  # kind of the effect

LASTING: Mapping[str, str] = {  # what to do before it is acknowledged
    "TWO_DIRECTORIES": (
        "Give the proof to the registry's officers; acknowledge it when they have told what "
        "happened."
    ),
    "LOG_FORKED": (
        "Give the proof to the registry's officers; acknowledge it when they have told what "
        "happened. This node goes on refusing that log."
    ),
    "LOG_REPLACED": (
        "Ask the registry's officers whether there was a restore; the old log is kept in "
        "directory/old-logs."
    ),
    "LOG_WEAKENED": (
        "Ask the registry's officers whether it was them; acknowledge it when they have confirmed "
        "it."
    ),
    "JOURNAL_ALTERED": (
        "Ask that agency's operator what was done to its data; acknowledge it when it is "
        "explained. Both seals are kept."
    ),
    "TWO_HISTORIES": (
        "Ask that agency's operator whether two copies of its node run; acknowledge it when one "
        "has been stopped. Both seals are kept."
    ),
    "DOCUMENT_GONE": (
        "Restore the messages from a backup, or have the agency send the documents again; then "
        "acknowledge it."
    ),
    MessageConflictError.reason: (
        "Ask the sender which of the two contents is right; then acknowledge it. Both envelopes "
        "are kept."
    ),
}
ENDING: Mapping[str, str] = {  # what ends it
    "ACCESS_HISTORY_LOST": (
        "It ends with the next start of this node; the access history says what was lost."
    ),
    "CLOCK_SKEW": "It ends at the next meeting at which the two clocks agree.",
    "DIRECTORY_EMERGENCY": "It ends with the next directory that the officers sign.",
    "DIRECTORY_ENDS_SOON": "It ends with the next directory that the officers sign.",
    "DIRECTORY_EXPIRED": "It ends with the next directory that holds, or an extension.",
    "DIRECTORY_INVALID": "It ends when its source offers a directory that holds.",
    "DIRECTORY_STALE": "It ends when the registry is reached again.",
    "ENCRYPTION_KEY_LOST": (
        "It ends when the key can be used again, or was given up. See: edocnode doctor"
    ),
    "EPOCH_SUPERSEDED": ("Stop the other copy of this node; it ends with: edocnode takeover --yes"),
    "LOG_INVALID": "It ends when the registry serves the log that it signed.",
    "LOG_MISSING": "It ends when the log covers the directory in force.",
    "LOG_WITNESS": "It ends when this witness cosigns again. See: edocnode witness show",
    "OWN_ENTRY_CHANGED": (
        "It ends when the directory has it no more or, for codes, with: edocnode directory accept "
        "--yes"
    ),
    "OWN_TAIL_LOST": "It ends when that agency has given back what it holds.",
    "PART_DAMAGED": "It ends when the part is whole again, or its document is destroyed.",
    "PEER_SUSPENDED": "It ends when that agency has been quiet for a while.",
    "QUARANTINED": "It ends when nothing is kept apart. See: edocnode quarantine list",
    "SCANNER_AWAY": "It ends when the scanner works again. See: edocnode doctor",
    "SEALER_STOPPED": "It ends with the next seal. See: edocnode doctor",
    "SEAL_ENDS": "It ends when the next seal certificate is in force.",
    "SEAL_WAITS_FOR_OFFICERS": "It ends when the officers have published the certificate.",
    "SEQUENCE_GAP": (
        "It ends when the numbers have arrived, or their sender has said that they will not."
    ),
    "SET_ASIDE": "It ends when what was set aside has been dealt with.",
    "SIGNATURES_NOT_CHECKED": (
        "It ends when every document has its verdict: edocnode signatures recheck ID"
    ),
    "SUBAGENCY_REFUSED": (
        "It ends with the next list that the registry takes. See: edocnode subagency list"
    ),
    "TAIL_LOST": "It ends when that agency has fetched what it had lost.",
    "reminder.failing": "It ends with the next reminder that is taken.",
    "statistics.failing": "It ends when the statistics have been handed in.",
    "timestamps.behind": "It ends with the next timestamp. See: edocnode doctor",
}
_ENDS = "It ends by itself when its cause is gone."


@dataclass(frozen=True, slots=True, kw_only=True)
class Acknowledgement:
    """That a person has seen to what an alarm tells of; never deleted."""

    actor: str
    reason: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """Something a person must know.

    Attributes:
        kind: Reason code, such as EPOCH_SUPERSEDED.
        subject: Agency or document concerned.
        since: When it was first raised.
        last_at: When it was raised last.
        times: How often.
        proof: What proves it: digests or ids, divided by blanks, at most ``MAX_PROOF`` characters;
            empty: it ends by itself.
        acknowledged: None: it is open.
    """

    kind: str
    subject: str
    message: str
    since: datetime
    last_at: datetime
    times: int = 1
    proof: str = ""
    acknowledged: Acknowledgement | None = None

    @property
    def id(self) -> str:
        """Names this proof of this kind and subject: ``ID_DIGITS`` hex digits."""
        named = f"{self.kind}\0{self.subject}\0{self.proof}"
        return sha256(named.encode()).hexdigest()[:ID_DIGITS]

    @property
    def is_open(self) -> bool:
        """Whether a person must still see to it."""
        return self.acknowledged is None


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """What came of acknowledging.

    Attributes:
        alarm: With the acknowledgement in force.
        repeated: That is an earlier one; nothing was changed.
    """

    alarm: Alarm
    repeated: bool


class AlarmBook(Protocol):
    """Where an administrator finds alarms and acknowledges them; each method is one transaction."""

    async def every_alarm(self) -> Sequence[Alarm]:
        """The alarms that have not ended, those that were acknowledged too, oldest first."""

    async def acknowledge(
        self, alarm: Alarm, word: Acknowledgement, *, salt: bytes, effect: bytes
    ) -> Acknowledged | None:
        """Acknowledges an alarm that lasts, and keeps the effect for the journal.

        Returns:
            None: it is there no more, another proof has taken its place.
        """


@dataclass(frozen=True, slots=True)
class Change:
    """What raising an alarm does to those of its kind and subject.

    Attributes:
        put: To be kept in the place of the one with the same proof, if there is one.
        gone: To be removed: ``put`` stands for it as well.
    """

    put: Alarm
    gone: Alarm | None = None


def raised(known: Sequence[Alarm], new: Alarm) -> Change:
    """Decides what becomes of an alarm that is raised.

    The same proof again stays what it is, open or acknowledged; another one is open. Of one kind
    and subject at most ``MOST_OPEN`` are open: the newest stands for all that come after it, so
    nobody fills the list, and what is acknowledged is never what nobody saw.

    Args:
        known: All of its kind and subject.
        new: Raised for the first time, as far as it knows.
    """
    same = next((item for item in known if item.proof == new.proof), None)
    if same is not None:
        message = same.message if same.proof else new.message  # that of a proof names what proves
        return Change(replace(same, message=message, last_at=new.last_at, times=same.times + 1))
    still_open = [item for item in known if item.proof and item.is_open]
    if len(still_open) < MOST_OPEN:
        return Change(new)
    last = max(still_open, key=lambda item: (item.since, item.times))
    return Change(replace(new, since=last.since, times=last.times + 1), gone=last)


def check_raise(kind: str, proof: str) -> None:
    """Checks that what lasts has a proof, and that nothing else has.

    Raises:
        ValueError: The program raises it wrongly.
    """
    if (kind in LASTING) != bool(proof) or len(proof) > MAX_PROOF:
        raise ValueError(f"{kind} was raised with the proof {proof!r}")


def proof_of(*artefacts: str) -> str:
    """The proof that some artefacts make together, whatever their order.

    Args:
        artefacts: Digests or ids, without blanks.
    """
    return " ".join(sorted(artefacts))


def digest_of(*facts: object) -> str:
    """A proof of what has no digest of its own: SHA-256 over numbers, texts, bytes or tuples."""
    return sha256(repr(facts).encode()).hexdigest()


def advice(kind: str) -> str:
    """What ends an alarm, or what to do before it is acknowledged."""
    return LASTING.get(kind) or ENDING.get(kind, _ENDS)


def evidence_command(alarm: Alarm) -> str:
    """The command that writes its proof into a file; empty: there is none."""
    if alarm.kind == "TWO_DIRECTORIES":
        version = alarm.subject.rpartition(" ")[2]
        return f"edocnode directory evidence {version} --out FILE"
    return "edocnode directory evidence --log --out FILE" if alarm.kind == "LOG_FORKED" else ""


def chosen(
    alarms: Sequence[Alarm], *, alarm_id: str = "", kind: str = "", subject: str = ""
) -> Alarm:
    """The one alarm that a person wants to acknowledge; perhaps it was acknowledged before.

    Args:
        alarms: All.
        alarm_id: Its id; empty: kind and subject name it.

    Raises:
        AlarmUnknownError: There is none.
        AlarmEndsError: It ends by itself.
        RequestInvalidError: More than one is open; each has a proof of its own.
    """
    if alarm_id:
        found, named = [item for item in alarms if item.id == alarm_id], alarm_id
    else:
        found = [item for item in alarms if (item.kind, item.subject) == (kind, subject)]
        named = f"{kind} ({subject})"
    if not found:
        raise AlarmUnknownError(
            f"There is no alarm {named[:200]}.", hint="See: edocnode alarms list"
        )
    if (ending := next((item for item in found if not item.proof), None)) is not None:
        raise AlarmEndsError(
            f"The alarm {ending.kind} ({ending.subject}) cannot be acknowledged: it ends by "
            f"itself.",
            hint=advice(ending.kind),
        )
    still_open = [item for item in found if item.is_open]
    if len(still_open) > 1:
        raise RequestInvalidError(
            f"{len(still_open)} alarms {named[:200]} are open, each with a proof of its own.",
            hint="Acknowledge each by its id; see: edocnode alarms list --open",
        )
    return next(iter(still_open or found[-1:]))
