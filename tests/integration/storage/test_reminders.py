"""People are told once, of what is theirs, whatever fails in between."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from edoccore.signing.statements import Urgency, uuid_text
from edockit.database import Database
from edocnode.domain.calendar import WorkingCalendar
from edocnode.domain.deadlines import DeadlineRules
from edocnode.domain.reminders import Channel, ChannelFailedError, Digest, Outlet, ReminderKind
from edocnode.storage.late import SqlLate
from edocnode.storage.reminders import SqlReminders
from edocnode.storage.store import NodeStore
from edocnode.workers import reminding
from edocnode.workers.lateness import LateDesk
from edocnode.workers.reminding import ALARM, Line, Reminder
from tests.integration.deadlines.conftest import certificate
from tests.integration.deadlines.test_channels import Letters, mail, mail_server
from tests.integration.storage.offices import NOW, Office, arrival, submission
from tests.support.nodes import until
from tests.support.ports import free_port

__all__ = ["certificate"]

RULES = DeadlineRules(calendar=WorkingCalendar())
EVERY = timedelta(minutes=1)
HOUR = timedelta(hours=1)


@dataclass
class Post:
    """An outside that keeps what it is told, or fails."""

    fails: str = ""
    trouble: str = ""
    told: list[Digest] = field(default_factory=list)
    tries: int = 0

    async def tell(self, digest: Digest) -> str:
        self.tries += 1
        if self.fails:
            raise ChannelFailedError(self.fails)
        self.told.append(digest)
        return self.trouble

    @property
    def kinds(self) -> list[list[str]]:
        return [[item.kind.value for item in digest.items] for digest in self.told]


@dataclass
class Clock:
    now: datetime = NOW

    def __call__(self) -> datetime:
        return self.now


def reminder(
    database: Database,
    posts: Sequence[Channel],
    clock: Callable[[], datetime],
    **outlet: Any,
) -> Reminder:
    fields = {"kinds": frozenset(ReminderKind), "agency": "", "with_subject": True} | outlet
    return Reminder(
        [Line(Outlet(name=f"o-{n}", **fields), post) for n, post in enumerate(posts)],
        agency="H29",
        late=LateDesk(store=SqlLate(database), rules=lambda _: RULES, clock=clock),
        store=SqlReminders(database),
        alarms=NodeStore(database),
        every=EVERY,
        clock=clock,
    )


async def receive(
    store: NodeStore,
    office: Office,
    peer: Office,
    urgency: Urgency = Urgency.NORMAL,
    at: datetime = NOW,
    to: str = "H29",
) -> None:
    made = submission("G01", [to], urgency=urgency, at=at)
    await store.keep([arrival(peer.envelope(made), made.inline, at=at)])
    await office.seal_all(at)


async def test_most_urgent_arrival_is_told_at_once_and_once_across_restarts(
    database: Database, store: NodeStore, office: Office, peer: Office
) -> None:
    await office.open()
    post, clock = Post(), Clock()
    first = reminder(database, [post], clock)
    await first.look()
    await receive(store, office, peer, Urgency.HOA_TOC)
    await receive(store, office, peer)
    await first.look()
    assert post.kinds == [["arrived"]]
    await first.look()
    await reminder(database, [post], clock).look()
    assert post.kinds == [["arrived"]]


async def test_late_documents_come_in_one_digest_at_the_next_look(
    database: Database, store: NodeStore, office: Office, peer: Office
) -> None:
    await office.open()
    post, clock = Post(), Clock()
    worker = reminder(database, [post], clock)
    await worker.look()
    for _ in range(3):
        await receive(store, office, peer)
    clock.now = NOW + timedelta(days=3)
    await worker.look()
    assert post.kinds == [["undecided"] * 3]
    await receive(store, office, peer, at=NOW)
    clock.now += EVERY / 2
    await worker.look()
    assert len(post.told) == 1
    clock.now += EVERY / 2
    await worker.look()
    assert post.kinds == [["undecided"] * 3, ["undecided"]]


async def test_outlet_is_told_only_what_is_its_own(
    database: Database, store: NodeStore, office: Office, peer: Office
) -> None:
    await office.open()
    post, clock = Post(), Clock(NOW + timedelta(days=3))
    await receive(store, office, peer, to="H29.5")
    await receive(store, office, peer, to="H29")
    await receive(store, office, peer, Urgency.HOA_TOC, to="H29.5")
    kinds = frozenset({ReminderKind.UNDECIDED})
    await reminder(database, [post], clock, agency="H29.5", kinds=kinds).look()
    assert post.kinds == [["undecided", "undecided"]]
    assert {item.agency for item in post.told[0].items} == {"H29.5"}


async def test_failing_outlet_waits_alarms_and_delays_no_other(
    database: Database, store: NodeStore, office: Office, peer: Office
) -> None:
    await office.open()
    good, bad, clock = Post(), Post(fails="it is down"), Clock()
    worker = reminder(database, [good, bad], clock)
    await receive(store, office, peer, Urgency.HOA_TOC)
    await worker.look()
    assert (good.tries, bad.tries) == (1, 1)
    (alarm,) = await store.alarms()
    assert (alarm.kind, alarm.subject) == (ALARM, "o-1")
    assert "it is down" in alarm.message
    await worker.look()
    assert bad.tries == 1
    clock.now += timedelta(seconds=61)
    await worker.look()
    assert bad.tries == 2
    clock.now += timedelta(seconds=61)
    await worker.look()
    assert bad.tries == 2
    bad.fails = ""
    clock.now += timedelta(seconds=61)
    await worker.look()
    assert (bad.kinds, good.tries) == ([["arrived"]], 1)
    assert await store.alarms() == []


@dataclass
class Slow(Post):
    """An outside that does not answer until it is let."""

    answers: asyncio.Event = field(default_factory=asyncio.Event)

    async def tell(self, digest: Digest) -> str:
        self.tries += 1
        await self.answers.wait()
        self.told.append(digest)
        return ""


async def test_outlet_that_hangs_keeps_no_other_waiting_and_is_asked_once(
    database: Database,
    store: NodeStore,
    office: Office,
    peer: Office,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reminding, "SHARED_PATIENCE", timedelta(seconds=1))
    await office.open()
    slow, good, clock = Slow(), Post(), Clock()
    worker = reminder(database, [slow, good], clock)
    for arrived in range(1, 4):
        await receive(store, office, peer, Urgency.HOA_TOC)
        await worker.look()
        assert (len(good.told), slow.tries) == (arrived, 1)
    slow.answers.set()
    await worker.look()
    await worker.look()
    assert [len(digest.items) for digest in slow.told] == [1, 2]  # the others with the next


async def test_outlet_that_hangs_for_ever_fails_and_is_tried_again_later(
    database: Database,
    store: NodeStore,
    office: Office,
    peer: Office,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reminding, "PATIENCE", timedelta(seconds=0.05))
    await office.open()
    slow, clock = Slow(), Clock()
    worker = reminder(database, [slow], clock)
    await receive(store, office, peer, Urgency.HOA_TOC)
    await worker.look()
    (alarm,) = await store.alarms()
    assert "does not answer" in alarm.message
    clock.now += timedelta(seconds=61)
    slow.answers.set()
    await worker.look()
    assert slow.kinds == [["arrived"]]


async def test_tries_of_an_outlet_that_is_down_are_bounded_and_lose_nothing(
    database: Database, store: NodeStore, office: Office, peer: Office
) -> None:
    await office.open()
    bad, clock = Post(fails="it is down"), Clock()
    worker = reminder(database, [bad], clock, kinds=frozenset({ReminderKind.ARRIVED}))
    await receive(store, office, peer, Urgency.HOA_TOC)
    for _ in range(24 * 6):  # a day
        await worker.look()
        clock.now += timedelta(minutes=10)
    assert 24 <= bad.tries <= 30
    await reminder(database, [bad], clock).look()  # after a restart it is tried at once
    bad.fails = ""
    clock.now += HOUR
    await worker.look()
    assert bad.kinds == [["arrived"]]


async def test_letter_waits_for_a_mail_server_that_is_down(
    database: Database,
    store: NodeStore,
    office: Office,
    peer: Office,
    certificate: tuple[Path, Path],
    tmp_path: Path,
) -> None:
    await office.open()
    port, letters, clock = free_port(), Letters(), Clock()
    channel = mail(port, certificate, tmp_path)
    kinds = frozenset({ReminderKind.ARRIVED})
    worker = reminder(database, [channel], clock, kinds=kinds)
    await receive(store, office, peer, Urgency.HOA_TOC)
    await worker.look()
    assert [alarm.kind for alarm in await store.alarms()] == [ALARM]
    clock.now += timedelta(minutes=2)
    with mail_server(letters, certificate, port=port):
        await worker.look()
        await worker.look()
    assert len(letters.taken) == 1
    assert await store.alarms() == []


async def test_recipient_that_got_nothing_is_an_alarm_and_repeats_nothing(
    database: Database, store: NodeStore, office: Office, peer: Office
) -> None:
    await office.open()
    post, clock = Post(trouble="mail refused a@b"), Clock()
    worker = reminder(database, [post], clock)
    await receive(store, office, peer, Urgency.HOA_TOC)
    await worker.look()
    clock.now += HOUR
    await worker.look()
    arrived = [kinds for kinds in post.kinds if kinds == ["arrived"]]
    assert len(arrived) == 1
    assert [alarm.kind for alarm in await store.alarms()] == [ALARM]


@dataclass
class Picky(Post):
    """An outlet whose program meets a fault in one document."""

    crafted: bytes = b""

    async def tell(self, digest: Digest) -> str:
        if not self.crafted or any(item.message_id == self.crafted for item in digest.items):
            self.tries += 1
            raise UnicodeEncodeError("ascii", "ệ", 0, 1, "ordinal not in range")
        return await super().tell(digest)


async def test_outlet_that_meets_a_fault_in_every_document_has_told_none_of_them(
    database: Database, store: NodeStore, office: Office, peer: Office
) -> None:
    await office.open()
    for _ in range(3):
        await receive(store, office, peer, Urgency.HOA_TOC)
    post, clock = Picky(), Clock()
    await reminder(database, [post], clock).look()
    await until(store.alarms)
    told = database.read(lambda connection: connection.scalar(sa.text("SELECT count(*) FROM told")))
    assert told == 0


async def test_document_that_this_program_cannot_tell_is_left_out_and_the_others_are_told(
    database: Database, store: NodeStore, office: Office, peer: Office
) -> None:
    await office.open()
    for _ in range(5):
        await receive(store, office, peer, Urgency.HOA_TOC)
    crafted = (await SqlReminders(database).urgent_arrivals(10))[2].message_id
    post, clock = Picky(crafted=crafted), Clock()
    await reminder(database, [post], clock).look()
    [alarm] = await until(store.alarms)  # a look does not wait long for an outlet
    assert uuid_text(crafted) in alarm.message
    assert sum(len(digest.items) for digest in post.told) == 4
    tries = post.tries
    await reminder(database, [post], clock).look()
    assert post.tries == tries  # it is not tried again
