"""The vectors of suite 2: this implementation agrees with them, and openssl with the first half."""

import json
import subprocess
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PrivateKey

from edoccore.directory.layout import AgencyState, IdentityEntry, SealListing, to_base64
from edoccore.directory.ownership import Ownership
from edoccore.directory.revocations import Revocations
from edoccore.directory.seals import SealBook
from edoccore.errors import EdocError
from edoccore.identity.certificate import second_key
from edoccore.identity.keys import halves_of
from edoccore.signing import canonical
from edoccore.signing.seal import SignedSeal, check_membership, open_seal
from edoccore.signing.statements import Envelope, parse_time

FILE = Path(__file__).parent / "vectors" / "suite2.json"
VECTORS = json.loads(FILE.read_text(encoding="utf-8"))


def judge(case: dict[str, Any], minimum: int = 1) -> Envelope:
    """Runs checks 1 to 5 as a reader of envelopes does."""
    entry = IdentityEntry(
        code=VECTORS["signer"],
        name="Agency of the vectors",
        state=AgencyState.ACTIVE,
        valid_from="2020-01-01T00:00:00.000Z",
        seals=tuple(
            SealListing(certificate=to_base64(bytes.fromhex(item))) for item in VECTORS["listed"]
        ),
        minimum_suite=minimum,
    )
    book = SealBook(
        [entry],
        Ownership([entry]).owners,
        authorities=(to_base64(bytes.fromhex(VECTORS["authority"])),),
        revocations=Revocations(),
    )
    assert book.problems == []
    signed = SignedSeal(bytes.fromhex(case["seal"]), bytes.fromhex(case["signature"]))
    statement = bytes.fromhex(case["statement"])
    now = parse_time(VECTORS["now"])
    verified = open_seal(signed, book, network=VECTORS["network"], at=now)
    check_membership(verified.seal, statement, case["leaf"], case["proof"])
    return canonical.decode(statement, Envelope)


@pytest.mark.parametrize("minimum", [1, 2])
@pytest.mark.parametrize("case", VECTORS["accepted"], ids=lambda case: case["why"])
def test_a_statement_under_both_halves_is_accepted(case: dict[str, Any], minimum: int) -> None:
    assert canonical.encode(judge(case, minimum)).hex() == case["statement"]


@pytest.mark.parametrize("case", VECTORS["refused"], ids=lambda case: case["why"])
def test_a_statement_under_less_is_refused_for_its_reason(case: dict[str, Any]) -> None:
    with pytest.raises(EdocError) as caught:
        judge(case)
    assert caught.value.reason == case["reason"]


@pytest.mark.parametrize("case", VECTORS["below_minimum"], ids=lambda case: case["why"])
def test_a_good_seal_below_the_minimum_is_refused_for_its_reason(case: dict[str, Any]) -> None:
    judge(case)
    with pytest.raises(EdocError) as caught:
        judge(case, minimum=2)
    assert caught.value.reason == case["reason"]


def test_the_key_of_the_vectors_is_that_of_its_seed() -> None:
    certificate = x509.load_der_x509_certificate(bytes.fromhex(VECTORS["listed"][0]))
    key = MLDSA65PrivateKey.from_seed_bytes(bytes.fromhex(VECTORS["mldsa_seed"])).public_key()
    assert second_key(certificate) == key
    assert sha256(key.public_bytes_raw()).hexdigest() == VECTORS["mldsa_key_sha256"]


@pytest.mark.parametrize("case", VECTORS["accepted"], ids=lambda case: case["why"])
def test_openssl_verifies_the_first_half(case: dict[str, Any], tmp_path: Path) -> None:
    half = halves_of(bytes.fromhex(case["signature"]), 2)[0]
    (tmp_path / "seal").write_bytes(bytes.fromhex(case["seal"]))
    (tmp_path / "signature").write_bytes(half)
    (tmp_path / "certificate").write_bytes(bytes.fromhex(VECTORS["listed"][0]))
    words = "openssl x509 -inform DER -in certificate -pubkey -noout -out key"
    subprocess.run(words.split(), cwd=tmp_path, check=True, capture_output=True)
    words = "openssl dgst -sha256 -verify key -signature signature seal"
    subprocess.run(words.split(), cwd=tmp_path, check=True, capture_output=True)
