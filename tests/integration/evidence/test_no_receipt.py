"""What shows a third party when a sender said that nobody had answered, and what is found out."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from edoccore.directory.layout import RevocationKind
from edoccore.errors import SealInvalidError
from edoccore.signing import canonical
from edoccore.signing.seal import check_effect
from edoccore.signing.statements import Seal
from edocnode.domain.evidence import SealedEffect
from edocnode.evidence.verdict import VerdictKind
from tests.integration.evidence.conftest import ByHand, flipped, members
from tests.integration.evidence.test_by_hand import unpacked
from tests.integration.evidence.test_verify import judge, signed_anew
from tests.support.evidence import Exchange, given_up, receipt, unanswered


def with_word(made: Exchange, word: SealedEffect | None) -> bytes:
    return made.bundle(evidence=replace(made.evidence, no_receipt=word))


def test_the_word_of_the_sender_is_in_the_evidence_and_holds(
    silent: Exchange, by_hand: ByHand, tmp_path: Path
) -> None:
    data = silent.bundle()
    verdict = judge(silent, data, tmp_path)
    assert (verdict.kind, verdict.findings) == (VerdictKind.VALID, ())
    assert "there is no receipt" in verdict.notes[0]
    assert "H26 said at" in verdict.notes[1]
    assert "H29 was asked and does not hold it" in verdict.notes[1]
    assert verdict.facts["given_up_at"] == verdict.facts["given_up_sealed_at"]
    done = by_hand(unpacked(data, tmp_path / "copy"), silent.nation.anchor)
    assert (done.returncode, done.stderr) == (0, "")
    assert "9 H26 said at" in done.stdout
    assert "that nobody had answered" in done.stdout


def test_a_receipt_that_came_later_stands_beside_it(by_hand: ByHand, tmp_path: Path) -> None:
    answered = unanswered(datetime.now(UTC))
    at = answered.made_at - timedelta(minutes=1)
    late = receipt(answered.recipient, answered.evidence.envelope, among=2, at=at)
    data = answered.bundle(evidence=replace(answered.evidence, receipt=late))
    verdict = judge(answered, data, tmp_path)
    assert verdict.kind is VerdictKind.VALID
    assert verdict.facts["result"] == "received"
    assert len(verdict.notes) == 1
    assert by_hand(unpacked(data, tmp_path / "copy"), answered.nation.anchor).returncode == 0


def test_every_changed_or_missing_member_of_it_is_found(
    silent: Exchange, by_hand: ByHand, tmp_path: Path
) -> None:
    content = members(silent.bundle())
    names = [name for name in content if name.startswith("no-receipt/")]
    assert {"no-receipt/salt", "no-receipt/proof-00", "no-receipt/statement.json"} <= set(names)
    folder = unpacked(silent.bundle(), tmp_path / "copy")
    for name in names:
        changed = {**content, name: flipped(content[name], len(content[name]) * 4)}
        rest = {other: data for other, data in content.items() if other != name}
        for altered in (changed, rest):
            assert judge(silent, signed_anew(silent, altered), tmp_path).kind is (
                VerdictKind.INVALID
            ), name
        if not name.endswith(".p7s"):
            (folder / name).write_bytes(changed[name])
            assert by_hand(folder, silent.nation.anchor, without=2).returncode != 0, name
            (folder / name).write_bytes(content[name])
    only_salt = {
        name: data for name, data in content.items() if name not in names or name.endswith("salt")
    }
    assert judge(silent, signed_anew(silent, only_salt), tmp_path).kind is VerdictKind.INVALID


def of_another_message(made: Exchange) -> SealedEffect:
    """What the same sender said of another delivery that ended without an answer."""
    return given_up(replace(made, evidence=unanswered(made.made_at).evidence))


def by_the_recipient(made: Exchange) -> SealedEffect:
    """The same word, in the journal of the agency that did not answer."""
    word = given_up(made)
    effect = word.salt + word.sealed.statement
    (sealed,) = made.recipient.seal_effects(effect, time=made.made_at)
    return SealedEffect(word.salt, sealed)


@pytest.mark.parametrize(
    ("word", "why"),
    [
        (lambda made: given_up(made, kind="document.accepted"), "of kind document.accepted"),
        (lambda made: given_up(made, subject="01a206aa-0000-7000-8000-000000000000"), "another"),
        (lambda made: given_up(made, agency="H29"), "not by the agency"),
        (
            lambda made: given_up(made, detail="envelope 00 to H29 ended never; "),
            "another envelope",
        ),
        (lambda made: given_up(made, after=timedelta(minutes=29)), "before the envelope had ended"),
        (of_another_message, "about another envelope"),
        (by_the_recipient, "not by the agency"),
    ],
)
def test_a_word_that_says_something_else_is_refused(
    silent: Exchange,
    word: Callable[[Exchange], SealedEffect],
    why: str,
    by_hand: ByHand,
    tmp_path: Path,
) -> None:
    data = with_word(silent, word(silent))
    verdict = judge(silent, data, tmp_path)
    assert verdict.kind is VerdictKind.INVALID
    assert verdict.findings[0].member == "no-receipt"
    assert why in f"no-receipt {verdict.findings[0].why}"
    done = by_hand(unpacked(data, tmp_path / "copy"), silent.nation.anchor)
    assert done.returncode != 0
    assert "no-receipt" in done.stderr


def test_a_salt_of_another_length_is_refused_whatever_the_tree_says(silent: Exchange) -> None:
    """Otherwise bytes could be moved between salt and effect."""
    word = given_up(silent)
    seal = canonical.decode(word.sealed.seal.data, Seal)
    leaf, proof = word.sealed.leaf, word.sealed.proof
    check_effect(seal, word.salt, word.sealed.statement, leaf=leaf, proof=proof)
    with pytest.raises(SealInvalidError, match="salt"):
        check_effect(seal, word.salt + b"{", word.sealed.statement[1:], leaf=leaf, proof=proof)


def test_a_key_that_was_revoked_since_takes_the_proof_of_time_from_it(tmp_path: Path) -> None:
    made = unanswered(datetime.now(UTC))
    made.nation.now = made.made_at - timedelta(minutes=1)
    made.nation.revoke("H26", RevocationKind.SEAL)
    verdict = judge(made, made.bundle(maker=made.recipient), tmp_path)
    assert verdict.kind is not VerdictKind.VALID
    assert "no-receipt" in [finding.member for finding in verdict.findings]
