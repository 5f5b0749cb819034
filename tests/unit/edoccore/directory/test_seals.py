from datetime import timedelta

import pytest
from msgspec.structs import replace

from edoccore.directory.layout import AgencyState, RevocationKind, to_base64
from edoccore.errors import (
    AgencyUnknownError,
    SealCertificateError,
)
from edoccore.signing import canonical
from edoccore.signing.seal import SealedStatement, SealPlace, SignedSeal, draft, open_seal
from edoccore.signing.statements import Effect, Seal, time_text
from edockit import certificates
from tests.support.nation import NO_MARK, Nation
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


def test_rsa_is_no_stronger_than_ecdsa_though_its_number_is_higher(nation: Nation) -> None:
    seal = seal_of(sealed_by(nation, "H29"))
    for minimum, suite, is_met in ((1, 3, True), (2, 3, False), (2, 1, False), (9, 3, False)):
        nation.entries["H29"] = replace(nation.entries["H29"], minimum_suite=minimum)
        directory = nation.directory()
        if is_met:
            directory.seal_key(replace(seal, suite=suite), NOW)
            continue
        with pytest.raises(SealCertificateError, match="weaker"):
            directory.seal_key(replace(seal, suite=suite), NOW)


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


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("2a8648ce3d040302", "2a8648ce3d04037f"),  # a signature algorithm that nobody knows
        ("a003020102", "a003020105"),  # a version that does not exist
        ("0c03483239", "0c0348ff39"),  # a name that is no UTF-8
        ("0603551d0f", "0603551d0e"),  # one extension twice
    ],
)
def test_a_damaged_certificate_is_left_out_and_stops_no_other_agency(
    nation: Nation, old: str, new: str
) -> None:
    der = nation.agencies["H29"].seal_certificate
    assert bytes.fromhex(old) in der
    damaged = der.replace(bytes.fromhex(old), bytes.fromhex(new))
    entry = nation.entries["H29"]
    listing = replace(entry.seals[0], certificate=to_base64(damaged))
    nation.entries["H29"] = replace(entry, seals=(*entry.seals, listing))
    directory = nation.directory()
    assert any("unreadable" in problem for problem in directory.problems)
    assert directory.endpoint("H29", NOW) is not None
    assert directory.endpoint("G01", NOW) is not None


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
