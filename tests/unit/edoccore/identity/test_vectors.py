import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest
from cryptography import x509

from edoccore.errors import EdocError, PeerNotTrustedError, SealCertificateError, SealInvalidError
from edoccore.identity.certificate import (
    check_seal_certificate,
    check_tls_certificate,
)
from edoccore.identity.keys import verify_signature
from edoccore.identity.suites import known_key

FOLDER = Path(__file__).parents[3] / "interop/vectors"
CERTIFICATES = json.loads((FOLDER / "certificates.json").read_text(encoding="utf-8"))
SIGNATURES = json.loads((FOLDER / "signatures.json").read_text(encoding="utf-8"))


def is_accepted(check: Callable[[], None], refusal: type[EdocError]) -> bool:
    try:
        check()
    except refusal:
        return False
    return True


@pytest.mark.parametrize("case", CERTIFICATES["certificates"], ids=lambda case: case["why"])
def test_vectors_of_certificates_hold(case: dict) -> None:
    certificate = x509.load_der_x509_certificate(bytes.fromhex(case["certificate"]))
    at = datetime.fromisoformat(case["at"])
    may_seal = is_accepted(lambda: check_seal_certificate(certificate, at), SealCertificateError)
    may_speak = is_accepted(lambda: check_tls_certificate(certificate, at), PeerNotTrustedError)
    assert (may_seal, may_speak) == (case["may_seal"], case["may_speak_tls"])
    assert not (may_seal and may_speak)


@pytest.mark.parametrize("case", SIGNATURES["signatures"], ids=lambda case: case["why"])
def test_vectors_of_signatures_hold(case: dict) -> None:
    der, data, signature = (
        bytes.fromhex(case[name]) for name in ("certificate", "data", "signature")
    )
    key = known_key(x509.load_der_x509_certificate(der).public_key())
    accepted = is_accepted(
        lambda: verify_signature(key, case["suite"], data, signature), SealInvalidError
    )
    assert accepted == case["accepted"]
