"""The sealer's rules: epochs grow, seqs run on, every place in the journal is used once."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edoccore.signing import canonical
from edoccore.signing.merkle import EMPTY_ROOT, Frontier, leaf_hash, root_of
from edoccore.signing.seal import SealedStatement, SignedSeal, check_membership, open_seal
from edoccore.signing.statements import (
    Envelope,
    EpochOpening,
    Operation,
    Receipt,
    Result,
    Seal,
    Urgency,
    uuid_bytes,
)
from edocnode.domain.model import (
    DocumentId,
    EffectDraft,
    EnvelopeDraft,
    EpochHead,
    IncomingId,
    Lane,
    MessageId,
    ReceiptDraft,
    SealCommit,
    Unsealed,
)
from edocnode.domain.sealing import (
    EpochState,
    SealingKey,
    commit_of,
    next_epoch,
    opening,
    prepare,
)
from tests.support.nation import new_uuid7
from tests.unit.edocnode.conftest import NOW, Post

EMPTY = Unsealed(envelopes=(), receipts=(), effects=())


def envelope_draft(post: Post, to_node: str = "G01") -> EnvelopeDraft:
    return EnvelopeDraft(
        message_id=MessageId(uuid_bytes(new_uuid7(NOW))),
        document_id=DocumentId(uuid_bytes(new_uuid7(NOW))),
        sender="H29",
        recipient=to_node,
        to_node=to_node,
        urgency=Urgency.NORMAL,
        operation=Operation.NEW,
        about=None,
        created=NOW,
        expires=NOW + timedelta(days=30),
        parts=post.envelope().parts,
    )


def receipt_draft() -> ReceiptDraft:
    return ReceiptDraft(
        incoming_id=IncomingId(7),
        signer="G01",
        sender="G01",
        recipient="H29",
        message_id=MessageId(uuid_bytes(new_uuid7(NOW))),
        document_id=DocumentId(uuid_bytes(new_uuid7(NOW))),
        lane=Lane.NORMAL,
        operation=Operation.NEW,
        about=None,
        listing={},
        envelope_digest=b"\x01" * 32,
        result=Result.REJECTED,
        reason="PART_NAME_UNSAFE",
        kept_at=NOW,
    )


def key_of(post: Post) -> SealingKey:
    return SealingKey(
        network=post.nation.network,
        agency="H29",
        certificates=post.sender.digests,
        suite=post.sender.signer.suite,
    )


def seal(
    post: Post, state: EpochState, waiting: Unsealed, *, now: datetime = NOW, first: bool = False
) -> SealCommit:
    key = key_of(post)
    owns = [opening(key, state.epoch, None, reason="start")] if first else []
    group = prepare(state, key, waiting, owns, directory=post.directory.mark, now=now)
    commit = commit_of(group, state, key, post.sender.signer.sign(group.draft.data))
    state.committed(group)
    return commit


def new_state(**values: object) -> EpochState:
    return EpochState(epoch=next_epoch(NOW, b"", random=bytes(10)), **values)  # type: ignore[arg-type]


MOMENTS = st.integers(0, 4_000_000_000).map(lambda seconds: datetime.fromtimestamp(seconds, UTC))
TEN_BYTES = st.binary(min_size=10, max_size=10)


@given(MOMENTS, MOMENTS, TEN_BYTES, TEN_BYTES)
def test_an_epoch_is_a_uuid7_greater_than_the_one_before_whatever_the_clock_says(
    before: datetime, now: datetime, random: bytes, other: bytes
) -> None:
    previous = next_epoch(before, b"", random=random)
    epoch = next_epoch(now, previous, random=other)
    assert epoch > previous
    assert UUID(bytes=epoch).version == 7
    assert UUID(bytes=epoch).variant == "specified in RFC 4122"


def test_the_first_seal_of_an_epoch_holds_its_opening_alone(post: Post) -> None:
    state = new_state()
    commit = seal(post, state, EMPTY, first=True)
    statement = canonical.decode(commit.owns[0].data, EpochOpening)
    sealed = canonical.decode(commit.seal.data, Seal)
    assert (sealed.index, sealed.statements.size, commit.owns[0].leaf) == (0, 1, 0)
    assert uuid_bytes(statement.epoch) == state.epoch
    assert commit.owns[0].proof == ()
    assert sealed.journal_root == EMPTY_ROOT.hex()


def test_every_statement_of_a_group_proves_itself_alone_under_one_seal(post: Post) -> None:
    state = new_state()
    waiting = Unsealed(
        envelopes=tuple(envelope_draft(post) for _ in range(5)),
        receipts=(receipt_draft(), receipt_draft()),
        effects=(EffectDraft(effect_id=1, salt=bytes(16), data=b"{}"),),
    )
    commit = seal(post, state, waiting)
    verified = open_seal(
        commit.seal, post.directory, network=post.nation.network, at=NOW + timedelta(seconds=1)
    )
    statements = [
        *((item.data, item.leaf, item.proof) for item in commit.receipts),
        *((item.data, item.leaf, item.proof) for item in commit.envelopes),
    ]
    assert sorted(leaf for _, leaf, _ in statements) == list(range(7))
    for data, leaf, proof in statements:
        check_membership(verified.seal, data, leaf, proof)
    assert verified.seal.effects.size == 1
    assert verified.seal.effects.root == root_of([leaf_hash(bytes(16) + b"{}")]).hex()


def test_seqs_count_per_peer_and_run_on_across_seals_and_epochs(post: Post) -> None:
    state = new_state(seqs={"G01": 41})
    first = seal(
        post,
        state,
        Unsealed(
            envelopes=(
                envelope_draft(post),
                envelope_draft(post, "H30"),
                envelope_draft(post),
            ),
            receipts=(),
            effects=(),
        ),
    )
    second = seal(post, state, Unsealed(envelopes=(envelope_draft(post),), receipts=(), effects=()))
    assert [(item.draft.to_node, item.seq) for item in first.envelopes] == [
        ("G01", 42),
        ("H30", 1),
        ("G01", 43),
    ]
    assert second.envelopes[0].seq == 44
    worded = canonical.decode(second.envelopes[0].data, Envelope)
    assert (worded.seq, uuid_bytes(worded.epoch)) == (44, state.epoch)


def test_a_group_that_was_not_committed_changes_nothing(post: Post) -> None:
    state = new_state()
    waiting = Unsealed(envelopes=(envelope_draft(post),), receipts=(), effects=())
    prepare(state, key_of(post), waiting, [], directory=post.directory.mark, now=NOW)
    assert (state.next_index, state.seqs, state.frontier.size) == (0, {}, 0)


def test_journal_roots_chain_the_exact_bytes_of_the_seals(post: Post) -> None:
    state, journal = new_state(), Frontier()
    for index in range(6):
        waiting = Unsealed(envelopes=(envelope_draft(post),), receipts=(), effects=())
        commit = seal(post, state, waiting)
        sealed = canonical.decode(commit.seal.data, Seal)
        assert (sealed.index, sealed.journal_root) == (index, journal.root().hex())
        journal.append(leaf_hash(commit.seal.data))


def test_seal_time_never_goes_back_within_an_epoch(post: Post) -> None:
    state = new_state()
    seal(post, state, EMPTY)
    commit = seal(post, state, EMPTY, now=NOW - timedelta(hours=1))
    assert commit.time == NOW


def test_a_receipt_names_the_envelope_and_carries_its_reason(post: Post) -> None:
    item = receipt_draft()
    commit = seal(post, new_state(), Unsealed(envelopes=(), receipts=(item,), effects=()))
    receipt = canonical.decode(commit.receipts[0].data, Receipt)
    assert receipt.envelope == item.envelope_digest.hex()
    assert (receipt.result, receipt.reason) == (Result.REJECTED, "PART_NAME_UNSAFE")
    assert (receipt.from_, receipt.to) == ("H29", "G01")


def test_an_opening_names_the_head_it_continues(post: Post) -> None:
    head = EpochHead(epoch=next_epoch(NOW, b"", random=bytes(10)), size=3, root=b"\x02" * 32)
    own = opening(key_of(post), next_epoch(NOW, head.epoch, random=bytes(10)), head, reason="start")
    statement = canonical.decode(own.data, EpochOpening)
    assert statement.previous.size == 3  # type: ignore[union-attr]


def test_the_sealed_statement_of_a_tampered_seal_is_not_accepted(post: Post) -> None:
    commit = seal(post, new_state(), EMPTY, first=True)
    bent = SignedSeal(commit.seal.data.replace(b'"index":0', b'"index":1'), commit.seal.signature)
    sealed = SealedStatement(commit.owns[0].data, 0, (), bent)
    with pytest.raises(Exception, match=r"signature|Signature"):
        open_seal(sealed.seal, post.directory, network=post.nation.network, at=NOW)
