"""VERIFY.md, followed word by word with nothing but sh, openssl and small tools."""

import subprocess
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import pytest
from securesystemslib.signer import CryptoSigner

from edoccore.directory.layout import RevocationKind
from edocnode.evidence.manifest import INSTRUCTIONS
from edocnode.evidence.verify import verify
from tests.integration.evidence.conftest import ByHand, flipped, members
from tests.support.evidence import Exchange, exchange


def unpacked(data: bytes, folder: Path) -> Path:
    for name, content in members(data).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def test_honest_evidence_is_valid_by_hand(
    made: Exchange, file: bytes, by_hand: ByHand, tmp_path: Path
) -> None:
    done = by_hand(unpacked(file, tmp_path / "Bằng chứng 1"), made.nation.anchor)
    assert done.stderr == ""
    assert done.returncode == 0
    assert "9 received by H29" in done.stdout
    assert "accepted at" in done.stdout
    assert done.stdout.endswith("VALID\nCMS signature of the envelope's seal: good\n")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_every_member_altered_by_one_bit_is_found_by_hand(
    made: Exchange, file: bytes, by_hand: ByHand, tmp_path: Path
) -> None:
    folder = unpacked(file, tmp_path / "copy")
    for name, content in members(file).items():
        (folder / name).write_bytes(flipped(content, len(content) * 4))
        done = by_hand(folder, made.nation.anchor)
        assert done.returncode != 0, name
        assert "NOT VALID" in done.stderr or "VALID\n" not in done.stdout, name
        (folder / name).write_bytes(content)
    assert by_hand(folder, made.nation.anchor).returncode == 0


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_steps_after_the_manifest_find_alterations_by_themselves(
    made: Exchange, file: bytes, by_hand: ByHand, tmp_path: Path
) -> None:
    """Without step 2 and the manifest, as if a dishonest maker had signed an altered list."""
    content = members(file)
    folder = unpacked(file, tmp_path / "copy")
    unread = {INSTRUCTIONS, "manifest.json", "manifest.sig"}
    # A batch that is said to be a little larger may lead to the same root, and shows the same.
    unread |= {name for name in content if name.endswith((".p7s", "file.json", "time-leaf"))}
    unread.discard("roles/root-1/file.json")
    for name in sorted(content.keys() - unread):
        (folder / name).write_bytes(flipped(content[name], len(content[name]) * 4))
        done = by_hand(folder, made.nation.anchor, without=2)
        assert done.returncode != 0, name
        (folder / name).write_bytes(content[name])
    assert by_hand(folder, made.nation.anchor, without=2).returncode == 0


def test_other_root_is_refused_by_hand(file: bytes, by_hand: ByHand, tmp_path: Path) -> None:
    done = by_hand(unpacked(file, tmp_path / "copy"), "0" * 64)
    assert done.returncode == 1
    assert "no root file has the fingerprint" in done.stderr


@pytest.mark.parametrize("folder", ["envelope", "receipt", "status-01", "status-01-receipt"])
def test_openssl_verifies_a_seal_as_cms_and_refuses_another_one(
    folder: str, file: bytes, made: Exchange, tmp_path: Path
) -> None:
    there = unpacked(file, tmp_path / "copy")
    authority = tmp_path / "authority.der"
    authority.write_bytes(made.nation.ca_certificate)
    pem = subprocess.run(
        ["openssl", "x509", "-inform", "DER", "-in", authority], check=True, capture_output=True
    )
    (tmp_path / "authority.pem").write_bytes(pem.stdout)

    def verifies(content: Path) -> bool:
        done = subprocess.run(
            ["openssl", "cms", "-verify", "-binary", "-inform", "DER"]
            + ["-in", there / folder / "seal.p7s", "-content", content]
            + ["-CAfile", tmp_path / "authority.pem", "-purpose", "any", "-out", "/dev/null"],
            check=False,
            capture_output=True,
        )
        return done.returncode == 0

    assert verifies(there / folder / "seal.json")
    altered = tmp_path / "altered.json"
    altered.write_bytes(flipped((there / folder / "seal.json").read_bytes(), 100))
    assert not verifies(altered)


@pytest.mark.parametrize("folder", ["envelope", "receipt"])
def test_signed_bytes_can_never_be_read_as_der_set(folder: str, file: bytes) -> None:
    assert members(file)[f"{folder}/seal.json"][:1] == b"{"


def test_rotated_root_with_keys_of_another_kind_is_followed_by_hand(
    by_hand: ByHand, tmp_path: Path
) -> None:
    made = exchange(datetime.now(UTC))
    nation = made.nation
    leaving = nation.officers
    nation.officers = [CryptoSigner.generate_ecdsa() for _ in range(3)]
    nation.identity = CryptoSigner.generate_ecdsa()
    nation.online = CryptoSigner.generate_ecdsa()
    nation.new_root(old_officers=leaving[:2])
    nation.resign()
    folder = unpacked(made.bundle(), tmp_path / "copy")
    (tmp_path / "evidence.zip").write_bytes(made.bundle())
    for root in (nation.roots[1], nation.roots[2]):
        anchor = sha256(root).hexdigest()
        assert verify(tmp_path / "evidence.zip", root=anchor, now=made.made_at).findings == ()
        done = by_hand(folder, anchor)
        assert (done.returncode, done.stderr) == (0, "")
    (folder / "roles/root-2/signed").write_bytes(
        flipped((folder / "roles/root-2/signed").read_bytes(), 999)
    )
    done = by_hand(folder, nation.anchor, without=2)
    assert "a signature of root-2 is wrong" in done.stderr


def test_revoked_certificate_is_told_by_hand(by_hand: ByHand, tmp_path: Path) -> None:
    for in_crl in (True, False):
        made = exchange(datetime.now(UTC))
        made.nation.now = made.made_at - timedelta(minutes=10)
        made.nation.revoke("H26", RevocationKind.SEAL, in_crl=in_crl)
        folder = unpacked(made.bundle(maker=made.recipient), tmp_path / f"crl {in_crl}")
        done = by_hand(folder, made.nation.anchor)
        assert done.returncode == 0, done.stderr
        assert "13 REVOKED since: the certificate of H26" in done.stdout
        assert "\nVALID" not in done.stdout
