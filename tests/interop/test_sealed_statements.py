"""The vectors of sealed statements: this implementation agrees with them, and so does openssl."""

import json
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from edoccore.directory.layout import AgencyState, IdentityEntry, SealListing, to_base64
from edoccore.directory.ownership import Ownership
from edoccore.directory.revocations import Revocations
from edoccore.directory.seals import SealBook
from edoccore.errors import EdocError
from edoccore.signing import canonical
from edoccore.signing.seal import SignedSeal, check_membership, open_seal
from edoccore.signing.statements import Envelope, parse_time

HERE = Path(__file__).parent
VECTORS = json.loads((HERE / "vectors" / "sealed_statements.json").read_text(encoding="utf-8"))


def book() -> SealBook:
    """The directory of the vectors: one agency, and every certificate that is listed for it."""
    entry = IdentityEntry(
        code=VECTORS["signer"],
        name="Agency of the vectors",
        state=AgencyState.ACTIVE,
        valid_from="2020-01-01T00:00:00.000Z",
        seals=tuple(
            SealListing(certificate=to_base64(bytes.fromhex(item))) for item in VECTORS["listed"]
        ),
    )
    return SealBook(
        [entry],
        Ownership([entry]).owners,
        authorities=(to_base64(bytes.fromhex(VECTORS["authority"])),),
        revocations=Revocations(),
    )


def judge(case: dict[str, Any]) -> Envelope:
    """Runs checks 1 to 5 as a reader of envelopes does."""
    signed = SignedSeal(bytes.fromhex(case["seal"]), bytes.fromhex(case["signature"]))
    statement = bytes.fromhex(case["statement"])
    now = parse_time(VECTORS["now"])
    verified = open_seal(signed, book(), network=VECTORS["network"], at=now)
    proof = [bytes.fromhex(node) for node in case["proof"]]
    check_membership(verified.seal, statement, case["leaf"], proof)
    return canonical.decode(statement, Envelope)


@pytest.mark.parametrize("case", VECTORS["accepted"], ids=lambda case: case["why"])
def test_accepted_statement_is_accepted(case: dict[str, Any]) -> None:
    assert canonical.encode(judge(case)).hex() == case["statement"]


@pytest.mark.parametrize("case", VECTORS["refused"], ids=lambda case: case["why"])
def test_refused_statement_is_refused_for_its_reason(case: dict[str, Any]) -> None:
    with pytest.raises(EdocError) as caught:
        judge(case)
    assert caught.value.reason == case["reason"]


@pytest.mark.parametrize("case", VECTORS["accepted"], ids=lambda case: case["why"])
def test_openssl_verifies_the_signature(case: dict[str, Any], tmp_path: Path) -> None:
    for name in ("seal", "signature"):
        (tmp_path / name).write_bytes(bytes.fromhex(case[name]))
    (tmp_path / "certificate").write_bytes(bytes.fromhex(VECTORS["listed"][0]))
    key = subprocess.run(
        ["openssl", "x509", "-inform", "DER", "-in", "certificate", "-pubkey", "-noout"],
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )
    (tmp_path / "key").write_bytes(key.stdout)
    command = ["openssl", "dgst", "-sha256", "-verify", "key", "-signature", "signature", "seal"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)


def test_builder_still_makes_the_committed_file() -> None:
    done = subprocess.run(
        [sys.executable, HERE / "build_vectors.py", "--check"], check=False, capture_output=True
    )
    assert done.returncode == 0, done.stdout.decode() + done.stderr.decode()


def test_worked_example_of_the_protocol_is_a_vector() -> None:
    text = (HERE.parents[1] / "proto" / "README.md").read_text(encoding="utf-8")
    example = VECTORS["accepted"][0]
    statement, seal = bytes.fromhex(example["statement"]), bytes.fromhex(example["seal"])
    assert f"The statement, {len(statement)} bytes" in text
    assert f"The seal, {len(seal)} bytes" in text
    for shown in (statement.decode(), seal.decode(), example["signature"]):
        assert f"\n{shown}\n" in text
    for digest in (sha256(statement), sha256(b"\0" + statement), sha256(seal)):
        assert f"`{digest.hexdigest()}`" in text
