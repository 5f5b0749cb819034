"""Where the faults of a campaign play: two nodes at work, and what must hold after each fault.

Every acknowledged document is counted from the first fault to the last, so that one which a fault
lost, doubled or changed is missed after every later one too.
"""

import random
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import grpc

from edocnode.rpc.admin_client import open_admin
from tests.acceptance.test_crash import check_arrived, wait_until_quiet
from tests.support.audit import check_both_agree, check_nothing_twice
from tests.support.load import UNANSWERED, Load
from tests.support.network import HA_TINH, NOI_VU, SETTINGS, Network, Node, waited_for
from tests.support.ports import free_port
from tests.support.proxy import Proxy, ThreadedProxy

PAUSE_S = 0.02  # an office's, between two documents
# What a node answers on a full disk; the office hands the same request in again.
PATIENT = UNANSWERED | {grpc.StatusCode.RESOURCE_EXHAUSTED}


@dataclass
class Stage:
    """Two nodes that reach each other through proxies, with an office at each.

    Attributes:
        scratch: A folder for what faults need.
    """

    network: Network
    scratch: Path
    chance: random.Random
    proxies: list[ThreadedProxy] = field(default_factory=list)
    loads: list[Load] = field(default_factory=list)
    offices: int = 0

    @property
    def nodes(self) -> list[Node]:
        """Both."""
        return [self.network[HA_TINH], self.network[NOI_VU]]

    def victim(self) -> Node:
        """One of the two by chance."""
        return self.chance.choice(self.nodes)

    def start(self) -> None:
        """Puts a proxy before each node and starts all."""
        host = self.network.host
        for node in self.nodes:
            port = free_port(host)
            proxy = ThreadedProxy(host, port)
            self.proxies.append(proxy)
            address = f"{host}:{port}"
            node.settings |= SETTINGS | {
                "LISTEN": address,
                "ADVERTISE": f"{host}:{proxy.proxy.port}",
            }
        self.network.start()
        for node in self.nodes:
            other = next(item for item in self.nodes if item is not node)
            waited_for(lambda one=node, to=other: one.run("ping", to.code).code == 0)
            self.loads.append(Load(node, other.code, pause_s=PAUSE_S, patient_with=PATIENT))

    def close(self) -> None:
        """Ends the proxies; the network is its owner's."""
        for proxy in self.proxies:
            proxy.close()

    def spoil(self, change: Callable[[Proxy], object]) -> None:
        """Changes both proxies."""
        for proxy in self.proxies:
            proxy.call(change)

    @contextmanager
    def offices_at_work(self) -> Iterator[None]:
        """Documents are handed in on both sides during a block, and all acknowledged after it."""
        for load in self.loads:
            self.offices += 1
            load.seed = self.chance.randrange(1 << 30)
            load._stop = threading.Event()
            load._running = []
            load.start()
        with ExitStack() as stack:
            for load in self.loads:
                stack.callback(load.stop)
            yield

    def check(self) -> int:
        """What must hold when the fault has ended; waits until the queues are empty.

        Returns:
            How many documents were delivered so far.

        Raises:
            AssertionError: Something acknowledged is lost, doubled or changed, a receipt does not
                match, a journal does not hold, or a queue does not drain.
        """
        first, second = self.nodes
        wait_until_quiet(self.network)
        check_arrived(self.loads[0], second)
        check_arrived(self.loads[1], first)
        delivered = check_both_agree(first, second) + check_both_agree(second, first)
        assert delivered == sum(len(load.acknowledged) for load in self.loads)
        check_nothing_twice(first, second)
        for node in self.nodes:
            with open_admin(node.socket) as admin:
                assert admin.verify_journal()["verdict"] == "ok"
            unexpected = node.alarms().keys() - EXPECTED_ALARMS
            assert not unexpected, (node.code, unexpected)
        return delivered

    def check_proofs(self) -> None:
        """Both journals hold by the command, and the evidence of a document stands by itself."""
        with ThreadPoolExecutor(2) as threads:
            list(threads.map(self._check_proofs, self.nodes))

    def _check_proofs(self, node: Node) -> None:
        assert node.done("journal", "verify")["seals"] > 0
        load = next(item for item in self.loads if item.node is node)
        document = self.chance.choice(load.acknowledged).document_id
        file = self.scratch / f"{node.code}.zip"
        file.unlink(missing_ok=True)
        node.done("evidence", "export", document, "--out", file)
        verdict = node.run("evidence", "verify", file)
        assert verdict.code == 0, verdict.talk


# A clock that jumped is told until the next hello of each peer.
EXPECTED_ALARMS = frozenset({"CLOCK_SKEW"})
