import json
from collections.abc import Callable
from datetime import timedelta
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Metadata, MetaFile, Snapshot, TargetFile, Targets, Timestamp

from edoccore.directory import layout
from edoccore.directory.loading import load
from edoccore.errors import DirectoryInvalidError
from tests.support.nation import Nation
from tests.unit.edoccore.directory.conftest import NOW

SHARED = Nation.create(NOW)
FILES = SHARED.publish()
NAMES = sorted(FILES)


def name_of(files: dict[str, bytes], role: str) -> str:
    return next(name for name in files if name.endswith(f"{role}.json"))


def test_a_published_directory_loads_without_problems(nation: Nation) -> None:
    directory = nation.directory()
    assert directory.problems == ()
    assert directory.network == "vn-test"
    assert set(directory.identities) == {"H29", "G01", "REGISTRY"}
    assert directory.files == nation.files
    assert directory.chain.anchor == nation.anchor


def test_the_mark_is_version_and_hash_of_the_snapshot(nation: Nation) -> None:
    directory = nation.directory()
    assert directory.mark.version == nation.versions["snapshot"]
    snapshot = nation.files[f"{directory.mark.version}.snapshot.json"]
    assert directory.mark.hash == sha256(snapshot).hexdigest()


def test_files_of_other_versions_do_no_harm(nation: Nation) -> None:
    old = nation.publish()
    nation.now += timedelta(days=1)
    nation.add_agency("H30", "Another")
    new = nation.publish()
    assert load({**old, **new}, nation.anchor).mark.version == nation.versions["snapshot"]


@given(st.sampled_from(NAMES), st.integers(0), st.integers(1, 255))
def test_one_altered_byte_in_any_file_is_found(name: str, place: int, change: int) -> None:
    data = bytearray(FILES[name])
    data[place % len(data)] ^= change
    try:
        altered = load({**FILES, name: bytes(data)}, SHARED.anchor)
    except DirectoryInvalidError:
        return
    # White space and the spelling of escapes are outside the signature of a timestamp.
    assert name == "timestamp.json"
    assert altered.mark.hash == SHARED.directory().mark.hash


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_file_is_named(name: str) -> None:
    files = {key: data for key, data in FILES.items() if key != name}
    with pytest.raises(DirectoryInvalidError) as caught:
        load(files, SHARED.anchor)
    assert "missing" in str(caught.value) or "root" in str(caught.value)


def test_another_root_than_the_anchor_is_not_trusted() -> None:
    with pytest.raises(DirectoryInvalidError, match="no root file has the SHA-256"):
        load(FILES, "0" * 64)


def test_a_directory_of_another_network_s_keys_is_refused() -> None:
    other = Nation.create(NOW).publish()
    with pytest.raises(DirectoryInvalidError):
        load({**other, "1.root.json": FILES["1.root.json"]}, SHARED.anchor)


def test_a_role_signed_by_a_key_that_the_root_does_not_name_is_refused(nation: Nation) -> None:
    nation.publish()
    nation.freshness = CryptoSigner.generate_ed25519()
    nation.sign_timestamp()
    with pytest.raises(DirectoryInvalidError, match="timestamp"):
        load(nation.files, nation.anchor)


def test_t06_identities_signed_by_the_online_key_are_refused(nation: Nation) -> None:
    nation.publish()
    nation.identity = nation.online
    nation.add_agency("H99", "Invented by the registry's online key")
    with pytest.raises(DirectoryInvalidError, match=r"identity|targets"):
        nation.directory()


def test_t09_roles_of_two_versions_cannot_be_mixed(nation: Nation) -> None:
    old = nation.publish()
    nation.now += timedelta(hours=1)
    nation.add_agency("H30", "Another")
    new = nation.publish()
    role = layout.bin_of("identity", "H30")
    mixed = dict(new)
    mixed[name_of(new, role)] = old[name_of(old, role)]
    with pytest.raises(DirectoryInvalidError, match=role):
        load(mixed, nation.anchor)
    stamp = {**new, "timestamp.json": old["timestamp.json"]}
    with pytest.raises(DirectoryInvalidError, match="missing"):
        load(stamp, nation.anchor)


def test_t09_a_snapshot_of_the_same_version_but_other_bytes_is_refused(nation: Nation) -> None:
    nation.publish()
    version = nation.versions["snapshot"]
    name = f"{version}.snapshot.json"
    forged = Metadata[Snapshot].from_bytes(nation.files[name])
    forged.signed.expires += timedelta(days=1)
    forged.sign(nation.freshness)
    with pytest.raises(DirectoryInvalidError, match="snapshot"):
        load({**nation.files, name: forged.to_bytes()}, nation.anchor)


@pytest.mark.parametrize("role", ["targets", "identity", "identity-09", "revocations"])
def test_t09_a_role_of_the_same_version_that_the_snapshot_does_not_name_is_refused(
    nation: Nation, role: str
) -> None:
    nation.publish()
    name = layout.file_name(role, nation.versions[role])
    second = Metadata[Targets].from_bytes(nation.files[name])
    second.signed.expires += timedelta(days=1)
    second.sign(nation.online if role == "revocations" else nation.identity)
    with pytest.raises(DirectoryInvalidError, match=role):
        load({**nation.files, name: second.to_bytes()}, nation.anchor)


def test_a_timestamp_that_does_not_fix_the_snapshot_s_hash_is_refused(nation: Nation) -> None:
    nation.publish()
    stamp = Timestamp(5, None, NOW, MetaFile(nation.versions["snapshot"]))
    loose = Metadata(stamp)
    loose.sign(nation.freshness)
    with pytest.raises(DirectoryInvalidError, match="does not fix hash and length"):
        load({**nation.files, "timestamp.json": loose.to_bytes()}, nation.anchor)


@pytest.mark.parametrize(
    ("name", "limit"),
    [
        ("timestamp.json", layout.MAX_TIMESTAMP_BYTES),
        ("1.root.json", layout.MAX_ROOT_BYTES),
        (name_of(FILES, "snapshot"), layout.MAX_SNAPSHOT_BYTES),
    ],
)
def test_t09_a_file_over_its_limit_is_not_parsed(name: str, limit: int) -> None:
    anchor = SHARED.anchor
    endless = FILES[name] + b" " * limit
    if name == "1.root.json":
        anchor = sha256(endless).hexdigest()
    with pytest.raises(DirectoryInvalidError, match=r"limit|length"):
        load({**FILES, name: endless}, anchor)


def test_files_larger_than_any_directory_are_refused_unread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(layout, "MAX_DIRECTORY_BYTES", 1000)
    with pytest.raises(DirectoryInvalidError, match="more than 1000 bytes together"):
        load(FILES, SHARED.anchor)


@pytest.mark.parametrize("junk", [b"", b"{}", b"[" * 5000, b'{"signed": 1}', b"\xff", b"null"])
def test_junk_in_place_of_a_role_is_refused(junk: bytes) -> None:
    with pytest.raises(DirectoryInvalidError, match="not a TUF role file"):
        load({**FILES, "timestamp.json": junk}, SHARED.anchor)


def test_a_new_root_needs_the_threshold_of_the_old_one(nation: Nation) -> None:
    old = nation.officers
    nation.officers = [CryptoSigner.generate_ed25519() for _ in range(3)]
    nation.new_root(old_officers=old[:1])
    with pytest.raises(DirectoryInvalidError, match="root"):
        nation.directory()


def test_a_new_root_signed_by_old_and_new_officers_is_followed(nation: Nation) -> None:
    old = nation.officers
    nation.officers = [CryptoSigner.generate_ed25519() for _ in range(3)]
    nation.freshness = CryptoSigner.generate_ed25519()
    nation.new_root(old_officers=old[:2])
    directory = nation.directory()
    assert directory.versions["root"] == 2
    assert set(directory.chain.files) == {1, 2}


def test_a_root_signed_twice_by_one_officer_has_one_signature(nation: Nation) -> None:
    nation.officers = [nation.officers[0], *nation.officers[1:]]
    data = json.loads(nation.new_root())
    data["signatures"] = [data["signatures"][0], data["signatures"][0]]
    nation.roots[2] = json.dumps(data).encode()
    with pytest.raises(DirectoryInvalidError):
        nation.directory()


def test_a_target_in_another_bin_than_its_own_spoils_the_directory(nation: Nation) -> None:
    nation.publish()
    entry = layout.make_target("identity/H29", nation.entries["H29"])
    own = layout.bin_of("identity", "H29")
    wrong = next(name for name in layout.bin_names("identity") if name != own)
    sign_bin(nation, wrong, {"identity/H29": entry})
    with pytest.raises(DirectoryInvalidError, match="does not belong there"):
        load(nation.files, nation.anchor)


def sign_bin(nation: Nation, role: str, targets: dict[str, TargetFile]) -> None:
    signed = Targets(nation.versions[role] + 1, None, NOW + layout.ROLE_LIFE, targets)
    metadata = Metadata(signed)
    metadata.sign(nation.identity if role.startswith("identity") else nation.online)
    nation.versions[role] += 1
    nation._signed[role] = (signed, metadata.to_bytes())
    nation.files[layout.file_name(role, signed.version)] = metadata.to_bytes()
    nation.sign_snapshot()
    nation.sign_timestamp()


@pytest.mark.parametrize(
    "spoil",
    [
        lambda custom: custom.update(code="G01"),
        lambda custom: custom.update(valid_from="2026-02-31T00:00:00.000Z"),
        lambda custom: custom.pop("state"),
        lambda custom: custom.update(seals="none"),
    ],
)
def test_a_damaged_entry_is_left_out_and_named_and_the_others_stay(
    nation: Nation, spoil: Callable[[dict[str, object]], object]
) -> None:
    nation.publish()
    custom = dict(layout.make_target("identity/H29", nation.entries["H29"]).custom)
    spoil(custom)
    target = TargetFile.from_data("identity/H29", layout._ENCODER.encode(custom))
    target.unrecognized_fields["custom"] = custom
    sign_bin(nation, layout.bin_of("identity", "H29"), {"identity/H29": target})
    directory = load(nation.files, nation.anchor)
    assert any("identity/H29" in problem for problem in directory.problems)
    assert "H29" not in directory.identities
    assert directory.endpoint("G01", NOW) is not None


def test_a_revocation_list_that_cannot_be_read_spoils_the_directory(nation: Nation) -> None:
    nation.publish()
    path = layout.REVOCATIONS_PATH
    custom = {"entries": [{"kind": "tls"}]}
    target = TargetFile.from_data(path, layout._ENCODER.encode(custom))
    target.unrecognized_fields["custom"] = custom
    sign_bin(nation, "revocations", {path: target})
    with pytest.raises(DirectoryInvalidError, match="revocations/list"):
        load(nation.files, nation.anchor)


def test_an_unreadable_authority_spoils_the_directory(nation: Nation) -> None:
    nation.publish()
    name = f"Issuing CA of {nation.network}".encode()
    nation.ca_certificate = nation.ca_certificate.replace(name, b"\xff" * len(name))
    with pytest.raises(DirectoryInvalidError, match="unreadable"):
        nation.directory()


def test_expired_files_load_because_age_is_judged_elsewhere(nation: Nation) -> None:
    nation.now = NOW - timedelta(days=400)
    directory = nation.directory()
    assert directory.expiries["timestamp"] < NOW
