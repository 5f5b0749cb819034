"""The short, repeatable form of fuzzing: all that was kept, some changes of it, and floods."""

import random
import time
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edoccore.errors import EdocError, SettingsError
from tests.fuzz import world
from tests.fuzz.target import CORPUS, Target
from tests.fuzz.targets import TARGETS

every_target = pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)

FLOOD_BYTES = 1024 * 1024
FLOODS = {
    "brackets": b"[",
    "objects": b'{"a":',
    "tables": b"x.",
    "zeros": b"\0",
    "ones": b"\xff",
    "digits": b"7",
    "quotes": b'"',
    "messages": b"\x0a\x80",
}
MAX_SECONDS = 10.0  # of processor time, for all floods of a target; a hundred times the usual
MAX_MEMORY = 32 * FLOOD_BYTES


@every_target
def test_what_was_kept_is_read_or_refused_with_a_reason(target: Target) -> None:
    for data in target.examples_to_start_from():
        target.check(data)


@every_target
def test_changes_of_what_was_kept_are_read_or_refused_with_a_reason(target: Target) -> None:
    starts = target.examples_to_start_from()

    @settings(max_examples=target.examples)
    @given(st.integers(0, 1 << 62))
    def changed(seed: int) -> None:
        target.check(mutated(random.Random(seed), starts)[: target.max_bytes])

    changed()


@every_target
def test_a_flood_of_bytes_costs_little_time_and_memory(target: Target) -> None:
    starts = target.examples_to_start_from()
    begun = time.process_time()
    for flood in FLOODS.values():
        for start in (b"", starts[0]):
            data = start + flood * (FLOOD_BYTES // len(flood))
            tracemalloc.start()
            try:
                target.check(data)
                _, peak = tracemalloc.get_traced_memory()
            finally:
                tracemalloc.stop()
            assert peak < MAX_MEMORY, f"{flood!r} took {peak} bytes"
    assert time.process_time() - begun < MAX_SECONDS


def test_every_folder_of_the_corpus_has_its_target() -> None:
    assert {path.name for path in CORPUS.iterdir()} <= TARGETS.keys()


def test_the_network_of_the_targets_is_the_same_each_time() -> None:
    first, again = world.world(), world.world.__wrapped__()
    assert first.directory.mark == again.directory.mark


def test_an_error_without_reason_is_a_find() -> None:
    def unexplained(data: bytes) -> None:
        raise EdocError if data else SettingsError

    target = Target(name="x", run=unexplained, seeds=lambda: [b""])
    target.check(b"")
    with pytest.raises(EdocError):
        target.check(b"x")


def mutated(chance: random.Random, starts: list[bytes]) -> bytes:
    """One of the inputs with some bytes altered, cut out, doubled or taken from another."""
    data = bytearray(chance.choice(starts))
    for _ in range(chance.choice((1, 1, 2, 4, 8))):
        at = chance.randrange(len(data) + 1)
        length = min(chance.choice((1, 2, 4, 16, 64)), len(data) - at)
        other = chance.choice(starts)
        start = chance.randrange(len(other) + 1)
        match chance.randrange(6):
            case 0:
                data[at : at + length] = b""
            case 1:
                data[at:at] = data[at : at + length]
            case 2:
                data[at:at] = chance.randbytes(length)
            case 3:
                data[at : at + length] = other[start : start + length]
            case 4:
                data[at : at + 1] = bytes([chance.randrange(256)])
            case _:
                data[at : at + 1] = chance.choice((b"\0", b"\xff", b'"', b"{", b"0", b"\\ud800"))
    return bytes(data)
