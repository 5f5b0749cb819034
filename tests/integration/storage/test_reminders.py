"""People are told once, of what is theirs, whatever fails in between."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from edoccore.signing.statements import Urgency
from edockit.database import Database
from edocnode.domain.calendar import WorkingCalendar
from edocnode.domain.deadlines import DeadlineRules
from edocnode.domain.reminders import ChannelFailedError, Digest, Outlet, ReminderKind
from edocnode.storage.late import SqlLate
from edocnode.storage.reminders import SqlReminders
from edocnode.storage.store import NodeStore
from edocnode.workers.lateness import LateDesk
from edocnode.workers.reminding import ALARM, Line, Reminder
from tests.integration.storage.offices import NOW, Office, arrival, submission

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
    posts: Sequence[Post],
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
