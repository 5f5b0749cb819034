from collections.abc import Callable
from datetime import timedelta
from hashlib import sha256

import pytest
from msgspec.structs import replace

from edoccore.directory.layout import AgencyState, OwnedCode, RevocationKind, to_base64
from edoccore.errors import (
    AgencyInactiveError,
    AgencyUnknownError,
    PeerNotTrustedError,
    SealCertificateError,
)
from edoccore.signing import canonical
from edoccore.signing.seal import SealedStatement, SealPlace, SignedSeal, draft, open_seal
from edoccore.signing.statements import Effect, Seal, time_text
from edockit import certificates
from tests.support.nation import NO_MARK, Nation, tls_certificate
from tests.unit.edoccore.directory.conftest import NOW

HOUR = timedelta(hours=1)


def effect_of(nation: Nation, code: str) -> bytes:
    statement = Effect(
        network=nation.network,
        agency=code,
        kind="document.accepted",
        subject="x",
        actor="y",
        time=time_text(nation.now),
    )
    return canonical.encode(statement)


def sealed_by(nation: Nation, code: str) -> SignedSeal:
    return nation.agencies[code].seal(effect_of(nation, code), time=nation.now)[0].seal


def seal_of(sealed: SealedStatement | SignedSeal) -> Seal:
    data = sealed.data if isinstance(sealed, SignedSeal) else sealed.seal.data
    return canonical.decode(data, Seal)


# --- Codes --------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", ["H29", "000.00.00.H29", "H29.5.1"])
def test_an_agency_is_found_by_code_alias_and_owned_code(nation: Nation, code: str) -> None:
    directory = nation.directory()
    assert directory.agency(code).owner == "H29"
    assert directory.owner_of(code, NOW) == "H29"
    assert directory.owns("H29", code)
    assert directory.node_of(code) == "H29"
    assert directory.accepts("H29", code)
    assert not directory.owns("G01", code)
    assert not directory.accepts("G01", code)


@pytest.mark.parametrize(
    "code",
    [
        "H290",
        "H2",
        "H29.",
        "H29.5",
        "H29.5.1.1",
        "H29.5.2",
        "h29",
        "H29 ",
        " H29",
        "\u041d29",  # Cyrillic En
        "H2\uff19",  # full-width 9
        "H29\u200b",
        "000.00.00.h29",
        "",
        "G01.22",
    ],
)
def test_t02_a_code_that_is_not_listed_is_nobody_s_however_much_it_looks_like_one(
    nation: Nation, code: str
) -> None:
    directory = nation.directory()
    assert not directory.owns("H29", code)
    assert not directory.accepts("H29", code)
    with pytest.raises(AgencyUnknownError):
        directory.owner_of(code, NOW)


def test_t01_an_agency_owns_no_code_of_another(nation: Nation) -> None:
    directory = nation.directory()
    assert not directory.owns("H29", "G01")
    assert directory.owns("G01", "G01")


def test_a_code_claimed_by_two_agencies_is_neither_s_and_is_named(nation: Nation) -> None:
    nation.add_agency("H30", "One", aliases=("000.00.00.H30",))
    nation.add_agency("H31", "Two", aliases=("000.00.00.H30",), owns=("H29",))
    directory = nation.directory()
    with pytest.raises(AgencyUnknownError):
        directory.agency("000.00.00.H30")
    assert directory.owner_of("H29", NOW) == "H29"
    assert len(directory.problems) == 2
    assert "H30, H31" in directory.problems[0]


def test_an_agency_owned_nothing_before_it_existed(nation: Nation) -> None:
    directory = nation.directory()
    with pytest.raises(AgencyUnknownError, match="did not exist"):
        directory.owner_of("H29", NOW - timedelta(days=1))


def test_documents_for_a_merged_agency_go_to_its_successor(nation: Nation) -> None:
    nation.set_state("G01", AgencyState.MERGED, successors=("H29",))
    directory = nation.directory()
    assert directory.node_of("G01") == "H29"
    assert directory.accepts("H29", "G01")
    assert not directory.owns("H29", "G01")
    assert directory.owner_of("G01", NOW - timedelta(minutes=1)) == "G01"
    with pytest.raises(AgencyUnknownError):
        directory.owner_of("G01", NOW)


def test_successions_are_followed_but_never_in_a_circle(nation: Nation) -> None:
    nation.add_agency("H30", "Third")
    nation.set_state("G01", AgencyState.MERGED, successors=("H30",))
    nation.set_state("H30", AgencyState.MERGED, successors=("H29",))
    assert nation.directory().node_of("G01") == "H29"
    nation.set_state("H30", AgencyState.MERGED, successors=("G01",))
    with pytest.raises(AgencyInactiveError):
        nation.directory().node_of("G01")


def test_of_several_successors_the_sender_must_choose(nation: Nation) -> None:
    nation.set_state("G01", AgencyState.CLOSED, successors=("H29", "REGISTRY"))
    with pytest.raises(AgencyInactiveError) as caught:
        nation.directory().node_of("G01")
    assert "H29, REGISTRY" in caught.value.hint


def test_nothing_goes_to_or_comes_from_a_suspended_agency(nation: Nation) -> None:
    signed = sealed_by(nation, "G01")
    nation.suspend("G01")
    directory = nation.directory()
    with pytest.raises(AgencyInactiveError, match="suspended"):
        directory.node_of("G01")
    assert directory.endpoint("G01", NOW) is None
    with pytest.raises(PeerNotTrustedError, match="not active"):
        directory.tls_agency(nation.agencies["G01"].tls_sha256, NOW)
    with pytest.raises(SealCertificateError, match="suspended"):
        open_seal(signed, directory, network=nation.network, at=NOW)


# --- Seals --------------------------------------------------------------------------------------


def test_a_seal_of_a_listed_certificate_opens(nation: Nation) -> None:
    directory = nation.directory()
    signed = sealed_by(nation, "H29")
    assert open_seal(signed, directory, network=nation.network, at=NOW).seal.signer == "H29"


def test_a_seal_by_nobody_is_refused(nation: Nation) -> None:
    nation.add_agency("H30", "Not published")
    signed = sealed_by(nation, "H30")
    nation.remove("H30")
    with pytest.raises(AgencyUnknownError):
        open_seal(signed, nation.directory(), network=nation.network, at=NOW)


def test_a_sub_agency_has_no_seal_of_its_own(nation: Nation) -> None:
    agency = nation.agencies["H29"]
    place = agency.place()
    made = draft(
        SealPlace(
            network=place.network,
            signer="H29.5.1",
            certificates=place.certificates,
            suite=1,
            directory=NO_MARK,
            epoch=place.epoch,
            index=0,
            journal_root=place.journal_root,
        ),
        [b"{}"],
        [],
        time=NOW,
    )
    with pytest.raises(AgencyUnknownError):
        nation.directory().seal_key(canonical.decode(made.data, Seal), NOW)


def test_t01_a_certificate_of_one_agency_does_not_seal_for_another(nation: Nation) -> None:
    seal = seal_of(sealed_by(nation, "H29"))
    stolen = replace(seal, signer="G01")
    with pytest.raises(SealCertificateError, match="not listed for that agency"):
        nation.directory().seal_key(stolen, NOW)


def test_a_seal_that_names_other_issuers_is_refused(nation: Nation) -> None:
    seal = seal_of(sealed_by(nation, "H29"))
    directory = nation.directory()
    for chain in (seal.certificates[:1], (*seal.certificates, "0" * 64)):
        with pytest.raises(SealCertificateError, match="other issuers"):
            directory.seal_key(replace(seal, certificates=chain), NOW)


def test_a_suite_below_the_agency_s_minimum_is_refused(nation: Nation) -> None:
    nation.entries["H29"] = replace(nation.entries["H29"], minimum_suite=2)
    directory = nation.directory()
    with pytest.raises(SealCertificateError, match="weaker"):
        directory.seal_key(seal_of(sealed_by(nation, "H29")), NOW)


def test_t03_a_tls_key_cannot_seal_though_its_certificate_is_in_the_directory(
    nation: Nation,
) -> None:
    agency = nation.agencies["H29"]
    seal = seal_of(sealed_by(nation, "H29"))
    with pytest.raises(SealCertificateError, match="not listed"):
        nation.directory().seal_key(
            replace(seal, certificates=(agency.tls_sha256, seal.certificates[1])), NOW
        )


def test_t05_a_tls_certificate_listed_as_seal_is_left_out(nation: Nation) -> None:
    agency = nation.agencies["H29"]
    listing = replace(nation.entries["H29"].seals[0], certificate=to_base64(agency.tls_certificate))
    nation.entries["H29"] = replace(
        nation.entries["H29"], seals=(*nation.entries["H29"].seals, listing)
    )
    directory = nation.directory()
    assert any("seal" in problem for problem in directory.problems)
    with pytest.raises(SealCertificateError, match="not listed"):
        directory.seals.listed("H29", agency.tls_sha256)


def test_a_seal_certificate_of_another_authority_is_left_out(nation: Nation) -> None:
    stranger = Nation.create(NOW)
    agency = nation.agencies["H29"]
    foreign = stranger.issue_seal(
        certificates.seal_request(agency.seal_key, "H29"), "H29", "same name"
    )
    listing = replace(nation.entries["H29"].seals[0], certificate=to_base64(foreign))
    nation.entries["H29"] = replace(nation.entries["H29"], seals=(listing,))
    directory = nation.directory()
    assert any("authority" in problem for problem in directory.problems)
    assert directory.seals.current("H29", NOW) == []
    assert directory.endpoint("H29", NOW) is None


@pytest.mark.parametrize("offset", [timedelta(hours=-2), timedelta(days=366)])
def test_a_seal_counts_only_while_its_certificate_is_valid(
    nation: Nation, offset: timedelta
) -> None:
    directory = nation.directory()
    seal = seal_of(sealed_by(nation, "H29"))
    with pytest.raises(SealCertificateError, match="not valid at"):
        directory.seal_key(seal, NOW + offset)
    with pytest.raises(SealCertificateError, match="not valid at"):
        directory.seal_key(replace(seal, time=time_text(NOW + offset)), NOW)


@pytest.mark.parametrize("in_crl", [False, True])
def test_a_revoked_seal_is_refused_at_once_whatever_time_it_names(
    nation: Nation, in_crl: bool
) -> None:
    seal = seal_of(sealed_by(nation, "H29"))
    nation.revoke("H29", in_crl=in_crl)
    directory = nation.directory()
    for moment in (NOW, NOW - timedelta(minutes=30)):
        with pytest.raises(SealCertificateError, match="revoked"):
            directory.seal_key(replace(seal, time=time_text(moment)), NOW)


def test_t04_a_seal_proven_to_be_older_than_the_compromise_stays_good(nation: Nation) -> None:
    seal = seal_of(sealed_by(nation, "H29"))
    nation.now += timedelta(days=10)
    nation.revoke("H29", RevocationKind.SEAL, compromised_since=NOW + timedelta(days=2))
    past = nation.directory().past_seals()
    past.seal_key(seal, NOW + timedelta(days=1))
    for proven in (timedelta(days=2), timedelta(days=5), timedelta(days=11)):
        with pytest.raises(SealCertificateError, match="revoked"):
            past.seal_key(seal, NOW + proven)


def test_old_documents_of_an_ended_agency_still_verify(nation: Nation) -> None:
    seal = seal_of(sealed_by(nation, "G01"))
    nation.now += timedelta(days=10)
    nation.set_state("G01", AgencyState.MERGED, successors=("H29",))
    past = nation.directory().past_seals()
    past.seal_key(seal, NOW + timedelta(minutes=1))
    with pytest.raises(SealCertificateError, match="did not exist then"):
        past.seal_key(seal, nation.now + HOUR)


def test_an_old_seal_key_still_verifies_after_its_replacement(nation: Nation) -> None:
    old = sealed_by(nation, "H29")
    nation.replace_seal("H29")
    directory = nation.directory()
    open_seal(old, directory, network=nation.network, at=NOW)
    open_seal(sealed_by(nation, "H29"), directory, network=nation.network, at=NOW)
    assert len(directory.seals.current("H29", NOW)) == 2


# --- Endpoints and TLS --------------------------------------------------------------------------


def test_an_endpoint_tells_addresses_and_pins(nation: Nation) -> None:
    nation.set_address("H29", "10.0.0.1:7000", "[::1]:7000")
    endpoint = nation.directory().endpoint("H29", NOW)
    assert endpoint is not None
    assert endpoint.addresses == ("10.0.0.1:7000", "[::1]:7000")
    assert [pin.sha256 for pin in endpoint.pins] == [nation.agencies["H29"].tls_sha256]


def test_a_tls_certificate_stands_for_its_agency(nation: Nation) -> None:
    directory = nation.directory()
    for code, agency in nation.agencies.items():
        assert directory.tls_agency(agency.tls_sha256, NOW) == code
    assert {pin.agency for pin in directory.tls_pins(NOW)} == {"G01", "H29", "REGISTRY"}


def test_current_and_next_certificate_are_both_pinned(nation: Nation) -> None:
    agency = nation.agencies["H29"]
    current = agency.renew_tls(NOW)
    both = (current, agency.tls_certificate)
    nation.put_endpoint("H29", agency.endpoint("h:1", time=NOW, tls_certificates=both))
    directory = nation.directory()
    assert [pin.certificate for pin in directory.tls_pins(NOW) if pin.agency == "H29"] == list(both)


@pytest.mark.parametrize(
    ("offset", "match"),
    [(-timedelta(hours=2), "not valid"), (timedelta(days=366), "not valid")],
)
def test_t36_a_tls_certificate_ends_with_its_dates(
    nation: Nation, offset: timedelta, match: str
) -> None:
    digest = nation.agencies["H29"].tls_sha256
    with pytest.raises(PeerNotTrustedError, match=match):
        nation.directory().tls_agency(digest, NOW + offset)


def test_t03_a_revoked_tls_certificate_ends_at_once_and_the_next_takes_over(
    nation: Nation,
) -> None:
    agency = nation.agencies["H29"]
    nation.revoke("H29", RevocationKind.TLS)
    current = agency.renew_tls(NOW)
    both = (current, agency.tls_certificate)
    nation.put_endpoint("H29", agency.endpoint("h:1", time=NOW, tls_certificates=both))
    directory = nation.directory()
    with pytest.raises(PeerNotTrustedError, match="revoked"):
        directory.tls_agency(directory.endpoints["H29"].pins[0].sha256, NOW)
    assert directory.tls_agency(agency.tls_sha256, NOW) == "H29"
    assert [pin.sha256 for pin in directory.tls_pins(NOW) if pin.agency == "H29"] == [
        agency.tls_sha256
    ]


def test_a_certificate_nobody_listed_is_nobody_s(nation: Nation) -> None:
    stranger = tls_certificate(certificates.new_private_key(), "H29", now=NOW)
    with pytest.raises(PeerNotTrustedError, match="not in the directory"):
        nation.directory().tls_agency(sha256(stranger).hexdigest(), NOW)


def test_an_endpoint_ends_with_the_seal_it_was_made_under(nation: Nation) -> None:
    directory = nation.directory()
    assert directory.endpoint("H29", NOW + timedelta(days=364)) is not None
    assert directory.endpoint("H29", NOW + timedelta(days=366)) is None
    nation.revoke("H29", RevocationKind.SEAL)
    assert nation.directory().endpoint("H29", NOW) is None


def by_another_agency(nation: Nation) -> SealedStatement:
    """G01 seals a statement that speaks for H29."""
    thief, victim = nation.agencies["G01"], nation.agencies["H29"]
    statement = victim.endpoint("6.6.6.6:6", time=NOW).statement
    return thief.seal(statement, time=NOW)[0]


def by_the_registry(nation: Nation) -> SealedStatement:
    """The registry seals a statement that speaks for H29."""
    statement = nation.agencies["H29"].endpoint("6.6.6.6:6", time=NOW).statement
    return nation.agencies["REGISTRY"].seal(statement, time=NOW)[0]


def with_an_own_certificate_of_the_registry(nation: Nation) -> SealedStatement:
    """The registry signs with a key of its own under a certificate that it does not list."""
    agency = nation.agencies["H29"]
    key = certificates.new_private_key()
    mine = nation.issue_seal(certificates.seal_request(key, "H29"), "H29", "not asked for")
    kept = agency.seal_key, agency.seal_certificate
    agency.seal_key, agency.seal_certificate = key, mine
    sealed = agency.endpoint("6.6.6.6:6", time=NOW)
    agency.seal_key, agency.seal_certificate = kept
    return sealed


def with_another_statement_under_the_seal(nation: Nation) -> SealedStatement:
    """A genuine seal with a statement that it does not cover."""
    genuine = nation.agencies["H29"].endpoint("127.0.0.1:9", time=NOW)
    other = nation.agencies["H29"].endpoint("6.6.6.6:6", time=NOW)
    return SealedStatement(other.statement, genuine.leaf, genuine.proof, genuine.seal)


def for_another_network(nation: Nation) -> SealedStatement:
    """A statement of the same agency with the same key in a test network."""
    agency = nation.agencies["H29"]
    agency.network = "vn-other"
    sealed = agency.endpoint("6.6.6.6:6", time=NOW)
    agency.network = nation.network
    return sealed


def with_the_certificate_of_a_neighbour(nation: Nation) -> SealedStatement:
    """H29 lists the TLS certificate of G01, to be taken for it."""
    stolen = nation.agencies["G01"].tls_certificate
    return nation.agencies["H29"].endpoint("6.6.6.6:6", time=NOW, tls_certificates=(stolen,))


def with_the_seal_certificate_for_tls(nation: Nation) -> SealedStatement:
    """T-05: H29 lists its seal certificate for TLS."""
    agency = nation.agencies["H29"]
    return agency.endpoint("6.6.6.6:6", time=NOW, tls_certificates=(agency.seal_certificate,))


def with_junk_for_tls(nation: Nation) -> SealedStatement:
    """H29 lists bytes that are no certificate."""
    return nation.agencies["H29"].endpoint("6.6.6.6:6", time=NOW, tls_certificates=(b"junk",))


@pytest.mark.parametrize(
    "forge",
    [
        by_another_agency,
        by_the_registry,
        with_an_own_certificate_of_the_registry,
        with_another_statement_under_the_seal,
        for_another_network,
        with_the_certificate_of_a_neighbour,
        with_the_seal_certificate_for_tls,
        with_junk_for_tls,
    ],
)
def test_an_endpoint_that_its_agency_did_not_seal_or_may_not_use_is_left_out(
    nation: Nation, forge: Callable[[Nation], SealedStatement]
) -> None:
    nation.put_endpoint("H29", forge(nation))
    directory = nation.directory()
    assert directory.endpoint("H29", NOW) is None
    assert any("endpoints/H29" in problem for problem in directory.problems)
    assert directory.tls_agency(nation.agencies["G01"].tls_sha256, NOW) == "G01"
    assert "6.6.6.6:6" not in [
        address for found in directory.endpoints.values() for address in found.addresses
    ]


def test_an_endpoint_under_another_agency_s_path_is_left_out(nation: Nation) -> None:
    nation.put_endpoint("G01", nation.agencies["H29"].endpoint("6.6.6.6:6", time=NOW))
    directory = nation.directory()
    assert directory.endpoint("G01", NOW) is None
    assert any("endpoints/G01" in problem for problem in directory.problems)


def test_an_endpoint_under_a_replaced_and_revoked_seal_is_left_out(nation: Nation) -> None:
    nation.revoke("H29", RevocationKind.SEAL)
    nation.replace_seal("H29")
    directory = nation.directory()
    assert directory.endpoint("H29", NOW) is None
    nation.set_address("H29", "127.0.0.1:10")
    directory = nation.directory()
    endpoint = directory.endpoint("H29", NOW)
    assert endpoint is not None
    assert endpoint.addresses == ("127.0.0.1:10",)


def test_an_endpoint_with_a_lower_counter_than_seen_before_is_left_out(nation: Nation) -> None:
    old = nation.agencies["H29"].endpoint("10.0.0.1:1", time=NOW)
    nation.set_address("H29", "10.0.0.2:2")
    current = nation.directory()
    nation.put_endpoint("H29", old)
    nation.now += timedelta(minutes=1)
    newer = nation.directory(current.floor())
    assert newer.endpoint("H29", NOW) is None
    assert any("counter" in problem for problem in newer.problems)
    assert newer.counters["H29"] == current.counters["H29"]


def test_owned_codes_may_change_with_a_new_directory(nation: Nation) -> None:
    nation.entries["H29"] = replace(
        nation.entries["H29"], owns=(OwnedCode(code="H29.6", name="New"),)
    )
    directory = nation.directory()
    assert directory.owns("H29", "H29.6")
    assert not directory.owns("H29", "H29.5.1")
