"""What an agency asks of the registry under its own seal: its next certificate, the end of keys."""

from base64 import b64encode
from datetime import timedelta

import pytest
from cryptography import x509

from edoccore.directory.layout import WIND_UP, RevocationKind
from edoccore.errors import (
    AgencyInactiveError,
    RequestInvalidError,
    SealCertificateError,
    SealInvalidError,
)
from edoccore.signing import canonical
from edoccore.signing.seal import SignedSeal
from edoccore.signing.statements import KeyEnd, SealRenewal, time_text
from edockit import certificates
from edocregistry.domain.own_word import MAX_IN_FORCE
from tests.support.registry import NETWORK, OFFICER, enrol_node

CALLER = "ipv4:10.0.0.29"


@pytest.fixture
def node(registry, clock):
    agency = enrol_node(registry, "H29", clock)
    registry.publish_endpoint(CALLER, agency.endpoint("10.0.0.29:7443", time=clock.now))
    return agency


def renewal(node, clock, key, agency="H29"):
    """A sealed request for the certificate of a key."""
    request = b64encode(certificates.seal_request(key, "edocnode")).decode()
    word = SealRenewal(
        network=NETWORK, agency=agency, request=request, created=time_text(clock.now)
    )
    return node.seal(canonical.encode(word), time=clock.now)[0]


def end(node, clock, *digests, **more):
    """A sealed word that ends certificates."""
    word = KeyEnd(
        network=NETWORK,
        agency=more.pop("agency", "H29"),
        certificates=digests,
        reason="lost",
        created=time_text(clock.now),
        **more,
    )
    return node.seal(canonical.encode(word), time=clock.now)[0]


def fresh(registry):
    """The published directory, read anew."""
    registry.publisher._trusted = None
    return registry.directory()


def test_renewed_seal_is_listed_beside_the_old_one(registry, clock, node):
    clock.move(timedelta(days=670))
    key = certificates.new_private_key()
    renewed = registry.renew_seal(CALLER, renewal(node, clock, key))
    assert not renewed.waits
    found = fresh(registry).seals
    digests = {item.digests[0] for item in found.current("H29", clock.now)}
    assert digests == {node.digests[0], renewed.enrolled.certificate.sha256}
    certificate = x509.load_der_x509_certificate(renewed.enrolled.certificate.certificate)
    assert certificate.public_key() == key.public_key()
    assert certificate.not_valid_after_utc > clock.now + timedelta(days=729)


def test_same_key_gets_the_same_certificate_again(registry, clock, node):
    key = certificates.new_private_key()
    first = registry.renew_seal(CALLER, renewal(node, clock, key))
    clock.move(timedelta(hours=1))
    again = registry.renew_seal(CALLER, renewal(node, clock, key))
    assert again.enrolled.certificate.sha256 == first.enrolled.certificate.sha256
    assert again.enrolled.version == first.enrolled.version


def test_renewal_for_another_agency_is_refused(registry, clock, node):
    enrol_node(registry, "G01", clock)
    with pytest.raises(RequestInvalidError, match="cannot speak for"):
        registry.renew_seal(
            CALLER, renewal(node, clock, certificates.new_private_key(), agency="G01")
        )


def test_renewal_with_an_altered_seal_is_refused(registry, clock, node):
    sealed = renewal(node, clock, certificates.new_private_key())
    forged = SignedSeal(sealed.seal.data, node.signer.sign(sealed.seal.data + b" "))
    with pytest.raises(SealInvalidError):
        registry.renew_seal(CALLER, type(sealed)(sealed.statement, 0, (), forged))


@pytest.mark.parametrize("agency", ["H29", "G01"])
def test_key_that_was_certified_before_is_refused(registry, clock, node, agency):
    other = node if agency == "H29" else enrol_node(registry, agency, clock)
    if agency == "H29":
        registry.revoke(OFFICER, "H29", kinds=[RevocationKind.TLS], compromised_since=None)
        spare = certificates.new_private_key()
        spared = registry.renew_seal(CALLER, renewal(node, clock, spare)).enrolled.certificate
        registry.end_own_keys(CALLER, end(node, clock, spared.sha256))
        key = spare
    else:
        key = other.seal_key
    with pytest.raises(RequestInvalidError, match="used before"):
        registry.renew_seal(CALLER, renewal(node, clock, key))


def test_revoked_seal_cannot_renew_itself(registry, clock, node):
    registry.revoke(OFFICER, "H29", kinds=[RevocationKind.SEAL], compromised_since=None)
    with pytest.raises(SealCertificateError, match="revoked"):
        registry.renew_seal(CALLER, renewal(node, clock, certificates.new_private_key()))


def test_seal_that_ended_cannot_renew_itself(registry, clock, node):
    clock.move(timedelta(days=731))
    registry.publish_due()
    with pytest.raises(SealCertificateError, match="not valid"):
        registry.renew_seal(CALLER, renewal(node, clock, certificates.new_private_key()))


def test_suspended_agency_renews_nothing(registry, clock, node):
    registry.suspend_agency(OFFICER, "H29")
    with pytest.raises((AgencyInactiveError, SealCertificateError)):
        registry.renew_seal(CALLER, renewal(node, clock, certificates.new_private_key()))


def test_certificates_in_force_at_once_are_few(registry, clock, node):
    for _ in range(MAX_IN_FORCE - 1):
        registry.renew_seal(CALLER, renewal(node, clock, certificates.new_private_key()))
    with pytest.raises(RequestInvalidError, match="in force"):
        registry.renew_seal(CALLER, renewal(node, clock, certificates.new_private_key()))


def test_renewal_waits_for_officers_where_they_sign_elsewhere(registry, clock, node):
    (registry.folder.path / "keys" / "identity.pem").unlink()
    renewed = registry.renew_seal(CALLER, renewal(node, clock, certificates.new_private_key()))
    assert renewed.waits
    found = fresh(registry).seals.current("H29", clock.now)
    assert [item.digests[0] for item in found] == [node.digests[0]]


def test_agency_ends_its_own_tls_certificate(registry, clock, node):
    version = registry.end_own_keys(CALLER, end(node, clock, node.tls_sha256))
    directory = fresh(registry)
    assert directory.mark.version == version
    assert directory.revocations.find(node.tls_sha256).reason == "lost"
    assert registry.end_own_keys(CALLER, end(node, clock, node.tls_sha256)) == version


def test_agency_ends_its_own_seal_since_a_time(registry, clock, node):
    since = clock.now - timedelta(days=3)
    registry.end_own_keys(
        CALLER, end(node, clock, node.digests[0], compromised_since=time_text(since))
    )
    found = fresh(registry).revocations.find(node.digests[0])
    assert time_text(found.worthless_from) == time_text(since)
    assert fresh(registry).seals.current("H29", clock.now) == []


def test_agency_that_has_wound_up_still_ends_its_keys_and_nothing_else(registry, clock, node):
    registry.close_agency(OFFICER, "H29")
    for _ in range(8):  # roles are signed again in time
        clock.move(WIND_UP / 7)
        registry.publish_due()
    with pytest.raises((AgencyInactiveError, SealCertificateError)):
        registry.renew_seal(CALLER, renewal(node, clock, certificates.new_private_key()))
    registry.end_own_keys(CALLER, end(node, clock, node.tls_sha256, node.digests[0]))
    assert fresh(registry).seals.current("H29", clock.now) == []
    found = fresh(registry).revocations.find(node.digests[0])
    assert found.worthless_from == found.revoked_at


def test_suspended_agency_ends_no_keys(registry, clock, node):
    registry.suspend_agency(OFFICER, "H29")
    with pytest.raises(SealCertificateError, match="suspended"):
        registry.end_own_keys(CALLER, end(node, clock, node.digests[0]))


def test_agency_cannot_end_keys_of_another(registry, clock, node):
    other = enrol_node(registry, "G01", clock)
    with pytest.raises(RequestInvalidError, match="none of H29"):
        registry.end_own_keys(CALLER, end(node, clock, other.digests[0]))
    with pytest.raises(RequestInvalidError, match="cannot speak for"):
        registry.end_own_keys(CALLER, end(node, clock, other.digests[0], agency="G01"))


def test_compromise_in_the_future_is_refused(registry, clock, node):
    later = time_text(clock.now + timedelta(days=1))
    with pytest.raises(RequestInvalidError, match="future"):
        registry.end_own_keys(CALLER, end(node, clock, node.digests[0], compromised_since=later))


def test_t04_compromise_that_is_learned_later_counts_from_its_own_time(registry, clock, node):
    registry.revoke(OFFICER, "H29", kinds=[RevocationKind.SEAL], compromised_since=None)
    first = fresh(registry).revocations.find(node.digests[0])
    since = clock.now - timedelta(days=9)
    clock.move(timedelta(days=1))
    for kinds in ([RevocationKind.SEAL], []):
        made = registry.revoke(OFFICER, "H29", kinds=kinds, compromised_since=since)
        since -= timedelta(hours=1)
        assert [item.sha256 for item in made.revocations if item.kind is RevocationKind.SEAL] == [
            node.digests[0]
        ]
    found = fresh(registry).revocations.find(node.digests[0])
    assert found.revoked_at == first.revoked_at
    assert time_text(found.worthless_from) == time_text(since + timedelta(hours=1))
    later = registry.revoke(
        OFFICER, "H29", kinds=[RevocationKind.SEAL], compromised_since=since + timedelta(days=2)
    )
    assert later.revocations == []


def test_own_word_leaves_a_row_in_the_audit(registry, clock, node):
    registry.renew_seal(CALLER, renewal(node, clock, certificates.new_private_key()))
    registry.end_own_keys(CALLER, end(node, clock, node.tls_sha256))
    with registry.folder.turn() as turn:
        newest = turn.read(lambda records: records.audit(2))
    assert [(item.actor, item.command) for item in newest] == [
        (f"node {CALLER}", "end keys"),
        (f"node {CALLER}", "renew seal"),
    ]
