"""An agency ends its own keys and comes back, by the commands, while documents wait."""

from pathlib import Path

from tests.support.network import HA_TINH, NOI_VU, Network, Node, waited_for


def send(node: Node, to: str, subject: str, tmp_path: Path) -> str:
    """Hands a document in; returns its id."""
    file = tmp_path / "công văn.pdf"
    file.write_bytes(subject.encode())
    found: str = node.done("send", file, "--to", to, "--subject", subject)["document_id"]
    return found


def delivered(node: Node, document_id: str) -> None:
    """Waits for the receipt."""
    waited_for(lambda: node.delivery(document_id)["state"] == "delivered", within_s=60)


def key(node: Node, kind: str) -> dict[str, str]:
    """A key as ``status`` shows it."""
    keys: list[dict[str, str]] = node.status()["keys"]
    return next(item for item in keys if item["kind"] == kind)


def test_stolen_tls_key_is_ended_by_its_agency_and_documents_go_on(
    network: Network, tmp_path: Path
) -> None:
    node, other = network[HA_TINH], network[NOI_VU]
    before = key(node, "tls")
    delivered(node, send(node, NOI_VU, "Trước", tmp_path))
    assert node.run("keys", "revoke", "--tls").error == (2, "REQUEST_INVALID")  # not without --yes
    done = node.done("keys", "revoke", "--tls", "--yes")
    assert done["certificates"] == [before["sha256"]]
    waited_for(lambda: key(node, "tls")["sha256"] == before["next_sha256"])
    delivered(node, send(node, NOI_VU, "Sau", tmp_path))
    delivered(other, send(other, HA_TINH, "Trả lời", tmp_path))
    shown = network.registry.done("agency", "show", HA_TINH)
    assert before["sha256"] in str(shown)
    waited_for(lambda: key(node, "tls")["next_listed_at"])


def test_stolen_seal_is_ended_by_its_agency_which_comes_back_with_a_join_string(
    network: Network, tmp_path: Path
) -> None:
    node, other = network[HA_TINH], network[NOI_VU]
    old = key(node, "seal")["sha256"]
    other.stop()
    waiting = send(node, NOI_VU, "Chờ dưới dấu cũ", tmp_path)
    waited_for(lambda: node.delivery(waiting)["state"] == "queued")
    other.start()
    delivered(node, waiting)
    other.kill()
    waiting = send(node, NOI_VU, "Chờ dưới dấu cũ, lần hai", tmp_path)
    waited_for(lambda: node.status()["sealer"]["waiting"] == 0)
    done = node.done("keys", "revoke", "--seal", "--yes", "--reason", "mất thẻ")
    assert done["certificates"] == [old]
    assert "keys replace" in waited_for(lambda: node.alarms().get("SEALER_STOPPED"))
    kept = send(node, NOI_VU, "Nhận khi không có dấu", tmp_path)
    other.start()
    join = network.registry.done("invite", HA_TINH)["join"]
    assert node.run("keys", "replace", join, "--yes").error == (6, "FOLDER_IN_USE")
    node.stop()
    assert node.run("keys", "replace", join).error == (2, "REQUEST_INVALID")
    node.done("keys", "replace", join, "--yes")
    node.start()
    assert key(node, "seal")["sha256"] != old
    delivered(node, waiting)
    delivered(node, kept)
    delivered(other, send(other, HA_TINH, "Trả lời", tmp_path))
    assert "SEALER_STOPPED" not in node.alarms()
    assert node.done("journal", "verify")["verdict"] == "ok"
    shown = node.run_text("keys", "list", "--lang", "vi").output
    assert key(node, "seal")["sha256"] in shown
