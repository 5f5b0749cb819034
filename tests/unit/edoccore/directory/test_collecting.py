from collections.abc import Callable
from datetime import timedelta
from hashlib import sha256

import pytest
from tuf.api.metadata import Metadata, Root

from edoccore.directory import layout
from edoccore.directory.collecting import collect
from edoccore.directory.loading import load
from edoccore.directory.packing import FileWanted
from edoccore.errors import DirectoryInvalidError
from tests.support.nation import Nation
from tests.unit.edoccore.directory.conftest import NOW

Serve = Callable[[FileWanted], bytes | None]


def run(known: dict[str, bytes], anchor: str, serve: Serve) -> tuple[dict[str, bytes], list[str]]:
    """Collects from a server; returns the files and what was asked for."""
    asked: list[str] = []
    steps = collect(known, anchor)
    try:
        question = next(steps)
        while True:
            answer = []
            for wanted in question:
                asked.append(wanted.name)
                answer.append(serve(wanted))
                assert len(answer[-1] or b"") <= wanted.limit
            question = steps.send(answer)
    except StopIteration as end:
        return end.value, asked


def honest(nation: Nation) -> Serve:
    return lambda wanted: nation.files.get(wanted.name)


def test_a_newcomer_collects_everything(nation: Nation) -> None:
    files = nation.publish()
    collected, _ = run({}, nation.anchor, honest(nation))
    assert collected == files
    assert load(collected, nation.anchor).problems == ()


def test_nothing_new_costs_one_file_and_one_question(nation: Nation) -> None:
    files = nation.publish()
    collected, asked = run(files, nation.anchor, honest(nation))
    assert collected == files
    assert asked == ["2.root.json", "timestamp.json"]


def test_a_changed_endpoint_costs_only_the_files_that_changed(nation: Nation) -> None:
    files = nation.publish()
    nation.now += timedelta(minutes=1)
    nation.set_address("H29", "10.0.0.1:1")
    nation.publish()
    collected, asked = run(files, nation.anchor, honest(nation))
    assert collected == nation.files
    version = layout.next_version(0, nation.now)
    assert asked == [
        "2.root.json",
        "timestamp.json",
        f"{version}.snapshot.json",
        f"{version}.{layout.bin_of('endpoints', 'H29')}.json",
    ]


def test_new_roots_are_followed(nation: Nation) -> None:
    files = nation.publish()
    nation.new_root()
    nation.new_root()
    nation.publish()
    collected, _ = run(files, nation.anchor, honest(nation))
    assert set(collected) >= {"1.root.json", "2.root.json", "3.root.json"}


def test_a_newcomer_finds_its_anchor_where_the_first_roots_were_lost(nation: Nation) -> None:
    nation.publish()
    for _ in range(40):  # more than one question names
        nation.new_root()
    nation.publish()
    late = sha256(nation.files["38.root.json"]).hexdigest()

    def serve(wanted: FileWanted) -> bytes | None:
        lost = wanted.name in {f"{number}.root.json" for number in range(1, 38)}
        return None if lost else nation.files.get(wanted.name)

    collected, _ = run({}, late, serve)
    assert load(collected, late).chain.root.version == 41


def test_a_newcomer_whose_anchor_is_a_later_root_starts_there(nation: Nation) -> None:
    nation.publish()
    later = nation.new_root()
    nation.publish()
    anchor = sha256(later).hexdigest()
    collected, _ = run({}, anchor, honest(nation))
    assert "1.root.json" not in collected
    assert load(collected, anchor).versions["root"] == 2


def test_a_server_without_the_expected_root_is_not_the_registry(nation: Nation) -> None:
    stranger = Nation.create(NOW)
    stranger.publish()
    with pytest.raises(DirectoryInvalidError, match="not the expected directory"):
        run({}, nation.anchor, honest(stranger))


def test_a_server_with_nothing_is_not_the_registry(nation: Nation) -> None:
    with pytest.raises(DirectoryInvalidError):
        run({}, nation.anchor, lambda _: None)
    files = nation.publish()
    with pytest.raises(DirectoryInvalidError, match="does not have it"):
        run(files, nation.anchor, lambda _: None)


def test_t09_a_forged_timestamp_is_found_before_anything_it_names_is_fetched(
    nation: Nation,
) -> None:
    stranger = Nation.create(NOW)
    stranger.publish()
    files = nation.publish()
    asked: list[str] = []

    def serve(wanted: FileWanted) -> bytes | None:
        asked.append(wanted.name)
        return stranger.files.get(wanted.name) if "root" not in wanted.name else None

    with pytest.raises(DirectoryInvalidError, match="timestamp"):
        run(files, nation.anchor, serve)
    assert asked == ["2.root.json", "timestamp.json"]


def test_t09_endless_roots_come_to_an_end(nation: Nation, monkeypatch: pytest.MonkeyPatch) -> None:
    files = nation.publish()
    monkeypatch.setattr(layout, "MAX_ROOT_ROTATIONS", 5)

    def serve(wanted: FileWanted) -> bytes | None:
        if not wanted.name.endswith(".root.json"):
            return nation.files.get(wanted.name)
        data = nation.new_root()
        assert Metadata[Root].from_bytes(data).signed.version == int(wanted.name.split(".")[0])
        return data

    with pytest.raises(DirectoryInvalidError, match="no end"):
        run(files, nation.anchor, serve)


def test_no_file_is_ever_asked_for_without_a_limit(nation: Nation) -> None:
    nation.publish()
    limits: dict[str, int] = {}

    def serve(wanted: FileWanted) -> bytes | None:
        limits[wanted.name] = wanted.limit
        return nation.files.get(wanted.name)

    run({}, nation.anchor, serve)
    assert limits.pop("timestamp.json") == layout.MAX_TIMESTAMP_BYTES
    roots = {name for name in limits if name.endswith(".root.json")}
    assert {limits.pop(name) for name in roots} == {layout.MAX_ROOT_BYTES}
    assert limits == {name: len(nation.files[name]) for name in limits}


def test_a_file_that_vanished_while_collecting_is_named(nation: Nation) -> None:
    nation.publish()
    name = next(name for name in nation.files if "endpoints-0a" in name)
    del nation.files[name]
    with pytest.raises(DirectoryInvalidError, match=name):
        run(
            {},
            nation.anchor,
            lambda wanted: None if wanted.name == name else nation.files.get(wanted.name),
        )
