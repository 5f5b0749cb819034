"""What meets a fault is set aside alone, tried again at times of its own, and told."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
import structlog
from structlog.testing import capture_logs

from edoccore.errors import DiskFullError, StorageDamagedError, StorageFailedError
from edocnode.domain.alarms import Alarm
from edocnode.domain.setting_aside import (
    LONGEST_WAIT,
    MOST,
    SET_ASIDE,
    SOON,
    Book,
    Peer,
    wait_after,
)
from edocnode.workers import setting_aside
from edocnode.workers.setting_aside import SettingAside
from tests.support.nodes import until

START = datetime(2026, 11, 27, 8, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


@pytest.fixture(autouse=True)
def plain_logs() -> None:
    """Writes faults as programs do; structlog's own form prints every variable, for seconds."""
    formatter = structlog.dev.plain_traceback
    structlog.configure([structlog.dev.ConsoleRenderer(exception_formatter=formatter)])


class Alarms:
    """Holds one alarm, as it stands."""

    def __init__(self) -> None:
        self.told = "of before the start"
        self.writes = 0

    async def raise_alarm(
        self, kind: str, subject: str, message: str, at: datetime, proof: str = ""
    ) -> None:
        assert (kind, subject, proof) == (SET_ASIDE, "greeting", "")
        self.told, self.writes = message, self.writes + 1

    async def clear_alarm(self, kind: str, subject: str) -> None:
        assert (kind, subject) == (SET_ASIDE, "greeting")
        self.told, self.writes = "", self.writes + 1

    async def alarms(self) -> Sequence[Alarm]:
        raise AssertionError


class Work:
    """Takes steps for peers, some of which meet an error."""

    def __init__(self, *agencies: str, most: int = MOST) -> None:
        self.now = START
        self.alarms = Alarms()
        self.aside: SettingAside[Peer] = SettingAside(
            "greeting", "Greeting", alarms=self.alarms, clock=lambda: self.now, most=most
        )
        self.peers = [Peer(agency) for agency in agencies]
        self.errors: dict[str, BaseException] = {}
        self.done: list[str] = []
        self.steps = 0

    async def step(self, peers: Sequence[Peer]) -> int:
        self.steps += 1
        for peer in peers:
            if peer.agency in self.errors:
                raise self.errors[peer.agency]
        self.done += [peer.agency for peer in peers]
        return len(peers)

    async def look(self) -> int | None:
        async def work() -> int:
            return sum(await self.aside.many(self.peers, self.step))

        self.done.clear()
        return await self.aside.look(work)


async def test_of_many_the_one_with_a_fault_is_found_and_the_others_are_done_once() -> None:
    work = Work(*"abcdefgh")
    work.errors["f"] = ValueError("of f")
    with capture_logs() as lines:
        assert await work.look() == 7
    assert sorted(work.done) == list("abcdegh")
    assert work.aside.left_out() == {Peer("f")}
    assert "1 could not be dealt with" in work.alarms.told
    assert "the node of f: ValueError: of f" in work.alarms.told
    (fault,) = (line for line in lines if line["event"] == "work.fault")
    assert (fault["item"], fault["exc_info"]) == ("the node of f", True)
    steps = work.steps
    assert await work.look() == 7
    assert work.steps == steps + 1  # without f they go together again
    assert work.alarms.writes == 1


async def test_set_aside_waits_longer_each_time_and_its_alarm_ends_when_it_has_passed() -> None:
    work = Work("a")
    work.errors["a"] = KeyError("x")
    waits = []
    for _ in range(9):
        began, steps = work.now, work.steps
        await work.look()
        assert work.steps == steps + 1
        while work.aside.left_out():
            await work.look()
            assert work.steps == steps + 1
            work.now += MINUTE
        waits.append(work.now - began)
    assert waits == [min(MINUTE * 2**times, LONGEST_WAIT) for times in range(9)]
    work.errors.clear()
    assert await work.look() == 1
    assert work.alarms.told == ""
    work.errors["a"] = KeyError("x")
    began = work.now
    await work.look()
    assert work.aside.left_out()
    work.now += MINUTE
    assert work.aside.due() == {Peer("a")}  # it begins anew


async def test_alarm_of_before_the_start_ends_with_the_first_look_and_is_written_once() -> None:
    work = Work("a")
    await work.look()
    await work.look()
    assert (work.alarms.told, work.alarms.writes) == ("", 1)


@pytest.mark.parametrize("error", [StorageFailedError("fsync"), DiskFullError("no room")])
async def test_disk_that_failed_or_is_full_is_nobodys_fault(error: Exception) -> None:
    work = Work("a", "b")
    work.errors["b"] = error
    with pytest.raises(type(error)):
        await work.look()
    assert not work.aside.left_out()


async def test_what_is_not_met_any_more_is_forgotten() -> None:
    work = Work("a", "b")
    work.errors["b"] = MemoryError()
    await work.look()
    work.peers.pop()
    await work.look()
    assert "MemoryError" in work.alarms.told  # its wait is not over: somebody may ask for it
    work.now += MINUTE
    await work.look()
    assert work.alarms.told == ""


async def test_fault_of_the_look_itself_lets_the_work_rest_and_ends_nothing() -> None:
    work = Work()
    looks = 0

    async def faulty() -> int:
        nonlocal looks
        looks += 1
        raise IndexError("in the list")

    assert await work.aside.look(faulty) is None
    assert await work.aside.look(faulty) is None
    assert looks == 1
    assert work.alarms.told.startswith("Greeting rests after a fault of this program: IndexError")
    work.now += MINUTE
    assert await work.look() == 0
    assert work.alarms.told == ""


async def test_loop_that_meets_a_fault_is_begun_anew_and_its_alarm_ends_when_it_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(setting_aside, "WELL_AFTER", timedelta(seconds=0.05))
    monkeypatch.setattr(setting_aside, "LOOK_AGAIN", timedelta(seconds=0.01))
    work, begun = Work(), 0

    async def loop() -> None:
        nonlocal begun
        begun += 1
        if begun < 3:
            raise IndexError("in the list")
        await asyncio.Event().wait()

    running = asyncio.create_task(work.aside.running(loop))
    await until(lambda: "Greeting rests after a fault" in work.alarms.told)
    assert begun == 1
    work.now += MINUTE
    await until(lambda: begun == 2 and work.aside._whole.left_out(work.now))
    work.now += MINUTE
    assert work.aside._whole.left_out(work.now)  # the second rest is longer
    work.now += MINUTE
    await until(lambda: begun == 3 and work.alarms.told == "")
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_loop_that_is_missed_at_once_rests_no_longer_than_it_may() -> None:
    work = Work()
    work.aside = SettingAside(
        "greeting", "Greeting", alarms=work.alarms, clock=lambda: work.now, longest=SOON
    )
    looks = 0

    async def faulty() -> None:
        nonlocal looks
        looks += 1
        raise IndexError("in the list")

    for times in range(1, 5):
        await work.aside.look(faulty)
        assert looks == times
        work.now += MINUTE


@pytest.mark.parametrize("error", [StorageFailedError("fsync"), StorageDamagedError("page 3")])
async def test_loop_whose_disk_failed_is_never_begun_anew(error: Exception) -> None:
    work, begun = Work(), 0

    async def loop() -> None:
        nonlocal begun
        begun += 1
        raise error

    with pytest.raises(type(error)):
        await work.aside.running(loop)
    assert begun == 1


async def test_more_faults_than_are_remembered_let_the_work_rest() -> None:
    work = Work(*"abcd", most=3)
    work.errors = {agency: ValueError(agency) for agency in "abcd"}
    await work.look()
    assert len(work.aside.left_out()) == 3
    assert "Greeting rests after a fault" in work.alarms.told
    steps = work.steps
    await work.look()
    assert work.steps == steps


def test_alarm_names_what_is_still_set_aside() -> None:
    book: Book[str] = Book()
    assert book.last == ("", "")
    for item in "abca":
        book.put(item, f"of {item}", START)
    assert book.last == ("a", "of a")
    book.drop("a")
    assert book.last == ("c", "of c")


def test_nothing_waits_for_a_time_that_was_never_meant() -> None:
    book: Book[str] = Book()
    book.put("a", "why", START)
    assert book.due(START) == set()
    assert book.due(START - timedelta(days=300)) == {"a"}  # the clock was wrong, and is set back
    assert wait_after(10_000) == LONGEST_WAIT
