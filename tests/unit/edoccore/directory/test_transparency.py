"""What the log of published directories proves, and what it does not."""

from datetime import timedelta

import pytest

from edoccore.directory.layout import LOG_PATIENCE, WITNESS_PATIENCE
from edoccore.directory.transparency import (
    LEAF_BYTES,
    NOTHING_COSIGNED,
    Cosigned,
    LogAnswer,
    Waiting,
    begin,
    cosigns_now,
    judge_log,
    leaf_of,
    mark_in,
    overdue,
    place_of,
    read_checkpoint,
    require_continued,
    take,
    under,
    waiting_after,
    weakened,
)
from edoccore.directory_errors import LogInvalidError, NoteInvalidError
from tests.support.logs import NOW, MadeLog, log_signer, mark, witness_signer

MARKS = [mark(number) for number in range(1, 12)]


@pytest.fixture
def made() -> MadeLog:
    return MadeLog(
        threshold=2, witnesses={code: witness_signer(code) for code in ("G01", "H29", "H30")}
    )


def test_leaf_names_its_version():
    assert len(leaf_of(MARKS[0])) == LEAF_BYTES
    assert mark_in(leaf_of(MARKS[0])) == MARKS[0]


@pytest.mark.parametrize("first", range(1, 8))
@pytest.mark.parametrize("more", range(4))
def test_log_grows_by_leaves_that_lead_to_what_was_signed(made, first, more):
    held = begin(made.info, made.add(*MARKS[:first]).answer())
    made.add(*MARKS[first : first + more])
    grown = take(held, made.answer(first))
    assert grown.size == first + more
    assert grown.checkpoint == made.checkpoint
    assert [grown.place_of(item) for item in MARKS[: first + more]] == list(range(first + more))
    assert grown.place_of(MARKS[-1]) is None
    assert held.size == first  # the one before is as it was


def test_place_of_a_version_is_never_between_two_leaves():
    one, two = leaf_of(MARKS[0]), leaf_of(MARKS[1])
    straddling = mark_in((one + two)[8:48])
    assert place_of(one + two, straddling) is None


@pytest.mark.parametrize(
    "spoil", ["signature", "leaf", "missing", "more", "half", "origin", "other"]
)
def test_log_that_is_not_what_was_signed_is_refused(made, spoil):
    held = begin(made.info, made.add(*MARKS[:3]).answer())
    answer = made.add(*MARKS[3:6]).answer(3)
    leaves, checkpoint = answer.leaves, answer.checkpoint
    if spoil == "signature":
        checkpoint = checkpoint.replace(b"\n6\n", b"\n7\n")
    elif spoil == "origin":
        checkpoint = checkpoint.replace(b"vn-test/", b"vn-prod/")
    elif spoil == "other":
        checkpoint = MadeLog(leaves=made.leaves).add().checkpoint
    elif spoil == "half":
        leaves = leaves[:-1]
    else:
        leaves = {
            "leaf": leaves[:-1] + bytes([leaves[-1] ^ 1]),
            "missing": leaves[:-LEAF_BYTES],
            "more": leaves + leaf_of(MARKS[7]),
        }[spoil]
    with pytest.raises((LogInvalidError, NoteInvalidError)):
        take(held, LogAnswer(checkpoint, b"", leaves))


def test_fork_does_not_continue(made):
    held = begin(made.info, made.add(*MARKS[:3]).answer())
    other = MadeLog(signer=made.signer).add(MARKS[0], mark(2, "b"), *MARKS[2:5])
    with pytest.raises(LogInvalidError):
        take(held, other.answer(3))


def test_witnessed_note_must_be_a_beginning_of_the_same_log(made):
    made.add(*MARKS[:3]).cosign("G01").cosign("H29")
    held = begin(made.info, made.add(*MARKS[3:5]).answer())
    assert read_checkpoint(held.witnessed).size == 3
    other = MadeLog(signer=made.signer, witnesses=made.witnesses, threshold=2)
    other.add(mark(1, "b"), *MARKS[1:3]).cosign("G01").cosign("H29")
    with pytest.raises(LogInvalidError):
        take(held, LogAnswer(made.checkpoint, other.witnessed, b""))


def test_enough_witnesses_cover_what_they_cosigned_and_nothing_after_it(made):
    made.add(*MARKS[:3]).cosign("G01")
    log = begin(made.info, made.answer())
    state = judge_log(log, MARKS[2], NOW)
    assert (state.is_logged, state.is_covered, state.witnessed_size) == (True, False, 0)
    made.cosign("H29", NOW - timedelta(minutes=5))
    log = take(log, made.answer(3))
    state = judge_log(log, MARKS[2], NOW)
    assert (state.is_covered, state.witnessed_size) == (True, 3)
    assert state.witnessed_at == NOW - timedelta(minutes=5)
    log = take(log, made.add(MARKS[3]).answer(3))
    state = judge_log(log, MARKS[3], NOW)
    assert (state.is_logged, state.is_covered, state.witnessed_size) == (True, False, 3)
    assert not judge_log(log, MARKS[9], NOW).is_logged


def test_cosignature_of_a_clock_far_ahead_does_not_count(made):
    made.add(*MARKS[:3]).cosign("G01", NOW + timedelta(days=365)).cosign("H29")
    assert not judge_log(begin(made.info, made.answer()), MARKS[2], NOW).is_covered


def test_one_witness_twice_is_one(made):
    made.add(*MARKS[:3]).cosign("G01").cosign("G01")
    assert not judge_log(begin(made.info, made.answer()), MARKS[2], NOW).is_covered


def test_forged_cosignature_spoils_the_note(made):
    made.add(*MARKS[:3])
    made.witnesses = {**made.witnesses, "H29": witness_signer("H29")}
    forged = made.copy()
    forged.cosign("G01").cosign("H29")
    data = bytearray(forged.checkpoint)
    data[-8] = ord("A") if data[-8] != ord("A") else ord("B")
    with pytest.raises(NoteInvalidError):
        begin(made.info, LogAnswer(forged.checkpoint, bytes(data), forged.leaves))


def test_without_a_threshold_the_log_alone_covers():
    made = MadeLog().add(*MARKS[:3])
    assert judge_log(begin(made.info, made.answer()), MARKS[2], NOW).is_covered


def test_directory_that_is_not_logged_is_told_after_an_hour():
    made = MadeLog().add(*MARKS[:3])
    log = begin(made.info, made.answer())
    waiting, now = Waiting(), NOW
    for _ in range(3):
        state = judge_log(log, MARKS[5], now)
        waiting = waiting_after(waiting, state, now)
        assert overdue(made.info, state, waiting, now) == ""
        now += LOG_PATIENCE / 2
    state = judge_log(log, MARKS[5], now)
    assert "has not been in the log" in overdue(made.info, state, waiting, now)
    state = judge_log(log, MARKS[2], now)
    assert waiting_after(waiting, state, now) == Waiting()


def test_log_that_never_came_is_told_too():
    made = MadeLog()
    waiting = waiting_after(Waiting(), None, NOW)
    later = NOW + LOG_PATIENCE + timedelta(seconds=1)
    assert waiting_after(waiting, None, later) == waiting
    assert overdue(made.info, None, waiting, later)


def test_missing_cosignatures_are_told_after_a_day(made):
    log = begin(made.info, made.add(*MARKS[:3]).cosign("G01").answer())
    state = judge_log(log, MARKS[2], NOW)
    waiting = waiting_after(Waiting(), state, NOW)
    assert overdue(made.info, state, waiting, NOW + WITNESS_PATIENCE) == ""
    later = NOW + WITNESS_PATIENCE + timedelta(minutes=1)
    assert waiting_after(waiting, judge_log(log, MARKS[2], later), later) == waiting
    assert "fewer than 2 witnesses" in overdue(made.info, state, waiting, later)


def test_witnesses_that_fell_silent_are_told_though_all_is_covered(made):
    log = begin(made.info, made.add(*MARKS[:3]).cosign("G01").cosign("H29").answer())
    later = NOW + WITNESS_PATIENCE + timedelta(minutes=1)
    state = judge_log(log, MARKS[2], later)
    assert state.is_covered
    assert "fewer than 2" in overdue(made.info, state, Waiting(), later)


def test_log_that_always_grows_is_not_taken_for_an_unwatched_one(made):
    """A version each minute for two days, each cosigned two minutes later."""
    made.add(MARKS[0]).cosign("G01").cosign("H29")
    log, waiting = begin(made.info, made.answer()), Waiting()
    for minute in range(1, 2 * 24 * 60):
        now = NOW + timedelta(minutes=minute)
        if minute % 3 == 0:
            made.cosign("G01", now).cosign("H29", now)
            log = take(log, made.answer(log.size))
        made.add(mark(minute + 100))
        log = take(log, made.answer(log.size))
        state = judge_log(log, mark(minute + 100), now)
        waiting = waiting_after(waiting, state, now)
        assert overdue(made.info, state, waiting, now) == ""


def test_new_version_that_nobody_cosigns_is_told_though_the_old_one_is_cosigned_anew(made):
    """A registry that shows one node a version of its own, behind the honest log."""
    made.add(*MARKS[:3]).cosign("G01").cosign("H29")
    alone = made.copy().add(mark(4, "b"))
    log, waiting, now = begin(made.info, alone.answer()), Waiting(), NOW
    for hour in range(30):
        now = NOW + timedelta(hours=hour)
        fresh = made.copy().cosign("G01", now).cosign("H29", now)
        log = take(log, LogAnswer(alone.checkpoint, fresh.witnessed, b""))
        state = judge_log(log, mark(4, "b"), now)
        waiting = waiting_after(waiting, state, now)
    assert overdue(made.info, state, waiting, now)


def test_witness_cosigns_only_what_continues(made):
    log = begin(made.info, made.add(*MARKS[:5]).answer())
    at_three = begin(made.info, made.copy().answer())
    require_continued(log, NOTHING_COSIGNED)
    require_continued(log, Cosigned(3, log.root_at(3), 1))
    require_continued(log, Cosigned(5, at_three.frontier.root(), 1))
    with pytest.raises(LogInvalidError, match="cosigned 6 already"):
        require_continued(log, Cosigned(6, b"r" * 32, 1))
    with pytest.raises(LogInvalidError, match="does not continue"):
        require_continued(log, Cosigned(3, b"r" * 32, 1))
    with pytest.raises(LogInvalidError, match="does not continue"):
        require_continued(log, Cosigned(5, b"r" * 32, 1))


def test_witness_speaks_when_there_is_news_or_it_was_silent_for_hours(made):
    key = made.witnesses["H29"].key
    log = begin(made.info, made.add(*MARKS[:3]).answer())
    assert cosigns_now(log, key, NOTHING_COSIGNED, NOW)
    before = Cosigned(3, log.frontier.root(), int(NOW.timestamp()))
    assert cosigns_now(log, key, before, NOW)  # signed, and it never arrived
    log = take(log, made.cosign("H29").answer(3))
    assert not cosigns_now(log, key, before, NOW + timedelta(hours=5))
    assert cosigns_now(log, key, before, NOW + timedelta(hours=6))


def test_weaker_watch_is_named_and_a_stronger_one_is_not(made):
    before = made.info
    assert weakened(before, before) == ""
    assert "no log" in weakened(before, None)
    made.threshold = 1
    assert weakened(before, made.info) == "1 witnesses are enough now, not 2."
    made.threshold = 2
    made.witnesses["H30"] = witness_signer("H30")
    assert "H30" in weakened(before, made.info)
    made.witnesses = {code: key for code, key in made.witnesses.items() if code != "H30"}
    assert "H30" in weakened(before, made.info)
    assert weakened(made.info, before) == ""


def test_notes_of_a_former_key_fall_and_its_leaves_stay(made):
    held = begin(made.info, made.add(*MARKS[:3]).answer())
    renewed = MadeLog(signer=log_signer(), leaves=made.leaves).add(MARKS[3])
    moved = under(held, renewed.info)
    assert (moved.checkpoint, moved.size) == (b"", 3)
    assert take(moved, renewed.answer(3)).size == 4


@pytest.mark.parametrize(
    "text",
    [
        "x\n3\n",
        "x\n03\nAAAA\n",
        "x\n3\nAAAA\n",
        "\n3\n" + "A" * 43 + "=\n",
        "x\n-1\n" + "A" * 43 + "=\n",
    ],
)
def test_what_is_no_checkpoint_is_refused(made, text):
    line = made.signer.sign(text)
    with pytest.raises(NoteInvalidError):
        read_checkpoint(f"{text}\n{line.line()}".encode())
