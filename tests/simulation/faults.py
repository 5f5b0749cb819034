"""What goes wrong: each fault begins at a moment of the seed and ends by itself or when all heals.

A seed chooses some of the kinds and how often they come; no seed has all of them, since faults
hide each other.
"""

import asyncio
import random
from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.simulation.world import World

CRASH_POINTS = ("", "", "", "db.commit", "db.committed", "call.", "part.", "directory.", "thread")


class Nemesis:
    """Does harm until it is told to stop."""

    def __init__(self, world: "World", chance: random.Random) -> None:
        """Chooses the kinds of faults of this run."""
        self._world = world
        self._chance = chance
        kinds: dict[str, Callable[[], Coroutine[Any, Any, None]]] = {
            "crash": self._crash,
            "cut": self._cut,
            "break": self._break,
            "storm": self._storm,
            "full": self._full,
            "fail": self._fail,
            "clock": self._clock,
            "registry": self._registry,
            "replay": self._replay,
            "stop": self._stop,
        }
        often = {name: chance.random() < 0.5 for name in kinds}
        self.chosen = [name for name, yes in often.items() if yes] or ["crash"]
        self._kinds = kinds
        self.every_s = chance.choice([0.5, 2.0, 6.0])
        self.restores = chance.random() < 0.25
        self.copies = not self.restores and chance.random() < 0.15

    async def run(self) -> None:
        """Harms until cancelled."""
        world = self._world
        world.trace("WORLD", f"faults: {' '.join(self.chosen)} every {self.every_s} s")
        if self.restores:
            world.spawn(self._restore())
        if self.copies:
            world.spawn(self._two_copies())
        while True:
            await asyncio.sleep(self._chance.expovariate(1 / self.every_s))
            world.spawn(self._kinds[self._chance.choice(self.chosen)]())

    def _node(self) -> Any:
        return self._chance.choice(self._world.nodes)

    async def _crash(self) -> None:
        node, at = self._node(), self._chance.choice(CRASH_POINTS)
        if node.life is not None:
            effects = self._chance.randint(1, 3 if at.startswith(("part", "directory")) else 40)
            node.life.process.die_in(effects, at)

    async def _stop(self) -> None:
        node = self._node()
        self._world.trace(node.name, "is stopped")
        await node.stop()

    async def _cut(self) -> None:
        network, names = self._world.network, [node.place.address for node in self._world.nodes]
        one, other = self._chance.sample(names, 2)
        both = self._chance.random() < 0.5
        pairs = [(one, other), (other, one)] if both else [(one, other)]
        self._world.trace("WORLD", f"cut {'both ways' if both else 'one way'}: {one} {other}")
        for pair in pairs:
            network.cut(*pair)
        await asyncio.sleep(self._chance.choice([1, 5, 20, 60]) * self._chance.random())
        for pair in pairs:
            network.heal(*pair)

    async def _break(self) -> None:
        calls = self._world.network.calls()
        if calls:
            call = self._chance.choice(calls)
            self._world.trace("WORLD", f"break {call.client} {call.server} {call.path[-8:]}")
            call.lose(0.0)

    async def _storm(self) -> None:
        weather = self._world.network.weather
        weather.delay_s, weather.loss = self._chance.choice([(0.3, 0.0), (2.0, 0.01), (0.1, 0.05)])
        self._world.trace("WORLD", f"storm: {weather.delay_s} s, loss {weather.loss}")
        await asyncio.sleep(self._chance.random() * 20)
        weather.delay_s, weather.loss = 0.02, 0.0

    async def _full(self) -> None:
        node = self._node()
        node.place.disk.full = self._chance.choice([0.3, 0.7, 1.0])
        self._world.trace(node.name, f"disk full for {node.place.disk.full:.0%} of writes")
        await asyncio.sleep(self._chance.random() * 10)
        node.place.disk.full = 0.0

    async def _fail(self) -> None:
        node = self._node()
        self._world.trace(node.name, "disk fails")
        node.place.disk.failing = True

    async def _clock(self) -> None:
        node = self._node()
        off = self._chance.choice([0.5, 10, 200]) * (self._chance.random() * 2 - 1)
        self._world.trace(node.name, f"clock off by {off:.3f} s")
        node.place.clock.off = timedelta(seconds=off)

    async def _registry(self) -> None:
        self._world.registry.change(self._chance)

    async def _replay(self) -> None:
        await self._world.replay(self._chance)

    async def _restore(self) -> None:
        """Yesterday's copy of one node comes back."""
        world, node = self._world, self._chance.choice(self._world.nodes)
        await asyncio.sleep(self._chance.random() * world.harm_s * 0.6)
        backup = node.place.disk.copy()
        taken = world.time()
        world.trace(node.name, "backup taken")
        await asyncio.sleep(self._chance.random() * world.harm_s * 0.4)
        node.kill("restored")
        world.trace(node.name, f"restored to {taken:.3f}")
        node.place.disk.restore(backup)
        world.restored[node.code] = taken
        if self._chance.random() < 0.3:  # and once more, from the same backup
            await asyncio.sleep(self._chance.random() * world.harm_s * 0.3)
            node.kill("restored")
            world.trace(node.name, f"restored again to {taken:.3f}")
            node.place.disk.restore(backup)
            world.came_back.pop(node.code, None)

    async def _two_copies(self) -> None:
        """A copy of one node runs beside it for a while."""
        world, node = self._world, self._chance.choice(self._world.nodes)
        await asyncio.sleep(self._chance.random() * world.harm_s * 0.6)
        copy = world.copy_of(node)
        await asyncio.sleep(self._chance.random() * world.harm_s * 0.4)
        world.trace(copy.name, "the copy ends")
        copy.kill("the copy ends")
        world.copied.add(node.code)
