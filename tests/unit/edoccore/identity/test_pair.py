"""Suite 2: two keys in one certificate, two signatures in one; neither half is worth anything."""

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey, MLDSA65PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from edoccore.errors import KeyUnusableError, SealCertificateError, SealInvalidError
from edoccore.identity.certificate import (
    SECOND_KEY,
    certified_key,
    check_seal_certificate,
    check_tls_certificate,
    second_key_bytes,
)
from edoccore.identity.keys import (
    LATTICE_BYTES,
    MANIFEST_CONTEXT,
    PairSigner,
    PublicKey,
    Signer,
    SoftwareSigner,
    halves_of,
    verify_signature,
)
from edoccore.identity.suites import KeyPair, Suite, is_at_least, suite_of
from tests.unit.edoccore.identity.pki import NOW, TLS_USAGES, Issuer, new_key

ISSUER = Issuer()
RSA_2048 = rsa.generate_private_key(65537, 2048)
KEY, LATTICE = new_key(), MLDSA65PrivateKey.generate()
DATA = b'{"suite":2,"type":"edoc.seal/v1"}'


def named(spki: bytes, *, critical: bool = False) -> list[tuple[x509.ExtensionType, bool]]:
    """The extension that names a second key."""
    return [(x509.UnrecognizedExtension(SECOND_KEY, spki), critical)]


CERTIFICATE = ISSUER.issue(KEY, extra=named(second_key_bytes(LATTICE.public_key())))
PAIR: PublicKey = certified_key(CERTIFICATE)
SIGNER: Signer = PairSigner(SoftwareSigner(KEY, CERTIFICATE), LATTICE, CERTIFICATE)
SIGNATURE = SIGNER.sign(DATA)


def test_a_certificate_names_both_keys_and_seals_with_suite_2() -> None:
    check_seal_certificate(CERTIFICATE, NOW)
    assert KeyPair(KEY.public_key(), LATTICE.public_key()) == PAIR
    assert suite_of(PAIR) == SIGNER.suite == Suite.ECDSA_P256_MLDSA65 == 2
    assert certified_key(ISSUER.issue(KEY)) == KEY.public_key()


def test_both_halves_are_over_the_same_bytes() -> None:
    verify_signature(PAIR, 2, DATA, SIGNATURE)
    classical, lattice = halves_of(SIGNATURE, 2)
    assert len(lattice) == LATTICE_BYTES
    verify_signature(KEY.public_key(), 1, DATA, classical)  # what every openssl checks
    LATTICE.public_key().verify(lattice, DATA, b"edoc.seal/v1")
    assert halves_of(classical, 1) == (classical, b"")


@given(st.data())
@settings(max_examples=60)
def test_a_pair_s_signature_with_any_byte_changed_is_refused(data: st.DataObject) -> None:
    altered = bytearray(SIGNATURE)
    altered[data.draw(st.integers(0, len(altered) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(SealInvalidError):
        verify_signature(PAIR, 2, DATA, bytes(altered))


OTHER = PairSigner(SoftwareSigner(KEY, CERTIFICATE), LATTICE, CERTIFICATE).sign(DATA + b" ")


@pytest.mark.parametrize(
    "signature",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(halves_of(SIGNATURE, 2)[0], id="ECDSA alone"),
        pytest.param(halves_of(SIGNATURE, 2)[1], id="ML-DSA alone"),
        pytest.param(
            halves_of(SIGNATURE, 2)[0] + halves_of(OTHER, 2)[1], id="ML-DSA of other bytes"
        ),
        pytest.param(
            halves_of(OTHER, 2)[0] + halves_of(SIGNATURE, 2)[1], id="ECDSA of other bytes"
        ),
        pytest.param(SIGNATURE + b"\0", id="a byte more"),
        pytest.param(halves_of(SIGNATURE, 2)[1] + halves_of(SIGNATURE, 2)[0], id="turned round"),
    ],
)
def test_half_a_signature_is_none(signature: bytes) -> None:
    with pytest.raises(SealInvalidError):
        verify_signature(PAIR, 2, DATA, signature)


@pytest.mark.parametrize("suite", [1, 3])
def test_a_pair_never_seals_with_one_of_its_keys(suite: int) -> None:
    alone = SoftwareSigner(KEY, CERTIFICATE).sign(DATA)
    with pytest.raises(SealInvalidError, match=f"not one of suite {suite}"):
        verify_signature(PAIR, suite, DATA, alone)
    with pytest.raises(SealInvalidError, match="not one of suite 2"):
        verify_signature(KEY.public_key(), 2, DATA, SIGNATURE)


def test_a_signature_is_good_for_its_own_kind_of_statement_alone() -> None:
    manifest = SIGNER.sign(DATA, MANIFEST_CONTEXT)
    verify_signature(PAIR, 2, DATA, manifest, MANIFEST_CONTEXT)
    with pytest.raises(SealInvalidError):
        verify_signature(PAIR, 2, DATA, manifest)
    with pytest.raises(SealInvalidError):
        verify_signature(PAIR, 2, DATA, SIGNATURE, MANIFEST_CONTEXT)


@pytest.mark.parametrize(
    ("spki", "why"),
    [
        pytest.param(
            MLDSA44PrivateKey.generate()
            .public_key()
            .public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
            "not ML-DSA-65",
            id="ML-DSA-44",
        ),
        pytest.param(
            Ed25519PrivateKey.generate()
            .public_key()
            .public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
            "not ML-DSA-65",
            id="Ed25519",
        ),
        pytest.param(b"", "unreadable", id="empty"),
        pytest.param(second_key_bytes(LATTICE.public_key())[:-1], "unreadable", id="cut short"),
        pytest.param(second_key_bytes(LATTICE.public_key()) + b"\0", "unreadable", id="more"),
    ],
)
def test_another_second_key_seals_nothing(spki: bytes, why: str) -> None:
    certificate = ISSUER.issue(KEY, extra=named(spki))
    with pytest.raises(SealCertificateError, match=why):
        check_seal_certificate(certificate, NOW)


def test_a_second_key_beside_rsa_or_marked_critical_seals_nothing() -> None:
    spki = second_key_bytes(LATTICE.public_key())
    with pytest.raises(SealCertificateError, match="the pair"):
        check_seal_certificate(ISSUER.issue(RSA_2048, extra=named(spki)), NOW)
    with pytest.raises(SealCertificateError, match="unknown critical"):
        check_seal_certificate(ISSUER.issue(KEY, extra=named(spki, critical=True)), NOW)


def test_a_second_key_changes_nothing_for_tls() -> None:
    spki = second_key_bytes(LATTICE.public_key())
    check_tls_certificate(ISSUER.issue(KEY, usages=TLS_USAGES, extra=named(spki)), NOW)


def test_a_second_key_of_another_certificate_is_unusable() -> None:
    first = SoftwareSigner(KEY, CERTIFICATE)
    for lattice, certificate in (
        (MLDSA65PrivateKey.generate(), CERTIFICATE),
        (LATTICE, ISSUER.issue(KEY)),
    ):
        with pytest.raises(KeyUnusableError):
            PairSigner(first, lattice, certificate)


def test_suite_2_meets_every_minimum_and_no_other_meets_its_own() -> None:
    assert [is_at_least(suite, 2) for suite in (1, 2, 3, 4)] == [False, True, False, False]
    assert is_at_least(2, 1)
