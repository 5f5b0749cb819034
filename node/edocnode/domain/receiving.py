"""What becomes of one parcel: kept, rejected under seal, refused, or asked to come again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from hashlib import sha256

from msgspec import UNSET, structs

from edoccore.errors import (
    AnswerKind,
    DirectoryBehindError,
    EdocError,
    LimitExceededError,
    SealCertificateError,
    SealerStoppedError,
)
from edoccore.signing import canonical
from edoccore.signing.merkle import Proven
from edoccore.signing.seal import SealedStatement, VerifiedSeal, check_membership
from edoccore.signing.statements import Envelope, Operation, Result, Seal, uuid_bytes
from edockit.steps import of_each
from edocnode.domain.checks import (
    Standing,
    check_content,
    check_envelope,
    is_sealed_answer,
    read_record,
    split_parts,
)
from edocnode.domain.exchange import Answer, Duplicate, Parcel, Received, Refused, TryLater
from edocnode.domain.model import (
    INLINE_PARCEL_BYTES,
    INLINE_PART_BYTES,
    Arrival,
    DocumentId,
    IncomingId,
    KeepKind,
    KnownMessage,
    Lane,
    MessageId,
    ReceiptDraft,
)
from edocnode.domain.signatures import TO_CHECK, has_parts_to_check

AFTER_SEALER = timedelta(seconds=5)
NO_ID = MessageId(bytes(16))  # of a parcel whose envelope cannot be read


@dataclass(frozen=True, slots=True, kw_only=True)
class Offered:
    """An offer that passed the checks on its envelope; its parts are still to come."""

    arrival: Arrival
    envelope: Envelope


@dataclass(frozen=True, slots=True)
class _Content:
    """What is kept of the parts of an arrival; see ``Arrival``."""

    listing: Mapping[str, str]
    inline: bytes


_NO_CONTENT = _Content({}, b"")

Judged = Arrival | Offered | Refused | TryLater


def judge_parcels(
    parcels: Sequence[Parcel],
    seals: Sequence[tuple[VerifiedSeal, Proven] | Exception],
    standings: Sequence[Standing],
) -> list[Arrival | Offered | Exception]:
    """Runs checks 5 to 11 on parcels whose seals were verified, each check on all of them.

    Args:
        seals: Of each parcel, with what was proven of it for parcels before; or why there is none.
        standings: Where each is judged.

    Returns:
        In order; an error says why that parcel is refused or must come again, or is a fault of the
        program over it. Nothing of it is kept.
    """
    step = partial(of_each, failures=Exception)
    sealed = [parcel.envelope for parcel in parcels]
    shown = step(_shown, seals, sealed)  # check 5
    envelopes = step(_envelope, shown, sealed, standings)
    pieces = step(_pieces, envelopes, parcels, standings)
    contents = step(_content, pieces, envelopes)
    return step(_judged, envelopes, contents, parcels, shown, standings)


def _shown(found: tuple[VerifiedSeal, Proven], sealed: SealedStatement) -> VerifiedSeal:
    """The seal over a statement, which is proven to be under it."""
    seal, proven = found
    check_membership(seal.seal, sealed.statement, sealed.leaf, sealed.proof, proven)
    return seal


def _envelope(seal: VerifiedSeal, sealed: SealedStatement, standing: Standing) -> Envelope:
    return check_envelope(sealed.statement, seal.seal, standing)


def _pieces(envelope: Envelope, parcel: Parcel, standing: Standing) -> Sequence[bytes] | None:
    """The parts that came; None: they are offered only."""
    check_content(envelope, standing)
    if parcel.offer:
        return None
    _check_inline(parcel, envelope)
    return split_parts(envelope.parts, parcel.parts, envelope.message_id)  # check 10


def _judged(
    envelope: Envelope,
    content: _Content | Exception,
    parcel: Parcel,
    seal: VerifiedSeal,
    standing: Standing,
) -> Arrival | Offered:
    if isinstance(content, Exception):
        if not isinstance(content, EdocError) or not is_sealed_answer(content):
            raise content
        return rejected(_arrival(parcel.envelope, envelope, seal, standing, _NO_CONTENT), content)
    arrival = _arrival(parcel.envelope, envelope, seal, standing, content)
    return Offered(arrival=arrival, envelope=envelope) if parcel.offer else arrival


def with_parts(arrival: Arrival, envelope: Envelope, pieces: Sequence[bytes]) -> Arrival:
    """Completes an arrival with its parts; large ones may be given empty (they lie elsewhere).

    Raises:
        RecordInvalidError: Check 11.
    """
    content = _content(pieces, envelope)
    return structs.replace(arrival, listing=content.listing, inline=content.inline)


def large_pieces(arrival: Arrival, joined: bytes) -> list[tuple[str, bytes]]:
    """Digest and bytes of the parts that rode inline and do not go into the database."""
    pieces = []
    offset = 0
    for part in arrival.parts:
        if part.size > INLINE_PART_BYTES:
            pieces.append((part.sha256, joined[offset : offset + part.size]))
        offset += part.size
    return pieces


def rejected(arrival: Arrival, error: EdocError) -> Arrival:
    """The arrival as a sealed rejection that is remembered; none of its parts is kept."""
    return structs.replace(
        arrival, result=Result.REJECTED, reason=error.reason, inline=b"", listing={}
    )


def certificate_error(
    parcel: Parcel, error: SealCertificateError, standing: Standing
) -> SealCertificateError | DirectoryBehindError:
    """What to say of a certificate that does not hold here: a newer directory may list it."""
    seal = canonical.decode(parcel.envelope.seal.data, Seal)
    if seal.directory.version <= standing.directory.mark.version:
        return error
    return DirectoryBehindError(
        f"{error.message} {seal.signer} holds directory {seal.directory.version}, this node "
        f"{standing.directory.mark.version}; it is being fetched.",
        agency=seal.signer,
    )


def arrival_in(judged: Judged) -> Arrival | None:
    """The arrival of a parcel that passed the checks; None: it did not."""
    if isinstance(judged, Offered):
        return judged.arrival
    return judged if isinstance(judged, Arrival) else None


def is_new_word(operation: Operation) -> bool:
    """Whether an envelope says something new; the others are about documents of before."""
    return operation not in (Operation.STATUS, Operation.REVOKE)


def receipt_draft(arrival: Arrival, incoming_id: IncomingId) -> ReceiptDraft:
    """What the sealer needs of an arrival that was kept as it is."""
    return ReceiptDraft(
        incoming_id=incoming_id,
        signer=arrival.signer,
        sender=arrival.sender,
        recipient=arrival.recipient,
        message_id=arrival.message_id,
        document_id=arrival.document_id,
        lane=Lane.of(arrival.urgency),
        operation=arrival.operation,
        about=arrival.about,
        envelope_digest=arrival.envelope_digest,
        listing=arrival.listing,
        result=arrival.result,
        reason=arrival.reason,
        kept_at=arrival.kept_at,
    )


def error_answer(message_id: MessageId, digest: bytes, error: EdocError) -> Refused | TryLater:
    """The unsealed answer to a parcel that was not kept.

    A fact that would be rejected under a verified seal is only refused while the seal is not.
    """
    if error.answer in (AnswerKind.REFUSED, AnswerKind.REJECTED):
        return Refused(
            message_id=message_id,
            envelope_digest=digest,
            reason=error.reason,
            message=error.message,
        )
    return TryLater(
        message_id=message_id,
        envelope_digest=digest,
        reason=error.reason,
        message=error.message,
        after=None,
    )


def parcel_answer(parcel: Parcel, error: EdocError) -> Refused | TryLater:
    """The unsealed answer to a parcel, whose envelope may not even be readable."""
    data = parcel.envelope.statement
    try:
        message_id = MessageId(uuid_bytes(canonical.decode(data, Envelope).message_id))
    except EdocError:
        message_id = NO_ID  # the sender matches the answer by the digest of the envelope
    return error_answer(message_id, sha256(data).digest(), error)


def final_answer(
    arrival: Arrival, kind: KeepKind, known: KnownMessage, receipt: SealedStatement | None
) -> Answer:
    """The answer to an arrival that is kept; without a receipt yet, to come again for it."""
    if receipt is None:
        error = SealerStoppedError()
        answer = error_answer(arrival.message_id, arrival.envelope_digest, error)
        return replace(answer, after=AFTER_SEALER) if isinstance(answer, TryLater) else answer
    if kind is KeepKind.EQUAL:
        return Duplicate(
            message_id=arrival.message_id,
            envelope_digest=arrival.envelope_digest,
            envelope=known.envelope,
            receipt=receipt,
        )
    return Received(
        message_id=arrival.message_id, envelope_digest=arrival.envelope_digest, receipt=receipt
    )


def _content(pieces: Sequence[bytes] | None, envelope: Envelope) -> _Content:
    """Runs check 11 on the record, and joins the parts that go into the database."""
    if pieces is None:
        return _NO_CONTENT
    inline = [
        piece
        for part, piece in zip(envelope.parts, pieces, strict=True)
        if part.size <= INLINE_PART_BYTES
    ]
    listing = read_record(envelope, pieces[0])
    if has_parts_to_check(envelope.parts):
        listing = {**listing, TO_CHECK: "1"}
    return _Content(listing, b"".join(inline))


def _check_inline(parcel: Parcel, envelope: Envelope) -> None:
    if len(parcel.parts) > INLINE_PARCEL_BYTES:
        raise LimitExceededError(
            f"Message {envelope.message_id} came with {len(parcel.parts)} bytes of parts; more "
            f"than {INLINE_PARCEL_BYTES} are offered first.",
            message_id=envelope.message_id,
        )


def _arrival(
    sealed: SealedStatement,
    envelope: Envelope,
    seal: VerifiedSeal,
    standing: Standing,
    content: _Content,
) -> Arrival:
    return Arrival(
        signer=seal.seal.signer,
        sender=envelope.from_,
        recipient=envelope.to,
        message_id=MessageId(uuid_bytes(envelope.message_id)),
        document_id=DocumentId(uuid_bytes(envelope.document_id)),
        urgency=envelope.urgency,
        operation=envelope.operation,
        about=None if envelope.about is UNSET else bytes.fromhex(envelope.about),
        envelope=sealed,
        envelope_digest=sha256(sealed.statement).digest(),
        epoch=uuid_bytes(envelope.epoch),
        seq=envelope.seq,
        seal_index=seal.seal.index,
        seal_time=seal.time,
        parts=envelope.parts,
        inline=content.inline,
        listing=content.listing,
        result=Result.RECEIVED,
        reason="",
        kept_at=standing.now,
    )
