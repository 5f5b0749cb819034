"""What nodes say to each other: the node's own types <-> messages of exchange/v1.

Seals are written once per message and referred to by index. Checks only form and limits.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from edoccore.errors import LimitExceededError, RequestInvalidError
from edoccore.signing.seal import SealedStatement, SignedSeal
from edoccore.signing.statements import DirectoryMark
from edoccore.wire.sealed import (
    join_proof,
    seal_from_message,
    seal_to_message,
    sealed_from_message,
    sealed_to_message,
    split_proof,
)
from edocnet.exchange.v1 import exchange_service_pb2 as messages
from edocnode.domain.delivery import PartWanted
from edocnode.domain.exchange import (
    EARLIER_OPENINGS,
    Answer,
    Duplicate,
    Hello,
    Inquiry,
    Need,
    Parcel,
    Received,
    Recovered,
    Refused,
    TryLater,
)
from edocnode.domain.model import MessageId
from edocnode.domain.numbers import NumberAnswer, NumberState, Range, Settled
from edocnode.domain.repair import PartName

MAX_ITEMS = 256  # parcels, seals or answers in one message
ANSWERS_BYTES = 512 * 1024  # of answers and seals, then another message; one has at most 256 KiB
MAX_TEXT = 1000  # characters of a reason told to a peer
ID_BYTES = 16
DIGEST_BYTES = 32
MAX_NUMBER = (1 << 53) - 1  # of an envelope; proto/README.md, Statements

_OF_A_MESSAGE = (NumberState.EXPIRED, NumberState.ELSEWHERE, NumberState.GONE)


class _SealTable:
    """The seals of one message, each once."""

    def __init__(self) -> None:
        self.seals: list[messages.Seal] = []
        self.size = 0  # bytes
        self._places: dict[bytes, int] = {}

    def place(self, seal: SignedSeal) -> int:
        place = self._places.get(seal.data)
        if place is None:
            place = self._places[seal.data] = len(self.seals)
            self.seals.append(seal_to_message(seal))
            self.size += len(seal.data) + len(seal.signature)
        return place


def hello_to_message(hello: Hello) -> messages.Hello:
    """Writes a hello."""
    message = messages.Hello(
        agency=hello.agency,
        directory_version=hello.directory.version,
        directory_hash=bytes.fromhex(hello.directory.hash),
        tail_lost=hello.tail_lost,
        earlier_openings=[sealed_to_message(item) for item in hello.earlier],
        settled=[
            messages.Settled(epoch=mark.epoch, first=mark.first, last=mark.last)
            for mark in hello.settled
        ],
    )
    message.time.FromDatetime(hello.time.astimezone(UTC))
    if hello.opening is not None:
        message.opening.CopyFrom(sealed_to_message(hello.opening))
    if hello.known is not None:
        message.known.CopyFrom(seal_to_message(hello.known))
    if hello.known_opening is not None:
        message.known_opening.CopyFrom(sealed_to_message(hello.known_opening))
    return message


def hello_from_message(message: messages.Hello) -> Hello:
    """Reads a hello.

    Raises:
        RequestInvalidError, LimitExceededError, SealInvalidError: A field has an impossible form.
    """
    if len(message.directory_hash) != DIGEST_BYTES:
        raise RequestInvalidError("The hello has no SHA-256 of a directory.")
    return Hello(
        agency=message.agency,
        opening=sealed_from_message(message.opening) if message.HasField("opening") else None,
        earlier=_earlier(message),
        known=seal_from_message(message.known) if message.HasField("known") else None,
        known_opening=sealed_from_message(message.known_opening)
        if message.HasField("known_opening")
        else None,
        directory=DirectoryMark(
            version=message.directory_version, hash=message.directory_hash.hex()
        ),
        time=_moment(message.time),
        tail_lost=message.tail_lost,
        settled=_settled(message),
    )


def batch_to_message(parcels: Sequence[Parcel]) -> messages.Batch:
    """Writes a batch."""
    table = _SealTable()
    written = [
        messages.Parcel(
            envelope=parcel.envelope.statement,
            seal=table.place(parcel.envelope.seal),
            leaf=parcel.envelope.leaf,
            proof=join_proof(parcel.envelope.proof),
            parts=parcel.parts,
            offer=parcel.offer,
        )
        for parcel in parcels
    ]
    return messages.Batch(seals=table.seals, parcels=written)


def batch_from_message(message: messages.Batch) -> list[Parcel]:
    """Reads a batch.

    Raises:
        LimitExceededError: Too many items.
        RequestInvalidError: A parcel names a seal that is not there.
        SealInvalidError: A proof has an impossible size.
    """
    _check_count(len(message.parcels))
    seals = _seals(message.seals)
    return [
        Parcel(
            envelope=SealedStatement(
                parcel.envelope, parcel.leaf, split_proof(parcel.proof), _pick(seals, parcel.seal)
            ),
            parts=parcel.parts,
            offer=parcel.offer,
        )
        for parcel in message.parcels
    ]


def answers_to_messages(answers: Iterable[Answer]) -> list[messages.Answers]:
    """Writes answers, in as many messages as they need: one that shows an envelope is large."""
    written: list[messages.Answers] = []
    table, waiting, size = _SealTable(), list[messages.Answer](), 0
    for answer in answers:
        message = _answer_to_message(answer, table)
        waiting.append(message)
        size += message.ByteSize()
        if size + table.size >= ANSWERS_BYTES or len(waiting) == MAX_ITEMS:
            written.append(messages.Answers(seals=table.seals, answers=waiting))
            table, waiting, size = _SealTable(), [], 0
    if waiting:
        written.append(messages.Answers(seals=table.seals, answers=waiting))
    return written


def answers_from_message(message: messages.Answers) -> list[Answer]:
    """Reads answers.

    Raises:
        LimitExceededError, RequestInvalidError, SealInvalidError: A field has an impossible form.
    """
    _check_count(len(message.answers))
    seals = _seals(message.seals)
    return [_answer_from_message(answer, seals) for answer in message.answers]


def recovered_to_message(item: Recovered) -> messages.RecoverResponse:
    """Writes an envelope given back."""
    return messages.RecoverResponse(
        envelope=sealed_to_message(item.envelope),
        receipt=None if item.receipt is None else sealed_to_message(item.receipt),
        record=item.record,
    )


def recovered_from_message(message: messages.RecoverResponse) -> Recovered:
    """Reads an envelope given back.

    Raises:
        LimitExceededError, SealInvalidError: A field has an impossible size.
    """
    return Recovered(
        envelope=sealed_from_message(message.envelope),
        receipt=sealed_from_message(message.receipt) if message.HasField("receipt") else None,
        record=message.record,
    )


def part_name_to_message(name: PartName, offset: int) -> messages.FetchRequest:
    """Writes which bytes of a part, or an envelope, are wanted."""
    return messages.FetchRequest(
        message_id=name.message_id,
        envelope_digest=name.envelope_digest,
        index=name.index or 0,
        envelope=name.index is None,
        offset=offset,
    )


def part_name_from(message: messages.FetchRequest) -> PartName:
    """Reads the name of a part or an envelope.

    Raises:
        RequestInvalidError: A field has an impossible size.
    """
    if len(message.envelope_digest) != DIGEST_BYTES:
        raise RequestInvalidError("The request names no SHA-256 of an envelope.")
    return PartName(
        message_id=message_id_from(message.message_id),
        envelope_digest=message.envelope_digest,
        index=None if message.envelope else message.index,
    )


def question_to_message(epoch: bytes, ranges: Sequence[Range]) -> messages.ReconcileRequest:
    """Writes which numbers never arrived."""
    return messages.ReconcileRequest(
        epoch=epoch,
        ranges=[messages.NumberRange(first=first, last=last) for first, last in ranges],
    )


def ranges_from(message: messages.ReconcileRequest) -> list[Range]:
    """Reads which numbers are asked about."""
    return [(item.first, item.last) for item in message.ranges]


def numbers_to_message(answers: Iterable[NumberAnswer]) -> messages.ReconcileResponse:
    """Writes what became of numbers."""
    return messages.ReconcileResponse(
        numbers=[
            messages.NumberAnswer(
                seq=answer.seq,
                state=messages.NumberState.Value(f"NUMBER_STATE_{answer.state.name}"),
                message_id=answer.message_id,
            )
            for answer in answers
        ]
    )


def numbers_from_message(message: messages.ReconcileResponse) -> list[NumberAnswer]:
    """Reads what became of numbers; a state of a later version counts as COMING.

    Raises:
        RequestInvalidError: A number whose message ended does not name that message.
    """
    answers = [
        NumberAnswer(
            seq=item.seq,
            state=_number_state(item.state),
            message_id=message_id_from(item.message_id) if item.message_id else b"",
        )
        for item in message.numbers
    ]
    if any(answer.state in _OF_A_MESSAGE and not answer.message_id for answer in answers):
        raise RequestInvalidError("An answer about a number does not name the message it had.")
    return answers


def _number_state(number: int) -> NumberState:
    if not number or number not in messages.NumberState.values():
        return NumberState.COMING
    name = messages.NumberState.Name(messages.NumberState.ValueType(number))
    return NumberState[name.removeprefix("NUMBER_STATE_")]


def inquiries_to_message(inquiries: Iterable[Inquiry]) -> messages.InquireRequest:
    """Writes which messages are asked about."""
    return messages.InquireRequest(
        messages=[
            messages.Inquiry(
                message_id=item.message_id,
                envelope_digest=item.envelope_digest,
                sender=item.sender,
            )
            for item in inquiries
        ]
    )


def inquiries_from(message: messages.InquireRequest) -> list[Inquiry]:
    """Reads which messages are asked about.

    Raises:
        LimitExceededError: Too many.
        RequestInvalidError: A message id has an impossible size.
    """
    _check_count(len(message.messages))
    return [
        Inquiry(
            message_id=message_id_from(item.message_id),
            envelope_digest=item.envelope_digest,
            sender=item.sender,
        )
        for item in message.messages
    ]


def message_id_from(data: bytes) -> MessageId:
    """Reads a message id.

    Raises:
        RequestInvalidError: It has not 16 bytes.
    """
    if len(data) != ID_BYTES:
        raise RequestInvalidError(f"A message id has {ID_BYTES} bytes, not {len(data)}.")
    return MessageId(data)


def epoch_from(data: bytes) -> bytes:
    """Reads the epoch of a caller; empty when it has none.

    Raises:
        RequestInvalidError: It has neither 0 nor 16 bytes.
    """
    if len(data) not in (0, ID_BYTES):
        raise RequestInvalidError(f"An epoch has {ID_BYTES} bytes, not {len(data)}.")
    return data


def _answer_to_message(answer: Answer, table: _SealTable) -> messages.Answer:
    message = messages.Answer(message_id=answer.message_id, envelope_digest=answer.envelope_digest)
    match answer:
        case Received(receipt=receipt):
            message.receipt.statement = receipt.statement
            message.receipt.seal = table.place(receipt.seal)
            message.receipt.leaf = receipt.leaf
            message.receipt.proof = join_proof(receipt.proof)
        case Refused(reason=reason, message=text):
            message.refused.reason = reason
            message.refused.message = text[:MAX_TEXT]
        case TryLater(reason=reason, message=text, after=after):
            message.try_later.reason = reason
            message.try_later.message = text[:MAX_TEXT]
            if after is not None:
                message.try_later.after.CopyFrom(_duration(after))
        case Need(parts=parts):
            message.need.parts.extend(
                messages.PartNeed(index=part.index, offset=part.offset) for part in parts
            )
        case Duplicate(envelope=envelope, receipt=receipt):
            message.duplicate.envelope.CopyFrom(sealed_to_message(envelope))
            message.duplicate.receipt.CopyFrom(sealed_to_message(receipt))
    return message


def _answer_from_message(message: messages.Answer, seals: Sequence[SignedSeal]) -> Answer:
    message_id = message_id_from(message.message_id)
    digest = message.envelope_digest
    match message.WhichOneof("kind"):
        case "receipt":
            receipt = message.receipt
            sealed = SealedStatement(
                receipt.statement,
                receipt.leaf,
                split_proof(receipt.proof),
                _pick(seals, receipt.seal),
            )
            return Received(message_id=message_id, envelope_digest=digest, receipt=sealed)
        case "refused":
            return Refused(
                message_id=message_id,
                envelope_digest=digest,
                reason=message.refused.reason[:64],
                message=message.refused.message[:MAX_TEXT],
            )
        case "try_later":
            return _try_later(message_id, digest, message.try_later)
        case "need":
            _check_count(len(message.need.parts))
            parts = tuple(PartWanted(index=p.index, offset=p.offset) for p in message.need.parts)
            return Need(message_id=message_id, envelope_digest=digest, parts=parts)
        case "duplicate":
            return Duplicate(
                message_id=message_id,
                envelope_digest=digest,
                envelope=sealed_from_message(message.duplicate.envelope),
                receipt=sealed_from_message(message.duplicate.receipt),
            )
        case _:
            raise RequestInvalidError("An answer says nothing; update the other node.")


def _try_later(message_id: MessageId, digest: bytes, message: messages.TryLater) -> TryLater:
    after = None
    if message.HasField("after"):
        after = timedelta(seconds=max(0, min(message.after.seconds, 3600)))
    return TryLater(
        message_id=message_id,
        envelope_digest=digest,
        reason=message.reason[:64],
        message=message.message[:MAX_TEXT],
        after=after,
    )


def _earlier(message: messages.Hello) -> tuple[SealedStatement, ...]:
    if len(message.earlier_openings) > EARLIER_OPENINGS:
        raise LimitExceededError(f"A hello shows at most {EARLIER_OPENINGS} earlier openings.")
    return tuple(sealed_from_message(item) for item in message.earlier_openings)


def _settled(message: messages.Hello) -> tuple[Settled, ...]:
    if len(message.settled) > EARLIER_OPENINGS + 1:
        raise LimitExceededError(f"A hello has at most {EARLIER_OPENINGS + 1} settled epochs.")
    if any(
        len(mark.epoch) != ID_BYTES or not 1 <= mark.first <= mark.last <= MAX_NUMBER
        for mark in message.settled
    ):
        raise RequestInvalidError("The hello says of an impossible range that it is settled.")
    return tuple(
        Settled(epoch=mark.epoch, first=mark.first, last=mark.last) for mark in message.settled
    )


def _seals(written: Sequence[messages.Seal]) -> list[SignedSeal]:
    _check_count(len(written))
    return [seal_from_message(seal) for seal in written]


def _pick(seals: Sequence[SignedSeal], place: int) -> SignedSeal:
    if place >= len(seals):
        raise RequestInvalidError(f"There is no seal number {place} in the message.")
    return seals[place]


def _check_count(count: int) -> None:
    if count > MAX_ITEMS:
        raise LimitExceededError(f"A message has {count} items; at most {MAX_ITEMS} are allowed.")


def _duration(span: timedelta) -> Duration:
    duration = Duration()
    duration.FromTimedelta(span)
    return duration


def _moment(stamp: Timestamp) -> datetime:
    try:
        return stamp.ToDatetime(tzinfo=UTC)
    except ValueError as error:
        raise RequestInvalidError("The hello names an impossible time.") from error
