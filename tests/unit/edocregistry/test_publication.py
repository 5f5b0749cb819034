"""What is signed anew, and when; the files are read as every node reads them."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256

import pytest
from securesystemslib.signer import CryptoSigner

from edoccore.directory import layout, loading, trust
from edoccore.directory.layout import (
    AgencyState,
    IdentityEntry,
    NetworkInfo,
    RevocationEntry,
    RevocationKind,
    RevocationList,
)
from edoccore.directory.state import judge
from edoccore.errors import DirectoryInvalidError
from edocregistry.domain.publication import (
    Contents,
    Publication,
    RoleFile,
    Signers,
    first_root,
    plan,
)

NOW = datetime(2026, 11, 23, 3, 0, tzinfo=UTC)
SIGNERS = Signers(identity=CryptoSigner.generate_ecdsa(), online=CryptoSigner.generate_ecdsa())
OFFICERS = [CryptoSigner.generate_ecdsa() for _ in range(3)]
ROOT = first_root(OFFICERS, SIGNERS, threshold=2, now=NOW)
VERSION = layout.next_version(0, NOW)  # of what is published then
ANCHOR = sha256(ROOT).hexdigest()


def planned(wanted: Contents, current: Mapping[str, RoleFile], signers: Signers, now: datetime):
    """Plans under the root that names the keys of these signers."""
    named = replace(signers, identity=signers.identity or SIGNERS.identity)
    root = RoleFile.read(first_root(OFFICERS, named, threshold=2, now=NOW)).signed
    return plan(wanted, current, root, signers, now)


def agency(code: str, **fields: object) -> IdentityEntry:
    values = {
        "code": code,
        "name": code,
        "state": AgencyState.ACTIVE,
        "valid_from": "2026-01-01T00:00:00.000Z",
    }
    return IdentityEntry(**{**values, **fields})


def contents(*codes: str) -> Contents:
    return Contents(
        network=NetworkInfo(network="vn-test", registry="REGISTRY", issuing_authorities=()),
        identities=[agency(code) for code in codes],
        endpoints={},
        lists={},
        revocations=RevocationList(),
    )


def after(publication: Publication, before: Mapping[str, RoleFile] | None = None):
    read = {name.split(".")[-2]: RoleFile.read(data) for name, data in publication.files.items()}
    return {**(before or {}), **read}


def files(current: Mapping[str, RoleFile]) -> dict[str, bytes]:
    named = {
        layout.file_name(role, item.signed.version): item.data for role, item in current.items()
    }
    return {**named, "1.root.json": ROOT}


def test_first_publication_signs_every_role_and_loads_as_a_fresh_directory():
    publication = planned(contents("H29", "G01.22"), {}, SIGNERS, NOW)
    assert set(publication.signed) == {*layout.role_names(), layout.TIMESTAMP}
    assert list(publication.files)[-1] == "timestamp.json"
    directory = loading.load({**publication.files, "1.root.json": ROOT}, ANCHOR)
    assert set(directory.identities) == {"H29", "G01.22"}
    assert judge(directory, NOW).freshness == "fresh"
    assert directory.mark.version == publication.version == VERSION


def test_nothing_is_signed_when_nothing_has_changed():
    current = after(planned(contents("H29"), {}, SIGNERS, NOW))
    again = planned(contents("H29"), current, SIGNERS, NOW + timedelta(hours=1))
    assert again.files == {}
    assert again.version == VERSION


def test_one_changed_agency_costs_one_bin_snapshot_and_timestamp():
    current = after(planned(contents("H29", "H30"), {}, SIGNERS, NOW))
    changed = replace(contents("H29"), identities=[agency("H29", name="Khác"), agency("H30")])
    again = planned(changed, current, SIGNERS, NOW)
    assert again.signed == [layout.bin_of("identity", "H29"), "snapshot", "timestamp"]


def test_revocation_costs_one_role_snapshot_and_timestamp():
    current = after(planned(contents("H29"), {}, SIGNERS, NOW))
    entry = RevocationEntry(
        kind=RevocationKind.TLS,
        sha256="a" * 64,
        agency="H29",
        reason="x",
        revoked_at="2026-11-23T03:00:00.000Z",
    )
    revoked = replace(contents("H29"), revocations=RevocationList(entries=(entry,)))
    assert planned(revoked, current, SIGNERS, NOW).signed == [
        "revocations",
        "snapshot",
        "timestamp",
    ]


def test_timestamp_alone_is_signed_anew_after_six_hours():
    current = after(planned(contents("H29"), {}, SIGNERS, NOW))
    assert (
        planned(contents("H29"), current, SIGNERS, NOW + timedelta(hours=5, minutes=59)).files == {}
    )
    later = planned(contents("H29"), current, SIGNERS, NOW + timedelta(hours=6))
    assert later.signed == ["timestamp"]
    assert later.version == VERSION


def test_every_role_is_signed_anew_when_it_is_fifteen_days_old():
    current = after(planned(contents("H29"), {}, SIGNERS, NOW))
    due = NOW + timedelta(days=15)
    before = planned(contents("H29"), current, SIGNERS, due - timedelta(seconds=1))
    assert before.signed == ["timestamp"]
    renewed = planned(contents("H29"), current, SIGNERS, due)
    assert set(renewed.signed) == {*layout.role_names(), layout.TIMESTAMP}
    directory = loading.load(files(after(renewed, current)), ANCHOR)
    assert judge(directory, due + timedelta(days=44)).freshness == "stale"


def test_cut_off_publication_is_made_up_by_the_next():
    first = after(planned(contents("H29"), {}, SIGNERS, NOW))
    planned(contents("H29", "H30"), first, SIGNERS, NOW)  # never written
    again = planned(contents("H29", "H30"), first, SIGNERS, NOW + timedelta(seconds=9))
    assert "H30" in loading.load(files(after(again, first)), ANCHOR).identities


def test_t07_restored_registry_never_gives_a_version_to_two_contents():
    yesterday = after(planned(contents("H29"), {}, SIGNERS, NOW))
    current = yesterday
    for minute in range(1, 4):
        moment = NOW + timedelta(minutes=minute)
        added = contents("H29", *(f"H3{number}" for number in range(minute)))
        current = after(planned(added, current, SIGNERS, moment), current)
    seen = loading.load(files(current), ANCHOR)
    restored_at = NOW + timedelta(days=1)
    restored = after(planned(contents("H29", "H99"), yesterday, SIGNERS, restored_at), yesterday)
    directory = loading.load(files(restored), ANCHOR)
    assert directory.mark.version > seen.mark.version
    changed = layout.bin_of("identity", "H99")
    assert directory.versions[changed] > seen.versions[changed]


def test_t07_directory_of_a_restored_registry_is_refused_until_it_says_something_new():
    yesterday = after(planned(contents("H29"), {}, SIGNERS, NOW))
    today = after(
        planned(contents("H29", "H30"), yesterday, SIGNERS, NOW + timedelta(minutes=1)), yesterday
    )
    floor = loading.load(files(today), ANCHOR).floor()
    with pytest.raises(DirectoryInvalidError, match="older than the one in hand"):
        trust.check_floor(floor, loading.load(files(yesterday), ANCHOR))


def test_t06_entry_signed_with_the_online_key_alone_is_not_believed():
    current = after(planned(contents("H29"), {}, SIGNERS, NOW))
    rogue = Signers(identity=SIGNERS.online, online=SIGNERS.online)
    forged = planned(contents("H29", "G01"), current, rogue, NOW)
    with pytest.raises(DirectoryInvalidError):
        loading.load(files(after(forged, current)), ANCHOR)


def test_without_the_identity_key_the_officers_roles_wait_and_the_others_go_on():
    current = after(planned(contents("H29"), {}, SIGNERS, NOW))
    online_only = replace(SIGNERS, identity=None)
    due = NOW + timedelta(days=15)
    publication = planned(contents("H29", "H30"), current, online_only, due)
    assert set(publication.awaiting) == {
        "targets",
        "identity",
        *layout.bin_names("identity"),
    }
    assert set(publication.signed) == {
        "revocations",
        "endpoints",
        *layout.bin_names("endpoints"),
        "subagencies",
        *layout.bin_names("subagencies"),
        "snapshot",
        "timestamp",
    }
    directory = loading.load(files(after(publication, current)), ANCHOR)
    assert set(directory.identities) == {"H29"}


def test_replaced_online_key_signs_its_roles_anew():
    current = after(planned(contents("H29"), {}, SIGNERS, NOW))
    replaced = replace(SIGNERS, online=CryptoSigner.generate_ecdsa())
    publication = planned(contents("H29"), current, replaced, NOW)
    assert {"targets", "revocations", "endpoints", "endpoints-00", "snapshot", "timestamp"} <= set(
        publication.signed
    )
    assert "identity-00" not in publication.signed
