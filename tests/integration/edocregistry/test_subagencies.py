"""Lists of sub-agencies at the registry: on the agency's own seal, in its space, never shorter."""

from datetime import timedelta

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
from cryptography.hazmat.primitives.hashes import SHA256

from edoccore.directory.layout import RevocationKind
from edoccore.directory_errors import SubagencyRefusedError
from edoccore.errors import (
    AgencyExistsError,
    AgencyInactiveError,
    AgencyUnknownError,
    DecisionConflictError,
    RequestInvalidError,
    SealCertificateError,
    SealInvalidError,
)
from edoccore.identity.keys import low_s
from edoccore.signing.seal import SignedSeal
from edoccore.signing.statements import SubAgency, time_text
from tests.integration.edocregistry.test_registry import CALLER
from tests.support.nation import Nation
from tests.support.officers import Ceremony, new_keys
from tests.support.registry import OFFICER, enrol_node


@pytest.fixture
def node(registry, clock):
    """H29 with its node, and the spaces of its codes."""
    node = enrol_node(registry, "H29", clock)
    registry.give_spaces(OFFICER, "H29", ["H29.*", "*.H29"])
    return node


def publish(registry, sealed):
    return registry.publish_subagencies(CALLER, sealed)


def directory(registry):
    return registry.publisher.newest()


def test_list_stands_in_the_next_directory_without_an_officer(registry, clock, node):
    ceremony, officers = Ceremony(registry, clock), new_keys(2)
    ceremony.turn_off(officers, 2)
    before = registry.folder.directory.mark()[0]
    entry = SubAgency(code="H29.5", name="Sở Nội vụ", aliases=("000.05.00.H29",))
    assert publish(registry, node.subagencies(entry, time=clock.now)) > before
    assert registry.waiting() == []
    assert directory(registry).agency("000.05.00.H29").code == "H29.5"
    assert directory(registry).problems == ()


def test_same_list_again_changes_nothing(registry, clock, node):
    sealed = node.subagencies("H29.5", time=clock.now)
    assert publish(registry, sealed) == publish(registry, sealed)


def test_space_waits_for_officers_who_sign_elsewhere(registry, clock):
    node = enrol_node(registry, "H29", clock)
    ceremony, officers = Ceremony(registry, clock), new_keys(2)
    ceremony.turn_off(officers, 2)
    registry.give_spaces(OFFICER, "H29", ["H29.*"])
    assert [change.text for change in registry.waiting()] == [
        "H29 may list codes in the space H29.* itself."
    ]
    publish(registry, node.subagencies("H29.5", time=clock.now))
    assert not directory(registry).owns("H29", "H29.5")
    ceremony.publish(ceremony.sign(ceremony.draft(), *officers))
    assert directory(registry).owns("H29", "H29.5")


@pytest.mark.parametrize("code", ["H30.5", "H29", "REGISTRY", "G01.22", "000.05.00.H30"])
def test_t02_a_code_outside_the_spaces_is_refused_by_name(registry, clock, node, code):
    with pytest.raises(SubagencyRefusedError, match="cannot list") as caught:
        publish(registry, node.subagencies("H29.5", code, time=clock.now))
    assert caught.value.fields["code"] == code
    assert not directory(registry).owns("H29", "H29.5")  # all or nothing


@pytest.mark.parametrize("code", ["H290.5", "H29.", "h29.5", "\u041d29.5", "H29.\uff15"])
def test_t02_what_only_looks_like_a_code_is_in_no_list(registry, clock, node, code):
    with pytest.raises(RequestInvalidError):
        publish(registry, node.subagencies("H29.5", code, time=clock.now))
    assert directory(registry).lists == {}


def test_code_that_officers_gave_to_another_is_refused(registry, clock, node):
    enrol_node(registry, "H29.9", clock)
    with pytest.raises(SubagencyRefusedError, match=r"given to H29\.9"):
        publish(registry, node.subagencies("H29.9", time=clock.now))


def test_older_list_is_refused(registry, clock, node):
    older = node.subagencies("H29.5", time=clock.now)
    publish(registry, node.subagencies("H29.5", "H29.6", time=clock.now))
    with pytest.raises(SubagencyRefusedError, match="not above"):
        publish(registry, older)
    assert directory(registry).owns("H29", "H29.6")


def test_counter_of_a_later_time_is_refused(registry, clock, node):
    """Whoever stole a seal for an hour could else shut its agency out for ever."""
    far = int((clock.now + timedelta(days=1)).timestamp() * 1000)
    with pytest.raises(SubagencyRefusedError, match="later time"):
        publish(registry, node.subagencies("H29.5", time=clock.now, counter=far))


def test_list_that_forgets_or_reopens_a_code_is_refused(registry, clock, node):
    closed = SubAgency(code="H29.6", name="x", closed=time_text(clock.now))
    publish(registry, node.subagencies("H29.5", closed, time=clock.now))
    for entries in (["H29.5"], ["H29.5", "H29.6"]):
        with pytest.raises(SubagencyRefusedError, match=r"H29\.6"):
            publish(registry, node.subagencies(*entries, time=clock.now))


def test_another_agency_cannot_list_for_it(registry, clock, node):
    other = enrol_node(registry, "G01", clock)
    with pytest.raises(SubagencyRefusedError, match="sealed by G01"):
        publish(registry, other.subagencies("H29.5", time=clock.now, agency="H29"))
    with pytest.raises(SubagencyRefusedError, match="in no space"):
        publish(registry, other.subagencies("H29.5", time=clock.now))


def test_t03_a_stolen_tls_key_lists_nothing(registry, clock, node):
    sealed = node.subagencies("H29.5", time=clock.now)
    signature = low_s(node.tls_key.sign(sealed.seal.data, ECDSA(SHA256())))
    forged = SignedSeal(sealed.seal.data, signature)
    with pytest.raises(SealInvalidError):
        publish(registry, msgspec.structs.replace(sealed, seal=forged))
    node.seal_key, node.seal_certificate = node.tls_key, node.tls_certificate
    with pytest.raises(SealCertificateError):
        publish(registry, node.subagencies("H29.5", time=clock.now))


def test_altered_list_is_refused(registry, clock, node):
    sealed = node.subagencies("H29.5", time=clock.now)
    altered = msgspec.structs.replace(
        sealed, statement=sealed.statement.replace(b'"code":"H29.5"', b'"code":"H29.6"')
    )
    with pytest.raises(SealInvalidError):
        publish(registry, altered)


def test_stranger_with_the_same_code_is_refused(registry, clock, node):
    stranger = Nation.create(clock.now, "vn-test").add_agency("H29", "Stranger")
    with pytest.raises(SealCertificateError):
        publish(registry, stranger.subagencies("H29.5", time=clock.now))


def test_list_of_a_thief_falls_and_binds_its_agency_to_nothing(registry, clock, node):
    publish(registry, node.subagencies("H29.5", time=clock.now))
    clock.move(timedelta(hours=1))
    closed = [SubAgency(code="H29.5", name="x", closed=time_text(clock.now)), "H29.66"]
    publish(registry, node.subagencies(*closed, time=clock.now))
    stolen = clock.now - timedelta(minutes=1)
    clock.move(timedelta(hours=1))
    registry.revoke(OFFICER, "H29", kinds=[RevocationKind.SEAL], compromised_since=stolen)
    assert directory(registry).lists == {}
    again = enrol_node(registry, "H29", clock)
    again.counter = node.counter
    publish(registry, again.subagencies("H29.5", time=clock.now))
    found = directory(registry)
    assert found.owns("H29", "H29.5")
    assert not found.is_closed("H29.5")
    assert not found.owns("H29", "H29.66")


def test_list_of_a_replaced_key_holds_on(registry, clock, node):
    publish(registry, node.subagencies("H29.5", time=clock.now))
    clock.move(timedelta(hours=1))
    enrol_node(registry, "H29", clock)
    assert directory(registry).owns("H29", "H29.5")


def test_suspended_agency_changes_nothing_and_its_list_stays(registry, clock, node):
    publish(registry, node.subagencies("H29.5", time=clock.now))
    registry.suspend_agency(OFFICER, "H29")
    with pytest.raises((AgencyInactiveError, SealCertificateError)):
        publish(registry, node.subagencies("H29.5", "H29.6", time=clock.now))
    assert directory(registry).owns("H29", "H29.5")


def test_officers_have_one_way_and_the_agency_the_other(registry, clock, node):
    with pytest.raises(RequestInvalidError, match="H29's to list"):
        registry.add_agency(OFFICER, "H29.5", "Sở", aliases=(), owner="H29")
    registry.add_agency(OFFICER, "G05.9", "Cục", aliases=(), owner="H29")  # in no space
    assert directory(registry).owns("H29", "G05.9")


def test_what_officers_entered_before_goes_over_to_the_list(registry, clock):
    node = enrol_node(registry, "H29", clock)
    registry.add_agency(OFFICER, "H29.5", "Sở cũ", aliases=("000.05.00.H29",), owner="H29")
    registry.give_spaces(OFFICER, "H29", ["H29.*", "*.H29"])
    entry = SubAgency(code="H29.5", name="Sở mới", aliases=("000.05.00.H29",))
    publish(registry, node.subagencies(entry, time=clock.now))
    assert directory(registry).agency("000.05.00.H29").name == "Sở mới"
    registry.close_agency(OFFICER, "H29.5")  # the officers' entry; the agency's own goes on
    assert directory(registry).agency("H29.5").name == "Sở mới"
    assert directory(registry).problems == ()


def test_code_that_officers_closed_never_comes_back_in_a_list(registry, clock):
    node = enrol_node(registry, "H29", clock)
    registry.add_agency(OFFICER, "H29.5", "Sở", aliases=(), owner="H29")
    registry.close_agency(OFFICER, "H29.5")
    registry.give_spaces(OFFICER, "H29", ["H29.*"])
    with pytest.raises(SubagencyRefusedError, match=r"H29\.5"):
        publish(registry, node.subagencies("H29.5", time=clock.now))


def test_code_in_a_list_is_taken_for_officers_too(registry, clock, node):
    publish(registry, node.subagencies("H29.5", time=clock.now))
    with pytest.raises(AgencyExistsError, match="list of H29"):
        registry.add_agency(OFFICER, "H29.5", "x", aliases=(), owner=None)
    with pytest.raises(AgencyUnknownError, match="H29 lists itself"):
        registry.suspend_agency(OFFICER, "H29.5")


def test_one_space_is_given_to_one_agency(registry, clock, node):
    enrol_node(registry, "G01", clock)
    with pytest.raises(AgencyExistsError, match=r"H29\.\*"):
        registry.give_spaces(OFFICER, "G01", ["H29.*"])
    publish(registry, node.subagencies("H29.5.1", time=clock.now))
    with pytest.raises(AgencyExistsError, match=r"lists H29\.5\.1"):
        registry.give_spaces(OFFICER, "G01", ["H29.5.*"])
    assert list(registry.give_spaces(OFFICER, "G01", ["H29.6.*"])) == ["H29.6.*"]


def test_space_is_taken_back_while_nothing_is_listed_in_it(registry, clock, node):
    publish(registry, node.subagencies("H29.5", time=clock.now))
    assert list(registry.end_spaces(OFFICER, "H29", ["*.H29"])) == ["H29.*"]
    with pytest.raises(DecisionConflictError, match=r"lists H29\.5"):
        registry.end_spaces(OFFICER, "H29", ["H29.*"])
