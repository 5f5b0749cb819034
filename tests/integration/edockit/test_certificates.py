"""Keys, certificates and revocation lists, judged by openssl too."""

import shlex
import stat
import subprocess
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from edoccore.errors import KeyUnusableError
from edoccore.identity.request import SealRequest
from edockit import certificates
from edockit.grpc_peer import is_tls_certificate
from tests.support.pki import CRL_URL, now, seal_authority, seal_leaf, tls_leaf


def extension(certificate: bytes, kind: type) -> object:
    loaded = x509.load_der_x509_certificate(certificate)
    return loaded.extensions.get_extension_for_class(kind).value


def test_a_tls_certificate_is_for_both_ends_of_tls_and_nothing_else() -> None:
    leaf = tls_leaf("H29")
    loaded = x509.load_der_x509_certificate(leaf.certificate)
    assert isinstance(loaded.public_key(), ec.EllipticCurvePublicKey)
    assert loaded.issuer == loaded.subject
    usages = set(extension(leaf.certificate, x509.ExtendedKeyUsage))
    assert usages == {ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH}
    assert not extension(leaf.certificate, x509.BasicConstraints).ca
    names = extension(leaf.certificate, x509.SubjectAlternativeName)
    assert names.get_values_for_type(x509.DNSName) == ["h29.edoc.test"]
    assert is_tls_certificate(leaf.certificate)
    other = x509.load_der_x509_certificate(tls_leaf("H29").certificate)
    assert loaded.serial_number != other.serial_number


def test_a_seal_certificate_signs_documents_only() -> None:
    leaf = seal_leaf("H29")
    assert set(extension(leaf.certificate, x509.ExtendedKeyUsage)) == {
        certificates.DOCUMENT_SIGNING
    }
    usage = extension(leaf.certificate, x509.KeyUsage)
    assert usage.digital_signature
    assert usage.content_commitment
    assert not usage.key_cert_sign
    point = next(iter(extension(leaf.certificate, x509.CRLDistributionPoints)))
    assert point.full_name[0].value == CRL_URL
    authority = seal_authority()
    own = extension(authority.certificate, x509.SubjectKeyIdentifier).digest
    assert extension(leaf.certificate, x509.AuthorityKeyIdentifier).key_identifier == own
    assert not is_tls_certificate(leaf.certificate)
    subject = x509.load_der_x509_certificate(leaf.certificate).subject
    assert subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == "H29"


def test_openssl_accepts_the_chain_and_refuses_what_the_list_revokes(
    tool: Callable[[str], Path], tmp_path: Path
) -> None:
    authority, good, bad = seal_authority(), seal_leaf("H29"), seal_leaf("G01")
    serial = x509.load_der_x509_certificate(bad.certificate).serial_number
    revoked = [
        certificates.RevokedCertificate(serial, now(), x509.ReasonFlags.key_compromise),
        certificates.RevokedCertificate(12_345, now()),
    ]
    crl = certificates.build_crl(
        authority.key, authority.certificate, revoked, number=7, this_update=now()
    )
    loaded = x509.load_der_x509_crl(crl)
    assert loaded.next_update_utc - loaded.last_update_utc == timedelta(days=60)
    (tmp_path / "ca").write_bytes(authority.certificate_pem)
    (tmp_path / "crl").write_bytes(loaded.public_bytes(serialization.Encoding.PEM))
    outcomes = []
    for leaf in (good, bad):
        (tmp_path / "leaf").write_bytes(leaf.certificate_pem)
        command = [tool("openssl"), "verify", "-x509_strict", "-crl_check", "-CAfile"]
        command += [tmp_path / "ca", "-CRLfile", tmp_path / "crl", tmp_path / "leaf"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        outcomes.append((done.returncode, "certificate revoked" in done.stderr))
    assert outcomes == [(0, False), (2, True)]


def test_a_request_that_is_damaged_or_of_another_kind_of_key_is_refused() -> None:
    authority = seal_authority()
    request = certificates.seal_request(certificates.new_private_key(), "H29")
    tampered = request[:-1] + bytes([request[-1] ^ 1])
    weak = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([]))
        .sign(rsa.generate_private_key(65_537, 2_048), hashes.SHA256())
        .public_bytes(serialization.Encoding.DER)
    )
    for bad in (tampered, b"", b"rubbish", weak):
        with pytest.raises(KeyUnusableError):
            certificates.issue_seal(
                authority.key,
                authority.certificate,
                SealRequest(bad),
                agency_code="H29",
                organisation="",
                not_before=now(),
                not_after=now() + timedelta(days=1),
                crl_url=CRL_URL,
            )


def test_a_long_name_is_cut_to_what_a_certificate_holds() -> None:
    authority = seal_authority()
    request = SealRequest(certificates.seal_request(certificates.new_private_key(), "H29"))
    certificate = certificates.issue_seal(
        authority.key,
        authority.certificate,
        request,
        agency_code="H29",
        organisation="Ủy ban nhân dân " * 10,
        not_before=now(),
        not_after=now() + timedelta(days=1),
        crl_url=CRL_URL,
    )
    subject = x509.load_der_x509_certificate(certificate).subject
    name = subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)[0].value
    assert name == ("Ủy ban nhân dân " * 10)[:64]


def test_a_saved_key_is_private_and_comes_back(tmp_path: Path) -> None:
    leaf, path = tls_leaf(), tmp_path / "tls.key"
    certificates.save_private_key(path, leaf.key)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    loaded = certificates.load_private_key(path, certificate=leaf.certificate)
    assert loaded.private_numbers() == leaf.key.private_numbers()


def test_a_key_that_cannot_be_used_says_why(tmp_path: Path) -> None:
    path = tmp_path / "tls.key"
    with pytest.raises(KeyUnusableError, match="No such file"):
        certificates.load_private_key(path)
    certificates.save_private_key(path, tls_leaf().key)
    with pytest.raises(KeyUnusableError, match="does not belong"):
        certificates.load_private_key(path, certificate=tls_leaf().certificate)
    path.chmod(0o644)
    with pytest.raises(KeyUnusableError) as caught:
        certificates.load_private_key(path)
    assert caught.value.hint == f"chmod 600 {shlex.quote(str(path))}"
    path.chmod(0o600)
    path.write_bytes(b"rubbish")
    with pytest.raises(KeyUnusableError, match="cannot be read"):
        certificates.load_private_key(path)
    tmp_path.chmod(0o755)
    with pytest.raises(KeyUnusableError, match="is a folder"):
        certificates.load_private_key(tmp_path)


def test_pem_and_der_are_the_same_certificate() -> None:
    leaf = tls_leaf()
    assert certificates.certificate_der(certificates.certificate_pem(leaf.certificate)) == (
        leaf.certificate
    )
