"""Builds what watches over documents: late lists, registers, statistics, reminders."""

import secrets
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache, partial
from pathlib import Path
from typing import Any

from edoccore.directory.view import Directory
from edockit.database import Database
from edockit.language import marked
from edocnode.app.parts import SealingParts
from edocnode.app.reminders import reminder_lines
from edocnode.app.working_days import WorkingDays
from edocnode.domain.codes import CodeList
from edocnode.domain.statistics import StatisticsStore
from edocnode.rpc.overview import OverviewParts
from edocnode.settings import NodeSettings
from edocnode.storage.code_lists import builtin_lists, lists_with
from edocnode.storage.folder import DataFolder
from edocnode.storage.late import SqlLate
from edocnode.storage.registers import SqlRegisters
from edocnode.storage.reminders import SqlReminders
from edocnode.storage.statistics import SqlStatistics
from edocnode.workers.counting import Counter
from edocnode.workers.lateness import LateDesk
from edocnode.workers.monthly import Reporter, ReporterParts
from edocnode.workers.reminding import Reminder
from edocnode.workers.setting_aside import SettingAside


@dataclass(frozen=True, slots=True)
class Overview:
    """What watches over documents."""

    parts: OverviewParts
    counter: Counter
    reminder: Reminder
    reporter: Reporter
    counting: SettingAside[str]
    reminding: SettingAside[str]
    reporting: SettingAside[str]

    def jobs(self) -> list[Coroutine[Any, Any, None]]:
        """What runs beside the exchange."""
        return [
            self.counter.run(self.counting),
            self.reminding.running(self.reminder.run),
            self.reporting.running(self.reporter.run),
        ]


def build_overview(
    settings: NodeSettings,
    folder: DataFolder,
    sealing: SealingParts,
    directory: Callable[[], Directory],
    clock: Callable[[], datetime],
) -> Overview:
    """Joins the parts.

    Raises:
        SettingsError: A reminder needs what is not installed.
    """
    agency = folder.identity().agency
    sums = SqlStatistics(sealing.database)
    counter = counter_of(settings, folder, sums, directory=directory, clock=clock)
    parts = overview_parts(settings, folder, sealing.database, counter=counter, clock=clock)
    reminder = Reminder(
        reminder_lines(settings, folder.path, clock),
        agency=agency,
        late=parts.late,
        store=SqlReminders(sealing.database),
        alarms=sealing.store,
        every=timedelta(seconds=settings.reminders_every_s),
        clock=clock,
    )
    reporter = ReporterParts(
        agency=agency,
        to=settings.statistics_to,
        counter=counter,
        submissions=sealing.store,
        alarms=sealing.store,
        directory=directory,
        rules=WorkingDays(settings, folder.path).rules,
        wake_sealer=sealing.sealer.wake,
        chance=secrets.token_bytes,
        clock=clock,
    )
    aside = partial(SettingAside, alarms=sealing.store, clock=clock)
    return Overview(
        parts,
        counter,
        reminder,
        Reporter(reporter),
        counting=aside("counting", marked("Counting documents")),
        reminding=aside("reminding", marked("Reminding people")),
        reporting=aside("reporting", marked("Reporting statistics")),
    )


def overview_parts(
    settings: NodeSettings,
    folder: DataFolder,
    database: Database,
    *,
    counter: Counter,
    clock: Callable[[], datetime],
) -> OverviewParts:
    """What the office's services tell of many documents from; ``database`` may be narrowed."""
    rules = WorkingDays(settings, folder.path).rules
    return OverviewParts(
        late=LateDesk(store=SqlLate(database), rules=rules, clock=clock),
        registers=SqlRegisters(database),
        counter=counter,
        savings=settings.savings.assumptions,
    )


def counter_of(
    settings: NodeSettings,
    folder: DataFolder,
    store: StatisticsStore,
    *,
    directory: Callable[[], Directory],
    clock: Callable[[], datetime],
) -> Counter:
    """What counts the documents; ``store`` may show some of the sums."""
    return Counter(
        agency=folder.identity().agency,
        nodes=lambda: directory().endpoints.keys() - {directory().info.registry},
        store=store,
        rules=WorkingDays(settings, folder.path).rules,
        types=cache(lambda: document_types(settings, folder.path)),
        clock=clock,
    )


def document_types(settings: NodeSettings, folder: Path) -> Mapping[str, str]:
    """Codes of the document types by code and by Vietnamese name."""
    own = settings.code_lists
    lists = lists_with(folder / own) if own else builtin_lists()
    types = lists[CodeList.TYPES]
    return {entry.vi: entry.code for entry in types} | {entry.code: entry.code for entry in types}
