"""A node ends for good, by real programs: refused, killed between the steps, finished, read."""

import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from edoccore.signing import canonical
from edoccore.signing.statements import Effect
from edocnode.domain.retiring import RETIRED
from edocnode.storage.directory_files import DirectoryFiles
from edocnode.storage.folder import DataFolder
from tests.support.documents import DECISION
from tests.support.network import HA_TINH, NOI_VU, Network, Node, waited_for

# Each ends the process where a power cut could: just after the step of ``app.retiring`` it names.
CUTS = {
    "after the mark": ("_begin", True),
    "before the last seal": ("_add_effect", True),
    "after the last seal": ("_last_word", True),
    "after the registry has it": ("end_keys", True),
    "before the mark is complete": ("_finish", False),
}
CUT = """
import os, signal
from edocnode.app import retiring
step = retiring.{name}
async def cut(*words, **named):
    if {after}:
        await step(*words, **named)
    os.kill(os.getpid(), signal.SIGKILL)
retiring.{name} = cut
from edocnode.cli.main import main
main()
"""


CANCEL_CUTS = {
    "before it is noted": ("_note_cancelled", False),
    "before the mark is gone": ("_note_cancelled", True),
}


def sent(node: Node, to: str, *words: object) -> str:
    return str(
        node.done("send", DECISION, "--to", to, "--subject", "Về việc", *words)["document_id"]
    )


def killed(node: Node, name: str, after: bool, option: str) -> None:
    """Runs the command until a step, and kills it there."""
    code = CUT.format(name=name, after=after)
    words = [sys.executable, "-c", code, "retire", option, "--data", str(node.data)]
    done = subprocess.run(words, env=node.environment(), timeout=150, check=False)
    assert done.returncode == -signal.SIGKILL


def effects(node: Node) -> list[str]:
    """Kinds of what administrators did, in order; of a stopped node."""
    with sqlite3.connect(DataFolder(node.data).database_file) as database:
        rows = database.execute("SELECT data FROM effect ORDER BY id").fetchall()
    kinds = [canonical.decode(data, Effect).kind for (data,) in rows]
    return [kind for kind in kinds if kind.startswith("admin.")]


def retired_at_once(node: Node) -> dict[str, object]:
    node.stop()
    found: dict[str, object] = node.done("retire", "--yes")
    assert found["state"] == "retired"
    return found


def test_node_that_owes_anything_is_not_retired_and_starts_again(network: Network) -> None:
    node, peer = network[HA_TINH], network[NOI_VU]
    assert node.run("retire").error == (6, "FOLDER_IN_USE")
    peer.stop()
    document_id = sent(node, NOI_VU)
    node.stop()
    looked = node.run("retire")
    assert looked.code == 4
    (stopping,) = [item for item in looked.read()["open"] if item["stops"]]
    assert (stopping["code"], stopping["count"]) == ("undelivered", 1)
    assert node.run("retire", "--yes").error == (4, "WORK_OPEN")
    node.start()
    peer.start()
    waited_for(lambda: node.delivery(document_id)["state"] == "delivered", within_s=60)
    node.stop()
    assert node.done("retire")["state"] == "ready"


def test_without_the_registry_nothing_changes(network: Network) -> None:
    node = network[HA_TINH]
    node.stop()
    network.registry.stop()
    assert node.run("retire", "--yes").error == (5, "REGISTRY_UNREACHABLE")
    node.start()
    document_id = sent(node, NOI_VU)
    waited_for(lambda: node.delivery(document_id)["state"] == "delivered", within_s=60)


def test_retired_node_is_an_archive_and_its_old_evidence_holds(
    network: Network, tmp_path: Path
) -> None:
    node, peer = network[HA_TINH], network[NOI_VU]
    out = sent(node, NOI_VU, "--wait", "60")
    came = sent(peer, HA_TINH, "--wait", "60")
    root = network.registry.done("status")["root_sha256"]
    found = retired_at_once(node)
    assert node.done("retire", "--yes") == found
    assert node.run("serve").error == (6, "NODE_RETIRED")
    assert node.run("send", DECISION, "--to", NOI_VU, "--subject", "x").error == (6, "NODE_RETIRED")
    assert node.run("accept", came).error == (6, "NODE_RETIRED")
    assert node.run("keys", "replace", "edoc1:x", "--yes").code != 0

    assert [item["document_id"] for item in node.done("inbox")["documents"]] == [came]
    assert [item["document_id"] for item in node.done("outbox")["documents"]] == [out]
    (tmp_path / "saved").mkdir()
    node.done("save", came, "--to", tmp_path / "saved")
    (file,) = (tmp_path / "saved").iterdir()
    assert file.read_bytes() == DECISION.read_bytes()
    journal = node.done("journal", "verify")
    assert journal["verdict"] == "ok"
    assert {key: journal[key] for key in ("epoch", "size", "root")} == {
        key: found[key] for key in ("epoch", "size", "root")
    }
    for holder in (node, peer):
        evidence = tmp_path / f"{holder.name}.zip"
        holder.done("evidence", "export", out, "--out", evidence)
        verdict = holder.done("evidence", "verify", evidence, "--root", root)
        assert verdict["verdict"] == "valid, signer revoked later"


def test_peers_keep_what_they_have_for_a_retired_node_and_are_told_of_its_end(
    network: Network,
) -> None:
    node, peer = network[HA_TINH], network[NOI_VU]
    retired_at_once(node)
    waited_for(lambda: HA_TINH not in peer.peers(), within_s=60)
    document_id = sent(peer, HA_TINH)
    waited_for(lambda: peer.delivery(document_id)["reason"] == "PEER_UNREACHABLE", within_s=60)
    assert peer.delivery(document_id)["state"] in {"queued", "sending"}
    folder = DataFolder(peer.data)
    known = DirectoryFiles(folder.directory, folder.identity().root_sha256).load()
    revoked = [item for item in known.revocations.certificates.values() if item.reason == RETIRED]
    assert len(revoked) == 3  # the seal, and two of TLS
    assert all(item.worthless_from == item.revoked_at for item in revoked)  # no compromise
    for code in (f"{HA_TINH}.5", HA_TINH):
        network.registry.done("agency", "close", code, "--yes")
    words = ("send", DECISION, "--to", HA_TINH, "--subject", "Về việc")
    waited_for(lambda: peer.run(*words).code, within_s=60)
    assert peer.run(*words).error[1] == "AGENCY_ENDED"
    kept = {"queued", "sending", "held"}  # and told of its end
    assert peer.delivery(document_id)["state"] in kept


@pytest.mark.slow
@pytest.mark.parametrize("moment", CUTS)
def test_retirement_that_is_killed_between_its_steps_goes_on(
    stopped_network: Network, moment: str
) -> None:
    node = stopped_network[HA_TINH]
    stopped_network.registry.start()
    killed(node, *CUTS[moment], "--yes")
    assert node.run("serve").error == (6, "NODE_RETIRED")
    assert node.run("inbox").error == (6, "NODE_RETIRED")
    assert node.done("retire")["state"] == "begun"
    assert node.done("retire", "--yes")["state"] == "retired"
    journal = node.done("journal", "verify")
    assert (journal["verdict"], journal["effects"]) == ("ok", 1)


@pytest.mark.slow
@pytest.mark.parametrize("begun", ["after the mark", "before the last seal"])
def test_retirement_that_has_sealed_nothing_is_taken_back_and_the_node_goes_on(
    network: Network, begun: str
) -> None:
    node = network[HA_TINH]
    node.stop()
    assert node.done("retire", "--cancel")["state"] == "not_begun"
    killed(node, *CUTS[begun], "--yes")
    network.registry.stop()  # nobody is asked
    assert node.done("retire", "--cancel")["state"] == "cancelled"
    assert node.done("retire", "--cancel")["state"] == "not_begun"
    assert effects(node) == ["admin.retire_cancelled"]
    network.registry.start()
    node.start()
    document_id = sent(node, NOI_VU)
    waited_for(lambda: node.delivery(document_id)["state"] == "delivered", within_s=60)
    node.stop()
    assert node.done("journal", "verify")["verdict"] == "ok"
    assert node.done("retire", "--yes")["state"] == "retired"
    assert node.run("retire", "--cancel").error == (6, "NODE_RETIRED")


@pytest.mark.slow
@pytest.mark.parametrize("moment", CANCEL_CUTS)
def test_taking_a_retirement_back_is_killed_and_repeated(network: Network, moment: str) -> None:
    node = network[HA_TINH]
    node.stop()
    killed(node, *CUTS["before the last seal"], "--yes")
    killed(node, *CANCEL_CUTS[moment], "--cancel")
    assert node.run("serve").error == (6, "NODE_RETIRED")
    assert node.done("retire", "--cancel")["state"] == "cancelled"
    assert effects(node) == ["admin.retire_cancelled"]
    node.start()


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["after the last seal", "after the registry has it"])
def test_retirement_whose_last_word_is_sealed_is_not_taken_back(
    network: Network, moment: str
) -> None:
    node = network[HA_TINH]
    node.stop()
    killed(node, *CUTS[moment], "--yes")
    refused = node.run("retire", "--cancel")
    assert refused.error == (6, "NODE_RETIRED")
    assert node.run("serve").error == (6, "NODE_RETIRED")
    assert node.done("retire", "--yes")["state"] == "retired"
