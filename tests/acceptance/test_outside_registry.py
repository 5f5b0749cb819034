"""An agency brings a certificate of an outside CA: officer's commands, import, delivery, proof."""

from pathlib import Path

import pytest

from tests.support.network import HA_TINH, NOI_VU, Network, waited_for
from tests.support.outside_ca import OutsideCa


@pytest.mark.slow
def test_an_agency_changes_to_a_certificate_of_an_outside_ca(
    network: Network, tmp_path: Path
) -> None:
    registry, node, other = network.registry, network[HA_TINH], network[NOI_VU]
    ca, stranger = OutsideCa.make(tmp_path / "ca"), OutsideCa.make(tmp_path / "stranger")
    certificate, key = ca.issue(HA_TINH)
    (tmp_path / "crl").write_bytes(ca.crl())
    (tmp_path / "strange").write_bytes(stranger.crl())

    refused = registry.run("outside", "seal", HA_TINH, certificate)
    assert refused.error == (4, "SEAL_CERTIFICATE_REFUSED")  # nobody vouches for it yet
    assert registry.run("outside", "add", certificate).error == (2, "REQUEST_INVALID")
    registry.done("outside", "add", ca.folder / "ca.pem")
    registry.done("outside", "add", ca.folder / "ca.pem")
    assert registry.run("outside", "crl", tmp_path / "strange").error == (2, "REQUEST_INVALID")
    registry.done("outside", "crl", tmp_path / "crl")
    (listed,) = registry.done("outside", "list")["authorities"]
    assert listed["crl_of"]
    tls, _ = ca.issue(f"{HA_TINH}-tls", "tls")
    refused = registry.run("outside", "seal", HA_TINH, tls)
    assert refused.error == (4, "SEAL_CERTIFICATE_REFUSED")
    registry.done("outside", "seal", HA_TINH, certificate)
    assert registry.run("outside", "seal", NOI_VU, certificate).error == (2, "REQUEST_INVALID")

    def imported() -> bool:
        version = node.status()["directory"]["version"]
        node.stop()
        outcome = node.run("keys", "import", certificate, "--key", key)
        node.start()
        if outcome.code != 0:  # it runs until it has a newer one
            newer = lambda: node.status()["directory"]["version"] > version  # noqa: E731
            waited_for(newer, what="a newer directory")
        return outcome.code == 0

    waited_for(imported, what="the directory at the node")
    letter = tmp_path / "letter.pdf"
    letter.write_bytes(b"%PDF-1.7")
    sent = node.done("send", letter, "--to", NOI_VU, "--subject", "Thử")["document_id"]
    waited_for(lambda: node.delivery(sent)["state"] == "delivered", what="delivery", within_s=60)
    evidence = tmp_path / "evidence.zip"
    node.done("evidence", "export", sent, "--out", evidence)
    assert other.done("evidence", "verify", evidence)["verdict"] == "valid"

    newer, _ = ca.issue(f"{HA_TINH}-2")
    ca.revoke(certificate)
    (tmp_path / "crl").write_bytes(ca.crl())
    registry.done("outside", "crl", tmp_path / "crl")
    assert registry.run("outside", "seal", HA_TINH, newer).code == 0
    version = registry.done("status")["version"]
    follows = lambda: other.status()["directory"]["version"] >= version  # noqa: E731
    waited_for(follows, within_s=90, what="the revocation at the recipient")
    again = node.done("send", letter, "--to", NOI_VU, "--subject", "Sau khi thu hồi")
    waited_for(
        lambda: (
            "SEAL_CERTIFICATE_REFUSED" in other.log.read_text()
            or node.delivery(again["document_id"])["state"] in ("held", "queued")
        ),
        what="the refusal",
    )
    assert len(other.received()) == 1
