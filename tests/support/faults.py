"""Faults of the program that tests plant, and a clock that lets their waits be over."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from edocnode.domain.setting_aside import SET_ASIDE
from tests.support.nodes import TestNode, until, utc_now


@dataclass
class Later:
    """A clock that can be put forward."""

    by: timedelta = field(default_factory=timedelta)

    def __call__(self) -> datetime:
        """The time."""
        return utc_now() + self.by

    def pass_by(self, minutes: int) -> None:
        """Lets some minutes pass."""
        self.by += timedelta(minutes=minutes)


@dataclass
class Faulty:
    """A rule of the program that meets a fault over some documents, until it is mended.

    Attributes:
        meets: Gets what the rule gets; whether it is what brings the fault out.
    """

    rule: Callable[..., Any]
    meets: Callable[..., bool]
    calls: int = 0
    mended: bool = False

    def __call__(self, *args: Any, **named: Any) -> Any:
        """What the rule says."""
        if not self.mended and self.meets(*args, **named):
            self.calls += 1
            raise KeyError("nobody foresaw this")
        return self.rule(*args, **named)

    @property
    def method(self) -> Callable[..., Any]:
        """The same as a method of a class, whose object comes first among what it gets."""

        def call(*args: Any, **named: Any) -> Any:
            return self(*args, **named)

        return call


def told(node: TestNode) -> str:
    """The alarm of a node, which is alive, of what it set aside."""
    assert node.running is not None
    assert not node.running.done()
    return node.alarms().get(SET_ASIDE, "")


async def all_well(node: TestNode) -> None:
    """Waits until nothing is set aside any more."""
    await until(lambda: not told(node), within_s=60)
