"""Two agencies that write statements as nodes do; signatures are of no matter to storage."""

import itertools
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256

from msgspec import UNSET

from edoccore.signing import canonical
from edoccore.signing.records import DocumentRecord, DocumentState, StatusRecord, StatusStep
from edoccore.signing.records import Office as NamedOffice
from edoccore.signing.seal import SealedStatement, SignedSeal
from edoccore.signing.statements import (
    DirectoryMark,
    Envelope,
    Operation,
    Part,
    Receipt,
    Result,
    Seal,
    Urgency,
    parse_time,
    time_text,
    uuid_bytes,
    uuid_text,
)
from edocnode.domain.checks import read_record
from edocnode.domain.expiring import last_word
from edocnode.domain.handing_on import envelope_drafts
from edocnode.domain.model import (
    Arrival,
    DeliveryOutcome,
    DeliveryState,
    DocumentId,
    MessageId,
    NewDelivery,
    QueuedDelivery,
    ReceiptDraft,
    SealCommit,
    Submission,
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
from edocnode.storage.store import NodeStore
from tests.support.nation import new_uuid7

NOW = datetime(2026, 11, 23, 3, 0, tzinfo=UTC)
LATER = NOW + timedelta(days=30)
MARK = DirectoryMark(version=1, hash="0" * 64)
NOTHING = Unsealed(envelopes=(), receipts=(), effects=())
_random = itertools.count(1)


def random_bytes() -> bytes:
    """Ten bytes never given before."""
    return next(_random).to_bytes(10, "big")


@dataclass
class Office:
    """An agency with a journal of its own; with a store it seals what waits there."""

    code: str
    store: NodeStore | None = None
    state: EpochState = field(init=False)
    seals: list[SignedSeal] = field(default_factory=list)
    opened: SealedStatement | None = None

    def __post_init__(self) -> None:
        self.key = SealingKey(network="test", agency=self.code, certificates=("a" * 64,), suite=1)
        self.start(NOW)

    # --- journal

    def start(self, at: datetime = NOW, *, above: bytes = b"") -> bytes:
        """Begins a new epoch, in memory only."""
        previous = getattr(self, "state", None)
        newest = max(above, previous.epoch if previous else b"")
        self.state = EpochState(epoch=next_epoch(at, newest, random=random_bytes()))
        self.seals = []
        self.opened = None
        return self.state.epoch

    def seal(
        self, waiting: Unsealed = NOTHING, *, owns: Sequence = (), at: datetime = NOW
    ) -> SealCommit:
        """Seals in memory; the journal moves on."""
        if self.state.next_index == 0 and not owns:
            own = opening(self.key, self.state.epoch, None, reason="start")
            commit = self.seal(owns=[own], at=at)
            self.opened = sealed(commit, commit.owns[0])
        commit, group = self.word(waiting, owns=owns, at=at)
        self.state.committed(group)
        self.seals.append(commit.seal)
        return commit

    def word(self, waiting: Unsealed = NOTHING, *, owns: Sequence = (), at: datetime = NOW):
        """Words and signs the next seal without moving on."""
        group = prepare(self.state, self.key, waiting, owns, directory=MARK, now=at)
        return commit_of(group, self.state, self.key, b"signature"), group

    async def open(self, at: datetime = NOW) -> bytes:
        """Opens a new epoch in the store, as the sealer does at its start."""
        assert self.store is not None
        head = await self.store.last_head(self.code)
        self.start(at, above=head.epoch if head else b"")
        await self.store.open_epoch(self.code, self.state.epoch, at)
        self.state.seqs.update(await self.store.last_seqs(self.code))
        own = opening(self.key, self.state.epoch, head, reason="start")
        commit = self.seal(owns=[own], at=at)
        self.opened = sealed(commit, commit.owns[0])
        await self.store.commit_seal(commit)
        return self.state.epoch

    async def seal_all(self, at: datetime = NOW) -> SealCommit:
        """Seals everything that waits in the store under one seal."""
        assert self.store is not None
        commit, group = self.word(await self.store.unsealed(10_000), at=at)
        await self.store.commit_seal(commit)
        self.state.committed(group)
        self.seals.append(commit.seal)
        return commit

    # --- sending and receiving

    def envelope(self, submission: Submission) -> SealedStatement:
        """The sealed envelope of a submission, without any store."""
        return self.envelopes([submission])[0]

    def envelopes(self, made: Sequence[Submission]) -> list[SealedStatement]:
        """Sealed envelopes under one seal, without any store."""
        drafts = tuple(envelope_drafts(each, range(len(each.deliveries)))[0] for each in made)
        commit = self.seal(Unsealed(envelopes=drafts, receipts=(), effects=()))
        return [sealed(commit, each) for each in commit.envelopes]

    def receipts(
        self,
        queued: Sequence[QueuedDelivery],
        *,
        result: Result = Result.RECEIVED,
        reason: str = "",
        at: datetime = NOW,
    ) -> list[SealedStatement]:
        """Sealed receipts for envelopes, all under one seal."""
        drafts = []
        for item in queued:
            envelope = canonical.decode(item.envelope.statement, Envelope)
            drafts.append(
                ReceiptDraft(
                    incoming_id=0,
                    signer=envelope.from_,
                    sender=envelope.from_,
                    recipient=envelope.to,
                    message_id=item.message_id,
                    document_id=DocumentId(uuid_bytes(envelope.document_id)),
                    lane=item.lane,
                    operation=envelope.operation,
                    about=None,
                    listing={},
                    envelope_digest=sha256(item.envelope.statement).digest(),
                    result=result,
                    reason=reason,
                    kept_at=at,
                )
            )
        commit = self.seal(Unsealed(envelopes=(), receipts=tuple(drafts), effects=()), at=at)
        return [sealed(commit, each) for each in commit.receipts]

    def delivered(self, queued: Sequence[QueuedDelivery]) -> list[DeliveryOutcome]:
        """Outcomes with a receipt each."""
        return [
            DeliveryOutcome(
                message_id=item.message_id,
                document_id=item.document_id,
                recipient=item.recipient,
                state=DeliveryState.DELIVERED,
                receipt=receipt,
            )
            for item, receipt in zip(queued, self.receipts(queued), strict=True)
        ]


def sealed(commit: SealCommit, item: object) -> SealedStatement:
    """One statement of a commit with its seal."""
    return SealedStatement(item.data, item.leaf, item.proof, commit.seal)


def submission(
    sender: str = "H29",
    to: Sequence[str] = ("G01",),
    *,
    request: str | None = None,
    urgency: Urgency = Urgency.NORMAL,
    operation: Operation = Operation.NEW,
    subject: str = "Về việc kết nối trục liên thông văn bản",
    content: bytes = b"content",
    large: int = 0,
    at: datetime = NOW,
    expires: datetime = LATER,
) -> Submission:
    """A document with its record, one small part and, if ``large``, one part of that size."""
    document_id = new_uuid7(at)
    record = canonical.encode(
        DocumentRecord(
            network="test",
            document_id=document_id,
            issuer=NamedOffice(code=sender),
            subject=subject,
            number="28",
            notation="28/QĐ-BTTTT",
        )
    )
    return submission_of(
        record,
        content,
        document_id=DocumentId(uuid_bytes(document_id)),
        sender=sender,
        to=to,
        request=request,
        urgency=urgency,
        operation=operation,
        large=large,
        at=at,
        expires=expires,
    )


def submission_of(
    record: bytes,
    content: bytes,
    *,
    document_id: DocumentId,
    sender: str,
    to: Sequence[str],
    request: str | None,
    urgency: Urgency,
    operation: Operation,
    large: int,
    at: datetime,
    expires: datetime,
    about: bytes | None = None,
    listing: dict[str, str] | None = None,
) -> Submission:
    """A submission around a record."""
    parts = [part(0, "record.json", record), part(1, "Quyết định.pdf", content)]
    if large:
        digest = sha256(b"large %d" % large).hexdigest()
        parts.append(
            Part(index=2, name="lớn.zip", media_type="application/zip", size=large, sha256=digest)
        )
    request = request or new_uuid7(at)
    return Submission(
        request_id=request,
        request_hash=sha256(request.encode()).digest(),
        document_id=document_id,
        sender=sender,
        urgency=urgency,
        operation=operation,
        about=about,
        parts=tuple(parts),
        inline=record + content,
        listing={"subject": "?"} if listing is None else listing,
        created=at,
        expires=expires,
        deliveries=tuple(
            NewDelivery(
                message_id=MessageId(uuid_bytes(new_uuid7(at))), recipient=code, to_node=code
            )
            for code in to
        ),
    )


def part(index: int, name: str, data: bytes) -> Part:
    """A part of an envelope."""
    return Part(
        index=index,
        name=name,
        media_type="application/pdf",
        size=len(data),
        sha256=sha256(data).hexdigest(),
    )


def arrival(
    envelope: SealedStatement,
    inline: bytes,
    *,
    result: Result = Result.RECEIVED,
    reason: str = "",
    at: datetime = NOW,
) -> Arrival:
    """What the receiving desk hands to storage for an envelope."""
    stated = canonical.decode(envelope.statement, Envelope)
    seal = canonical.decode(envelope.seal.data, Seal)
    received = result is Result.RECEIVED
    return Arrival(
        signer=seal.signer,
        sender=stated.from_,
        recipient=stated.to,
        message_id=MessageId(uuid_bytes(stated.message_id)),
        document_id=DocumentId(uuid_bytes(stated.document_id)),
        urgency=stated.urgency,
        operation=stated.operation,
        about=None if stated.about is UNSET else bytes.fromhex(stated.about),
        envelope=envelope,
        envelope_digest=sha256(envelope.statement).digest(),
        epoch=uuid_bytes(stated.epoch),
        seq=stated.seq,
        seal_index=seal.index,
        seal_time=parse_time(seal.time),
        parts=stated.parts,
        inline=inline if received else b"",
        listing=read_record(stated, inline[: stated.parts[0].size]) if received else {},
        result=result,
        reason=reason,
        kept_at=at,
    )


def status_submission(
    about: SealedStatement, state: DocumentState, *, sender: str, to: str, at: datetime = NOW
) -> Submission:
    """The status that a recipient sends back."""
    stated = canonical.decode(about.statement, Envelope)
    digest = sha256(about.statement)
    record = canonical.encode(
        StatusRecord(
            network="test",
            document_id=stated.document_id,
            envelope=digest.hexdigest(),
            step=StatusStep(state.value),
            state=state,
            order=1,
            actor="Nguyễn Văn A",
            time=time_text(at),
        )
    )
    made = submission_of(
        record,
        b"",
        document_id=DocumentId(uuid_bytes(stated.document_id)),
        sender=sender,
        to=(to,),
        request=None,
        urgency=Urgency.NORMAL,
        operation=Operation.STATUS,
        large=0,
        at=at,
        expires=at + timedelta(days=30),
        about=digest.digest(),
    )
    return replace(made, parts=made.parts[:1])


def text(message_id: bytes) -> str:
    """An id as people write it."""
    return uuid_text(message_id)


def receipt_of(statement: SealedStatement) -> Receipt:
    """The receipt in a sealed statement."""
    return canonical.decode(statement.statement, Receipt)


async def ended(
    store: NodeStore, now: datetime, held: Collection[int] = ()
) -> Sequence[QueuedDelivery]:
    """Deliveries whose envelopes have ended."""
    found = await store.ending(now, 100, held)
    return await store.ending_at([item.place for item in found], now)


async def given_up(store: NodeStore, now: datetime) -> int:
    """Gives up what has ended; returns how many deliveries that were."""
    words = [
        last_word(item, trouble="", agency="H29", salt=bytes(16), now=now)
        for item in await ended(store, now)
    ]
    return await store.give_up(words, now)
