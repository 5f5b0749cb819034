from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from edoccore.directory.layout import AgencyState, OwnedCode
from edoccore.directory.view import Directory
from edocnode.domain.own_entry import (
    Foreign,
    OwnEntry,
    OwnKeys,
    codes_of,
    decode_own,
    encode_own,
    foreign,
    is_silent,
    key_digests,
    with_codes,
    with_keys,
)
from tests.support.nation import Agency, Nation

NOW = datetime(2026, 11, 23, 3, 4, 5, tzinfo=UTC)
ADDRESS = "10.0.0.1:7443"


@pytest.fixture
def nation() -> Nation:
    nation = Nation.create(NOW)
    nation.add_agency("H29", "Ủy ban nhân dân", owns=("H29.5",), address=ADDRESS)
    nation.add_agency("G01", "Bộ", owns=("G01.1",))
    return nation


def keys_of(agency: Agency) -> OwnKeys:
    return OwnKeys(seal_keys=key_digests(agency.seal_certificate), tls=[agency.tls_sha256])


@pytest.fixture
def own(nation: Nation) -> OwnEntry:
    """What H29's node knows to be its own."""
    kept = with_keys(OwnEntry(), keys_of(nation.agencies["H29"]))
    return with_codes(kept, nation.directory(), "H29")


def look(directory: Directory, own: OwnEntry, now: datetime = NOW) -> list[Foreign]:
    return foreign("H29", directory, own, [ADDRESS], now)


def subjects(directory: Directory, own: OwnEntry) -> set[str]:
    return {item.subject.partition(" ")[0] for item in look(directory, own)}


def another_seal(nation: Nation) -> None:
    """The registry issues a certificate for another key."""
    nation.replace_seal("H29")


def another_machine(nation: Nation) -> None:
    """The registry issues a certificate for another key, which seals the same address."""
    nation.replace_seal("H29")
    nation.set_address("H29", ADDRESS)


def another_address(nation: Nation) -> None:
    """Somebody with the agency's keys lists another machine."""
    nation.set_address("H29", "10.6.6.6:7443")


def another_code(nation: Nation) -> None:
    """The registry gives the agency a code of another one."""
    entry = nation.entries["H29"]
    nation.entries["H29"] = replace(entry, owns=(*entry.owns, OwnedCode(code="H29.6", name="x")))


def fewer_codes(nation: Nation) -> None:
    """The registry takes a code from the agency."""
    nation.entries["H29"] = replace(nation.entries["H29"], owns=())


def another_alias(nation: Nation) -> None:
    """The registry gives the agency the old code of another one."""
    nation.entries["H29"] = replace(nation.entries["H29"], aliases=("000.00.00.G01",))


def suspended(nation: Nation) -> None:
    """The registry suspends the agency."""
    nation.set_state("H29", AgencyState.SUSPENDED)


def removed(nation: Nation) -> None:
    """The registry forgets the agency."""
    nation.remove("H29")


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (another_seal, {"seal"}),
        (another_machine, {"seal", "endpoint"}),
        (another_address, {"endpoint"}),
        (another_code, {"code"}),
        (another_alias, {"code"}),
        (fewer_codes, {"code"}),
        (suspended, {"state"}),
        (removed, {"state", "code"}),
    ],
)
def test_t06_whatever_in_the_own_entry_is_not_its_own_is_found(
    nation: Nation, own: OwnEntry, change: Callable[[Nation], None], found: set[str]
) -> None:
    assert subjects(nation.directory(), own) == set()
    nation.now += timedelta(seconds=5)
    change(nation)
    assert subjects(nation.directory(), own) >= found
    assert all("officers" in item.message for item in look(nation.directory(), own))


def test_t06_a_node_asks_for_its_next_seal_and_is_not_alarmed_by_it_alone(
    nation: Nation, own: OwnEntry
) -> None:
    nation.replace_seal("H29")
    asked_for = key_digests(nation.agencies["H29"].seal_certificate)
    kept = with_keys(own, OwnKeys(seal_keys=[*own.seal_keys, *asked_for], tls=own.tls))
    assert subjects(nation.directory(), own) == {"seal"}
    assert subjects(nation.directory(), kept) == set()
    nation.replace_seal("H29")
    (told,) = look(nation.directory(), kept)
    assert nation.agencies["H29"].digests[0] in told.message
    assert "never had" in told.message


def test_t06_a_tls_certificate_that_the_node_never_had_is_found(
    nation: Nation, own: OwnEntry
) -> None:
    other = replace(own, tls=("0" * 64,))
    (found,) = look(nation.directory(), other)
    assert found.subject == f"tls {nation.agencies['H29'].tls_sha256[:16]}"
    assert "edocregistry revoke H29 --tls" in found.message


def test_keys_that_were_replaced_stay_known_and_revoked_ones_are_no_danger(
    nation: Nation, own: OwnEntry
) -> None:
    nation.now += timedelta(seconds=5)
    nation.replace_seal("H29")
    renewed = with_keys(own, keys_of(nation.agencies["H29"]))
    assert subjects(nation.directory(), renewed) == set()
    stranger = replace(renewed, seal_keys=renewed.seal_keys[1:])  # of a node that joined again
    assert "seal" in subjects(nation.directory(), stranger)
    kept = decode_own(encode_own(renewed))
    assert kept == renewed


def test_changes_of_others_are_none_of_its_own(nation: Nation, own: OwnEntry) -> None:
    nation.now += timedelta(seconds=5)
    nation.replace_seal("G01")
    nation.set_address("G01", "10.0.0.9:1")
    assert look(nation.directory(), own) == []


def test_codes_that_were_accepted_are_found_no_more(nation: Nation, own: OwnEntry) -> None:
    nation.now += timedelta(seconds=5)
    another_code(nation)
    directory = nation.directory()
    assert codes_of(directory, "H29") == {"H29.5", "H29.6"}
    assert look(directory, with_codes(own, directory, "H29")) == []


def test_a_suspended_agency_is_heard_by_nobody_until_it_comes_back(nation: Nation) -> None:
    assert not is_silent(nation.directory(), "H29", NOW)
    nation.now += timedelta(seconds=5)
    nation.suspend("H29")
    assert is_silent(nation.directory(), "H29", NOW)
    assert is_silent(nation.directory(), "H99", NOW)
