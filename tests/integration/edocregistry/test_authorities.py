"""One issuing CA after another: what the old one issued stays good, what it issues now does not."""

from base64 import b64encode
from datetime import timedelta

import pytest
from cryptography import x509

from edoccore.directory.layout import RevocationKind, from_base64
from edoccore.identity.certificate import certificate_digest
from edoccore.identity.request import SealRequest
from edoccore.signing import canonical
from edoccore.signing.statements import SealRenewal, time_text
from edockit import certificates, files
from edocregistry.app.registry import Registry
from edocregistry.domain.model import SealCertificate
from edocregistry.storage.keys import FileAuthority
from tests.support.officers import Ceremony, new_keys
from tests.support.registry import NETWORK, OFFICER, enrol_node

CALLER = "ipv4:10.0.0.29"


@pytest.fixture
def node(registry, clock):
    return enrol_node(registry, "H29", clock)


def fresh(registry):
    """The published directory, read anew."""
    registry.publisher._trusted = None
    return registry.directory()


def rotate(registry, clock):
    """A new CA; returns its certificate."""
    clock.move(timedelta(days=1))
    return registry.rotate_authority(OFFICER)[0]


def test_old_seals_stay_and_new_ones_come_from_the_new_authority(registry, clock, node):
    old = registry.authority().certificate
    new = rotate(registry, clock)
    other = enrol_node(registry, "G01", clock)
    directory = fresh(registry)
    assert directory.problems == ()
    for agency, authority in ((node, old), (other, new)):
        (listed,) = directory.seals.current(agency.code, clock.now)
        assert listed.chain[-1] == authority
        assert listed.digests == agency.digests
    assert len(directory.info.issuing_authorities) == 2


def test_t35_certificate_that_a_retired_authority_issues_is_refused(registry, clock, node):
    old = registry.authority()
    rotate(registry, clock)
    clock.move(timedelta(seconds=2))
    key = certificates.new_private_key()
    with registry.folder.turn() as turn:
        agency = turn.read(lambda records: records.agency("H29"))
        key_file = f"issuing-ca-{certificate_digest(old.certificate)[:16]}.pem"
        der = FileAuthority(
            registry.folder.path / "keys" / key_file,
            old.certificate,
            crl_url="urn:x",
            life=timedelta(days=700),
        ).issue(SealRequest(certificates.seal_request(key, "x")), agency, clock.now)
        stolen = SealCertificate(
            sha256=certificate_digest(der),
            agency="H29",
            key_sha256=b"k" * 32,
            certificate=der,
            issued_at=clock.now,
        )
        turn.write(lambda records: records.add_seal_certificate(stolen))
    registry.publish_due()
    directory = fresh(registry)
    assert [item.digests[0] for item in directory.seals.current("H29", clock.now)] == [
        node.digests[0]
    ]
    assert any("had been retired" in problem for problem in directory.problems)


def test_seal_moves_to_the_new_authority_by_its_renewal(registry, clock, node):
    new = rotate(registry, clock)
    request = b64encode(certificates.seal_request(certificates.new_private_key(), "x")).decode()
    word = SealRenewal(network=NETWORK, agency="H29", request=request, created=time_text(clock.now))
    sealed = node.seal(canonical.encode(word), time=clock.now)[0]
    enrolled = registry.renew_seal(CALLER, sealed).enrolled
    assert enrolled.chain == (new,)
    rotate(registry, clock)
    assert registry.renew_seal(CALLER, sealed).enrolled.chain == (new,)  # as it was issued


def test_each_authority_revokes_what_it_issued(registry, clock, node):
    rotate(registry, clock)
    other = enrol_node(registry, "G01", clock)
    for code in ("H29", "G01"):
        registry.revoke(OFFICER, code, kinds=[RevocationKind.SEAL], compromised_since=None)
    with registry.folder.turn() as turn:
        lists = [
            x509.load_der_x509_crl(turn.read(lambda records, place=place: records.crl(place)).der)
            for place in (1, 2)
        ]
    for agency, crl in zip((node, other), lists, strict=True):
        serial = x509.load_der_x509_certificate(agency.seal_certificate).serial_number
        assert [item.serial_number for item in crl] == [serial]
        assert fresh(registry).seals.current(agency.code, clock.now) == []


def test_registry_seals_its_own_entry_under_the_new_authority(registry, clock):
    new = rotate(registry, clock)
    assert registry.keep_own_entry()
    endpoint = fresh(registry).endpoint("REGISTRY", clock.now)
    assert endpoint.listed.chain[-1] == new
    assert not registry.keep_own_entry()


@pytest.mark.parametrize("allowed", range(5))
def test_crash_while_the_authority_is_replaced_leaves_one_that_issues(
    registry, clock, node, monkeypatch, allowed
):
    write, calls = files.write_file_atomic, iter(range(20))

    def failing(path, content, **more):
        if next(calls) >= allowed:
            raise OSError("the power went")
        write(path, content, **more)

    monkeypatch.setattr(files, "write_file_atomic", failing)
    with pytest.raises(OSError, match="power"):
        registry.rotate_authority(OFFICER)
    monkeypatch.undo()
    again = Registry(registry.folder, registry.settings, clock)
    enrol_node(again, "G01", clock)
    directory = fresh(again)
    assert directory.problems == ()
    assert len(directory.seals.current("H29", clock.now)) == 1
    assert len(directory.seals.current("G01", clock.now)) == 1


def test_rotation_waits_for_officers_who_sign_elsewhere_and_nothing_stops_meanwhile(
    registry, clock, node
):
    """Until they sign, nodes know the old authority alone: its seals and CRL go on."""
    ceremony, officers = Ceremony(registry, clock), new_keys(2)
    ceremony.turn_off(officers, 2)
    old = registry.authority().certificate
    registry.publish_endpoint("ipv4:10.0.0.29", node.endpoint("10.0.0.29:1", time=clock.now))
    new = rotate(registry, clock)
    texts = [change.text for change in registry.waiting()]
    assert any("is new" in text for text in texts)
    assert any("is retired" in text for text in texts)
    before = fresh(registry)
    assert before.problems == ()
    assert [from_base64(item) for item in before.info.issuing_authorities] == [old]
    assert before.seals.current("H29", clock.now)
    assert not registry.keep_own_entry()  # the registry's own new seal waits as well
    registry.revoke(OFFICER, "H29", kinds=[RevocationKind.TLS], compromised_since=None)
    assert fresh(registry).problems == ()  # revocations are published meanwhile
    other = enrol_node(registry, "G01", clock)
    assert "G01" not in fresh(registry).identities
    ceremony.publish(ceremony.sign(ceremony.draft(), *officers))
    after = fresh(registry)
    assert after.problems == ()
    assert [from_base64(item) for item in after.info.issuing_authorities] == [new, old]
    (listed,) = after.seals.current("G01", clock.now)
    assert listed.chain[-1] == new
    assert listed.digests[0] == other.digests[0]
    assert after.seals.current("H29", clock.now)
    assert registry.keep_own_entry()
    assert fresh(registry).problems == ()
