"""Reminders: what is told to people beside the office's own lists, and in which words.

A digest says how many documents are late or have come most urgently, and of the first ones number,
subject, other agency and deadline, never more of their content. Vietnamese first, English below.
A digest is told once for each outlet and document; what failed is tried again later.
"""

import unicodedata
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol

from edocnode.domain.calendar import VIET_NAM
from edocnode.domain.model import MessageId

LISTED = 20  # documents in a digest; then how many more there are
SMS_UNITS = 70  # UTF-16 units of a message in one part
SMS_PART_UNITS = 67  # of one in several parts, beside the header that joins them
SMS_PARTS = 6  # at most
_UDH = bytes((5, 0, 3))  # length, concatenated short message, length: 3GPP TS 23.040, 9.2.3.24.1
_LAST_OF_ONE_UNIT = 0xFFFF
_FIRST_WAIT = timedelta(minutes=1)
_LONGEST_WAIT = timedelta(hours=1)


class ReminderKind(StrEnum):
    """Why somebody is reminded; the last four are those of ``domain.late``."""

    ARRIVED = "arrived"  # most urgent, and nobody has accepted it yet
    UNDELIVERED = "undelivered"
    UNANSWERED = "unanswered"
    UNDECIDED = "undecided"
    OVERDUE = "overdue"


_VIETNAMESE = {
    ReminderKind.ARRIVED: "Hỏa tốc mới đến",
    ReminderKind.UNDELIVERED: "Đã gửi, chưa đến nơi nhận",
    ReminderKind.UNANSWERED: "Đã đến, nơi nhận chưa tiếp nhận",
    ReminderKind.UNDECIDED: "Đã nhận, chưa tiếp nhận hoặc trả lại",
    ReminderKind.OVERDUE: "Quá hạn xử lý",
}
_ENGLISH = {
    ReminderKind.ARRIVED: "Most urgent, just arrived",
    ReminderKind.UNDELIVERED: "Sent, not delivered",
    ReminderKind.UNANSWERED: "Delivered, not accepted there",
    ReminderKind.UNDECIDED: "Received, not accepted or refused",
    ReminderKind.OVERDUE: "Over the due date",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ReminderItem:
    """A document that somebody is reminded of.

    Attributes:
        agency: Own agency.
        peer: The other one.
        due: The deadline; None: at once.
    """

    kind: ReminderKind
    message_id: MessageId
    agency: str
    peer: str
    number: str
    notation: str
    subject: str
    due: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Digest:
    """What one outlet is told at once.

    Attributes:
        agency: Whose node tells it.
        title: One line.
        text: All, for people.
        short: For a telephone.
        items: What it is about.
    """

    agency: str
    title: str
    text: str
    short: str
    items: tuple[ReminderItem, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlet:
    """To whom something is told, and what.

    Attributes:
        name: Remembers what was told; unique.
        agency: Only documents of this own agency; empty: of all.
        with_subject: Subjects of documents may leave the node this way.
    """

    name: str
    kinds: Collection[ReminderKind]
    agency: str
    with_subject: bool


class ChannelFailedError(Exception):
    """A channel did not take a digest; the message says why."""


class Channel(Protocol):
    """A way to people."""

    async def tell(self, digest: Digest) -> str:
        """Tells a digest.

        Returns:
            Which of several recipients did not get it, and why; empty when all did.

        Raises:
            ChannelFailedError: Nobody got it; it is told again later.
        """


class ReminderStore(Protocol):
    """What was told."""

    async def untold(self, outlet: str, items: Sequence[ReminderItem]) -> Sequence[ReminderItem]:
        """Those that an outlet was not told of."""

    async def note_told(self, outlet: str, items: Sequence[ReminderItem], at: datetime) -> None:
        """Remembers that an outlet was told."""

    async def urgent_arrivals(self, limit: int) -> Sequence[ReminderItem]:
        """The newest arrivals of ``hoa_toc`` that nobody has accepted or refused."""


def digest_of(items: Sequence[ReminderItem], outlet: Outlet, agency: str) -> Digest:
    """Words what an outlet is told.

    Args:
        agency: That owns the node.
    """
    counts = {kind: sum(item.kind is kind for item in items) for kind in ReminderKind}
    vi = "; ".join(f"{_VIETNAMESE[kind]}: {count}" for kind, count in counts.items() if count)
    en = "; ".join(f"{_ENGLISH[kind]}: {count}" for kind, count in counts.items() if count)
    lines = [_line(item, outlet.with_subject) for item in items[:LISTED]]
    left = len(items) - LISTED
    more = [f"... và {left} văn bản khác / and {left} more"] if left > 0 else []
    see = "Xem / See: edocnode late, edocnode inbox"
    return Digest(
        agency=agency,
        title=_one_line(f"[edocnode {agency}] {vi}"),
        text="\n".join([vi, en, "", *lines, *more, "", see]) + "\n",
        short=f"edocnode {agency}: {vi}. {_line(items[0], outlet.with_subject)}",
        items=tuple(items),
    )


def wait_after(failures: int) -> timedelta:
    """How long an outlet is left alone after so many failures in a row."""
    return min(_FIRST_WAIT * (1 << min(failures - 1, 10)), _LONGEST_WAIT)


def short_messages(text: str, reference: int) -> list[bytes]:
    """A text as UCS-2 short messages; with a header that joins them when there are several.

    A text that is too long for ``SMS_PARTS`` ends with "…", behind a whole letter with its marks.

    Args:
        reference: 0 to 255, the same for all parts of a text.

    Source: SMPP 3.4, 5.2.19 (data coding 8); 3GPP TS 23.040, 9.2.3.24.1.
    """
    data = _shortened(text).encode("utf-16-be")
    if len(data) <= SMS_UNITS * 2:
        return [data]
    parts: list[bytes] = []
    while data:
        size = SMS_PART_UNITS * 2
        if len(data) > size and 0xD8 <= data[size - 2] <= 0xDB:
            size -= 2  # the first half of a pair stays with its second
        parts.append(data[:size])
        data = data[size:]
    head = _UDH + bytes((reference, len(parts)))
    return [head + bytes((place,)) + part for place, part in enumerate(parts, 1)]


def _shortened(text: str) -> str:
    most = SMS_PARTS * SMS_PART_UNITS - SMS_PARTS  # a part ends before a pair that has no room
    if len(text.encode("utf-16-be")) <= most * 2:
        return text
    units, end = 0, 0
    for place, letter in enumerate(text):
        if not unicodedata.combining(letter):
            end = place  # of the letter before, marks included
        units += 2 if ord(letter) > _LAST_OF_ONE_UNIT else 1
        if units > most - 1:
            break
    return text[:end] + "…"


def _line(item: ReminderItem, with_subject: bool) -> str:
    number = "/".join(filter(None, (item.number, item.notation))) or "không số"
    due = "" if item.due is None else f"hạn {item.due.astimezone(VIET_NAM):%H:%M %d/%m/%Y}"
    subject = _one_line(item.subject) if with_subject else ""
    words = (f"{_one_line(number)} ({item.peer})", subject, due)
    return "- " + ", ".join(filter(None, words))


def _one_line(text: str) -> str:
    """Text of another agency in which nothing breaks out of its line."""
    return "".join(letter if letter.isprintable() else " " for letter in text)[:300]
