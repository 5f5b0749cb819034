import hashlib
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, ObjectIdentifier

from edoccore.errors import PeerNotTrustedError, SealCertificateError
from edoccore.identity.certificate import (
    ANY_USAGE,
    DOCUMENT_SIGNING,
    certificate_digest,
    check_seal_certificate,
    check_tls_certificate,
)
from tests.unit.edoccore.identity.pki import (
    NOW,
    SEAL_USAGES,
    TLS_USAGES,
    YEAR,
    Issuer,
    key_usage,
    new_key,
)

ISSUER = Issuer()
KEY = new_key()
RSA_2048 = rsa.generate_private_key(65537, 2048)
CLIENT, SERVER = ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH
MICROSOFT_DOCUMENT_SIGNING = ObjectIdentifier("1.3.6.1.4.1.311.10.3.12")
UNKNOWN_EXTENSION = x509.UnrecognizedExtension(ObjectIdentifier("1.2.3.4"), b"\x05\x00")


def test_a_certificate_is_named_by_the_digest_of_its_der() -> None:
    der = ISSUER.certificate.public_bytes(Encoding.DER)
    assert certificate_digest(der) == hashlib.sha256(der).hexdigest()


@pytest.mark.parametrize(
    "usages",
    [SEAL_USAGES, [MICROSOFT_DOCUMENT_SIGNING], [ExtendedKeyUsageOID.EMAIL_PROTECTION]],
    ids=str,
)
def test_a_certificate_for_signing_documents_may_seal(usages: list[ObjectIdentifier]) -> None:
    check_seal_certificate(ISSUER.issue(KEY, usages=usages), NOW)


def test_an_rsa_certificate_of_an_outside_authority_may_seal() -> None:
    usage = key_usage(content_commitment=True)
    check_seal_certificate(ISSUER.issue(RSA_2048, usage=usage), NOW)


def test_a_certificate_for_both_sides_of_tls_may_speak_tls() -> None:
    check_tls_certificate(ISSUER.issue(KEY, usages=TLS_USAGES), NOW)


def test_t05_a_tls_certificate_may_not_seal() -> None:
    with pytest.raises(SealCertificateError, match="TLS"):
        check_seal_certificate(ISSUER.issue(KEY, usages=TLS_USAGES), NOW)


def test_t05_a_seal_certificate_may_not_speak_tls() -> None:
    with pytest.raises(PeerNotTrustedError, match="seal documents"):
        check_tls_certificate(ISSUER.issue(KEY), NOW)


@pytest.mark.parametrize("extra", [CLIENT, SERVER, ANY_USAGE], ids=str)
def test_t05_a_seal_certificate_that_could_also_speak_tls_is_refused(
    extra: ObjectIdentifier,
) -> None:
    certificate = ISSUER.issue(KEY, usages=[DOCUMENT_SIGNING, extra])
    with pytest.raises(SealCertificateError, match="TLS or for anything"):
        check_seal_certificate(certificate, NOW)


@pytest.mark.parametrize(
    "extra",
    [DOCUMENT_SIGNING, MICROSOFT_DOCUMENT_SIGNING, ExtendedKeyUsageOID.EMAIL_PROTECTION, ANY_USAGE],
    ids=str,
)
def test_t05_a_tls_certificate_that_could_also_seal_is_refused(extra: ObjectIdentifier) -> None:
    certificate = ISSUER.issue(KEY, usages=[CLIENT, SERVER, extra])
    with pytest.raises(PeerNotTrustedError, match="seal documents or for anything"):
        check_tls_certificate(certificate, NOW)


def test_t05_a_certificate_without_extended_usage_is_good_for_neither() -> None:
    certificate = ISSUER.issue(KEY, usages=None)
    with pytest.raises(SealCertificateError, match="for anything"):
        check_seal_certificate(certificate, NOW)
    with pytest.raises(PeerNotTrustedError, match="for anything"):
        check_tls_certificate(certificate, NOW)


@pytest.mark.parametrize(
    "usages", [[CLIENT], [SERVER], [ExtendedKeyUsageOID.TIME_STAMPING]], ids=str
)
def test_a_tls_certificate_for_one_side_only_is_refused(usages: list[ObjectIdentifier]) -> None:
    with pytest.raises(PeerNotTrustedError, match="both serverAuth and clientAuth"):
        check_tls_certificate(ISSUER.issue(KEY, usages=usages), NOW)


def test_a_seal_certificate_for_another_purpose_is_refused() -> None:
    certificate = ISSUER.issue(KEY, usages=[ExtendedKeyUsageOID.TIME_STAMPING])
    with pytest.raises(SealCertificateError, match="does not include signing documents"):
        check_seal_certificate(certificate, NOW)


def both_refuse(certificate: dict, why: str, at: object = NOW) -> None:
    """Checks a fault that both kinds of certificate must not have."""
    for usages, check, error in (
        (SEAL_USAGES, check_seal_certificate, SealCertificateError),
        (TLS_USAGES, check_tls_certificate, PeerNotTrustedError),
    ):
        with pytest.raises(error, match=why):
            check(ISSUER.issue(KEY, usages=usages, **certificate), at)


def test_a_certification_authority_is_good_for_neither() -> None:
    both_refuse({"ca": True}, "is a certification authority")


@pytest.mark.parametrize("power", ["key_cert_sign", "crl_sign"])
def test_a_certificate_that_may_issue_is_good_for_neither(power: str) -> None:
    both_refuse({"usage": key_usage(digital_signature=True, **{power: True})}, "allows issuing")


def test_a_certificate_that_may_not_sign_is_good_for_neither() -> None:
    both_refuse({"usage": key_usage(key_agreement=True)}, "key usage does not include")


def test_an_unknown_critical_extension_is_good_for_neither() -> None:
    both_refuse({"extra": [(UNKNOWN_EXTENSION, True)]}, r"unknown critical extension 1\.2\.3\.4")


def test_an_unknown_extension_that_is_not_critical_does_no_harm() -> None:
    check_seal_certificate(ISSUER.issue(KEY, extra=[(UNKNOWN_EXTENSION, False)]), NOW)


def test_a_certificate_is_good_from_its_first_to_its_last_second() -> None:
    certificate = ISSUER.issue(KEY, begins=NOW, ends=NOW + YEAR)
    second = timedelta(seconds=1)
    for at in (NOW, NOW + YEAR):
        check_seal_certificate(certificate, at)
    for at in (NOW - second, NOW + YEAR + second):
        both_refuse({"begins": NOW, "ends": NOW + YEAR}, "it is valid from", at)


@pytest.mark.parametrize(
    "key",
    [
        ec.generate_private_key(ec.SECP384R1()),
        ec.generate_private_key(ec.SECP256K1()),
        ed25519.Ed25519PrivateKey.generate(),
        dsa.generate_private_key(2048),
        rsa.generate_private_key(65537, 1024),
    ],
    ids=lambda key: type(key).__name__,
)
def test_a_key_that_no_suite_uses_is_good_for_neither(key: object) -> None:
    with pytest.raises(SealCertificateError, match="No suite uses this key"):
        check_seal_certificate(ISSUER.issue(key), NOW)
    with pytest.raises(PeerNotTrustedError, match="not ECDSA P-256"):
        check_tls_certificate(ISSUER.issue(key, usages=TLS_USAGES), NOW)


def test_tls_with_rsa_is_refused() -> None:
    with pytest.raises(PeerNotTrustedError, match="not ECDSA P-256"):
        check_tls_certificate(ISSUER.issue(RSA_2048, usages=TLS_USAGES), NOW)


def test_a_certificate_signed_over_sha1_is_good_for_neither() -> None:
    issuer = Issuer()
    issuer.key = RSA_2048
    for usages, check, error in (
        (SEAL_USAGES, check_seal_certificate, SealCertificateError),
        (TLS_USAGES, check_tls_certificate, PeerNotTrustedError),
    ):
        # The library makes no such certificate any more, so the algorithm's number is changed.
        der = issuer.issue(KEY, usages=usages).public_bytes(Encoding.DER)
        sha256_with_rsa = bytes.fromhex("2a864886f70d01010b")
        old = der.replace(sha256_with_rsa, sha256_with_rsa[:-1] + b"\x05")
        with pytest.raises(error, match="sha1"):
            check(x509.load_der_x509_certificate(old), NOW)
