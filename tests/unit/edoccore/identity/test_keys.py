import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from edoccore.errors import KeyUnusableError, SealCertificateError, SealInvalidError
from edoccore.identity.certificate import certificate_digest
from edoccore.identity.keys import Signer, SoftwareSigner, low_s, verify_signature
from edoccore.identity.suites import Suite
from tests.unit.edoccore.identity.pki import Issuer, new_key

ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
ISSUER = Issuer()
KEY = new_key()
CERTIFICATE = ISSUER.issue(KEY)
RSA_KEY = rsa.generate_private_key(65537, 2048)
RSA_CERTIFICATE = ISSUER.issue(RSA_KEY)
DATA = b'{"type":"edoc.seal/v1"}'
SIGNER: Signer = SoftwareSigner(KEY, CERTIFICATE)
RSA_SIGNER: Signer = SoftwareSigner(RSA_KEY, RSA_CERTIFICATE)


@pytest.mark.parametrize("signer", [SIGNER, RSA_SIGNER], ids=["P-256", "RSA"])
def test_what_a_signer_signs_verifies_with_its_certificate(signer: Signer) -> None:
    certificate = CERTIFICATE if signer is SIGNER else RSA_CERTIFICATE
    signature = signer.sign(DATA)
    verify_signature(certificate.public_key(), signer.suite, DATA, signature)
    assert signer.certificate_digest == certificate_digest(certificate.public_bytes(Encoding.DER))


def test_the_suite_is_that_of_the_key() -> None:
    assert SIGNER.suite == Suite.ECDSA_P256_SHA256 == 1
    assert RSA_SIGNER.suite == Suite.RSA_PKCS1_SHA256 == 3


@given(st.binary(max_size=50))
def test_every_signature_has_low_s_and_is_the_same_again(data: bytes) -> None:
    signature = SIGNER.sign(data)
    assert decode_dss_signature(signature)[1] <= ORDER // 2
    assert SIGNER.sign(data) == signature
    verify_signature(KEY.public_key(), 1, data, signature)


def test_the_high_s_twin_of_a_signature_is_refused() -> None:
    signature = SIGNER.sign(DATA)
    r, s = decode_dss_signature(signature)
    twin = encode_dss_signature(r, ORDER - s)
    assert low_s(twin) == signature
    with pytest.raises(SealInvalidError, match="twin"):
        verify_signature(KEY.public_key(), 1, DATA, twin)


@given(st.data())
def test_a_signature_with_any_byte_changed_is_refused(data: st.DataObject) -> None:
    for signer, key in ((SIGNER, KEY), (RSA_SIGNER, RSA_KEY)):
        signature = bytearray(signer.sign(DATA))
        at = data.draw(st.integers(0, len(signature) - 1))
        signature[at] ^= data.draw(st.integers(1, 255))
        with pytest.raises(SealInvalidError):
            verify_signature(key.public_key(), signer.suite, DATA, bytes(signature))


GOOD = SIGNER.sign(DATA)
R, S = decode_dss_signature(GOOD)


@pytest.mark.parametrize(
    "form",
    [
        pytest.param(b"", id="empty"),
        pytest.param(GOOD + b"\0", id="something after it"),
        pytest.param(GOOD[:-1], id="cut short"),
        pytest.param(b"\x30\x81" + GOOD[1:], id="long form of the length"),
        pytest.param(R.to_bytes(32) + S.to_bytes(32), id="raw r and s"),
        pytest.param(encode_dss_signature(0, 0), id="zeros"),
        pytest.param(encode_dss_signature(ORDER, S), id="r is the order"),
        pytest.param(encode_dss_signature(R + ORDER, S), id="r above the order"),
        pytest.param(encode_dss_signature(R, S + ORDER), id="s above the order"),
    ],
)
def test_another_form_of_a_good_signature_is_refused(form: bytes) -> None:
    with pytest.raises(SealInvalidError):
        verify_signature(KEY.public_key(), 1, DATA, form)


def test_other_bytes_or_another_key_are_refused() -> None:
    signature = SIGNER.sign(DATA)
    with pytest.raises(SealInvalidError, match="altered"):
        verify_signature(KEY.public_key(), 1, DATA + b" ", signature)
    with pytest.raises(SealInvalidError, match="altered"):
        verify_signature(new_key().public_key(), 1, DATA, signature)


@pytest.mark.parametrize("suite", [0, 2, 3, 255])
def test_a_suite_that_is_not_the_keys_is_refused(suite: int) -> None:
    with pytest.raises(SealInvalidError, match=f"not one of suite {suite}"):
        verify_signature(KEY.public_key(), suite, DATA, SIGNER.sign(DATA))


def test_an_rsa_key_is_not_one_of_suite_1() -> None:
    with pytest.raises(SealInvalidError, match="not one of suite 1"):
        verify_signature(RSA_KEY.public_key(), 1, DATA, RSA_SIGNER.sign(DATA))


def test_a_key_of_another_certificate_is_unusable() -> None:
    with pytest.raises(KeyUnusableError):
        SoftwareSigner(new_key(), CERTIFICATE)


@pytest.mark.parametrize("key", [ec.generate_private_key(ec.SECP384R1())], ids=["P-384"])
def test_a_key_of_no_suite_cannot_sign(key: ec.EllipticCurvePrivateKey) -> None:
    with pytest.raises(SealCertificateError, match="No suite"):
        SoftwareSigner(key, ISSUER.issue(key))


@pytest.mark.parametrize("signer", [SIGNER, RSA_SIGNER], ids=["P-256", "RSA"])
def test_openssl_alone_verifies_a_signature(signer: Signer, tmp_path: Path) -> None:
    certificate = CERTIFICATE if signer is SIGNER else RSA_CERTIFICATE
    pem = certificate.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "key.pem").write_bytes(pem)
    (tmp_path / "signature").write_bytes(signer.sign(DATA))
    (tmp_path / "data").write_bytes(DATA)
    command = [
        "openssl",
        "dgst",
        "-sha256",
        "-verify",
        "key.pem",
        "-signature",
        "signature",
        "data",
    ]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.stdout == "Verified OK\n"
