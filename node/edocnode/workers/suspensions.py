"""The gate for calls: counts them by agency, and tells people which agency floods this node."""

import asyncio
import math
from collections.abc import Callable
from datetime import datetime

import structlog

from edocnode.domain.ports import Alarms
from edocnode.domain.quotas import HOLD_S, SUSPENSION_S, CallQuotas
from edocnode.workers.room import when_there_is_room

PEER_SUSPENDED = "PEER_SUSPENDED"
LOOK_EVERY_S = 1.0
SHUT_OUT_EVERY_S = 10.0  # each time new connections wait: see ``edockit.grpc_tls``

log = structlog.get_logger(__name__)


class Suspensions:
    """Admits calls by the quotas of their agency; see ``edockit.grpc_peer.CallGate``."""

    def __init__(self, quotas: CallQuotas, alarms: Alarms, clock: Callable[[], datetime]) -> None:
        """Takes the quotas and where alarms go."""
        self._quotas = quotas
        self._alarms = alarms
        self._clock = clock
        self._shut_out: frozenset[str] = frozenset()
        self._shut_out_at = -math.inf  # when it was told last
        self._shut_out_changed: Callable[[frozenset[str]], None] = lambda _: None
        self._cut: dict[str, int] = {}  # connections cut and not reported yet, by agency
        self._ends: dict[str, float] = {}  # of the alarms that are raised, on the loop's clock
        self._is_new = True  # alarms of an earlier run may stand yet

    def on_shut_out(self, told: Callable[[frozenset[str]], None]) -> None:
        """Names who is told of the agencies whose connections are not to be taken, all of them.

        Called on the loop when one is added or its time is over, at most every 10 s.
        """
        self._shut_out_changed = told

    def enter(self, identity: object, call: str) -> None:
        """Admits a call.

        Raises:
            QuotaError: The agency asks for too much.
        """
        self._quotas.begin(str(identity), call, _now())

    def leave(self, identity: object, call: str) -> None:
        """Notes that an admitted call has ended."""
        self._quotas.end(str(identity), call)

    def fault(self, identity: object) -> bool:
        """Notes a call that was broken off, wrong or not admitted. True: cut its connection."""
        agency = str(identity)
        if not self._quotas.fault(agency, _now()):
            return False
        self._cut[agency] = self._cut.get(agency, 0) + 1
        self._tell_shut_out()
        return True

    async def hold(self, identity: object) -> None:
        """Waits before a suspended agency is told that it is."""
        agency = str(identity)
        if not self._quotas.hold(agency, _now()):
            return
        try:
            await asyncio.sleep(HOLD_S)
        finally:
            self._quotas.release(agency)

    async def run(self) -> None:
        """Raises and ends alarms until cancelled; off the path of calls, which may be many.

        Raises:
            StorageFailedError: The disk failed; the node must stop.
        """
        while True:
            await when_there_is_room("alarms", self.report)
            await asyncio.sleep(LOOK_EVERY_S)

    async def report(self) -> None:
        """Tells which agencies were suspended since the last time, and which no longer are."""
        self._tell_shut_out()  # first: a full disk keeps alarms, and must keep nobody out
        if self._is_new:
            await self._forget_earlier_run()
            self._is_new = False
        for agency in list(self._cut):
            if agency not in self._ends:
                await self._alarms.raise_alarm(
                    PEER_SUSPENDED, agency, _message(agency), self._clock()
                )
                log.warning("peer.suspended", agency=agency)
            self._ends[agency] = _now() + SUSPENSION_S
            log.info("peer.connections_cut", agency=agency, count=self._cut.pop(agency))
        for agency in [code for code, end in self._ends.items() if end < _now()]:
            await self._alarms.clear_alarm(PEER_SUSPENDED, agency)
            del self._ends[agency]
            log.info("peer.suspension_ended", agency=agency)

    def _tell_shut_out(self) -> None:
        """At once, unless something was told lately."""
        now = _now()
        shut_out = self._quotas.shut_out(now)
        if shut_out != self._shut_out and now >= self._shut_out_at + SHUT_OUT_EVERY_S:
            self._shut_out, self._shut_out_at = shut_out, now
            self._shut_out_changed(shut_out)

    async def _forget_earlier_run(self) -> None:
        for alarm in await self._alarms.alarms():
            if alarm.kind == PEER_SUSPENDED:
                await self._alarms.clear_alarm(alarm.kind, alarm.subject)


def _message(agency: str) -> str:
    return (
        f"{agency} floods this node with calls that it breaks off or may not make. Its calls are "
        f"refused, and its connections if it goes on, until it has been quiet for "
        f"{SUSPENSION_S:.0f} s; nothing it sent before is lost. Ask its operator what its node is "
        f"doing."
    )


def _now() -> float:
    return asyncio.get_running_loop().time()
