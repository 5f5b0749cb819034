"""The registry on a real folder: acts, their audit and their publication, and what survives."""

import os
import shutil
import sqlite3
import threading
from datetime import timedelta
from hashlib import sha256

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from edoccore.directory import layout, loading, trust
from edoccore.directory.join import parse_join
from edoccore.directory.layout import RevocationKind
from edoccore.errors import (
    AgencyInactiveError,
    AgencyUnknownError,
    DataFolderError,
    FileExistsHereError,
    KeyUnusableError,
    QuotaError,
    StorageDamagedError,
    TokenRefusedError,
)
from edoccore.identity.request import SealRequest
from edockit import certificates, migrations
from edockit.database import Database
from edocregistry.app.founding import found
from edocregistry.app.registry import Registry
from edocregistry.app.status import registry_status
from edocregistry.domain.model import REGISTRY_CODE, Agency
from edocregistry.storage.folder import DataFolder
from edocregistry.storage.migrations import HEAD, SCRIPTS
from edocregistry.storage.tables import RegistryTable
from tests.support.registry import OFFICER, enrol_node, found_registry, new_token

CALLER = "ipv4:10.0.0.29"


def reopened(registry, clock):
    return Registry(DataFolder(registry.folder.path), registry.settings, clock)


def published(registry):
    files = registry.folder.directory
    return loading.load(files.bundle(), sha256(files.roots()[1]).hexdigest())


def enrol(registry, token, key=None):
    request = certificates.seal_request(key or certificates.new_private_key(), "edocnode")
    return registry.enrol(CALLER, token=token, request=SealRequest(request), agency_code="")


def audit(registry):
    with registry.folder.turn() as turn:
        return [
            (entry.actor, entry.command, entry.result)
            for entry in turn.read(lambda records: records.audit(100))
        ]


def test_founded_registry_is_an_agency_of_its_own_directory(registry, clock):
    directory = published(registry)
    assert directory.problems == ()
    endpoint = directory.endpoint(REGISTRY_CODE, clock.now)
    assert endpoint.addresses == (registry.settings.advertise,)
    shown = [sha256(item).hexdigest() for item in registry.tls_certificates()]
    assert [pin.sha256 for pin in endpoint.pins] == shown
    assert len(shown) == 2  # current and next


def test_second_founding_of_one_folder_is_refused(registry, clock):
    with pytest.raises(FileExistsHereError):
        found(registry.folder, registry.settings, actor=OFFICER, clock=clock)


def test_folder_with_something_else_in_it_is_refused(tmp_path, clock):
    (tmp_path / "letter.txt").write_text("x")
    with pytest.raises(DataFolderError, match="not empty"):
        found_registry(tmp_path, clock)


def test_all_private_keys_are_closed_to_others(registry):
    keys = [*registry.folder.path.glob("keys/*.pem"), *registry.folder.path.glob("officers/*.pem")]
    assert len(keys) == 10
    assert {path.stat().st_mode & 0o777 for path in keys} == {0o600}


def test_key_that_others_may_read_stops_publication(registry):
    (registry.folder.path / "keys" / "online.pem").chmod(0o644)
    with pytest.raises(KeyUnusableError, match="open to other users"):
        registry.publish(OFFICER)


def test_any_two_officers_but_no_single_one_can_sign_the_next_root(registry):
    root = published(registry).chain.root
    assert root.roles["root"].threshold == 2
    assert len(root.roles["root"].keyids) == 3


def test_suspension_revocation_and_endpoint_each_make_a_new_version_at_once(registry, clock):
    node = enrol_node(registry, "H29", clock)
    versions = [registry.folder.directory.mark()[0]]
    registry.publish_endpoint(CALLER, node.endpoint("10.0.0.29:1", time=clock.now))
    versions.append(registry.folder.directory.mark()[0])
    registry.suspend_agency(OFFICER, "H29")
    versions.append(registry.folder.directory.mark()[0])
    registry.revoke(OFFICER, "H29", kinds=[RevocationKind.TLS], compromised_since=None)
    versions.append(registry.folder.directory.mark()[0])
    assert versions == sorted(set(versions))
    assert published(registry).revocations.find(node.tls_sha256) is not None


def test_order_that_was_carried_out_before_changes_nothing(registry, clock):
    enrol_node(registry, "H29", clock)
    first = registry.revoke(OFFICER, "H29", kinds=[], compromised_since=None)
    again = registry.revoke(OFFICER, "H29", kinds=[], compromised_since=None)
    assert [item.kind for item in first.revocations] == [RevocationKind.SEAL]
    assert (again.revocations, again.version) == ([], first.version)


def test_order_for_a_key_that_does_not_exist_is_refused(registry, clock):
    enrol_node(registry, "H29", clock)
    with pytest.raises(AgencyInactiveError, match="no tls certificate"):
        registry.revoke(OFFICER, "H29", kinds=[RevocationKind.TLS], compromised_since=None)
    with pytest.raises(AgencyUnknownError):
        registry.revoke(OFFICER, "H99", kinds=[], compromised_since=None)


def test_revoked_seal_stands_in_the_crl_that_openssl_can_read(registry, clock):
    node = enrol_node(registry, "H29", clock)
    registry.revoke(OFFICER, "H29", kinds=[], compromised_since=None)
    data = published(registry).files
    name = next(name for name in data if name.endswith(".revocations.json"))
    with registry.folder.turn() as turn:
        crl = x509.load_der_x509_crl(turn.read(lambda records: records.crl(1)).der)
    serial = x509.load_der_x509_certificate(node.seal_certificate).serial_number
    assert crl.get_revoked_certificate_by_serial_number(serial) is not None
    assert layout.to_base64(crl.public_bytes(Encoding.DER)).encode() in (data[name])


def test_crl_is_renewed_long_before_it_asks_for_it(registry, clock):
    with registry.folder.turn() as turn:
        first = turn.read(lambda records: records.crl(1))
    clock.move(timedelta(days=15))
    registry.publish_due()
    with registry.folder.turn() as turn:
        second = turn.read(lambda records: records.crl(1))
    assert second.number > first.number
    assert x509.load_der_x509_crl(second.der).next_update_utc > clock.now + timedelta(days=59)


def test_new_enrolment_ends_the_old_keys_in_the_same_version(registry, clock):
    old = enrol_node(registry, "H29", clock)
    registry.publish_endpoint(CALLER, old.endpoint("10.0.0.29:1", time=clock.now))
    token = new_token(registry, "H29")
    assert published(registry).endpoint("H29", clock.now) is not None  # until the new keys are in
    enrolled = enrol(registry, token)
    directory = published(registry)
    assert directory.mark.version == enrolled.version
    seal = sha256(old.seal_certificate).hexdigest()
    assert directory.revocations.find(seal) is not None
    assert directory.revocations.find(old.tls_sha256) is not None
    assert directory.endpoint("H29", clock.now) is None
    current = directory.seals.current("H29", clock.now)
    assert [item.digests[0] for item in current] == [enrolled.certificate.sha256]


def test_t39_token_used_by_many_at_once_gives_exactly_one_certificate(registry, clock):
    token = new_token(registry, "H29")
    results: list[object] = []
    start = threading.Barrier(6)

    def use(opened):
        start.wait()
        try:
            results.append(enrol(opened, token).certificate.sha256)
        except TokenRefusedError as error:
            results.append(error)

    threads = [threading.Thread(target=use, args=(reopened(registry, clock),)) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len([item for item in results if isinstance(item, str)]) == 1
    assert len([item for item in results if isinstance(item, TokenRefusedError)]) == 5
    assert len(published(registry).identities["H29"].seals) == 1


def test_t39_one_caller_cannot_go_on_guessing(registry):
    for _ in range(10):
        with pytest.raises(TokenRefusedError):
            enrol(registry, b"g" * 16)
    with pytest.raises(QuotaError):
        enrol(registry, b"g" * 16)
    token = new_token(registry, "H29")
    with pytest.raises(QuotaError):
        enrol(registry, token)


def test_t39_token_is_nowhere_on_the_disk(registry):
    token = new_token(registry, "H29")
    join = registry.invite(OFFICER, "H29", timedelta(hours=1))
    for path in registry.folder.path.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            assert token not in data
            assert join.encode() not in data
            assert parse_join(join).token not in data


def test_every_order_leaves_one_row_with_time_actor_command_and_result(registry):
    registry.add_agency(OFFICER, "H29", "x", aliases=(), owner=None)
    registry.invite(OFFICER, "H29", timedelta(hours=1))
    with pytest.raises(AgencyUnknownError):
        registry.suspend_agency("another", "H30")
    assert audit(registry) == [
        ("another", "agency suspend H30", "AGENCY_UNKNOWN"),
        (OFFICER, "invite H29", "done"),
        (OFFICER, "agency add H29", "done"),
        (OFFICER, "init --network vn-test", "done"),
    ]


def test_sub_agency_stands_in_its_owners_entry_and_leaves_it_when_suspended(registry, clock):
    enrol_node(registry, "H29", clock)
    registry.add_agency(OFFICER, "H29.5", "Sở Nội vụ", aliases=("000.05.00.H29",), owner="H29")
    assert published(registry).owns("H29", "000.05.00.H29")
    registry.suspend_agency(OFFICER, "H29.5")
    assert not published(registry).owns("H29", "H29.5")


def test_change_that_was_not_published_is_made_up_for_at_the_next_occasion(registry, clock):
    with registry.folder.turn() as turn:  # as if the program had ended after the commit
        turn.write(lambda records: records.save_agency(new_agency("H29", clock.now)))
    assert "H29" not in published(registry).identities
    assert reopened(registry, clock).publish_due().signed
    assert "H29" in published(registry).identities


def new_agency(code, now):
    return Agency(
        code=code,
        name=code,
        aliases=(),
        owner=None,
        state=layout.AgencyState.ACTIVE,
        valid_from=now,
        valid_to=None,
    )


def test_t07_registry_restored_from_yesterday_never_reuses_a_version(registry, clock, tmp_path):
    enrol_node(registry, "H29", clock)
    backup = tmp_path / "backup"
    shutil.copytree(registry.folder.path, backup)
    clock.move(timedelta(hours=1))
    for code in ("H30", "H31", "H32"):
        registry.add_agency(OFFICER, code, code, aliases=(), owner=None)
    seen = published(registry)
    clock.move(timedelta(hours=1))
    restored = Registry(DataFolder(backup), registry.settings, clock)
    restored.publisher.log.confirm()  # as if no node had shown what it holds
    restored.add_agency(OFFICER, "H33", "x", aliases=(), owner=None)
    after = published(restored)
    assert after.mark.version > seen.mark.version
    assert all(
        after.versions[role] != seen.versions[role] or same_bytes(after, seen, role)
        for role in layout.role_names()
    )


def same_bytes(one, other, role):
    name = layout.file_name(role, one.versions[role])
    return one.files[name] == other.files[name]


def test_t07_reader_refuses_what_a_restored_registry_forgot(registry, clock, tmp_path):
    backup = tmp_path / "backup"
    shutil.copytree(registry.folder.path, backup)
    clock.move(timedelta(hours=1))
    registry.add_agency(OFFICER, "H30", "x", aliases=(), owner=None)
    floor = published(registry).floor()
    restored = Registry(DataFolder(backup), registry.settings, clock)
    with pytest.raises(Exception, match="older than the one in hand"):
        trust.check_floor(floor, published(restored))


def test_damaged_or_missing_published_file_is_told_and_not_served_as_good(registry):
    folder = registry.folder.path / "directory"
    path = next(folder.glob("*.identity-00.json"))
    path.write_bytes(path.read_bytes() + b" ")
    registry.folder.directory._parsed.clear()
    with pytest.raises(StorageDamagedError, match="identity-00"):
        registry.publish_due()
    path.unlink()
    with pytest.raises(StorageDamagedError):
        registry.publish_due()


def test_files_no_directory_names_leave_after_a_day_and_roots_never(registry, clock):
    folder = registry.folder.path / "directory"
    before = {path.name for path in folder.iterdir()}
    (folder / ".1.identity-00.json.tmp").write_bytes(b"half")
    for path in folder.iterdir():
        os.utime(path, (0, 0))
    clock.move(timedelta(days=16))
    registry.publish_due()
    after = {path.name for path in folder.iterdir()}
    assert after & before == {"1.root.json", "timestamp.json"}
    assert list(folder.glob(".*")) == []
    assert published(registry).problems == ()


def test_tls_certificates_change_over_after_a_year_without_a_gap(registry, clock):
    first = registry.tls_certificates()
    assert registry.keep_own_entry() is False
    clock.move(timedelta(days=366))
    assert registry.keep_own_entry() is True
    second = registry.tls_certificates()
    assert second[0] == first[1]
    assert second[1] not in first
    registry.folder.keys.tls_key(second[0])
    endpoint = published(registry).endpoint(REGISTRY_CODE, clock.now)
    assert [pin.certificate for pin in endpoint.pins] == second
    assert registry.keep_own_entry() is False


@pytest.mark.parametrize("kinds", [["tls"], ["seal"], []])
def test_registry_replaces_its_own_keys_when_they_are_revoked(registry, clock, kinds):
    before = registry.tls_certificates()
    registry.revoke(OFFICER, REGISTRY_CODE, kinds=kinds, compromised_since=None)
    assert registry.keep_own_entry() is True
    directory = published(registry)
    endpoint = directory.endpoint(REGISTRY_CODE, clock.now)
    assert len(endpoint.pins) == 2
    assert all(directory.revocations.find(pin.sha256) is None for pin in endpoint.pins)
    assert endpoint.pins[0].certificate == (before[0] if kinds == ["seal"] else before[1])
    assert registry.keep_own_entry() is False


def test_own_seal_is_renewed_before_it_ends(registry, clock):
    clock.move(timedelta(days=700))
    registry.publish_due()
    assert registry.keep_own_entry() is True
    clock.move(timedelta(days=60))
    registry.publish_due()
    assert published(registry).endpoint(REGISTRY_CODE, clock.now) is not None


def test_new_address_is_published_under_the_same_certificates(registry, clock):
    shown = registry.tls_certificates()
    moved = registry.settings.model_copy(update={"advertise": "registry.test:7443"})
    opened = Registry(registry.folder, moved, clock)
    assert opened.keep_own_entry() is True
    endpoint = published(opened).endpoint(REGISTRY_CODE, clock.now)
    assert endpoint.addresses == ("registry.test:7443",)
    assert [pin.certificate for pin in endpoint.pins] == shown


def test_status_tells_problems_first_and_heals_when_they_are_gone(registry, clock):
    codes = [problem.code for problem in registry_status(registry, clock.now).problems]
    assert codes == ["AUTO_PUBLISH", "ROOT_KEYS_HERE", "NOT_SERVING"]
    for path in registry.folder.keys.officer_files():
        path.unlink()
    (registry.folder.path / "keys" / "identity.pem").rename(registry.folder.path / "identity.pem")
    clock.move(timedelta(days=36))
    registry.publish_due()
    found = registry_status(registry, clock.now)
    codes = {problem.code for problem in found.problems}
    assert codes == {"ROLE_EXPIRES", "AWAITING_OFFICERS", "NOT_SERVING"}
    assert found.auto_publish is False


def test_migrations_and_tables_agree_and_the_newest_step_is_known(tmp_path):
    database = Database.open(f"sqlite:///{tmp_path / 'x.sqlite'}")
    assert migrations.upgrade(database, SCRIPTS) == HEAD == migrations.head(SCRIPTS)
    assert migrations.differences(database, RegistryTable.metadata) == []
    database.close()


def test_database_of_a_newer_program_is_refused(registry):
    with sqlite3.connect(registry.folder.database) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    with pytest.raises(DataFolderError, match="newer version"):
        registry.publish_due()
