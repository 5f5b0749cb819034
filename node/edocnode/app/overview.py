"""Builds what watches over documents: what is late, registers, statistics."""

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from edockit.database import Database
from edocnode.app.working_days import WorkingDays
from edocnode.domain.codes import CodeList
from edocnode.rpc.overview import OverviewParts
from edocnode.settings import NodeSettings
from edocnode.storage.code_lists import builtin_lists, lists_with
from edocnode.storage.late import SqlLate
from edocnode.storage.registers import SqlRegisters
from edocnode.storage.statistics import SqlStatistics
from edocnode.workers.counting import Counter
from edocnode.workers.lateness import LateDesk


@dataclass(frozen=True, slots=True)
class Overview:
    """What watches over documents."""

    parts: OverviewParts
    counter: Counter

    def jobs(self) -> list[Coroutine[Any, Any, None]]:
        """What runs beside the exchange."""
        return [self.counter.run()]


def build_overview(
    settings: NodeSettings, folder: Path, database: Database, clock: Callable[[], datetime]
) -> Overview:
    """Joins the parts.

    Args:
        folder: Data folder.
    """
    rules = WorkingDays(settings, folder).rules
    counter = Counter(
        store=SqlStatistics(database),
        rules=rules,
        types=cache(lambda: document_types(settings, folder)),
        clock=clock,
    )
    parts = OverviewParts(
        late=LateDesk(store=SqlLate(database), rules=rules, clock=clock),
        registers=SqlRegisters(database),
        counter=counter,
        savings=settings.savings.assumptions,
    )
    return Overview(parts=parts, counter=counter)


def document_types(settings: NodeSettings, folder: Path) -> Mapping[str, str]:
    """Codes of the document types by code and by Vietnamese name."""
    own = settings.code_lists
    lists = lists_with(folder / own) if own else builtin_lists()
    types = lists[CodeList.TYPES]
    return {entry.vi: entry.code for entry in types} | {entry.code: entry.code for entry in types}
