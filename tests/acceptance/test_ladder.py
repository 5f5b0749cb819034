"""The registry is lost for weeks: real processes whose clocks stand weeks ahead.

The registry signed everything a moment before it was lost, so that a clock 44 days ahead is 29 days
after the worst moment: the one before its roles, 15 days old, were due to be signed again.
"""

import glob
from pathlib import Path

import pytest

from edoccore.directory.layout import ROLE_LIFE, ROLE_RESIGN_AFTER
from tests.campaigns.faults import FAKETIME
from tests.support.documents import DECISION
from tests.support.network import HA_TINH, NOI_VU, Network, Node, waited_for

OUTAGE_DAYS = 29
SUBJECT = ("--subject", "Thử khi mất sổ đăng ký")
LIBRARY = next(iter(glob.glob(FAKETIME)), "")
needs_faketime = pytest.mark.skipif(not LIBRARY, reason="faketime is not installed")


def begin_again(nodes: list[Node], days: int) -> None:
    """Starts nodes again, with clocks that stand days ahead."""
    for node in nodes:
        node.stop()
        node.wrapper = (
            "env",
            f"LD_PRELOAD={LIBRARY}",
            f"FAKETIME=+{days}d",
            "FAKETIME_DONT_FAKE_MONOTONIC=1",
        )
        node.start()


def send(node: Node, to: str, *words: object) -> str:
    """Sends a document and returns its id."""
    return str(node.done("send", DECISION, "--to", to, *SUBJECT, *words)["document_id"])


def is_delivered(node: Node, document_id: str) -> bool:
    """Whether the receipt of a document is here."""
    return bool(node.delivery(document_id)["state"] == "delivered")


def told_to_wait(node: Node, document_id: str) -> bool:
    """Whether a document waits because the other node's directory has expired."""
    delivery = node.delivery(document_id)
    return bool(
        delivery["state"] in {"queued", "sending"} and delivery["reason"] == "DIRECTORY_EXPIRED"
    )


@needs_faketime
def test_t34_29_days_without_a_registry_deliver_then_the_officers_carry_it_on(
    network: Network, tmp_path: Path
) -> None:
    sender, recipient = nodes = [network[HA_TINH], network[NOI_VU]]
    network.registry.kill()
    begin_again(nodes, ROLE_RESIGN_AFTER.days + OUTAGE_DAYS)
    for one, other in ((sender, NOI_VU), (recipient, HA_TINH)):
        assert one.status()["directory"]["state"] == "stale"
        send(one, other, "--wait", 60)
    begin_again(nodes, ROLE_LIFE.days + 1)
    status = sender.status()["directory"]
    assert (status["state"], bool(status["since"])) == ("expired", True)
    assert "edocnode directory import" in status["advice"]
    assert "expired since" in sender.run_text("peers", "--lang", "en").talk
    waiting = send(sender, NOI_VU)
    assert sender.delivery(waiting)["state"] == "queued"
    extension = extended(network, tmp_path)
    assert sender.done("directory", "import", extension)["directory"]["state"] == "emergency"
    waited_for(lambda: told_to_wait(sender, waiting), within_s=60)
    recipient.done("directory", "import", extension)
    waited_for(lambda: is_delivered(sender, waiting), within_s=60)
    for node in nodes:
        waited_for(lambda at=node: "DIRECTORY_EMERGENCY" in at.alarms(), what=node.code)
    begin_again(nodes, 91)
    closed = send(sender, NOI_VU)
    assert sender.status()["directory"]["state"] == "expired"
    assert sender.delivery(closed)["state"] == "queued"


def extended(network: Network, folder: Path) -> Path:
    """Two officers extend the directory of a node, one after the other, without the registry."""
    bundle, begun, whole = (folder / name for name in ("directory", "begun", "extension"))
    exported = network[HA_TINH].done("directory", "export", bundle)
    keys = sorted((network.registry.data / "officers").glob("root-*.pem"))
    registry, from_file = network.registry, ("--directory", bundle)
    first = registry.done(
        "extend", "--days", 90, "--reason", "Cháy", "--key", keys[0], "--out", begun, *from_file
    )
    assert (first["signed"], first["threshold"]) == (1, 2)
    assert first["directory"] == {"version": exported["version"], "sha256": exported["sha256"]}
    code, reason = network[HA_TINH].run("directory", "import", begun).error
    assert (code, reason) == (4, "EXTENSION_INVALID")
    second = registry.done("extend", "--add", begun, "--key", keys[2], "--out", whole, *from_file)
    assert (second["signed"], second["until"]) == (2, first["until"])
    again = registry.run("extend", "--add", begun, "--key", keys[2], "--out", whole, *from_file)
    assert again.error == (6, "FILE_EXISTS")
    other = registry.data / "keys" / "online.pem"
    wrong = registry.run(
        "extend", "--add", begun, "--key", other, "--out", folder / "none", *from_file
    )
    assert wrong.error == (1, "KEY_UNUSABLE")
    return whole
