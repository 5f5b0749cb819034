"""The counter: adds documents to the sums of their day, in the background.

It reads what is new since its marks, judges it, and writes sums (``storage.statistics``). While
there is much to count it rests longer than it works, so that documents on their way do not wait;
whoever asks for statistics has all counted first.

Deliveries that came again leave no row. They are counted in memory where they are answered, so that
a peer which repeats itself makes no write, and written with the next look: a node that is killed
loses half a minute of them.
"""

import asyncio
import collections
import time
from collections.abc import Callable, Collection, Mapping
from datetime import datetime, timedelta
from functools import partial

import structlog

from edoccore.errors import DiskFullError, StorageFailedError
from edocnode.domain.counting import repeated_key, tally_of
from edocnode.domain.deadlines import DeadlineRules
from edocnode.domain.model import Arrival
from edocnode.domain.reporting import Month, Nation
from edocnode.domain.statistics import (
    Batch,
    DayKey,
    Statistics,
    StatisticsRequest,
    StatisticsStore,
    Tally,
    added,
)
from edocnode.workers.room import when_there_is_room
from edocnode.workers.setting_aside import SettingAside

EVERY = timedelta(seconds=30)
AT_ONCE = 1000  # rows of each source
REST = 9  # times as long as a batch took: a tenth of one processor at most
BUSY = 0.5  # of one processor: a node that uses more has better to do than to count
RESTS = 10  # of a busy node, one after another: figures may be some minutes behind
CATCH_UP = timedelta(seconds=20)  # at most, for somebody who asks

log = structlog.get_logger(__name__)


class Counter:
    """Counts documents; see ``domain.statistics``."""

    def __init__(
        self,
        *,
        agency: str,
        nodes: Callable[[], Collection[str]],
        store: StatisticsStore,
        rules: Callable[[datetime], DeadlineRules],
        types: Callable[[], Mapping[str, str]],
        clock: Callable[[], datetime],
    ) -> None:
        """Joins the parts; nothing happens before ``run``.

        Args:
            agency: That owns the node.
            nodes: Codes of all agencies that own one.
            rules: Gives the rules in force at a moment; may read files, like ``types``.
            types: Codes of document types by every way to write them.
        """
        self._agency = agency
        self._nodes = nodes
        self._store = store
        self._rules = rules
        self._types = types
        self._clock = clock
        self._turn = asyncio.Lock()
        self._repeated: collections.Counter[DayKey] = collections.Counter()

    def repeated(self, arrival: Arrival) -> None:
        """Hears of a delivery that was here already."""
        if (key := repeated_key(arrival)) is not None:
            self._repeated[key] += 1

    async def run(self, aside: SettingAside[str]) -> None:
        """Counts until cancelled.

        Args:
            aside: Lets the counting rest when it meets a fault of this program as a whole.

        Raises:
            StorageFailedError: The disk failed; the node must stop.
        """
        while True:
            await asyncio.sleep(EVERY.total_seconds())
            await when_there_is_room("count", partial(aside.look, self.look))

    async def look(self) -> None:
        """Counts all that is there, at its leisure."""
        while True:
            began = time.monotonic()
            if await self.count():
                return
            await _rest((time.monotonic() - began) * REST)

    async def count(self) -> bool:
        """Counts a batch; whether nothing more was there."""
        async with self._turn:
            await self._add_repeated()
            batch = await self._store.uncounted(AT_ONCE)
            if not batch.is_empty:
                rules, types = await asyncio.to_thread(self._in_force)
                tally = await asyncio.to_thread(_tally, batch, rules, types)
                if not await self._store.add_tally(tally, batch.marks):
                    return False
            return batch.complete

    async def stop(self) -> None:
        """Writes down what was counted in memory, if it can; once nothing is answered any more."""
        async with self._turn:
            try:
                await self._add_repeated()
            except (DiskFullError, StorageFailedError) as error:  # a count stops no node in order
                log.warning("count.forgotten", reason=error.reason, repeated=len(self._repeated))

    async def _add_repeated(self) -> None:
        """Writes down which deliveries came again; keeps them for later when that fails."""
        if not self._repeated:
            return
        repeated, self._repeated = self._repeated, collections.Counter()
        tally = Tally()
        for key, count in repeated.items():
            tally.change(key, "repeated", count)
        try:
            await self._store.add_tally(tally, {})
        except BaseException:
            self._repeated += repeated
            raise

    async def statistics(self, wanted: StatisticsRequest) -> tuple[Statistics, bool]:
        """The figures of a period, and whether all that is here is counted in them."""
        until = time.monotonic() + CATCH_UP.total_seconds()
        complete = await self.count()
        while not complete and time.monotonic() < until:
            complete = await self.count()
        return await self._store.statistics(wanted), complete

    async def nation(self, month: Month) -> tuple[Nation, bool]:
        """The sums of a month over all agencies, and whether all that is here is counted."""
        own = StatisticsRequest(first=month.first, last=month.last)
        mine, complete = await self.statistics(own)
        reported = {**await self._store.reports(str(month)), self._agency: mine.total}
        nation = Nation(
            total=added(reported.values()),
            reported=dict(sorted(reported.items())),
            missing=tuple(sorted(set(self._nodes()) - reported.keys())),
        )
        return nation, complete

    def _in_force(self) -> tuple[DeadlineRules, Mapping[str, str]]:
        return self._rules(self._clock()), self._types()


async def _rest(seconds: float) -> None:
    """Rests for so long, and ten times as long while the node has much to do."""
    for _ in range(RESTS):
        used = time.process_time()
        await asyncio.sleep(seconds)
        if time.process_time() - used < seconds * BUSY:
            return


def _tally(batch: Batch, rules: DeadlineRules, types: Mapping[str, str]) -> Tally:
    """Counts a batch; what this program cannot count is left out, and the others are counted.

    The marks go on behind it, so that it is not tried again.
    """
    try:
        return tally_of(batch, rules, types)
    except Exception:
        log.exception("count.fault", each="apart")
    tally = Tally(checks=batch.checks)
    for each in batch.apart():
        try:
            tally.take(tally_of(each, rules, types))
        except Exception:
            log.exception("count.left_out")
    return tally
