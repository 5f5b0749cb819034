"""A registry folder that is put back as it was: noticed before it forks its log, and made good."""

import shutil
import time

import pytest

from edoccore.directory.bundle import encode_bundle, encode_log, keep_log
from edoccore.directory.layout import LogInfo
from edoccore.directory.transparency import LEAF_BYTES, Waiting, take, under
from edoccore.directory_errors import (
    LogBehindError,
    LogInvalidError,
    LogUnconfirmedError,
    NoteInvalidError,
)
from edoccore.errors import EdocError, RequestInvalidError
from edocregistry.app.registry import Registry
from edocregistry.app.returning import Returned, recover
from edocregistry.app.status import registry_status
from edocregistry.storage.folder import DataFolder
from tests.integration.edocregistry.test_log import changed, mirror_of, read_log
from tests.integration.edocregistry.test_loss import seen
from tests.support.logs import MadeLog, log_signer
from tests.support.nation import Nation
from tests.support.registry import OFFICER


@pytest.fixture
def newest(registry, clock):
    """The registry of today, which has published twice since the copy was made."""
    for code in ("H30", "H31"):
        changed(registry, clock, code)
    return registry


@pytest.fixture
def copy(registry, clock, tmp_path, request):
    """Yesterday's folder, put back elsewhere."""
    there = tmp_path / "copy"
    shutil.copytree(registry.folder.path, there)
    request.getfixturevalue("newest")
    return Registry(DataFolder(there), registry.settings, clock)


def giving(copy: Registry) -> Returned:
    return Returned(
        copy.folder, copy.publisher.log, directory=copy.directory, clock=copy.publisher.now
    )


def given(newest: Registry) -> tuple[bytes, bytes]:
    """What a node holds of the registry of today."""
    log = encode_log(keep_log(read_log(newest), Waiting()))
    return encode_bundle(seen(newest).files), log


def published(registry: Registry) -> tuple[int, bytes, bytes]:
    return (*registry.folder.directory.mark(), registry.folder.log.checkpoint())


def test_program_that_stood_still_while_it_wrote_does_not_take_its_folder_for_a_copy(
    registry, monkeypatch
):
    late = iter([time.time_ns() - 60_000_000_000])
    monkeypatch.setattr(
        time, "time_ns", lambda: next(late, None) or time.clock_gettime_ns(time.CLOCK_REALTIME)
    )
    registry.folder.log.note_place()
    assert registry.folder.log.is_in_place()


def test_copied_folder_publishes_nothing_before_nodes_had_time_to_show_what_they_hold(copy, clock):
    before = published(copy)
    with pytest.raises(LogUnconfirmedError):
        changed(copy, clock, "H40")
    with pytest.raises(LogUnconfirmedError):
        copy.keep_own_entry()
    assert published(copy) == before
    with copy.folder.turn() as turn:
        assert "H40" not in [item.code for item in turn.read(lambda records: records.agencies())]
    assert "LOG_UNCONFIRMED" in [item.code for item in registry_status(copy, clock()).problems]
    copy.publisher.log.confirm()
    changed(copy, clock, "H40")
    assert published(copy) != before


def test_t48_copied_folder_signs_nothing_once_a_node_showed_what_it_forgot(copy, newest, clock):
    shown, before = newest.folder.log.checkpoint(), published(copy)
    assert giving(copy).show(shown)
    with pytest.raises(LogBehindError):
        copy.publisher.log.confirm()
    again = Registry(DataFolder(copy.folder.path), copy.settings, clock)
    for registry in (copy, again):  # over restarts
        with pytest.raises(LogBehindError, match="older copy"):
            changed(registry, clock, "H40")
        with pytest.raises(LogBehindError), registry.folder.turn() as turn:
            registry.publisher.publish(turn, renew=True)
    assert published(copy) == before
    assert "LOG_BEHIND" in [item.code for item in registry_status(copy, clock()).problems]


def test_t48_checkpoints_that_the_registry_did_not_sign_stop_nothing(newest, clock):
    older = newest.folder.log.checkpoint()
    changed(newest, clock, "H32")
    assert not giving(newest).show(older)  # its own, and a beginning of what is here
    with pytest.raises(NoteInvalidError):
        giving(newest).show(MadeLog(log_signer(), leaves=bytes(40 * LEAF_BYTES)).add().checkpoint)
    with pytest.raises(NoteInvalidError):
        giving(newest).show(b"nonsense")
    with pytest.raises(RequestInvalidError):
        giving(newest).keep(*given(newest))
    changed(newest, clock, "H33")


def test_t48_what_was_forgotten_comes_back_from_a_node_and_nobody_has_a_proof(copy, newest, clock):
    held, mark = read_log(newest), seen(newest).mark
    returned = giving(copy)
    assert returned.show(held.checkpoint)
    returned.keep(*given(newest))
    assert not returned.show(held.checkpoint)  # one gave it, others need not
    with pytest.raises(RequestInvalidError):
        returned.keep(*given(newest))
    recovered = recover(copy, None, actor=OFFICER, clock=clock)
    assert (recovered.logged, recovered.version) == (held.size, seen(copy).mark.version)
    assert recovered.version > mark.version
    assert {"H30", "H31"} <= seen(copy).identities.keys()
    info = seen(copy).info.log
    assert isinstance(info, LogInfo)
    assert info.key != held.info.key  # whoever holds still more proves nothing by it
    grown = take(under(held, info), copy.publisher.log.answer(held.size, b""))
    assert grown.place_of(seen(copy).mark) == held.size
    changed(copy, clock, "H40")
    assert not (copy.folder.returned / "log").exists()


def test_copied_folder_takes_the_copied_mirror_of_a_node_too(copy, newest, clock, tmp_path):
    mirror_of(newest, tmp_path / "mirror")
    held = read_log(newest)
    assert recover(copy, tmp_path / "mirror", actor=OFFICER, clock=clock).logged == held.size
    with pytest.raises(LogInvalidError, match="not newer"):
        recover(copy, tmp_path / "mirror", actor=OFFICER, clock=clock)


@pytest.mark.parametrize("lie", ["directory", "older", "leaves", "own key", "short", "nonsense"])
def test_t48_node_that_lies_gives_nothing_back(copy, newest, clock, lie):
    before, held = published(copy), read_log(newest)
    bundle, log = given(newest)
    if lie == "directory":
        bundle = encode_bundle(Nation.create(clock()).publish())
    if lie == "older":
        bundle = encode_bundle(seen(copy).files)
    if lie == "leaves":
        place = log.index(held.leaves[-LEAF_BYTES:])
        log = log[:place] + bytes(LEAF_BYTES) + log[place + LEAF_BYTES :]
    if lie == "own key":
        made = MadeLog(log_signer(), leaves=held.leaves).add()
        kept = keep_log(held, Waiting())
        log = encode_log(
            type(kept)(
                info=made.info, leaves=made.leaves, checkpoint=made.checkpoint, witnessed=b""
            )
        )
    if lie == "short":
        log = encode_log(keep_log(read_log(copy), Waiting()))
    if lie == "nonsense":
        bundle, log = b"nonsense", b"more of it"
    returned = giving(copy)
    returned.show(held.checkpoint)
    with pytest.raises(EdocError):
        returned.keep(bundle, log)
    assert not (copy.folder.returned / "bundle").exists()
    with pytest.raises(EdocError):
        recover(copy, None, actor=OFFICER, clock=clock)
    assert published(copy) == before
    returned.keep(*given(newest))  # an honest one gives it after that
    assert returned.show(held.checkpoint) is False
