from datetime import timedelta

import pytest
from securesystemslib.signer import CryptoSigner

from edoccore.directory import layout
from edoccore.directory.floor import NO_FLOOR, decode_floor
from edoccore.directory.layout import RevocationKind
from edoccore.directory.loading import load
from edoccore.directory.trust import TwoDirectoriesError, check_floor, may_replace
from edoccore.errors import DirectoryInvalidError, PeerNotTrustedError
from tests.support.nation import Nation
from tests.unit.edoccore.directory.conftest import NOW


def test_the_same_directory_may_replace_itself(nation: Nation) -> None:
    files = nation.publish()
    may_replace(load(files, nation.anchor), load(files, nation.anchor))


def test_a_newer_timestamp_alone_may_replace(nation: Nation) -> None:
    current = nation.directory()
    nation.now += timedelta(hours=6)
    newer = nation.directory()
    assert newer.mark == current.mark
    may_replace(current, newer)


def test_t07_a_directory_one_or_two_versions_back_is_refused_though_validly_signed(
    nation: Nation,
) -> None:
    generations = []
    for code in ("H30", "H31", "H32"):
        nation.now += timedelta(minutes=1)
        nation.add_agency(code, f"Agency {code}")
        generations.append(nation.directory())
    oldest, older, current = generations
    for candidate in (older, oldest):
        with pytest.raises(DirectoryInvalidError, match="older than the one in hand"):
            may_replace(current, candidate)


def test_t07_one_role_rolled_back_under_a_newer_snapshot_is_refused(nation: Nation) -> None:
    nation.publish()
    old_version, old = nation.versions["revocations"], nation._signed["revocations"]
    nation.now += timedelta(minutes=1)
    nation.revoke("H29")
    current = nation.directory()
    nation.now += timedelta(minutes=1)
    nation.versions["revocations"], nation._signed["revocations"] = old_version, old
    nation.files[layout.file_name("revocations", old_version)] = old[1]
    nation.sign_snapshot()
    nation.sign_timestamp()
    candidate = load(nation.files, nation.anchor)
    with pytest.raises(DirectoryInvalidError, match="role revocations"):
        may_replace(current, candidate)


def test_t10_two_directories_of_one_version_are_proof_and_both_are_in_hand(
    nation: Nation,
) -> None:
    nation.publish()
    state = dict(nation.versions), dict(nation.files), dict(nation._signed)
    nation.add_agency("H30", "Shown to one half")
    one = nation.directory()
    nation.versions, nation.files, nation._signed = state
    nation.remove("H30")
    nation.add_agency("H31", "Shown to the other half")
    other = nation.directory()
    assert one.mark.version == other.mark.version
    with pytest.raises(TwoDirectoriesError) as caught:
        may_replace(one, other)
    assert set(caught.value.proof.hashes) == {one.mark.hash, other.mark.hash}


def test_a_second_root_of_one_version_is_refused(nation: Nation) -> None:
    nation.new_root()
    one = nation.directory()
    nation.roots.pop(2)
    nation.now += timedelta(days=1)
    nation.new_root()
    other = nation.directory()
    with pytest.raises(DirectoryInvalidError, match=r"2\.root\.json"):
        may_replace(one, other)


def test_a_missing_newer_root_is_a_rollback(nation: Nation) -> None:
    old = nation.publish()
    nation.new_root()
    current = nation.directory()
    with pytest.raises(DirectoryInvalidError, match="role root"):
        may_replace(current, load(old, nation.anchor))


def test_t09_fast_forward_is_recovered_from_by_new_online_keys(nation: Nation) -> None:
    honest = nation.directory()
    stolen = dict(nation.versions), dict(nation.files), dict(nation._signed)
    nation.versions["snapshot"] = nation.versions["timestamp"] = 1 << 52
    nation.add_agency("H99", "Put in by the thief")
    forwarded = nation.directory()
    may_replace(honest, forwarded)
    nation.versions, nation.files, nation._signed = stolen
    nation.remove("H99")
    nation.now += timedelta(hours=1)
    with pytest.raises(DirectoryInvalidError, match="older"):
        may_replace(forwarded, nation.directory())
    nation.freshness = CryptoSigner.generate_ed25519()
    nation.new_root()
    may_replace(forwarded, nation.resign() and load(nation.files, nation.anchor))


def test_t07_the_floor_outlives_the_directory(nation: Nation) -> None:
    old = nation.directory()
    nation.now += timedelta(minutes=1)
    nation.add_agency("H30", "Another")
    current = nation.directory()
    floor = decode_floor(current.floor().encode())
    assert floor == current.floor()
    check_floor(floor, current)
    with pytest.raises(DirectoryInvalidError, match="older"):
        check_floor(floor, old)
    check_floor(NO_FLOOR, old)


def test_a_revocation_that_the_registry_drops_stays_in_force(nation: Nation) -> None:
    nation.revoke("H29", RevocationKind.TLS)
    current = nation.directory()
    digest = nation.agencies["H29"].tls_sha256
    nation.revocations.clear()
    nation.now += timedelta(minutes=1)
    newer = nation.directory(current.floor())
    may_replace(current, newer)
    with pytest.raises(PeerNotTrustedError, match="revoked"):
        newer.tls_agency(digest, NOW)
    assert digest not in [pin.sha256 for pin in newer.tls_pins(NOW)]


def test_a_serial_that_the_crl_drops_stays_revoked(nation: Nation) -> None:
    nation.revoke("H29", in_crl=True)
    current = nation.directory()
    assert current.endpoint("H29", NOW) is None
    nation.revoked_serials.clear()
    nation.now += timedelta(minutes=1)
    newer = nation.directory(decode_floor(current.floor().encode()))
    assert newer.endpoint("H29", NOW) is None


def test_revocations_only_grow_over_any_number_of_directories(nation: Nation) -> None:
    floor = NO_FLOOR
    seen: set[str] = set()
    for code in ("H29", "G01", "H29", "G01"):
        nation.revocations.clear()
        nation.agencies[code].renew_tls(NOW)
        nation.revoke(code, RevocationKind.TLS)
        nation.now += timedelta(minutes=1)
        directory = nation.directory(floor)
        floor = directory.floor()
        assert seen < set(directory.revocations.certificates)
        seen = set(directory.revocations.certificates)
    assert len(seen) == 4


def test_a_damaged_floor_says_so() -> None:
    for data in (b"", b"[]", b'{"versions": {"root": "x"}}'):
        with pytest.raises(DirectoryInvalidError, match="damaged"):
            decode_floor(data)
