"""A registry that lost everything comes back, and never goes back."""

from datetime import timedelta
from hashlib import sha256

import pytest

from edoccore.directory import loading, trust
from edoccore.directory.bundle import encode_bundle
from edoccore.directory.join import parse_join
from edoccore.errors import (
    DataFolderError,
    DirectoryInvalidError,
    FileExistsHereError,
    KeyUnusableError,
)
from edoccore.identity.request import SealRequest
from edoccore.officer_errors import BackupInvalidError
from edockit import certificates
from edocregistry.app.backups import backup, restore
from edocregistry.app.mirrors import read_mirror
from edocregistry.app.officers import DraftOrder
from edocregistry.app.rebuilding import rebuild
from edocregistry.app.registry import Registry
from edocregistry.domain.model import REGISTRY_CODE
from edocregistry.domain.rotation import RootChange
from edocregistry.settings import read_settings
from edocregistry.storage.backup import decode_backup, read_header
from edocregistry.storage.folder import DataFolder
from tests.support.officers import Ceremony, new_keys, public
from tests.support.registry import OFFICER, enrol_node, new_token

PASSPHRASE = b"mot hai ba bon"
ADDRESS = "10.0.0.1:7443"


@pytest.fixture
def ceremony(registry, clock) -> Ceremony:
    return Ceremony(registry, clock)


@pytest.fixture
def node(registry, clock):
    """An agency whose endpoint is published."""
    made = enrol_node(registry, "H29", clock)
    registry.publish_endpoint("ipv4:127.0.0.1", made.endpoint(ADDRESS, time=clock.now))
    return made


def seen(registry, before=None):
    """The directory as a node takes it that has an earlier one."""
    roots = registry.folder.directory.roots()
    anchor = sha256(roots[min(roots)]).hexdigest()
    floor = {} if before is None else {"floor": before.floor()}
    found = loading.load(registry.folder.directory.bundle(), anchor, **floor)
    if before is not None:
        trust.may_replace(before, found)
    return found


def opened(path, clock) -> Registry:
    folder = DataFolder(path)
    return Registry(folder, read_settings(folder.settings), clock)


def mirror_of(directory, path):
    """What a node has on its disk."""
    path.write_bytes(encode_bundle(directory.files))
    return read_mirror(path, [directory.chain.anchor])


def put_back(data: bytes, path, clock, mirror=None, passphrase=PASSPHRASE):
    found = decode_backup(data, passphrase)
    return restore(DataFolder(path), found, mirror, actor=OFFICER, clock=clock)


def crl_number(registry) -> int:
    with registry.folder.turn() as turn:
        return turn.read(lambda records: records.crl(1)).number


def test_backup_comes_back_whole_and_says_everything_in_higher_versions(
    registry, node, clock, tmp_path
):
    data = backup(registry, PASSPHRASE, actor=OFFICER, now=clock())
    before = seen(registry)
    clock.move(timedelta(hours=1))
    restored = put_back(data, tmp_path / "new", clock)
    back = opened(tmp_path / "new", clock)
    after = seen(back, before)
    assert restored.version == after.mark.version > before.mark.version
    assert after.identities == before.identities
    assert back.folder.keys.present() == [
        name for name in registry.folder.keys.present() if not name.startswith("officers/")
    ]
    assert back.keep_own_entry() is False
    back.add_agency(OFFICER, "H30", "x", aliases=(), owner=None)
    assert "H30" in seen(back, after).identities


def test_t07_nodes_take_what_a_restored_registry_says_though_they_saw_newer(
    registry, node, clock, tmp_path
):
    data = backup(registry, PASSPHRASE, actor=OFFICER, now=clock())
    clock.move(timedelta(minutes=5))
    registry.add_agency(OFFICER, "H30", "x", aliases=(), owner=None)
    registry.suspend_agency(OFFICER, "H29")
    newest = seen(registry)
    clock.move(timedelta(minutes=5))
    put_back(data, tmp_path / "new", clock)
    after = seen(opened(tmp_path / "new", clock), newest)
    assert "H30" not in after.identities  # it is lost, and the command says so


def test_t07_registry_restored_to_before_a_burst_of_changes_is_accused_of_nothing(
    registry, node, clock, tmp_path
):
    """Within one second the directory changes 50 times, all is lost, and more is published."""
    data = backup(registry, PASSPHRASE, actor=OFFICER, now=clock())
    for number in range(50):
        clock.move(timedelta(milliseconds=18))
        registry.add_agency(OFFICER, f"H{40 + number}", "x", aliases=(), owner=None)
    registry.revoke(OFFICER, "H29", kinds=(), compromised_since=None)
    newest = seen(registry)
    clock.move(timedelta(milliseconds=18))
    put_back(data, tmp_path / "new", clock)
    back = opened(tmp_path / "new", clock)
    assert seen(back, newest).mark.version > newest.mark.version
    clock.move(timedelta(milliseconds=18))
    back.revoke(OFFICER, "H29", kinds=(), compromised_since=None)
    assert crl_number(back) > crl_number(registry)


def test_what_happened_since_the_backup_comes_from_a_node(registry, node, clock, tmp_path):
    data = backup(registry, PASSPHRASE, actor=OFFICER, now=clock())
    clock.move(timedelta(minutes=5))
    registry.add_agency(OFFICER, "H30", "Tỉnh mới", aliases=("X30",), owner=None)
    registry.add_agency(OFFICER, "H30.1", "Sở", aliases=(), owner="H30")
    registry.revoke(OFFICER, "H29", kinds=(), compromised_since=None)
    newest = seen(registry)
    clock.move(timedelta(minutes=5))
    mirror = mirror_of(newest, tmp_path / "bundle")
    restored = put_back(data, tmp_path / "new", clock, mirror)
    texts = [change.text for change in restored.missing]
    assert "H30 (Tỉnh mới) is added." in texts
    assert restored.revocations == 2
    back = opened(tmp_path / "new", clock)
    after = seen(back, newest)
    assert after.identities == newest.identities
    assert back.waiting() == []
    assert after.mark.version > newest.mark.version


def test_mirror_older_than_the_backup_changes_nothing(registry, node, clock, tmp_path):
    mirror = mirror_of(seen(registry), tmp_path / "bundle")
    clock.move(timedelta(minutes=5))
    registry.suspend_agency(OFFICER, "H29")
    data = backup(registry, PASSPHRASE, actor=OFFICER, now=clock())
    put_back(data, tmp_path / "new", clock, mirror)
    assert seen(opened(tmp_path / "new", clock)).identities["H29"].state == "SUSPENDED"


def test_root_of_after_the_backup_comes_from_the_mirror_and_a_lost_online_key_is_told(
    registry, ceremony, node, clock, tmp_path
):
    data = backup(registry, PASSPHRASE, actor=OFFICER, now=clock())
    clock.move(timedelta(minutes=5))
    officers = ceremony.root_keys()
    ceremony.hold(DraftOrder(new_online_key=True), *officers)
    newest = seen(registry)
    restored = put_back(data, tmp_path / "new", clock, mirror_of(newest, tmp_path / "bundle"))
    assert restored.needs_root
    back = opened(tmp_path / "new", clock)
    with pytest.raises(KeyUnusableError, match="online key"):
        back.publish_due()
    clock.move(timedelta(minutes=5))
    again = Ceremony(back, clock)
    again.hold(DraftOrder(new_online_key=True), *officers)
    assert seen(back, newest).chain.root.version == 3


@pytest.mark.parametrize("offset", [0, 30, -1])
def test_damaged_backup_is_refused(registry, clock, offset):
    data = bytearray(backup(registry, PASSPHRASE, actor=OFFICER, now=clock()))
    data[offset] ^= 1
    with pytest.raises(BackupInvalidError):
        decode_backup(bytes(data), PASSPHRASE)


def test_backup_is_encrypted_and_needs_its_passphrase(registry, clock):
    data = backup(registry, PASSPHRASE, actor=OFFICER, now=clock())
    assert b"PRIVATE KEY" not in data
    with pytest.raises(BackupInvalidError, match="passphrase"):
        decode_backup(data, b"another passphrase")
    plain = backup(registry, None, actor=OFFICER, now=clock())
    assert b"PRIVATE KEY" in plain
    assert read_header(plain).network == registry.settings.network
    spoilt = plain[:-1] + bytes([plain[-1] ^ 1])
    with pytest.raises(BackupInvalidError):
        decode_backup(spoilt, None)


def test_t38_root_keys_of_the_officers_are_never_in_a_backup(registry, clock):
    found = decode_backup(backup(registry, None, actor=OFFICER, now=clock()), None)
    assert not [name for name in found.files if "officers" in name]
    for path in registry.folder.keys.officer_files():
        assert path.read_bytes() not in found.files.values()


def test_restore_never_writes_over_a_registry(registry, clock, tmp_path):
    data = backup(registry, PASSPHRASE, actor=OFFICER, now=clock())
    with pytest.raises(FileExistsHereError):
        put_back(data, registry.folder.path, clock)
    other = tmp_path / "other"
    other.mkdir(mode=0o700)
    (other / "something").write_text("x")
    with pytest.raises(DataFolderError):
        put_back(data, other, clock)


def made_anew(registry, ceremony, clock, path, mirror, order=None):
    """A registry from a mirror alone; the officers sign."""
    officers = ceremony.root_keys()
    folder = DataFolder(path)
    order = order or DraftOrder(auto_publish=True, new_online_key=True)
    made = rebuild(folder, registry.settings, mirror, order, actor=OFFICER, clock=clock)
    back = opened(path, clock)
    again = Ceremony(back, clock)
    return back, again, again.sign(made.draft.data, *officers)


def test_registry_is_made_anew_from_a_mirror_with_the_officers_keys(
    registry, ceremony, node, clock, tmp_path
):
    registry.add_agency(OFFICER, "H29.5", "Sở", aliases=("000.05.00.H29",), owner="H29")
    registry.add_agency(OFFICER, "H30", "Tỉnh", aliases=("000.00.00.H30",), owner=None)
    registry.revoke(OFFICER, REGISTRY_CODE, kinds=(), compromised_since=None)
    registry.keep_own_entry()
    newest = seen(registry)
    mirror = mirror_of(newest, tmp_path / "bundle")
    clock.move(timedelta(days=20))
    back, again, signed = made_anew(registry, ceremony, clock, tmp_path / "new", mirror)
    with pytest.raises(KeyUnusableError, match="online key"):
        back.publish_due()  # nothing is said before the officers have signed
    again.publish(signed)
    assert back.keep_own_entry() is True
    after = seen(back, newest)
    assert after.problems == ()
    codes = set(newest.identities)
    assert set(after.identities) == codes
    for code in codes - {REGISTRY_CODE}:
        assert after.identities[code] == newest.identities[code]
    assert after.endpoint("H29", clock.now) is not None
    old = set(newest.endpoint(REGISTRY_CODE, clock.now).pins)
    own = after.endpoint(REGISTRY_CODE, clock.now)
    assert own is not None
    assert not old & set(own.pins)
    assert after.revocations.union(newest.revocations) == after.revocations
    assert len(after.info.issuing_authorities) == 2


def test_rebuilt_registry_goes_on_with_old_nodes_and_new_ones(
    registry, ceremony, node, clock, tmp_path
):
    newest = seen(registry)
    mirror = mirror_of(newest, tmp_path / "bundle")
    clock.move(timedelta(days=1))
    back, again, signed = made_anew(registry, ceremony, clock, tmp_path / "new", mirror)
    again.publish(signed)
    back.keep_own_entry()
    clock.move(timedelta(minutes=1))
    back.publish_endpoint("ipv4:127.0.0.1", node.endpoint("10.0.0.9:7443", time=clock.now))
    fresh = enrol_node(back, "G01", clock)
    back.publish_endpoint("ipv4:127.0.0.1", fresh.endpoint(ADDRESS, time=clock.now))
    back.revoke(OFFICER, "H29", kinds=(), compromised_since=None)
    after = seen(back, newest)
    assert after.problems == ()
    assert after.endpoint("G01", clock.now) is not None
    assert after.endpoint("H29", clock.now) is None
    token = new_token(back, "H29")
    key = certificates.new_private_key()
    back.enrol(
        "ipv4:127.0.0.1",
        token=token,
        request=SealRequest(certificates.seal_request(key, "edocnode")),
        agency_code="H29",
    )
    assert parse_join(back.invite(OFFICER, "G01", timedelta(hours=1))).root_sha256


def test_officers_who_say_who_exists_go_on_after_a_rebuild(
    registry, ceremony, node, clock, tmp_path
):
    identity = new_keys(3)
    ceremony.turn_off(identity, 2)
    newest = seen(registry)
    mirror = mirror_of(newest, tmp_path / "bundle")
    clock.move(timedelta(days=1))
    order = DraftOrder(new_online_key=True)
    back, again, signed = made_anew(registry, ceremony, clock, tmp_path / "new", mirror, order)
    again.publish(again.sign(signed, *identity[:2]))
    assert not back.publishes_alone()
    assert back.waiting() == []
    back.keep_own_entry()
    seen(back, newest)
    change = RootChange(identity=public(identity[:2]))
    again.hold(DraftOrder(change=change), *ceremony.root_keys(), *identity[:2])


def test_mirror_of_another_network_or_a_forged_one_is_refused(registry, node, tmp_path):
    directory = seen(registry)
    path = tmp_path / "bundle"
    path.write_bytes(encode_bundle(directory.files))
    with pytest.raises(DirectoryInvalidError, match="No root in"):
        read_mirror(path, ["a" * 64])
    forged = dict(directory.files)
    name = next(name for name in forged if name.endswith(".targets.json"))
    forged[name] = forged[name].replace(b"vn-test", b"vn-evil")
    path.write_bytes(encode_bundle(forged))
    with pytest.raises(DirectoryInvalidError):
        read_mirror(path, [directory.chain.anchor])
