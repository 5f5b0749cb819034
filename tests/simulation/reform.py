"""Agencies are named anew, merge, are split and closed while documents are on their way.

The 30 days in which an ended agency answers, and the minutes that its silent node is waited for,
pass in seconds here: a run lasts about two minutes.
"""

import asyncio
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

from edoccore.directory import ownership
from edocnode.domain import forwarding
from tests.simulation.realm import START, Change

if TYPE_CHECKING:
    from tests.simulation.world import World

WIND_UP = timedelta(seconds=50)
ASK_FOR = timedelta(seconds=15)
STEP_S = 5  # moments are multiples of it, so that runs share directories


@contextmanager
def compressed() -> Iterator[None]:
    """Lets what lasts days and minutes last seconds."""
    before = ownership.WIND_UP, forwarding.ASK_FOR
    ownership.WIND_UP, forwarding.ASK_FOR = WIND_UP, ASK_FOR
    try:
        yield
    finally:
        ownership.WIND_UP, forwarding.ASK_FOR = before


def choose(chance: random.Random, codes: Sequence[str], harm_s: float) -> tuple[Change, ...]:
    """The changes of a run, in the order in which they are published; two agencies stay."""
    left = list(codes)
    made: list[Change] = []
    told = STEP_S * chance.randint(1, int(harm_s * 0.5 / STEP_S))
    for _ in range(1 if chance.random() < 0.6 else 2):
        code = made[0].successors[0] if made and made[0].successors else chance.choice(left)
        if len(left) < 3:
            break
        left.remove(code)
        kind = chance.choice(["merge", "merge", "split", "close", "rename"])
        if kind == "rename":
            left.append(code)
            made.append(Change(code, 0, told, name=f"Cơ quan {code} tên mới"))
            continue
        followers = {"merge": 1, "split": 2, "close": 0}[kind]
        ends = told + STEP_S * chance.choice([0, 0, 1, 3])
        made.append(Change(code, ends, told, tuple(chance.sample(left, followers))))
        told = STEP_S * (ends // STEP_S + chance.randint(1, 3))
    return tuple(made)


class Reformer:
    """Carries the changes of a run out."""

    def __init__(self, world: "World", chance: random.Random) -> None:
        """Nothing happens before ``run``."""
        self._world = world
        self._chance = chance

    async def run(self) -> None:
        """Publishes each change at its moment; takes nodes of ended agencies away for a while."""
        world = self._world
        away: list[asyncio.Task] = []
        for version, change in enumerate(world.realm.changes, 1):
            await asyncio.sleep(max(0.0, change.told_s - world.time()))
            world.trace("REGISTRY", str(change))
            world.registry.publish(version)
            if not change.name and self._chance.random() < 0.6:
                away.append(world.spawn(self._take_away(change)))
        if away:
            await asyncio.wait(away)

    async def _take_away(self, change: Change) -> None:
        """The node of an ended agency is switched off, and switched on again when it is missed."""
        world, late = self._world, self._chance.choice([0.2, 2, 10])
        await asyncio.sleep(max(0.0, change.at_s - world.time()) + late * self._chance.random())
        (node,) = [node for node in world.nodes if node.code == change.code]
        node.away_from = world.time()
        node.away_until = world.time() + self._chance.choice([6, 10, 20, 40, 80])
        world.trace(node.name, f"is switched off until {node.away_until:.0f} s")
        node.kill("switched off", silently=self._chance.random() < 0.5)


class Ends:
    """Who ended when, and who follows."""

    def __init__(self, changes: Sequence[Change]) -> None:
        """Takes what happened in a run."""
        self._ended = {one.code: one for one in changes if not one.name}

    def has_any(self) -> bool:
        """Whether any agency ended in this run."""
        return bool(self._ended)

    def has_ended(self, owner: str) -> bool:
        """Whether an agency ended in this run."""
        return owner in self._ended

    def has_ended_by(self, owner: str, moment_s: float) -> bool:
        """Whether an agency had ended well before a moment of its node's clock."""
        return owner in self._ended and moment_s >= self._ended[owner].at_s + 1

    def is_wound_up_by(self, owner: str, moment_s: float) -> bool:
        """Whether the node of an agency was not heard any more at a moment."""
        wound_up = WIND_UP.total_seconds()
        return owner in self._ended and moment_s >= self._ended[owner].at_s + wound_up

    def sealed_late(self, signer: str, moment_s: float) -> bool:
        """Whether an agency had ended at a moment, by seconds from the beginning."""
        return signer in self._ended and moment_s >= self._ended[signer].at_s

    def homes(self, owner: str) -> list[str]:
        """The nodes at which a document for an agency may be: its own, and those that follow."""
        found = [owner]
        for code in found:
            followers = self._ended[code].successors if code in self._ended else ()
            found += [item for item in followers if item not in found]
        return found

    def leads_nowhere(self, owner: str) -> bool:
        """Whether nobody can say to whom a document for an agency goes now."""
        while owner in self._ended:
            if len(self._ended[owner].successors) != 1:
                return True
            (owner,) = self._ended[owner].successors
        return False


def seconds(moment: object) -> float:
    """A moment of a node in seconds from the beginning."""
    return float((moment - START).total_seconds())  # type: ignore[operator]
