"""What the sealer does with all that waits: numbers it, words it, puts it under one seal.

Pure: the signature is made by the caller outside any transaction, and nothing of a group counts
until the storage has committed it. After a commit that failed, or whose outcome is unknown, the
sealer opens a new epoch instead of using a place in the journal twice.

Source: proto/README.md, sections Seals, Journal and Epochs.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from uuid import UUID

from msgspec import UNSET, structs

from edoccore.signing import canonical
from edoccore.signing.merkle import Frontier, leaf_hash
from edoccore.signing.seal import SealDraft, SealPlace, SignedSeal, draft
from edoccore.signing.statements import (
    DirectoryMark,
    Envelope,
    EpochOpening,
    Head,
    Operation,
    Receipt,
    Result,
    time_text,
    uuid_text,
)
from edocnode.domain.model import (
    EffectDraft,
    EnvelopeDraft,
    EpochHead,
    ReceiptDraft,
    SealCommit,
    SealedEffect,
    SealedEnvelope,
    SealedOwn,
    SealedReceipt,
    Unsealed,
)

AGAIN_ENVELOPE, AGAIN_RECEIPT = "envelope", "receipt"  # kinds of statements sealed anew
_VERSION_7 = 0x7 << 76
_VARIANT = 0x2 << 62


@dataclass(frozen=True, slots=True, kw_only=True)
class SealingKey:
    """With what and in whose name seals are made now.

    Attributes:
        certificates: Digests: seal certificate, then its issuers.
    """

    network: str
    agency: str
    certificates: tuple[str, ...]
    suite: int


@dataclass(slots=True)
class EpochState:
    """The sealer's place in its journal; changed only after a commit.

    Attributes:
        next_index: Index of the seal to come.
        last_time: Time of the last seal, of the epoch before at first; the next is not earlier.
        seqs: Highest seq given, by to_node.
    """

    epoch: bytes
    next_index: int = 0
    last_time: datetime | None = None
    frontier: Frontier = field(default_factory=Frontier)
    seqs: dict[str, int] = field(default_factory=dict)

    def committed(self, group: "SealGroup") -> None:
        """Moves on past a group that storage has committed."""
        self.next_index += 1
        self.last_time = group.time
        self.frontier.append(leaf_hash(group.draft.data))
        self.seqs.update(group.seqs)


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnStatement:
    """A statement about this agency itself that waits for a seal."""

    kind: str
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class SealGroup:
    """Everything that goes under one seal, worded and numbered, not yet signed."""

    time: datetime
    draft: SealDraft
    owns: tuple[OwnStatement, ...]
    envelopes: tuple[tuple[EnvelopeDraft, int, bytes], ...]
    receipts: tuple[tuple[ReceiptDraft, bytes], ...]
    effects: tuple[EffectDraft, ...]
    seqs: Mapping[str, int]


def is_under(seal: SignedSeal, certificate: str) -> bool:
    """Whether a seal of this agency was made with a certificate.

    Args:
        certificate: Its SHA-256, lower hex; stands in the seal's bytes once, and nothing like it.
    """
    return certificate.encode() in seal.data


def next_epoch(now: datetime, previous: bytes, *, random: bytes) -> bytes:
    """A UUIDv7 for a new epoch: of now, but always greater than the one before.

    Args:
        previous: 16 bytes, or empty.
        random: At least 10 bytes.
    """
    milliseconds = int(now.timestamp() * 1000)
    bits = (milliseconds << 80) | (int.from_bytes(random[:10], "big"))
    bits = bits & ~(0xF << 76) & ~(0x3 << 62) | _VERSION_7 | _VARIANT
    candidate = UUID(int=bits).bytes
    if candidate > previous:
        return candidate
    # The clock went back, or the database comes from a later time: one millisecond after it.
    later = ((int.from_bytes(previous, "big") >> 80) + 1) << 80
    return UUID(int=later | (bits & ((1 << 80) - 1))).bytes


def opening(
    key: SealingKey, epoch: bytes, previous: EpochHead | None, *, reason: str
) -> OwnStatement:
    """Words the opening of an epoch, statement 0 of its seal 0."""
    statement = EpochOpening(
        network=key.network,
        agency=key.agency,
        epoch=uuid_text(epoch),
        previous=UNSET if previous is None else _head(previous),
        reason=reason,
    )
    return OwnStatement(kind="epoch", data=canonical.encode(statement))


def prepare(
    state: EpochState,
    key: SealingKey,
    waiting: Unsealed,
    owns: Sequence[OwnStatement],
    *,
    directory: DirectoryMark,
    now: datetime,
    worded: "Worded | None" = None,
) -> SealGroup:
    """Puts all that waits under one seal, in the order owns, receipts, envelopes.

    Args:
        worded: What waits, if it was worded already.
    """
    time = max(now, state.last_time) if state.last_time else now
    worded = worded or word(state, key, waiting)
    statements = [
        *(item.data for item in owns),
        *(data for _, data in worded.receipts),
        *(data for _, _, data in worded.envelopes),
    ]
    place = SealPlace(
        network=key.network,
        signer=key.agency,
        certificates=key.certificates,
        suite=key.suite,
        directory=directory,
        epoch=uuid_text(state.epoch),
        index=state.next_index,
        journal_root=state.frontier.root(),
    )
    return SealGroup(
        time=time,
        draft=draft(place, statements, [e.salt + e.data for e in waiting.effects], time=time),
        owns=tuple(owns),
        envelopes=tuple(worded.envelopes),
        receipts=tuple(worded.receipts),
        effects=waiting.effects,
        seqs=worded.seqs,
    )


def only_answers(waiting: Unsealed) -> Unsealed:
    """What an agency that has ended may still seal: receipts, and statuses of what it has."""
    kept = tuple(item for item in waiting.envelopes if item.operation is Operation.STATUS)
    return replace(waiting, envelopes=kept)


def commit_of(group: SealGroup, state: EpochState, key: SealingKey, signature: bytes) -> SealCommit:
    """What storage must commit for a signed group."""
    proofs = [tuple(proof) for proof in group.draft.statement_proofs]
    receipts_from = len(group.owns)
    envelopes_from = receipts_from + len(group.receipts)
    return SealCommit(
        agency=key.agency,
        epoch=state.epoch,
        index=state.next_index,
        time=group.time,
        seal=SignedSeal(group.draft.data, signature),
        owns=tuple(
            SealedOwn(kind=own.kind, data=own.data, leaf=leaf, proof=proofs[leaf])
            for leaf, own in enumerate(group.owns)
        ),
        receipts=tuple(
            SealedReceipt(draft=item, data=data, leaf=leaf, proof=proofs[leaf])
            for leaf, (item, data) in enumerate(group.receipts, receipts_from)
        ),
        envelopes=tuple(
            SealedEnvelope(
                draft=item,
                seq=seq,
                data=data,
                leaf=leaf,
                proof=proofs[leaf],
            )
            for leaf, (item, seq, data) in enumerate(group.envelopes, envelopes_from)
        ),
        effects=tuple(
            SealedEffect(effect_id=effect.effect_id, leaf=leaf, proof=tuple(proof))
            for leaf, (effect, proof) in enumerate(
                zip(group.effects, group.draft.effect_proofs, strict=True)
            )
        ),
    )


def to_be_read_again(commit: SealCommit) -> SealCommit:
    """The commit as it is told when deliveries do not all wait with the envelopes in it."""
    envelopes = tuple(
        structs.replace(item, draft=structs.replace(item.draft, place=None))
        for item in commit.envelopes
    )
    return replace(commit, envelopes=envelopes)


class Wording:
    """Words statements of one group, a piece after another."""

    def __init__(self, state: EpochState, key: SealingKey) -> None:
        """Begins behind the last seq that was given to each peer."""
        self._state = state
        self._key = key
        self.seqs: dict[str, int] = {}

    def envelopes(self, drafts: Sequence[EnvelopeDraft]) -> list[tuple[EnvelopeDraft, int, bytes]]:
        """Gives each envelope the next seq of its peer and writes it."""
        epoch = uuid_text(self._state.epoch)
        return [
            (item, seq, _envelope(self._key, item, epoch, seq))
            for item, seq in self._numbered(drafts)
        ]

    def receipts(self, drafts: Sequence[ReceiptDraft]) -> list[tuple[ReceiptDraft, bytes]]:
        """Writes receipts."""
        return [(item, _receipt(self._key, item)) for item in drafts]

    def _numbered(self, drafts: Sequence[EnvelopeDraft]) -> Iterator[tuple[EnvelopeDraft, int]]:
        for item in drafts:
            last = self.seqs.get(item.to_node) or self._state.seqs.get(item.to_node, 0)
            self.seqs[item.to_node] = last + 1
            yield item, last + 1


@dataclass(frozen=True, slots=True)
class Worded:
    """The statements of a group; ``seqs`` as in ``SealGroup``."""

    envelopes: Sequence[tuple[EnvelopeDraft, int, bytes]]
    receipts: Sequence[tuple[ReceiptDraft, bytes]]
    seqs: Mapping[str, int]


def word(state: EpochState, key: SealingKey, waiting: Unsealed) -> Worded:
    """Words all that waits at once."""
    wording = Wording(state, key)
    envelopes = wording.envelopes(waiting.envelopes)
    return Worded(envelopes, wording.receipts(waiting.receipts), wording.seqs)


def _envelope(key: SealingKey, item: EnvelopeDraft, epoch: str, seq: int) -> bytes:
    return canonical.encode(
        Envelope(
            network=key.network,
            message_id=uuid_text(item.message_id),
            document_id=uuid_text(item.document_id),
            from_=item.sender,
            to=item.recipient,
            to_node=item.to_node,
            epoch=epoch,
            seq=seq,
            created=time_text(item.created),
            expires=time_text(item.expires),
            urgency=item.urgency,
            operation=item.operation,
            about=UNSET if item.about is None else item.about.hex(),
            parts=item.parts,
        )
    )


def _receipt(key: SealingKey, item: ReceiptDraft) -> bytes:
    return canonical.encode(
        Receipt(
            network=key.network,
            envelope=item.envelope_digest.hex(),
            message_id=uuid_text(item.message_id),
            from_=item.recipient,
            to=item.sender,
            result=item.result,
            time=time_text(item.kept_at),
            reason=item.reason if item.result == Result.REJECTED else UNSET,
        )
    )


def _head(head: EpochHead) -> Head:
    return Head(epoch=uuid_text(head.epoch), size=head.size, root=head.root.hex())
