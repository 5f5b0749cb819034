"""Which alarms are open, over any history of raising, acknowledging and starting anew."""

import ast
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from importlib import import_module
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from edoccore.alarm_errors import AlarmEndsError, AlarmUnknownError
from edoccore.errors import EpochSupersededError, RequestInvalidError, SealerStoppedError
from edocnode.domain.alarms import (
    ENDING,
    LASTING,
    MAX_PROOF,
    MOST_OPEN,
    Acknowledgement,
    Alarm,
    advice,
    check_raise,
    chosen,
    digest_of,
    evidence_command,
    proof_of,
    raised,
)
from tests.architecture.repository import ROOT

NOW = datetime(2026, 11, 27, 3, 0, tzinfo=UTC)
WORD = Acknowledgement(actor="An", reason="Đã rõ", at=NOW)


def alarm(proof: str, kind: str = "TWO_HISTORIES", subject: str = "G01") -> Alarm:
    return Alarm(
        kind=kind, subject=subject, message=f"of {proof}", since=NOW, last_at=NOW, proof=proof
    )


class Alarms(RuleBasedStateMachine):
    """One kind and subject: what is kept, against what a person was shown and has said."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: dict[str, Alarm] = {}
        self.moment = NOW
        self.raises = 0
        self.acknowledged: dict[str, Acknowledgement] = {}

    def _raise(self, proof: str) -> None:
        self.moment += timedelta(seconds=1)
        self.raises += 1
        new = replace(alarm(proof), since=self.moment, last_at=self.moment)
        change = raised(list(self.kept.values()), new)
        if change.gone is not None:
            assert self.kept.pop(change.gone.proof).is_open, "an acknowledgement was lost"
        self.kept[change.put.proof] = change.put

    @rule(proof=st.integers(0, 30).map(str))
    def finds(self, proof: str) -> None:
        """The node finds something; perhaps what it found before."""
        before = self.kept.get(proof)
        self._raise(proof)
        after = self.kept[proof]
        assert after.last_at == self.moment
        if before is None:
            assert after.is_open, "a new proof that nobody is shown"
        else:
            assert after.acknowledged == before.acknowledged
            assert (after.since, after.message) == (before.since, before.message)
            assert after.times == before.times + 1

    @rule()
    def starts_anew(self) -> None:
        """A start looks again at all that it has on disk."""
        shown = {proof for proof, item in self.kept.items() if item.is_open}
        for proof in list(self.kept):
            self._raise(proof)
        assert {proof for proof, item in self.kept.items() if item.is_open} == shown

    @rule(place=st.integers(0, MOST_OPEN))
    def acknowledges(self, place: int) -> None:
        """A person acknowledges one of those that are shown."""
        shown = [item for item in self.kept.values() if item.is_open]
        if not shown:
            return
        wanted = shown[place % len(shown)]
        found = chosen(list(self.kept.values()), alarm_id=wanted.id)
        assert found == wanted
        word = replace(WORD, at=self.moment)
        self.kept[found.proof] = replace(found, acknowledged=word)
        self.acknowledged[found.proof] = word

    @invariant()
    def what_was_acknowledged_and_nothing_else_is_not_open(self) -> None:
        closed = {proof: item.acknowledged for proof, item in self.kept.items() if not item.is_open}
        assert closed == self.acknowledged

    @invariant()
    def nobody_fills_the_list(self) -> None:
        assert sum(item.is_open for item in self.kept.values()) <= MOST_OPEN

    @invariant()
    def everything_that_was_found_is_counted(self) -> None:
        assert sum(item.times for item in self.kept.values()) == self.raises


TestAlarms = Alarms.TestCase


def test_what_ends_by_itself_is_one_alarm_with_its_newest_message() -> None:
    first = alarm("", kind="CLOCK_SKEW")
    later = replace(first, message="newer", since=NOW + timedelta(1), last_at=NOW + timedelta(1))
    put = raised([first], later).put
    assert (put.since, put.last_at, put.message, put.times) == (NOW, later.last_at, "newer", 2)


def test_id_names_one_proof_of_one_kind_and_subject() -> None:
    others = [
        alarm("a"),
        alarm("b"),
        alarm("a", subject="H29"),
        alarm("a", kind="JOURNAL_ALTERED"),
        alarm("", kind="TWO_HISTORIESG", subject="01"),
    ]
    assert len({item.id for item in others}) == len(others)
    assert replace(alarm("a"), times=7, acknowledged=WORD, message="x").id == alarm("a").id


def test_alarm_is_chosen_by_its_id_or_by_kind_and_subject() -> None:
    first, second = alarm("a"), alarm("b", subject="H29")
    assert chosen([first, second], alarm_id=second.id) == second
    assert chosen([first, second], kind="TWO_HISTORIES", subject="G01") == first
    done = replace(first, acknowledged=WORD)
    assert chosen([done, alarm("c")], kind="TWO_HISTORIES", subject="G01") == alarm("c")
    assert chosen([done], kind="TWO_HISTORIES", subject="G01") == done  # said twice
    with pytest.raises(AlarmUnknownError):
        chosen([first], kind="TWO_HISTORIES", subject="H29")
    with pytest.raises(AlarmUnknownError):
        chosen([first], alarm_id="0" * 12)


def test_two_proofs_are_not_acknowledged_as_if_they_were_one() -> None:
    with pytest.raises(RequestInvalidError, match="2 alarms TWO_HISTORIES"):
        chosen([alarm("a"), alarm("b")], kind="TWO_HISTORIES", subject="G01")


@pytest.mark.parametrize("by_id", [True, False])
def test_what_ends_by_itself_is_not_acknowledged_and_says_what_ends_it(*, by_id: bool) -> None:
    skew = alarm("", kind="CLOCK_SKEW")
    named = {"alarm_id": skew.id} if by_id else {"kind": skew.kind, "subject": skew.subject}
    with pytest.raises(AlarmEndsError) as refused:
        chosen([skew], **named)
    assert refused.value.hint == ENDING["CLOCK_SKEW"]


@pytest.mark.parametrize(
    ("kind", "proof"),
    [("CLOCK_SKEW", "a"), ("LOG_FORKED", ""), ("LOG_FORKED", "x" * (MAX_PROOF + 1))],
)
def test_lasting_alarm_has_a_proof_and_no_other_has_one(kind: str, proof: str) -> None:
    with pytest.raises(ValueError, match=kind):
        check_raise(kind, proof)


def test_proof_does_not_depend_on_the_order_of_its_artefacts_but_on_each() -> None:
    assert proof_of("b", "a") == proof_of("a", "b") == "a b"
    assert digest_of(1, b"a") != digest_of(1, b"b")
    assert len(digest_of("x")) == 64


def test_proof_that_can_be_a_file_says_by_which_command() -> None:
    two = alarm("a b", kind="TWO_DIRECTORIES", subject="directory 17")
    assert evidence_command(two) == "edocnode directory evidence 17 --out FILE"
    assert "--log" in evidence_command(alarm("a", kind="LOG_FORKED"))
    assert evidence_command(alarm("a")) == ""


def raised_kinds() -> Iterator[str]:
    """Kinds in every call of the node that raises an alarm."""
    for path in (ROOT / "node" / "edocnode").rglob("*.py"):
        module = ".".join(path.relative_to(ROOT / "node").with_suffix("").parts)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            name = node.func.attr if isinstance(node.func, ast.Attribute) else ""
            if isinstance(node.func, ast.Name):
                name = node.func.id
            if name in ("raise_alarm", "put_alarm"):
                argument = node.args[1 if name == "put_alarm" else 0]
                yield from _value(module, ast.unparse(argument))


def _value(module: str, code: str) -> Iterator[str]:
    """Of a constant of a module; of a name that stands for several in one call, nothing."""
    if code in ("kind", "error.reason"):
        return
    found: Any = import_module(module)
    for part in code.split("."):
        found = getattr(found, part)
    yield str(found)


def test_each_kind_that_is_raised_says_what_to_do() -> None:
    kinds = set(raised_kinds())
    assert len(kinds) > 20
    kinds |= {EpochSupersededError.reason, SealerStoppedError.reason}  # ``error.reason``
    kinds |= {"DIRECTORY_STALE", "DIRECTORY_EXPIRED", "DIRECTORY_EMERGENCY", "DIRECTORY_ENDS_SOON"}
    kinds |= {"SEAL_ENDS", "SEAL_WAITS_FOR_OFFICERS"}  # ``kind``
    assert not LASTING.keys() & ENDING.keys()
    assert kinds == LASTING.keys() | ENDING.keys()
    assert advice("CLOCK_SKEW") == ENDING["CLOCK_SKEW"]


def test_each_kind_stands_on_the_page_for_administrators() -> None:
    page = (ROOT / "deploy" / "README.md").read_text(encoding="utf-8")
    lasting, _, ending = page.partition("## Alarms")[2].partition("End by themselves")
    assert {kind for kind in LASTING if f"| `{kind}` |" not in lasting} == set()
    assert {kind for kind in ENDING if f"`{kind}`" not in ending} == set()
