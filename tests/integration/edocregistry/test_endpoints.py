"""Endpoint statements at the registry: accepted on the agency's own seal, and on nothing else."""

from datetime import timedelta

import msgspec
import pytest

from edoccore.directory.layout import WIND_UP, RevocationKind, to_base64
from edoccore.errors import (
    AgencyInactiveError,
    EndpointRefusedError,
    NotCanonicalError,
    SealCertificateError,
    SealInvalidError,
    StatementTypeError,
    WrongNetworkError,
)
from edoccore.signing import canonical
from edoccore.signing.seal import SignedSeal
from edoccore.signing.statements import Endpoint
from edockit import certificates
from tests.support import nation
from tests.support.registry import OFFICER, enrol_node

ADDRESS = "10.0.0.29:7443"
CALLER = "ipv4:10.0.0.29"


@pytest.fixture
def node(registry, clock):
    return enrol_node(registry, "H29", clock)


def publish(registry, sealed):
    return registry.publish_endpoint(CALLER, sealed)


def sealed_with(node, clock, **changes):
    """An endpoint statement of the node with some fields changed before it was sealed."""
    plain = canonical.decode(node.endpoint(ADDRESS, time=clock.now).statement, Endpoint)
    changed = msgspec.structs.replace(plain, **changes)
    return node.seal(canonical.encode(changed), time=clock.now)[0]


def test_sealed_endpoint_stands_in_the_next_directory(registry, clock, node):
    before = registry.folder.directory.mark()[0]
    version = publish(registry, node.endpoint(ADDRESS, time=clock.now))
    assert version > before
    found = fresh(registry).endpoint("H29", clock.now)
    assert found is not None
    assert found.addresses == (ADDRESS,)


def fresh(registry):
    """The published directory, read anew."""
    return registry.publisher.newest()


def test_same_statement_again_changes_nothing(registry, clock, node):
    sealed = node.endpoint(ADDRESS, time=clock.now)
    version = publish(registry, sealed)
    assert publish(registry, sealed) == version


def test_counter_that_is_not_higher_is_refused(registry, clock, node):
    newest = node.endpoint(ADDRESS, time=clock.now)
    publish(registry, newest)
    for counter in (node.counter, node.counter - 1):
        with pytest.raises(EndpointRefusedError, match="is not above"):
            publish(registry, sealed_with(node, clock, counter=counter, addresses=("10.9.9.9:1",)))
    assert fresh(registry).endpoint("H29", clock.now).addresses == (ADDRESS,)


def test_statement_for_another_agency_is_refused(registry, clock, node):
    other = enrol_node(registry, "G01.22", clock)
    forged = sealed_with(node, clock, agency="G01.22")
    with pytest.raises(EndpointRefusedError, match="sealed by H29"):
        publish(registry, forged)
    assert fresh(registry).endpoint(other.code, clock.now) is None


def test_altered_statement_is_refused(registry, clock, node):
    sealed = node.endpoint(ADDRESS, time=clock.now)
    altered = msgspec.structs.replace(
        sealed, statement=sealed.statement.replace(b"10.0.0.29", b"10.0.0.66")
    )
    with pytest.raises(SealInvalidError):
        publish(registry, altered)


def test_altered_seal_or_signature_is_refused(registry, clock, node):
    sealed = node.endpoint(ADDRESS, time=clock.now)
    flipped = bytearray(sealed.seal.signature)
    flipped[-1] ^= 1
    for seal in (
        SignedSeal(sealed.seal.data, bytes(flipped)),
        SignedSeal(sealed.seal.data.replace(b'"index":0', b'"index":1'), sealed.seal.signature),
    ):
        with pytest.raises(SealInvalidError):
            publish(registry, msgspec.structs.replace(sealed, seal=seal))


def test_statement_in_another_form_or_of_another_type_is_refused(registry, clock, node):
    sealed = node.endpoint(ADDRESS, time=clock.now)
    with pytest.raises(NotCanonicalError):
        publish(registry, msgspec.structs.replace(sealed, statement=sealed.statement + b" "))
    with pytest.raises(StatementTypeError):
        publish(registry, msgspec.structs.replace(sealed, statement=sealed.seal.data))


def test_statement_for_another_network_is_refused(registry, clock, node):
    with pytest.raises(WrongNetworkError):
        publish(registry, sealed_with(node, clock, network="vn-other"))


def test_endpoint_sealed_with_a_key_the_registry_never_certified_is_refused(registry, clock, node):
    stranger = nation.Nation.create(clock.now, "vn-test").add_agency("H29", "Stranger")
    with pytest.raises(SealCertificateError):
        publish(registry, stranger.endpoint(ADDRESS, time=clock.now))


def test_endpoint_under_a_revoked_seal_is_refused_and_the_old_one_leaves(registry, clock, node):
    publish(registry, node.endpoint(ADDRESS, time=clock.now))
    registry.revoke(OFFICER, "H29", kinds=[RevocationKind.SEAL], compromised_since=None)
    assert fresh(registry).endpoint("H29", clock.now) is None
    with pytest.raises(SealCertificateError, match="revoked"):
        publish(registry, node.endpoint(ADDRESS, time=clock.now))


def test_t05_endpoint_sealed_with_the_tls_key_is_refused(registry, clock, node):
    node.seal_key, node.seal_certificate = node.tls_key, node.tls_certificate
    with pytest.raises(SealCertificateError):
        publish(registry, node.endpoint(ADDRESS, time=clock.now))


def test_t05_seal_certificate_or_seal_key_listed_for_tls_is_refused(registry, clock, node):
    with pytest.raises(EndpointRefusedError):
        publish(
            registry,
            sealed_with(node, clock, certificates=(to_base64(node.seal_certificate),)),
        )
    same_key = nation.tls_certificate(node.seal_key, "H29", now=clock.now)
    with pytest.raises(EndpointRefusedError, match="key of a seal"):
        publish(registry, sealed_with(node, clock, certificates=(to_base64(same_key),)))


def test_tls_certificate_of_a_neighbour_is_refused(registry, clock, node):
    other = enrol_node(registry, "G01.22", clock)
    stolen = to_base64(other.tls_certificate)
    with pytest.raises(EndpointRefusedError):
        publish(registry, sealed_with(node, clock, certificates=(stolen,)))


def test_tls_certificate_for_another_name_expired_or_twice_is_refused(registry, clock, node):
    with pytest.raises(EndpointRefusedError, match="is not for"):
        publish(registry, sealed_with(node, clock, server_name="other.edoc.test"))
    old = certificates.self_signed_tls(
        node.tls_key,
        common_name="H29",
        dns_name=node.server_name,
        not_before=clock.now - timedelta(days=9),
        not_after=clock.now - timedelta(days=1),
    )
    with pytest.raises(EndpointRefusedError, match="not valid"):
        publish(registry, sealed_with(node, clock, certificates=(to_base64(old),)))
    twice = (to_base64(node.tls_certificate),) * 2
    with pytest.raises(EndpointRefusedError, match="twice"):
        publish(registry, sealed_with(node, clock, certificates=twice))


def test_revoked_tls_certificate_does_not_come_back(registry, clock, node):
    publish(registry, node.endpoint(ADDRESS, time=clock.now))
    registry.revoke(OFFICER, "H29", kinds=[RevocationKind.TLS], compromised_since=None)
    with pytest.raises(EndpointRefusedError, match="revoked"):
        publish(registry, node.endpoint(ADDRESS, time=clock.now))
    node.renew_tls(clock.now)
    publish(registry, node.endpoint(ADDRESS, time=clock.now))


@pytest.mark.parametrize("address", ["nohost", "h:0", "h:65536", "a b:1", "::1:7", "h:x", "h:٧"])
def test_address_that_is_none_is_refused(registry, clock, node, address):
    with pytest.raises((EndpointRefusedError, NotCanonicalError)):
        publish(registry, sealed_with(node, clock, addresses=(address,)))


def test_agency_that_is_suspended_or_has_wound_up_publishes_nothing(registry, clock, node):
    sealed = node.endpoint(ADDRESS, time=clock.now)
    registry.suspend_agency(OFFICER, "H29")
    with pytest.raises((AgencyInactiveError, SealCertificateError)):
        publish(registry, sealed)
    registry.resume_agency(OFFICER, "H29")
    publish(registry, sealed)
    registry.close_agency(OFFICER, "H29")
    assert fresh(registry).endpoint("H29", clock.now) is not None  # it winds up
    clock.now += WIND_UP
    registry.publish_due()
    assert "H29" not in fresh(registry).endpoints
    with pytest.raises((AgencyInactiveError, SealCertificateError)):
        publish(registry, node.endpoint("h:2", time=clock.now))
