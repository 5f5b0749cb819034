"""An administrator looks after alarms: real programs, both databases, both languages."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from edocnode.storage.folder import DataFolder
from edocnode.storage.store import NodeStore, open_store
from tests.support.network import AGENCIES, HA_TINH, NOI_VU, SETTINGS, Network, Node, waited_for
from tests.support.vietnamese import english_in, told

REFUSED = "SUBAGENCY_REFUSED"
WHY = "Bộ Nội vụ đã dừng bản sao ngày 27/11"
HISTORIES = (
    "G01 sealed twice at one place of its journal: seals aa and bb. Both are kept as evidence: its "
    "data was altered, or two copies of its node run."
)


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def one_network(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Network]:
    """A running network; Hà Tĩnh's node is on the database of the parameter."""
    settings = dict(SETTINGS)
    if request.param == "postgres":
        settings["DATABASE"] = request.getfixturevalue("postgres_url")
    network = Network(tmp_path)
    try:
        network.found()
        network.join_one(HA_TINH, AGENCIES[HA_TINH], settings)
        network.join_one(NOI_VU, AGENCIES[NOI_VU])
        network.start()
        yield network
    finally:
        network.close()


def find(node: Node, proof: str, kind: str = "TWO_HISTORIES", text: str = HISTORIES) -> None:
    """Has the stopped node know what it had found in an earlier run."""
    node.stop()
    url = node.settings.get("DATABASE") or f"sqlite:///{DataFolder(node.data).database_file}"
    database = open_store(url)
    try:
        asyncio.run(NodeStore(database).raise_alarm(kind, NOI_VU, text, datetime.now(UTC), proof))
    finally:
        database.close()
    node.start()


def health(node: Node) -> tuple[int, dict[str, Any]]:
    """Exit code of ``doctor``, and what it says of alarms; peers answer."""
    waited_for(lambda: node.run("ping", NOI_VU).code == 0, what="the peer answers")

    def looked() -> tuple[int, dict[str, Any]] | None:
        done = node.run("doctor")
        checks = {check["code"]: check for check in done.read()["checks"]}
        bad = {code for code, check in checks.items() if check["health"] == "problem"}
        print([checks[code] for code in bad])
        return None if bad - {"alarms"} else (done.code, checks["alarms"])

    found: tuple[int, dict[str, Any]] = waited_for(looked, what="no problem but alarms")
    return found


@pytest.mark.slow
def test_an_acknowledged_alarm_is_red_no_more_until_there_is_another_proof(
    one_network: Network,
) -> None:
    node = one_network[HA_TINH]
    find(node, "aa bb")
    (shown,) = node.status()["alarms"]
    assert (shown["kind"], shown["lasts"], shown["times"]) == ("TWO_HISTORIES", True, 1)
    code, check = health(node)
    assert (code, check["health"]) == (1, "problem")
    assert "TWO_HISTORIES (G01)" in check["message"]
    words = ("alarms", "acknowledge", "TWO_HISTORIES", NOI_VU, "--reason", WHY)
    done = node.done(*words, "--actor", "Trần Lan")
    assert done["alarm"]["id"] == shown["id"]
    assert not done["repeated_request"]
    node.kill()  # what was acknowledged is on disk
    node.start()
    again = node.done("alarms", "acknowledge", shown["id"], "--reason", "Lần hai")
    assert again["repeated_request"]
    assert again["alarm"]["acknowledged"] == done["alarm"]["acknowledged"]
    status = node.status()
    assert (status["alarms"], status["acknowledged_alarms"]) == ([], 1)
    code, check = health(node)
    assert (code, check["health"]) == (0, "ok")
    find(node, "aa bb")  # the same again
    assert node.status()["alarms"] == []
    find(node, "aa cc")
    (other,) = node.status()["alarms"]
    assert (other["proof"], other["id"] == shown["id"]) == ("aa cc", False)
    assert health(node)[0] == 1
    listed = node.done("alarms", "list")["alarms"]
    said = [(item["proof"], item["times"], item["acknowledged"]) for item in listed]
    assert [item[:2] for item in said] == [("aa bb", 2), ("aa cc", 1)]
    assert {key: said[0][2][key] for key in ("actor", "reason")} == {
        "actor": "Trần Lan",
        "reason": WHY,
    }
    assert said[1][2] is None
    assert [item["proof"] for item in node.done("alarms", "list", "--open")["alarms"]] == ["aa cc"]
    assert node.done("journal", "verify")["effects"] == 1


def test_what_cannot_be_acknowledged_is_refused_with_what_to_do(network: Network) -> None:
    node = network[HA_TINH]
    find(node, "", REFUSED, "off")  # the node has no reason to end it
    find(node, "aa bb")
    find(node, "cc dd")
    refused_list = next(item for item in node.status()["alarms"] if item["kind"] == REFUSED)
    why = ("--reason", WHY)
    acknowledge = ("alarms", "acknowledge")
    assert node.run(*acknowledge, refused_list["id"], *why).error == (4, "ALARM_NOT_LASTING")
    assert node.run(*acknowledge, REFUSED, NOI_VU, *why).error == (4, "ALARM_NOT_LASTING")
    assert "edocnode subagency list" in node.run_text(*acknowledge, refused_list["id"], *why).talk
    assert node.run(*acknowledge, "0" * 12, *why).error == (3, "ALARM_UNKNOWN")
    assert node.run(*acknowledge, "TWO_HISTORIES", "Z9", *why).error == (3, "ALARM_UNKNOWN")
    both = node.run_text(*acknowledge, "TWO_HISTORIES", NOI_VU, *why)
    assert (both.code, "edocnode alarms list --open" in both.talk) == (2, True)
    assert node.run(*acknowledge, "TWO_HISTORIES", *why).error == (2, "REQUEST_INVALID")
    for reason in ("", "  ", "x" * 501):
        refused = node.run(*acknowledge, refused_list["id"], "--reason", reason)
        assert refused.error == (2, "REQUEST_INVALID"), reason
    assert node.run(*acknowledge, refused_list["id"]).code == 2  # no reason at all
    assert len(node.status()["alarms"]) == 3
    node.stop()
    assert node.run("alarms", "list").error == (5, "NOT_RUNNING")


def test_an_administrator_reads_of_alarms_in_vietnamese(network: Network) -> None:
    node = network[HA_TINH]
    find(node, "aa bb")
    find(
        node,
        "",
        REFUSED,
        "The clock of G01 differs from this one by 400 s; one of the two "
        "is wrong. Check time synchronisation here first.",
    )
    (histories,) = [item for item in node.status()["alarms"] if item["lasts"]]
    reason = ("--reason", WHY)
    commands = (
        ("status",),
        ("alarms", "list"),
        ("alarms", "acknowledge", REFUSED, NOI_VU, *reason),
        ("alarms", "acknowledge", "0" * 12, *reason),
        ("alarms", "acknowledge", "TWO_HISTORIES", *reason),
        ("alarms", "acknowledge", histories["id"], *reason),
        ("alarms", "list"),
        ("alarms", "list", "--open"),
        ("status",),
    )
    for words in commands:
        outcome = told(node, *words)
        text = f"{outcome.output}\n{outcome.talk}"
        print(text)
        assert text.strip(), words
        assert english_in(text) == [], words
    assert WHY in told(node, "alarms", "list").output
    assert "edocnode alarms list" in told(node, "status").output
