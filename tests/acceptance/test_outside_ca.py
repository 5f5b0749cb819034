"""A seal certificate of a CA outside the network (RSA, by openssl): from import to evidence."""

import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from msgspec.structs import replace

from edoccore.directory.layout import SealListing, to_base64
from edocnode.storage.directory_files import DirectoryFiles
from edocnode.storage.folder import DataFolder
from tests.acceptance.test_key_files import program
from tests.integration.evidence.conftest import ByHand, authority, by_hand
from tests.support.nation import Nation
from tests.support.network import Node, waited_for
from tests.support.nodes import make_pair
from tests.support.outside_ca import OutsideCa

__all__ = ["authority", "by_hand"]


@pytest.fixture
def ca(tmp_path: Path) -> OutsideCa:
    return OutsideCa.make(tmp_path / "ca")


@pytest.fixture
def made(tmp_path: Path, ca: OutsideCa) -> Iterator[tuple[Nation, Node, Node]]:
    """A network that lists the CA, and nodes of H29 and G01, stopped."""
    nation, *nodes = make_pair(tmp_path)
    nation.outside.append(ca.certificate())
    nation.outside_crls.append(ca.crl())
    first, second = map(program, nodes)
    yield nation, first, second
    for node in (first, second):
        node.kill()


def list_seal(nation: Nation, code: str, certificate: Path) -> None:
    """Has the directory list a certificate for an agency, as its officers would."""
    der = x509.load_pem_x509_certificate(certificate.read_bytes()).public_bytes(Encoding.DER)
    entry = nation.entries[code]
    listing = SealListing(certificate=to_base64(der))
    nation.entries[code] = replace(entry, seals=(*entry.seals, listing))


def spread(nation: Nation, *nodes: Node) -> None:
    """Gives the newest directory to nodes that are stopped."""
    directory = nation.directory()
    for node in nodes:
        DirectoryFiles(DataFolder(node.data).directory, nation.anchor).save(directory)


def send(node: Node, to: Node, folder: Path) -> str:
    """Sends a document; its id."""
    letter = folder / "letter.pdf"
    letter.write_bytes(b"%PDF-1.7")
    return str(node.done("send", letter, "--to", to.code, "--subject", "Thử")["document_id"])


def test_documents_sealed_under_an_outside_ca_are_received_and_proven(
    made: tuple[Nation, Node, Node], ca: OutsideCa, by_hand: ByHand, tmp_path: Path
) -> None:
    nation, first, second = made
    for node in (first, second):  # both sides: the receipt is under it too
        certificate, key = ca.issue(node.code)
        list_seal(nation, node.code, certificate)
        assert node.run("keys", "import", certificate, "--key", key).error == (
            4,
            "SEAL_CERTIFICATE_REFUSED",  # the directory here does not list it yet
        )
    spread(nation, first, second)
    for node in (first, second):
        ca_files = [ca.folder / f"{node.code}.{end}" for end in ("pem", "key")]
        node.done("keys", "import", ca_files[0], "--key", ca_files[1])
        node.start()
    sent = send(first, second, tmp_path)
    waited_for(lambda: first.delivery(sent)["state"] == "delivered", what="delivery")
    evidence = tmp_path / "evidence.zip"
    first.done("evidence", "export", sent, "--out", evidence)
    verdict = second.done("evidence", "verify", evidence, "--root", nation.anchor)
    assert verdict["verdict"] == "valid"
    folder = tmp_path / "unpacked"
    with zipfile.ZipFile(evidence) as archive:
        archive.extractall(folder)
    done = by_hand(folder, nation.anchor)
    assert (done.returncode, done.stderr) == (0, "")
    assert "VALID\n" in done.stdout
    assert first.done("journal", "verify")["verdict"] == "ok"
    assert b'"suite":3' in (folder / "envelope" / "seal.json").read_bytes()
    assert len(list((folder / "crls").iterdir())) == 2  # that of the outside CA is kept with it


def test_a_certificate_that_the_outside_ca_revoked_seals_nothing(
    made: tuple[Nation, Node, Node], ca: OutsideCa, tmp_path: Path
) -> None:
    nation, first, second = made
    certificate, key = ca.issue(first.code)
    list_seal(nation, first.code, certificate)
    spread(nation, first)
    first.done("keys", "import", certificate, "--key", key)
    ca.revoke(certificate)
    nation.outside_crls[:] = [ca.crl()]
    spread(nation, second)
    assert first.run("keys", "import", certificate, "--key", key).code == 0  # it does not know yet
    first.start()
    second.start()
    sent = send(first, second, tmp_path)
    waited_for(
        lambda: "SEAL_CERTIFICATE_REFUSED" in second.log.read_text() + first.log.read_text(),
        what="the refusal",
    )
    assert first.delivery(sent)["state"] != "delivered"
    assert second.received() == []
    first.stop()
    spread(nation, first)
    assert first.run("keys", "import", certificate, "--key", key).error == (
        4,
        "SEAL_CERTIFICATE_REFUSED",
    )


@pytest.mark.parametrize("fault", ["tls", "not listed", "another CA"])
def test_what_may_not_seal_is_left_out_of_the_directory(
    made: tuple[Nation, Node, Node], ca: OutsideCa, tmp_path: Path, fault: str
) -> None:
    nation, first, _ = made
    certificate, key = ca.issue(first.code, "tls" if fault == "tls" else "seal")
    if fault != "not listed":
        list_seal(nation, first.code, certificate)
    if fault == "another CA":  # of the same name
        nation.outside[:] = [OutsideCa.make(tmp_path / "other").certificate()]
        nation.outside_crls.clear()
    spread(nation, first)
    assert first.run("keys", "import", certificate, "--key", key).error == (
        4,
        "SEAL_CERTIFICATE_REFUSED",
    )
