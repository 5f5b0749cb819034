"""The registry's log: every version is in it, nothing is signed that does not continue it."""

from datetime import timedelta

import pytest

from edoccore.directory.bundle import encode_bundle, encode_log, keep_log
from edoccore.directory.layout import LogInfo
from edoccore.directory.transparency import (
    LEAF_BYTES,
    DirectoryLog,
    LogAnswer,
    Waiting,
    begin,
    mark_in,
    read_checkpoint,
    take,
    under,
    witness_name,
)
from edoccore.directory_errors import LogInvalidError, NoteInvalidError
from edoccore.errors import (
    AgencyUnknownError,
    RequestInvalidError,
    StorageDamagedError,
    StorageFailedError,
)
from edoccore.signing.notes import Kind, NoteSigner, read_note
from edocregistry.app.backups import backup, restore
from edocregistry.app.mirrors import read_mirror
from edocregistry.app.officers import DraftOrder
from edocregistry.app.registry import Registry
from edocregistry.app.witnesses import (
    add_witness,
    log_problems,
    log_status,
    remove_witness,
    renew_log_key,
    require_witnesses,
)
from edocregistry.settings import read_settings
from edocregistry.storage.backup import decode_backup
from edocregistry.storage.folder import DataFolder
from tests.integration.edocregistry.test_loss import seen
from tests.support.logs import log_signer, witness_signer
from tests.support.officers import Ceremony, new_keys
from tests.support.registry import NETWORK, OFFICER, enrol_node


def read_log(registry: Registry) -> DirectoryLog:
    """The log as a node takes it that has none: checked from its first leaf."""
    info = seen(registry).info.log
    assert isinstance(info, LogInfo)
    return begin(info, registry.publisher.log.answer(0, b""))


def changed(registry: Registry, clock, code: str) -> None:
    """Publishes one version more."""
    clock.move(timedelta(seconds=5))
    registry.add_agency(OFFICER, code, "x", aliases=(), owner=None)


def watching(registry: Registry, clock, *codes: str, threshold: int) -> dict[str, NoteSigner]:
    """Lets agencies watch over the log."""
    signers = {code: witness_signer(code) for code in codes}
    for code, signer in signers.items():
        enrol_node(registry, code, clock)
        add_witness(registry, OFFICER, code, signer.key.text())
    require_witnesses(registry, OFFICER, threshold)
    return signers


def cosign(registry: Registry, signer: NoteSigner, clock) -> None:
    """Does what a witness does, without looking."""
    note = read_note(registry.folder.log.checkpoint())
    line = signer.cosign(note.text, int(clock().timestamp()))
    registry.publisher.log.take_cosignature(note.with_signature(line).encode())


def test_every_version_is_in_the_log_in_its_order(registry, clock):
    marks = [seen(registry).mark]
    for number in range(3):
        changed(registry, clock, f"H3{number}")
        marks.append(seen(registry).mark)
    log = read_log(registry)
    found = [mark_in(log.leaves[at : at + 40]) for at in range(0, len(log.leaves), LEAF_BYTES)]
    assert found[-4:] == marks
    versions = [item.version for item in found]
    assert versions == sorted(set(versions))


def test_reader_gets_what_it_lacks_and_nothing_when_it_has_all(registry, clock):
    before = read_log(registry)
    book = registry.publisher.log
    assert book.answer(before.size, before.digest) == LogAnswer()
    changed(registry, clock, "H30")
    answer = book.answer(before.size, before.digest)
    assert len(answer.leaves) == LEAF_BYTES
    assert take(before, answer).place_of(seen(registry).mark) == before.size
    assert book.answer(10_000, b"").leaves == b""


@pytest.mark.parametrize("cut", ["leaf", "half", "checkpoint"])
def test_publication_cut_off_before_its_log_is_made_up_for(registry, clock, cut, monkeypatch):
    before = read_log(registry)
    files = registry.folder.log

    def fails(*_: object) -> None:
        if cut == "half":
            with (registry.folder.path / "log" / "leaves").open("ab") as leaves:
                leaves.write(b"half a leaf")
        raise StorageFailedError

    name = "put_checkpoint" if cut == "checkpoint" else "append"
    with monkeypatch.context() as patched:
        patched.setattr(files, name, fails)
        with pytest.raises(StorageFailedError):
            changed(registry, clock, "H30")
    published = seen(registry).mark
    again = Registry(DataFolder(registry.folder.path), registry.settings, clock)
    changed(again, clock, "H31")
    log = take(before, again.publisher.log.answer(before.size, b""))
    assert log.place_of(published) == before.size
    assert log.place_of(seen(again).mark) == before.size + 1
    assert log.size == before.size + 2


def test_nothing_is_signed_over_leaves_that_were_altered(registry, clock):
    path = registry.folder.path / "log" / "leaves"
    data = bytearray(path.read_bytes())
    data[5] ^= 1
    path.write_bytes(bytes(data))
    signed = registry.folder.log.checkpoint()
    again = Registry(DataFolder(registry.folder.path), registry.settings, clock)
    with pytest.raises(StorageDamagedError, match="log of published versions"):
        changed(again, clock, "H30")
    assert again.folder.log.checkpoint() == signed


def test_cosignatures_are_served_once_enough_are_there(registry, clock):
    signers = watching(registry, clock, "G01", "H29", threshold=2)
    book = registry.publisher.log
    cosign(registry, signers["G01"], clock)
    assert registry.folder.log.witnessed() == b""
    assert (log := log_status(registry, clock())) is not None
    assert (log.witnessed_size, log.threshold) == (0, 2)
    cosign(registry, signers["H29"], clock)
    size = read_log(registry).size
    assert (log := log_status(registry, clock())) is not None
    assert log.witnessed_size == size
    assert [item.agency for item in log.witnesses] == ["G01", "H29"]
    changed(registry, clock, "H30")
    answer = book.answer(0, b"")
    assert read_checkpoint(answer.witnessed).size == size
    assert read_checkpoint(answer.checkpoint).size == size + 1
    assert not list(log_problems(log_status(registry, clock())))
    clock.move(timedelta(hours=25))
    assert [item[0] for item in log_problems(log_status(registry, clock()))] == ["WITNESSES_SILENT"]


def test_cosignature_of_an_older_time_changes_nothing(registry, clock):
    signers = watching(registry, clock, "G01", threshold=1)
    clock.move(timedelta(hours=7))
    cosign(registry, signers["G01"], clock)
    served = registry.folder.log.checkpoint()
    clock.move(-timedelta(hours=1))
    cosign(registry, signers["G01"], clock)
    assert registry.folder.log.checkpoint() == served


@pytest.mark.parametrize("case", ["unlisted", "older", "tomorrow", "forged", "none"])
def test_cosignature_that_does_not_count_is_refused(registry, clock, case):
    signers = watching(registry, clock, "G01", threshold=1)
    note = read_note(registry.folder.log.checkpoint())
    signer, time = signers["G01"], int(clock().timestamp())
    if case == "unlisted":
        signer = witness_signer("G01")
    if case == "tomorrow":
        time += 24 * 3600
    line = signer.cosign(note.text, time)
    if case == "forged":
        line = type(line)(line.name, line.key_id, line.data[:-1] + b"!")
    if case == "older":
        changed(registry, clock, "H30")
    data = note.encode() if case == "none" else note.with_signature(line).encode()
    served = registry.folder.log.checkpoint()
    with pytest.raises(NoteInvalidError):
        registry.publisher.log.take_cosignature(data)
    assert registry.folder.log.checkpoint() == served


def test_witness_is_an_agency_with_a_node_and_its_own_key(registry, clock):
    signers = watching(registry, clock, "G01", threshold=1)
    registry.add_agency(OFFICER, "G01.5", "x", aliases=(), owner="G01")
    key = signers["G01"].key.text()
    with pytest.raises(AgencyUnknownError):
        add_witness(registry, OFFICER, "H99", key)
    with pytest.raises(RequestInvalidError, match="no node of its own"):
        add_witness(registry, OFFICER, "G01.5", key)
    enrol_node(registry, "H29", clock)
    with pytest.raises(RequestInvalidError, match="not of H29"):
        add_witness(registry, OFFICER, "H29", key)
    with pytest.raises(RequestInvalidError):
        add_witness(registry, OFFICER, "G01", key[:-3])
    note_key = NoteSigner(witness_name(NETWORK, "G01"), Kind.NOTE, log_signer()._private_key)
    with pytest.raises(RequestInvalidError):
        add_witness(registry, OFFICER, "G01", note_key.key.text())
    with pytest.raises(RequestInvalidError, match="2 of 1"):
        require_witnesses(registry, OFFICER, 2)
    with pytest.raises(RequestInvalidError, match="0 would be left"):
        remove_witness(registry, OFFICER, "G01")
    require_witnesses(registry, OFFICER, 0)
    remove_witness(registry, OFFICER, "G01")
    remove_witness(registry, OFFICER, "G01")
    info = seen(registry).info.log
    assert isinstance(info, LogInfo)
    assert (info.witnesses, info.threshold) == ((), 0)


def test_officers_who_sign_elsewhere_see_who_is_to_watch_and_sign_it(registry, clock):
    ceremony = Ceremony(registry, clock)
    enrol_node(registry, "G01", clock)
    identity = new_keys(2)
    ceremony.turn_off(identity, 2)
    key = witness_signer("G01").key.text()
    add_witness(registry, OFFICER, "G01", key)
    require_witnesses(registry, OFFICER, 1)
    waiting = [change.text for change in registry.waiting()]
    assert f"G01 watches over the log with the key {key}." in waiting
    assert "Of 1 witnesses of the log 1 must cosign, no longer 0." in waiting
    assert seen(registry).info.log == read_log(registry).info
    assert read_log(registry).info.witnesses == ()
    clock.move(timedelta(seconds=5))
    ceremony.hold(DraftOrder(), *identity)
    assert read_log(registry).info.threshold == 1


def mirror_of(registry: Registry, path) -> None:
    """What a node has on its disk: bundle and log."""
    path.mkdir()
    (path / "bundle").write_bytes(encode_bundle(seen(registry).files))
    (path / "log").write_bytes(encode_log(keep_log(read_log(registry), Waiting())))


def restored(registry: Registry, data: bytes, path, clock, mirror=None) -> Registry:
    found = decode_backup(data, b"passphrase of the backup")
    anchor = seen(registry).chain.anchor
    taken = None if mirror is None else read_mirror(mirror, [anchor])
    restore(DataFolder(path), found, taken, actor=OFFICER, clock=clock)
    folder = DataFolder(path)
    return Registry(folder, read_settings(folder.settings), clock)


def test_restored_registry_goes_on_with_the_log_of_a_node(registry, clock, tmp_path):
    signers = watching(registry, clock, "G01", threshold=1)
    data = backup(registry, b"passphrase of the backup", actor=OFFICER, now=clock())
    for code in ("H30", "H31"):
        changed(registry, clock, code)
        cosign(registry, signers["G01"], clock)
    held = read_log(registry)
    mirror_of(registry, tmp_path / "mirror")
    clock.move(timedelta(minutes=5))
    back = restored(registry, data, tmp_path / "new", clock, tmp_path / "mirror")
    info = seen(back).info.log
    assert isinstance(info, LogInfo)
    assert info.key != held.info.key
    grown = take(under(held, info), back.publisher.log.answer(held.size, b""))
    assert grown.place_of(seen(back).mark) == held.size


def test_restored_registry_without_a_mirror_signs_nothing_under_the_old_key(
    registry, clock, tmp_path
):
    """Whoever has the lost end of the log would have a proof against an honest registry."""
    data = backup(registry, b"passphrase of the backup", actor=OFFICER, now=clock())
    for code in ("H30", "H31"):
        changed(registry, clock, code)
    held = read_log(registry)
    clock.move(timedelta(minutes=5))
    back = restored(registry, data, tmp_path / "new", clock)
    log = read_log(back)
    assert log.info.key != held.info.key
    assert log.place_of(seen(back).mark) == log.size - 1
    with pytest.raises(NoteInvalidError):
        take(held, back.publisher.log.answer(0, b""))
    with pytest.raises(LogInvalidError):
        take(under(held, log.info), back.publisher.log.answer(held.size, b""))
    old = [item.key.text() for item in back.folder.keys.log_signers(NETWORK)]
    assert held.info.key not in old


@pytest.mark.parametrize("alone", [True, False])
def test_stolen_machine_gets_a_new_key_of_the_log_in_the_same_ceremony(registry, clock, alone):
    ceremony = Ceremony(registry, clock)
    identity = [] if alone else new_keys(2)
    roots = ceremony.root_keys()[:2]
    if not alone:
        ceremony.turn_off(identity, 2)
    held = read_log(registry)
    clock.move(timedelta(seconds=5))
    renew_log_key(registry, OFFICER)
    ceremony.hold(DraftOrder(new_online_key=True), *roots, *identity)
    after = read_log(registry)
    assert after.info.key != held.info.key
    answer = registry.publisher.log.answer(held.size, b"")
    assert take(under(held, after.info), answer).size == after.size
    assert len(registry.folder.keys.log_signers(NETWORK)) == 1
