"""The exchange with one node on PostgreSQL, killed like the other and without warning."""

import contextlib
import os
import random
import signal
import threading
import time
from collections.abc import Iterator

import pytest
from sqlalchemy.engine import make_url

from tests.acceptance.test_crash import check_arrived, kill_at_random, wait_until_quiet
from tests.support.audit import check_both_agree, check_nothing_twice
from tests.support.documents import DECISION
from tests.support.load import Load
from tests.support.network import (
    AGENCIES,
    HA_TINH,
    NOI_VU,
    SETTINGS,
    Network,
    Node,
    waited_for,
)
from tests.support.postgres import PostgresServer, postgres_server, postgres_url

# A server of their own, which they crash and freeze, and not that of all tests of the process.
__all__ = ["postgres_server", "postgres_url"]

ROUNDS = int(os.environ.get("EDOC_CRASH_ROUNDS", "10")) // 5
PAUSE_S = 0.02
CRASHES = int(os.environ.get("EDOC_DATABASE_CRASHES", "3"))
STOP_AT_LATEST_S = 20
LOOK_AT_QUEUES_S = 3
UNKNOWN = "error: the connection to the database was lost during COMMIT, its outcome is unknown"
UP_S = 2.5
DOWN_S = 1.0
LOOK_EVERY_S = 0.1

pytestmark = [pytest.mark.postgres, pytest.mark.slow]


@pytest.fixture
def mixed_network(tmp_path, postgres_url) -> Iterator[Network]:
    """A running network in which the node of G01 is on PostgreSQL."""
    network = Network(tmp_path)
    try:
        network.found()
        network.join_one(HA_TINH, AGENCIES[HA_TINH])
        on_postgres = dict(SETTINGS) | {"DATABASE": postgres_url}
        network.join_one(NOI_VU, AGENCIES[NOI_VU], on_postgres)
        network.start()
        yield network
    finally:
        network.close()


def check_all(network: Network, loads: list[Load]) -> None:
    """What was acknowledged arrived, once, with receipts; the journals hold."""
    first, second = network[HA_TINH], network[NOI_VU]
    for load in loads:
        load.stop()
    wait_until_quiet(network)
    check_arrived(loads[0], second)
    check_arrived(loads[1], first)
    delivered = check_both_agree(first, second) + check_both_agree(second, first)
    assert delivered == sum(len(load.acknowledged) for load in loads) > 0
    check_nothing_twice(first, second)
    for node in (first, second):
        assert node.done("journal", "verify")["seals"] > 0
        assert node.alarms() == {}
    print(f"{delivered} documents")


def start_loads(network: Network) -> list[Load]:
    """Offices at work on both sides."""
    loads = [
        Load(network[HA_TINH], NOI_VU, seed=1, pause_s=PAUSE_S),
        Load(network[NOI_VU], HA_TINH, seed=2, pause_s=PAUSE_S),
    ]
    for load in loads:
        load.start()
    return loads


def test_kill_of_a_node_on_postgres_loses_and_doubles_nothing(mixed_network):
    loads = start_loads(mixed_network)
    kill_at_random([[mixed_network[NOI_VU]]], max(ROUNDS, 1))
    check_all(mixed_network, loads)


class ServiceManager:
    """Starts a node again whenever it has ended, as systemd does."""

    def __init__(self, node: Node) -> None:
        """Takes the node, which runs."""
        self._node = node
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "ServiceManager":
        """Begins."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Ends with the node running."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not (self._stop.wait(LOOK_EVERY_S) and self._node.running):
            if not self._node.running:
                with contextlib.suppress(AssertionError):  # the database is still down
                    self._node.start()


def test_database_server_that_crashes_under_load_costs_nothing_acknowledged(
    mixed_network, postgres_server: PostgresServer
):
    loads = start_loads(mixed_network)
    chance = random.Random(3)
    with ServiceManager(mixed_network[NOI_VU]):
        for _ in range(CRASHES):
            time.sleep(chance.uniform(0.5, UP_S))
            postgres_server.crash()
            time.sleep(chance.uniform(0.1, DOWN_S))
            postgres_server.start_again()
        for load in loads:  # a node that is about to end still counts as running
            load.stop()
    check_all(mixed_network, loads)
    assert mixed_network[NOI_VU].status()["sealer"]["sealing"]


def test_commit_whose_outcome_a_node_never_learned_is_looked_up_and_doubles_nothing(
    mixed_network, postgres_server: PostgresServer, postgres_url: str
):
    node = mixed_network[NOI_VU]
    loads = start_loads(mixed_network)
    with ServiceManager(node):
        for number in range(1, max(CRASHES, 1) + 1):
            time.sleep(UP_S / 5)
            postgres_server.cut_off_in_commit(make_url(postgres_url).database)
            waited_for(
                lambda least=number: node.log.read_text().count(UNKNOWN) >= least, within_s=60
            )
            waited_for(lambda: node.running and node.run("peers").code == 0, within_s=60)
        for load in loads:
            load.stop()
    check_all(mixed_network, loads)


def test_node_whose_database_server_hangs_ends_all_the_same(
    mixed_network, postgres_server: PostgresServer
):
    node = mixed_network[NOI_VU]
    document = node.done("send", DECISION, "--to", HA_TINH, "--subject", "Thử")["document_id"]
    waited_for(lambda: node.delivery(document)["state"] == "delivered")
    with postgres_server.frozen():
        assert node.process is not None
        time.sleep(LOOK_AT_QUEUES_S)  # it has asked and waits for the answer
        node.process.send_signal(signal.SIGTERM)
        assert node.process.wait(STOP_AT_LATEST_S + 10) == 1
    assert node.events("stop.forced")
    node.start()
    assert node.delivery(document)["state"] == "delivered"
