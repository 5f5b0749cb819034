"""kill -9 of nodes at random moments under load: nothing acknowledged is lost, nothing is doubled.

``EDOC_CRASH_ROUNDS`` says how often a node is killed; tests/README.md has the long run.
"""

import os
import random
import time
from collections.abc import Sequence

import pytest

from tests.support.audit import check_both_agree, check_nothing_twice, left_in_staging
from tests.support.load import Load, office_of
from tests.support.network import HA_TINH, NOI_VU, Network, Node, waited_for

ROUNDS = int(os.environ.get("EDOC_CRASH_ROUNDS", "10"))
SEED = int(os.environ.get("EDOC_CRASH_SEED", "1"))
ROUND_S = 8  # at most, on a slow machine
UP_S = (0.02, 0.8)  # between two kills
PAUSE_S = 0.005  # an office's, between two documents
QUIET_S = 60 + ROUNDS  # large documents wait for both nodes to stay up


@pytest.mark.slow
@pytest.mark.stress
@pytest.mark.timeout(300 + ROUNDS * ROUND_S)
def test_kill_of_either_node_under_load_loses_and_doubles_nothing(network):
    first, second = network[HA_TINH], network[NOI_VU]
    loads = [
        Load(first, NOI_VU, seed=SEED, pause_s=PAUSE_S),
        Load(second, HA_TINH, seed=SEED + 1, pause_s=PAUSE_S),
    ]
    for load in loads:
        load.start()
    kill_at_random([[first], [second], [first, second]], ROUNDS)
    for load in loads:
        load.stop()
    drained_s = wait_until_quiet(network)

    check_arrived(loads[0], second)
    check_arrived(loads[1], first)
    delivered = check_both_agree(first, second) + check_both_agree(second, first)
    assert delivered == sum(len(load.acknowledged) for load in loads)
    check_nothing_twice(first, second)
    for node in (first, second):
        assert node.done("journal", "verify")["seals"] > 0
        assert node.alarms() == {}, "a crash is no reason for an alarm"
        node.restart()
        waited_for(lambda one=node: not left_in_staging(one), what="staging swept")
    print(f"{ROUNDS} kills, {delivered} documents, all answered {drained_s:.1f} s after the last")


def kill_at_random(choices: Sequence[Sequence[Node]], rounds: int) -> None:
    """Kills and starts nodes, each time other ones."""
    chance = random.Random(SEED)
    for _ in range(rounds):
        time.sleep(chance.uniform(*UP_S))
        victims = chance.choice(choices)
        for node in victims:
            node.kill()
        for node in victims:
            node.launch()
        for node in victims:
            node.await_ready()


def wait_until_quiet(network: Network) -> float:
    """Waits until every document has been answered; returns seconds."""
    began = time.monotonic()
    for node in network.nodes.values():
        with office_of(node) as office:
            waited_for(office.is_idle, within_s=QUIET_S, what=f"all documents of {node.code}")
    return time.monotonic() - began


def check_arrived(load: Load, recipient: Node) -> None:
    """Every acknowledged document is in the inbox once, with its bytes, and no other is."""
    with office_of(recipient) as office:
        arrived = list(office.inbox())
    missing = {item.document_id for item in load.acknowledged}
    missing -= {item.document_id for item in arrived}
    assert [load.node.delivery(document_id) for document_id in sorted(missing)] == []
    assert len(arrived) == len(load.acknowledged)
    assert {item.document_id: item.digests for item in arrived} == {
        item.document_id: item.digests for item in load.acknowledged
    }
