"""What the office's services need to tell of many documents at once."""

from dataclasses import dataclass

from edocnode.domain.late import LateLook
from edocnode.domain.registers import RegisterStore
from edocnode.domain.reporting import Counts
from edocnode.domain.savings import SavingAssumptions


@dataclass(frozen=True, slots=True, kw_only=True)
class OverviewParts:
    """Late lists, registers, statistics.

    Attributes:
        savings: What the estimate in statistics assumes.
    """

    late: LateLook
    registers: RegisterStore
    counter: Counts
    savings: SavingAssumptions
