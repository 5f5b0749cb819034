"""One message as two agencies' nodes would have stored it, for tests of its evidence.

Hà Nội (H26) sends a document with two files to Hồ Chí Minh (H29), gets the receipt and a status,
and receipts the status. All seals are real; several statements share a seal, so proofs are long.
"""

import io
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from hashlib import sha256

import msgspec
from cryptography import x509

from edoccore.directory.view import Directory
from edoccore.signing import canonical
from edoccore.signing.merkle import root_of
from edoccore.signing.records import DocumentRecord, DocumentState, Office, StatusRecord, StatusStep
from edoccore.signing.seal import SealedStatement, SignedSeal
from edoccore.signing.statements import (
    DOCUMENT_MEDIA_TYPE,
    RECORD_NAME,
    STATUS_MEDIA_TYPE,
    Effect,
    Envelope,
    Operation,
    Part,
    Receipt,
    Result,
    Urgency,
    parse_time,
    time_text,
    uuid_bytes,
)
from edocnode.domain.evidence import MessageEvidence, SealedEffect, StatusEvidence
from edocnode.domain.evidence_formats import EvidenceFormat
from edocnode.domain.expiring import last_word
from edocnode.domain.lanes import Lane
from edocnode.domain.model import DocumentId, MessageId, QueuedDelivery
from edocnode.domain.timestamps import proof_of, seal_leaf
from edocnode.evidence.bundle import Exporter, folders_of, write_bundle
from tests.support.nation import Agency, Nation, new_uuid7
from tests.support.time_authority import TestAuthority

SCAN = b"%PDF-1.7\n" + bytes(range(256)) * 40  # 10 kB, lies in the blob folder here
SALT = bytes(range(16))
ANNEX = "Phụ lục kèm theo".encode()


@dataclass(frozen=True, slots=True)
class Exchange:
    """A message, its two agencies, and the network they live in."""

    nation: Nation
    sender: Agency
    recipient: Agency
    evidence: MessageEvidence
    made_at: datetime
    time_anchors: tuple[x509.Certificate, ...] = ()

    def bundle(
        self,
        *,
        evidence: MessageEvidence | None = None,
        maker: Agency | None = None,
        directory: Directory | None = None,
        now: datetime | None = None,
        container: EvidenceFormat = EvidenceFormat.ZIP,
    ) -> bytes:
        """The evidence file, made by the sender unless told otherwise."""
        maker = maker or self.sender
        file = io.BytesIO()
        write_bundle(
            file,
            evidence or self.evidence,
            directory=directory or self.nation.directory(),
            exporter=Exporter(maker.code, maker.signer),
            open_blob=open_blob,
            now=now or self.made_at,
            container=container,
        )
        return file.getvalue()


@contextmanager
def open_blob(digest: str) -> Iterator[list[bytes]]:
    """Stands for the blob folder, which holds the scan."""
    assert digest == sha256(SCAN).hexdigest()
    yield [SCAN[:4000], SCAN[4000:]]


def exchange(now: datetime, *, lives: timedelta = timedelta(days=30), suite: int = 1) -> Exchange:
    """Founds a network and lets a document travel in it, an hour before ``now``."""
    nation = Nation.create(now - timedelta(hours=2))
    name = "Ủy ban nhân dân thành phố Hà Nội"
    hanoi = nation.add_agency("H26", name, owns=("H26.5",), suite=suite)
    name = "Ủy ban nhân dân Thành phố Hồ Chí Minh"
    saigon = nation.add_agency("H29", name, suite=suite)
    start = nation.now + timedelta(minutes=5)
    document_id = new_uuid7(start)
    record = canonical.encode(
        DocumentRecord(
            network=nation.network,
            document_id=document_id,
            issuer=Office(code="H26.5", name="Sở Nội vụ"),
            subject="Về việc chuyển đổi số, đợt 2, {a: [1, 2]}",
        )
    )
    parts = (
        part(0, RECORD_NAME, DOCUMENT_MEDIA_TYPE, record),
        part(1, "Công văn, bản chính.pdf", "application/pdf", SCAN),
        part(2, "Phụ lục {1}.txt", "text/plain", ANNEX),
    )
    envelope = _envelope(nation, hanoi, "H26.5", saigon, parts, document_id, at=start, lives=lives)
    sealed = _seal(hanoi, envelope, among=5, at=start)
    answer = receipt(saigon, sealed, among=1, at=start + timedelta(seconds=2))
    status = _status(nation, saigon, hanoi, sealed, document_id, at=start + timedelta(minutes=9))
    inline = {0: record, 2: ANNEX}
    evidence = MessageEvidence(
        envelope=sealed,
        receipt=answer,
        statuses=(status,),
        inline=inline,
        blobs=frozenset({1}),
    )
    return Exchange(nation, hanoi, saigon, evidence, start + timedelta(hours=1))


def unanswered(now: datetime) -> Exchange:
    """The same when nobody answered: the sender gave the delivery up, among other effects."""
    made = exchange(now, lives=timedelta(minutes=30))
    evidence = replace(made.evidence, receipt=None, statuses=())
    return replace(made, evidence=replace(evidence, no_receipt=given_up(made)))


def given_up(
    made: Exchange, *, after: timedelta = timedelta(minutes=31), **changes: object
) -> SealedEffect:
    """What the sender puts into its journal about a delivery; ``changes`` are of the effect."""
    envelope = canonical.decode(made.evidence.envelope.statement, Envelope)
    at = parse_time(envelope.created) + after
    delivery = QueuedDelivery(
        message_id=MessageId(uuid_bytes(envelope.message_id)),
        document_id=DocumentId(uuid_bytes(envelope.document_id)),
        place=1,
        sender=envelope.from_,
        recipient=envelope.to,
        to_node=envelope.to_node,
        lane=Lane.NORMAL,
        envelope=made.evidence.envelope,
        parts=envelope.parts,
        inline=b"",
        attempts=1,
        digest_failures=0,
    )
    word = last_word(delivery, trouble="", agency=made.sender.code, salt=SALT, now=at)
    effect = canonical.decode(word.effect, Effect)
    data = canonical.encode(msgspec.structs.replace(effect, **changes))
    others = [bytes([number]) * 16 + b"{}" for number in range(4)]
    sealed = made.sender.seal_effects(*others[:2], SALT + data, *others[2:], time=at)[2]
    return SealedEffect(SALT, sealed)


def part(index: int, name: str, media_type: str, data: bytes) -> Part:
    """What an envelope says of a part."""
    digest = sha256(data).hexdigest()
    return Part(index=index, name=name, media_type=media_type, size=len(data), sha256=digest)


def _envelope(
    nation: Nation,
    sender: Agency,
    code: str,
    recipient: Agency,
    parts: tuple[Part, ...],
    document_id: str,
    *,
    at: datetime,
    about: str | None = None,
    lives: timedelta = timedelta(days=30),
) -> bytes:
    optional = {} if about is None else {"about": about}
    return canonical.encode(
        Envelope(
            network=nation.network,
            message_id=new_uuid7(at),
            document_id=document_id,
            from_=code,
            to=recipient.code,
            to_node=recipient.code,
            epoch=sender.epoch,
            seq=1,
            created=time_text(at),
            expires=time_text(at + lives),
            urgency=Urgency.NORMAL,
            operation=Operation.NEW if about is None else Operation.STATUS,
            parts=parts,
            **optional,
        )
    )


def receipt(
    recipient: Agency, sealed: SealedStatement, *, among: int, at: datetime
) -> SealedStatement:
    """The recipient's receipt for an envelope, the last of several statements under its seal."""
    envelope = canonical.decode(sealed.statement, Envelope)
    statement = Receipt(
        network=envelope.network,
        envelope=sha256(sealed.statement).hexdigest(),
        message_id=envelope.message_id,
        from_=envelope.to,
        to=envelope.from_,
        result=Result.RECEIVED,
        time=time_text(at),
    )
    return _seal(recipient, canonical.encode(statement), among=among, at=at)


def _status(
    nation: Nation,
    speaker: Agency,
    listener: Agency,
    about: SealedStatement,
    document_id: str,
    *,
    at: datetime,
) -> StatusEvidence:
    digest = sha256(about.statement).hexdigest()
    record = canonical.encode(
        StatusRecord(
            network=nation.network,
            document_id=document_id,
            envelope=digest,
            step=StatusStep.ACCEPTED,
            state=DocumentState.ACCEPTED,
            order=1,
            actor="Nguyễn Văn A",
            time=time_text(at),
        )
    )
    parts = (part(0, RECORD_NAME, STATUS_MEDIA_TYPE, record),)
    envelope = _envelope(
        nation, speaker, speaker.code, listener, parts, new_uuid7(at), at=at, about=digest
    )
    sealed = _seal(speaker, envelope, among=2, at=at)
    return StatusEvidence(
        envelope=sealed,
        record=record,
        receipt=receipt(listener, sealed, among=3, at=at + timedelta(seconds=1)),
    )


def _seal(agency: Agency, statement: bytes, *, among: int, at: datetime) -> SealedStatement:
    """Seals a statement as the last of several."""
    others = [b'{"type":"edoc.other/v1","number":%d}' % number for number in range(among - 1)]
    return agency.seal(*others, statement, time=at)[-1]


def stamped(
    made: Exchange, authority: TestAuthority, *, folders: Iterable[str] = ("envelope",)
) -> Exchange:
    """The same with a timestamp over the seals of some folders, among others in one batch."""
    seals = [
        sealed.seal
        for name, sealed in folders_of(made.evidence, made.nation.directory()).items()
        if name in folders
    ]
    strangers = [SignedSeal(b"{%d}" % number, b"") for number in range(4)]
    leaves = [seal_leaf(seal) for seal in (*strangers[:2], *seals, *strangers[2:])]
    token = authority.stamp(authority.query(root_of(leaves)))
    times = {seal: proof_of(leaves, seal, token) for seal in seals}
    return replace(
        made, evidence=replace(made.evidence, times=times), time_anchors=(authority.root,)
    )
