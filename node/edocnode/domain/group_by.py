"""What statistics may be divided by; apart from them, for commands that only name it."""

from enum import StrEnum


class GroupBy(StrEnum):
    """What statistics may be divided by."""

    TYPE = "type"
    URGENCY = "urgency"
    PEER = "peer"
    DAY = "day"
