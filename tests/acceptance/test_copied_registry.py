"""A registry's folder of yesterday is put back by hand: it forks nothing, and nobody is accused."""

import time
from pathlib import Path

import pytest

from edocregistry.storage.log_files import PLACE
from tests.acceptance.test_witness import add, is_covered, published
from tests.support.network import HA_TINH, NOI_VU, Network, waited_for

ACCUSATIONS = {"LOG_FORKED", "LOG_REPLACED", "LOG_INVALID", "TWO_DIRECTORIES"}


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_t48_registry_of_yesterday_waits_for_its_nodes_and_takes_back_what_they_hold(
    network: Network, tmp_path: Path
) -> None:
    registry, node = network.registry, network[HA_TINH]
    registry.stop()
    yesterday = registry.copy_folder(tmp_path / "yesterday")
    registry.start()
    version = add(network, "H90")
    for each in (node, network[NOI_VU]):
        waited_for(lambda each=each: is_covered(each, version), within_s=60, what="a version")
    registry.stop()
    # Within five seconds the place that is noted would hold for a copy in the same place of a disk.
    noted_at = int((yesterday / "log" / PLACE).read_text("ascii").split()[-1]) / 1e9
    waited_for(lambda: time.time() > noted_at + 6, what="a copy that is not of this moment")
    registry.restore_folder(yesterday)
    assert registry.run("agency", "add", "H91", "--name", "x").error == (4, "LOG_UNCONFIRMED")
    before = published(network)
    registry.start()

    def problems() -> list[str]:
        return [item["code"] for item in registry.done("status")["problems"]]

    waited_for(lambda: "LOG_BEHIND" in problems(), within_s=60, what="word of what is missing")
    assert registry.run("agency", "add", "H91", "--name", "x").error == (4, "LOG_BEHIND")
    assert registry.run("log", "confirm", "--yes").error == (4, "LOG_BEHIND")
    assert published(network) == before
    given = registry.data / "returned" / "log"
    waited_for(given.exists, within_s=60, what="what a node gives back")
    recovered = registry.done("log", "recover")
    assert recovered["version"] > version
    assert registry.done("agency", "show", "H90")["code"] == "H90"
    last = add(network, "H91")  # the server goes on, too
    for each in (node, network[NOI_VU]):
        waited_for(lambda each=each: is_covered(each, last), within_s=60, what="the log goes on")
        assert not ACCUSATIONS & each.alarms().keys()
    assert not {"LOG_BEHIND", "LOG_UNCONFIRMED"} & set(problems())
