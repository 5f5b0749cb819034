"""Builds what watches over documents: what is late, registers."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from edockit.database import Database
from edocnode.app.working_days import WorkingDays
from edocnode.settings import NodeSettings
from edocnode.storage.late import SqlLate
from edocnode.storage.registers import SqlRegisters
from edocnode.workers.lateness import LateDesk


@dataclass(frozen=True, slots=True)
class Overview:
    """What watches over documents."""

    late: LateDesk
    registers: SqlRegisters


def build_overview(
    settings: NodeSettings, folder: Path, database: Database, clock: Callable[[], datetime]
) -> Overview:
    """Joins the parts.

    Args:
        folder: Data folder.
    """
    rules = WorkingDays(settings, folder).rules
    return Overview(
        late=LateDesk(store=SqlLate(database), rules=rules, clock=clock),
        registers=SqlRegisters(database),
    )
