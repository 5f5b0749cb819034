"""What was just sealed is taken from memory only while nothing else can wait for the same peer."""

from datetime import timedelta

import pytest

from edoccore.signing.statements import Urgency
from edocnode.domain import handing_on
from edocnode.domain.handing_on import FOR_S, INLINE_BYTES, MOST, Fresh, envelope_drafts
from edocnode.domain.model import SealCommit, Submission, Unsealed
from edocnode.domain.sealing import to_be_read_again
from tests.integration.storage.offices import NOW, Office, submission

LATER = NOW + timedelta(days=400)


def sealed(*made: Submission, place: int = 1) -> SealCommit:
    """Deliveries under one seal; they are in rows from ``place`` on."""
    drafts = [draft for at, each in enumerate(made, place) for draft in envelope_drafts(each, [at])]
    return Office("H29").seal(Unsealed(envelopes=tuple(drafts), receipts=(), effects=()))


def heard(*commits: SealCommit, at: float = 0.0) -> Fresh:
    """What a courier knows that took all that waited, and then heard of these."""
    fresh = Fresh()
    fresh.look_begins()
    for commit in commits:
        fresh.hear(commit.envelopes, commit.seal, at=at)
    return fresh


def test_before_a_look_nothing_is_taken_from_memory() -> None:
    fresh, commit = Fresh(), sealed(submission())
    fresh.hear(commit.envelopes, commit.seal, at=0)
    assert fresh.take(10, now=NOW, at=0) is None


def test_what_was_sealed_since_the_look_is_taken_once_as_the_database_has_it() -> None:
    made = submission()
    commit = sealed(made, place=7)
    fresh = heard(commit)
    assert list(fresh.places()) == [7]
    [item] = fresh.take(10, now=NOW, at=0) or []
    assert (item.place, item.message_id) == (7, made.deliveries[0].message_id)
    assert item.envelope.statement == commit.envelopes[0].data
    assert item.envelope.seal is commit.seal
    assert (item.parts, item.inline) == (made.parts, made.inline)
    assert fresh.take(10, now=NOW, at=0) == []
    assert fresh.is_whole


def test_urgent_documents_go_first_and_a_share_is_left_to_the_others() -> None:
    slow = [submission() for _ in range(4)]
    urgent = [submission(urgency=Urgency.HOA_TOC) for _ in range(9)]
    fresh = heard(sealed(*slow, *urgent))
    taken = fresh.take(8, now=NOW, at=0) or []
    wanted = [*urgent[:7], slow[0]]
    assert [item.message_id for item in taken] == [each.deliveries[0].message_id for each in wanted]
    assert len(fresh) == 5


@pytest.mark.parametrize("fits", [True, False])
def test_a_document_that_is_too_large_for_memory_has_the_database_looked_at(fits: bool) -> None:
    record_bytes = len(submission(content=b"").inline)
    size = INLINE_BYTES - record_bytes + (not fits)
    fresh = heard(sealed(submission(), submission(content=bytes(size))))
    assert fresh.is_whole is fits
    assert len(fresh) == (2 if fits else 0)


def test_a_delivery_whose_row_nobody_told_has_the_database_looked_at() -> None:
    assert not heard(to_be_read_again(sealed(submission()))).is_whole


def test_more_than_a_peer_can_have_under_way_is_not_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handing_on, "MOST", 3)
    fresh = heard(sealed(submission(), submission()), sealed(submission()))
    assert len(fresh) == 3
    more = sealed(submission())
    fresh.hear(more.envelopes, more.seal, at=0)
    assert not fresh.is_whole
    assert list(fresh.places()) == []
    assert MOST == 800  # of the program


def test_what_waited_for_longer_than_a_moment_is_looked_at_again() -> None:
    fresh = heard(sealed(submission()), at=5.0)
    assert fresh.take(10, now=NOW, at=5.0 + FOR_S + 0.1) is None
    assert not fresh.is_whole


def test_what_has_ended_is_left_to_who_gives_deliveries_up() -> None:
    fresh = heard(sealed(submission()))
    assert fresh.take(10, now=LATER, at=0) == []


def test_what_is_told_while_a_look_runs_is_kept_and_a_wake_ends_it() -> None:
    fresh = heard(sealed(submission()))
    fresh.look_begins()
    assert len(fresh) == 0  # in the database since before the look
    commit = sealed(submission())
    fresh.hear(commit.envelopes, commit.seal, at=0)
    assert len(fresh) == 1
    fresh.forget()
    assert fresh.take(10, now=NOW, at=0) is None
