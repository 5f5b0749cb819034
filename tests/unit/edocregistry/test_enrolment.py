"""Who gets a seal certificate. Threat T-39: a token stolen, reused, raced or guessed."""

from datetime import UTC, datetime, timedelta
from hashlib import sha256

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from edoccore.errors import (
    AgencyInactiveError,
    AgencyUnknownError,
    QuotaError,
    RequestInvalidError,
    TokenRefusedError,
)
from edoccore.identity.certificate import check_seal_certificate
from edoccore.identity.request import SealRequest
from edockit import certificates
from edocregistry.domain import agencies, enrolment
from edocregistry.domain.enrolment import RefusalLimit, enrol, make_invite

NOW = datetime(2026, 11, 23, 3, 0, tzinfo=UTC)
TOKEN = bytes(range(16))
TTL = timedelta(hours=72)


def request(key=None, *, name="edocnode", extensions=()) -> bytes:
    attributes = [] if name is None else [x509.NameAttribute(NameOID.COMMON_NAME, name)]
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(attributes))
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    signed = builder.sign(key or certificates.new_private_key(), hashes.SHA256())
    return signed.public_bytes(Encoding.DER)


@pytest.fixture
def invited(in_records):
    """H29 with an invite for ``TOKEN``."""
    in_records(lambda records: agencies.add_agency(records, "H29", "Đồng Tháp", now=NOW))
    in_records(invite)
    return in_records


def invite(records, code="H29", token=TOKEN, ttl=TTL, now=NOW):
    return make_invite(records, code, token_sha256=sha256(token).digest(), ttl=ttl, now=now)


def use(in_records, authority, *, token=TOKEN, csr=None, second=b"", agency_code="", now=NOW):
    return in_records(
        lambda records: enrol(
            records,
            authority,
            token=token,
            request=SealRequest(request() if csr is None else csr, second),
            agency_code=agency_code,
            now=now,
        )
    )


def test_token_buys_a_seal_certificate_that_fits_the_profile(invited, authority):
    certificate = use(invited, authority)
    loaded = x509.load_der_x509_certificate(certificate.certificate)
    check_seal_certificate(loaded, NOW)
    assert loaded.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == "H29"
    assert certificate.agency == "H29"


def test_same_token_with_same_key_repeats_the_same_certificate_even_after_its_end(
    invited, authority
):
    csr = request()
    first = use(invited, authority, csr=csr)
    assert use(invited, authority, csr=csr, now=NOW + TTL + TTL) == first
    assert len(invited(lambda records: records.seal_certificates("H29"))) == 1


def test_t39_same_token_with_another_key_is_refused(invited, authority):
    use(invited, authority)
    with pytest.raises(TokenRefusedError):
        use(invited, authority)
    assert len(invited(lambda records: records.seal_certificates("H29"))) == 1


def test_t39_unknown_token_is_refused(invited, authority):
    with pytest.raises(TokenRefusedError):
        use(invited, authority, token=b"\0" * 16)


def test_t39_expired_token_is_refused_at_the_second_it_ends(invited, authority):
    with pytest.raises(TokenRefusedError):
        use(invited, authority, now=NOW + TTL)
    use(invited, authority, now=NOW + TTL - timedelta(seconds=1))


def test_t39_token_is_bound_to_its_agency(invited, authority):
    invited(lambda records: agencies.add_agency(records, "H30", "x", now=NOW))
    with pytest.raises(TokenRefusedError):
        use(invited, authority, agency_code="H30")
    assert use(invited, authority, agency_code="H29").agency == "H29"


def test_t39_why_a_token_is_refused_is_not_told(invited, authority):
    texts = set()
    for attempt in (
        {"token": b"\0" * 16},
        {"now": NOW + TTL},
        {"agency_code": "H30"},
    ):
        with pytest.raises(TokenRefusedError) as refused:
            use(invited, authority, **attempt)
        texts.add((refused.value.message, refused.value.hint, *refused.value.fields.items()))
    assert len(texts) == 1


@pytest.mark.parametrize(
    "csr",
    [
        request(extensions=[x509.SubjectAlternativeName([x509.DNSName("g01.gov.test")])]),
        request(extensions=[x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])]),
        request(extensions=[x509.BasicConstraints(ca=True, path_length=None)]),
    ],
)
def test_t39_request_for_an_extension_such_as_an_extra_san_is_refused(invited, authority, csr):
    with pytest.raises(RequestInvalidError, match="names or extensions"):
        use(invited, authority, csr=csr)
    use(invited, authority)  # the token was not used up


def test_t39_request_with_more_names_is_refused(invited, authority):
    names = [
        x509.NameAttribute(NameOID.COMMON_NAME, "H29"),
        x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Bộ Công an"),
    ]
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(names))
    csr = builder.sign(certificates.new_private_key(), hashes.SHA256()).public_bytes(Encoding.DER)
    with pytest.raises(RequestInvalidError, match="names or extensions"):
        use(invited, authority, csr=csr)


def test_name_in_the_request_is_not_taken_over(invited, authority):
    issued = use(invited, authority, csr=request(name="G01"))
    subject = x509.load_der_x509_certificate(issued.certificate).subject
    assert subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == "H29"


def test_request_not_signed_with_its_own_key_is_refused(invited, authority):
    good = bytearray(request())
    good[-1] ^= 1
    with pytest.raises(RequestInvalidError):
        use(invited, authority, csr=bytes(good))


@pytest.mark.parametrize(
    "key",
    [
        ec.generate_private_key(ec.SECP384R1()),
        rsa.generate_private_key(public_exponent=65537, key_size=2048),
    ],
    ids=["P-384", "RSA"],
)
def test_request_with_another_kind_of_key_is_refused(invited, authority, key):
    with pytest.raises(RequestInvalidError, match="P-256"):
        use(invited, authority, csr=request(key))


OF_NO_VERSION = request().replace(bytes.fromhex("020100"), bytes.fromhex("020109"), 1)


@pytest.mark.parametrize("csr", [b"", b"\x30\x00", b"x" * 5000, request() + b"\0", OF_NO_VERSION])
def test_damaged_request_is_refused(invited, authority, csr):
    with pytest.raises(RequestInvalidError):
        use(invited, authority, csr=csr)


def test_key_that_was_ever_certified_cannot_enrol_again(invited, authority):
    csr = request()
    use(invited, authority, csr=csr)
    invited(lambda records: invite(records, token=b"n" * 16))
    with pytest.raises(RequestInvalidError, match="used before"):
        use(invited, authority, token=b"n" * 16, csr=csr)


def test_new_invite_for_an_enrolled_agency_replaces_its_keys(invited, authority):
    old = use(invited, authority)
    invited(lambda records: invite(records, token=b"n" * 16))
    assert invited(lambda records: records.revocations("H29")) == []  # until the new ones are in
    new = use(invited, authority, token=b"n" * 16, now=NOW + timedelta(hours=1))
    revoked = invited(lambda records: records.revocations("H29"))
    assert [item.sha256 for item in revoked] == [old.sha256]
    assert new.sha256 != old.sha256


def test_certificate_that_was_revoked_is_not_handed_out_again(invited, authority):
    csr = request()
    use(invited, authority, csr=csr)
    invited(lambda records: invite(records, token=b"n" * 16))
    use(invited, authority, token=b"n" * 16)
    with pytest.raises(TokenRefusedError):
        use(invited, authority, csr=csr)


def test_newer_invite_ends_the_unused_one_before(invited, authority):
    invited(lambda records: invite(records, token=b"n" * 16))
    with pytest.raises(TokenRefusedError):
        use(invited, authority)
    use(invited, authority, token=b"n" * 16)


def test_suspended_agency_cannot_enrol(invited, authority):
    invited(lambda records: agencies.suspend_agency(records, "H29"))
    with pytest.raises(TokenRefusedError):
        use(invited, authority)


def test_invite_needs_an_active_agency_with_its_own_node(invited):
    invited(lambda records: agencies.add_agency(records, "H29.5", "Sở", owner="H29", now=NOW))
    with pytest.raises(RequestInvalidError, match="node of H29"):
        invited(lambda records: invite(records, "H29.5"))
    with pytest.raises(AgencyUnknownError):
        invited(lambda records: invite(records, "H99"))
    invited(lambda records: agencies.suspend_agency(records, "H29"))
    with pytest.raises(AgencyInactiveError):
        invited(lambda records: invite(records, token=b"m" * 16))


@pytest.mark.parametrize("ttl", [timedelta(seconds=59), timedelta(days=31)])
def test_invite_holds_for_a_minute_to_thirty_days(invited, ttl):
    with pytest.raises(RequestInvalidError, match="30 days"):
        invited(lambda records: invite(records, token=b"m" * 16, ttl=ttl))


def test_t39_guessing_is_slowed_down_for_one_caller_and_not_for_another():
    limit = RefusalLimit()
    for _ in range(enrolment.REFUSALS_PER_CALLER):
        limit.check("ipv4:10.0.0.1", NOW)
        limit.note("ipv4:10.0.0.1", NOW)
    with pytest.raises(QuotaError) as refused:
        limit.check("ipv4:10.0.0.1", NOW)
    assert refused.value.fields["retry_after_s"] == "60"
    limit.check("ipv4:10.0.0.2", NOW)
    limit.check("ipv4:10.0.0.1", NOW + enrolment.REFUSAL_WINDOW)


def test_t39_guessing_from_many_addresses_is_slowed_down_too():
    limit = RefusalLimit()
    for number in range(enrolment.REFUSALS_IN_ALL):
        limit.note(f"ipv4:10.0.{number // 250}.{number % 250}", NOW)
    with pytest.raises(QuotaError):
        limit.check("ipv4:10.9.9.9", NOW)
