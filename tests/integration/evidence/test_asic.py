"""Evidence as ASiC-E: what other programs make of it, and that nothing in it can be altered."""

import base64
import subprocess
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from zipfile import ZIP_STORED, ZipFile

import pytest
from asn1crypto import cms, x509
from lxml import etree
from pyhanko.sign.validation import async_validate_detached_cms
from pyhanko_certvalidator import ValidationContext

from edocnode.domain.evidence_formats import EvidenceFormat
from edocnode.evidence import asic
from edocnode.evidence.verdict import VerdictKind
from tests.integration.evidence.conftest import ByHand, flipped, members, packed
from tests.integration.evidence.test_by_hand import unpacked
from tests.integration.evidence.test_verify import judge
from tests.support.evidence import Exchange

ASIC = "{http://uri.etsi.org/02918/v1.2.1#}"
DS = "{http://www.w3.org/2000/09/xmldsig#}"


@pytest.fixture(scope="module")
def container(made: Exchange) -> bytes:
    return made.bundle(container=EvidenceFormat.ASIC_E)


def test_container_is_valid_evidence_with_the_same_content(
    made: Exchange, container: bytes, file: bytes, tmp_path: Path
) -> None:
    verdict = judge(made, container, tmp_path)
    assert (verdict.kind, verdict.findings, verdict.notes) == (VerdictKind.VALID, (), ())
    assert members(container).keys() - members(file).keys() == asic.MEMBERS


def test_media_type_is_the_first_member_and_stored(container: bytes, tmp_path: Path) -> None:
    path = tmp_path / "evidence.asice"
    path.write_bytes(container)
    with ZipFile(path) as archive:
        first = archive.infolist()[0]
        assert (first.filename, first.compress_type, first.extra) == ("mimetype", ZIP_STORED, b"")
    assert container[30:69] == b"mimetypeapplication/vnd.etsi.asic-e+zip"
    told = subprocess.run(["file", "--brief", path], check=False, capture_output=True, text=True)
    if told.returncode == 0:
        assert "ASiC-E" in told.stdout or "asic-e" in told.stdout


def test_manifest_names_every_file_with_its_digest(container: bytes) -> None:
    content = members(container)
    root = etree.fromstring(content[asic.MANIFEST])
    assert root.tag == f"{ASIC}ASiCManifest"
    assert root[0].get("URI") == asic.SIGNATURE
    listed = {
        item.get("URI"): base64.b64decode(item.find(f"{DS}DigestValue").text)
        for item in root.iter(f"{ASIC}DataObjectReference")
    }
    assert listed == {
        name: sha256(data).digest() for name, data in content.items() if name not in asic.MEMBERS
    }


async def test_another_library_finds_the_signature_sound_and_trusted(
    made: Exchange, container: bytes
) -> None:
    content = members(container)
    signed = cms.ContentInfo.load(content[asic.SIGNATURE], strict=True)["content"]
    signed_attributes = signed["signer_infos"][0]["signed_attrs"]
    assert {each["type"].native for each in signed_attributes} == {
        "content_type",
        "message_digest",
        "signing_time",
        "signing_certificate_v2",
    }
    root = x509.Certificate.load(made.nation.ca_certificate)
    status = await async_validate_detached_cms(
        BytesIO(content[asic.MANIFEST]),
        signed,
        signer_validation_context=ValidationContext(trust_roots=[root], allow_fetching=False),
    )
    assert status.intact
    assert status.valid
    assert status.trusted


def openssl_verifies(folder: Path, authority: Path, content: bytes) -> bool:
    (folder / "content").write_bytes(content)
    done = subprocess.run(
        ["openssl", "cms", "-verify", "-cades", "-binary", "-inform", "DER",
         "-in", folder / asic.SIGNATURE, "-content", folder / "content", "-CAfile", authority,
         "-purpose", "any", "-out", "/dev/null"],
        check=False, capture_output=True,
    )  # fmt: skip
    return done.returncode == 0


def test_openssl_verifies_it_as_cades_and_refuses_another_manifest(
    made: Exchange, container: bytes, tmp_path: Path
) -> None:
    folder = unpacked(container, tmp_path / "copy")
    authority = tmp_path / "authority.pem"
    subprocess.run(
        ["openssl", "x509", "-inform", "DER", "-out", authority],
        check=True, input=made.nation.ca_certificate,
    )  # fmt: skip
    manifest = (folder / asic.MANIFEST).read_bytes()
    assert openssl_verifies(folder, authority, manifest)
    assert not openssl_verifies(folder, authority, flipped(manifest, 999))


def test_each_member_of_the_container_altered_or_left_out_is_found(
    made: Exchange, container: bytes, tmp_path: Path
) -> None:
    content = members(container)
    for name in asic.MEMBERS:
        size = len(content[name]) * 8
        for bit in {0, size - 1, *range(0, size, max(1, size // 60))}:
            altered = packed({**content, name: flipped(content[name], bit)})
            assert judge(made, altered, tmp_path).kind is VerdictKind.INVALID, (name, bit)
        rest = {key: data for key, data in content.items() if key != name}
        assert judge(made, packed(rest), tmp_path).kind is VerdictKind.INVALID, name


def test_container_is_checked_by_hand_too(
    made: Exchange, container: bytes, by_hand: ByHand, tmp_path: Path
) -> None:
    folder = unpacked(container, tmp_path / "copy")
    done = by_hand(folder, made.nation.anchor)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("CAdES signature of the container: good\n")
    for name in asic.MEMBERS:
        whole = (folder / name).read_bytes()
        (folder / name).write_bytes(flipped(whole, len(whole) * 4))
        assert by_hand(folder, made.nation.anchor).returncode != 0, name
        (folder / name).write_bytes(whole)
