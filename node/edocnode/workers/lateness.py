"""Looks up what is late now: joins the rules in force with the store."""

import asyncio
from collections.abc import Callable, Mapping
from datetime import datetime

from edocnode.domain.deadlines import DeadlineRules
from edocnode.domain.late import (
    LateCuts,
    LateKind,
    LateReport,
    LateRequest,
    LateStore,
    late_cuts,
    late_item,
)


class LateDesk:
    """Tells what is late; see ``domain.late.LateLook``."""

    def __init__(
        self,
        *,
        store: LateStore,
        rules: Callable[[datetime], DeadlineRules],
        clock: Callable[[], datetime],
    ) -> None:
        """Joins the parts.

        Args:
            rules: Gives the rules in force at a moment; may read files.
        """
        self._store = store
        self._rules = rules
        self._clock = clock

    async def late(self, wanted: LateRequest) -> LateReport:
        """What is late now, the oldest of each kind first, and how many there are."""
        now, rules, cuts = await self._in_force()
        rows = await self._store.late(cuts, wanted)
        judged = (late_item(row, rules, now) for row in rows)
        return LateReport(
            items=tuple(item for item in judged if item is not None),
            counts=await self._store.late_counts(cuts, wanted.agency),
        )

    async def counts(self) -> Mapping[LateKind, int]:
        """How many documents are late now, by kind."""
        _, _, cuts = await self._in_force()
        return await self._store.late_counts(cuts, "")

    async def _in_force(self) -> tuple[datetime, DeadlineRules, LateCuts]:
        now = self._clock()
        rules = await asyncio.to_thread(self._rules, now)
        return now, rules, late_cuts(rules, now)
