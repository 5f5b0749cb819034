"""Messages of the gRPC services as other machines may send them: any bytes that protobuf takes.

Bytes that are no message never come this far: gRPC answers them. The first byte chooses which.
"""

from collections.abc import Callable, Iterator
from datetime import UTC

from google.protobuf.message import DecodeError, Message

from edoccore.signing.statements import uuid_text
from edoccore.wire.sealed import sealed_from_message, sealed_to_message
from edocnet.enrolment.v1 import enrolment_service_pb2 as enrolments
from edocnet.exchange.v1 import exchange_service_pb2 as exchanges
from edocnet.office.v1 import office_service_pb2 as offices
from edocnode.domain.delivery import PartWanted
from edocnode.domain.exchange import (
    Duplicate,
    Hello,
    Need,
    Parcel,
    Received,
    Recovered,
    Refused,
    TryLater,
)
from edocnode.domain.model import MessageId
from edocnode.domain.numbers import (
    MAX_NUMBERS,
    NumberAnswer,
    NumberState,
    Settled,
    check_question,
)
from edocnode.domain.office_model import PageRequest
from edocnode.rpc import messages, office_messages
from tests.fuzz.target import Target
from tests.fuzz.world import NOW, world


def hello(message: exchanges.Hello) -> None:
    """A hello that is read is written and read the same."""
    value = messages.hello_from_message(message)
    assert all(1 <= mark.first <= mark.last < 1 << 53 for mark in value.settled)
    assert messages.hello_from_message(messages.hello_to_message(value)) == value


def batch(message: exchanges.Batch) -> None:
    """Parcels keep their order and bytes."""
    value = messages.batch_from_message(message)
    assert messages.batch_from_message(messages.batch_to_message(value)) == value


def answers(message: exchanges.Answers) -> None:
    """Answers that are read are bounded, and written and read the same."""
    value = messages.answers_from_message(message)
    again = messages.answers_to_messages(value)
    assert [item for part in again for item in messages.answers_from_message(part)] == value


def recovered(message: exchanges.RecoverResponse) -> None:
    """What is given back is written and read the same."""
    value = messages.recovered_from_message(message)
    assert messages.recovered_from_message(messages.recovered_to_message(value)) == value


def fetch(message: exchanges.FetchRequest) -> None:
    """A part that is asked for again."""
    name = messages.part_name_from(message)
    assert messages.part_name_from(messages.part_name_to_message(name, 0)) == name


def question(message: exchanges.ReconcileRequest) -> None:
    """A question about numbers is bounded."""
    ranges = messages.ranges_from(message)
    check_question(message.epoch, ranges)
    assert sum(last - first + 1 for first, last in ranges) <= MAX_NUMBERS


def numbers(message: exchanges.ReconcileResponse) -> None:
    """What became of numbers can be told to a person."""
    value = messages.numbers_from_message(message)
    assert messages.numbers_from_message(messages.numbers_to_message(value)) == value
    assert all(uuid_text(item.message_id) for item in value if item.state is NumberState.GONE)


def inquiries(message: exchanges.InquireRequest) -> None:
    """A last question is written and read the same."""
    value = messages.inquiries_from(message)
    assert messages.inquiries_from(messages.inquiries_to_message(value)) == value


def submit(message: offices.SubmitHeader) -> None:
    """What an office hands in."""
    office_messages.header_from_message(message)


def decide(message: offices.DecideRequest) -> None:
    """What an office decides."""
    office_messages.decision_from_message(message)


def _page(read: Callable[..., PageRequest], message: Message) -> PageRequest:
    page = read(message, world().directory)
    looked_for = page.filters
    texts = (*looked_for.words, *looked_for.document_types, *looked_for.number, looked_for.notation)
    assert "\x00" not in "".join(texts)  # PostgreSQL would refuse it
    return page


def inbox(message: offices.ListInboxRequest) -> None:
    """A page of the inbox is bounded."""
    assert _page(office_messages.inbox_request, message).limit <= office_messages.MAX_LIMIT


def outbox(message: offices.ListOutboxRequest) -> None:
    """A page of the outbox is bounded."""
    assert _page(office_messages.outbox_request, message).limit <= office_messages.MAX_LIMIT


def publish(message: enrolments.PublishEndpointRequest) -> None:
    """An endpoint statement on its way to the registry."""
    value = sealed_from_message(message.endpoint)
    assert sealed_from_message(sealed_to_message(value)) == value


_KINDS: list[tuple[type[Message], Callable[..., None]]] = [
    (exchanges.Hello, hello),
    (exchanges.Batch, batch),
    (exchanges.Answers, answers),
    (exchanges.RecoverResponse, recovered),
    (offices.SubmitHeader, submit),
    (offices.DecideRequest, decide),
    (offices.ListInboxRequest, inbox),
    (offices.ListOutboxRequest, outbox),
    (enrolments.PublishEndpointRequest, publish),
    (exchanges.FetchRequest, fetch),
    (exchanges.ReconcileRequest, question),
    (exchanges.ReconcileResponse, numbers),
    (exchanges.InquireRequest, inquiries),
]


def message(data: bytes) -> None:
    """The first byte chooses the message."""
    kind, read = _KINDS[data[0] % len(_KINDS) if data else 0]
    try:
        value = kind.FromString(data[1:])
    except DecodeError:
        return
    read(value)


def _seeds() -> Iterator[bytes]:
    for number, (kind, _) in enumerate(_KINDS):
        yield bytes([number])
        for value in _values().get(kind, []):
            yield bytes([number]) + value.SerializeToString()


def _values() -> dict[type[Message], list[Message]]:
    evidence = world().exchange.evidence
    envelope, receipt = evidence.envelope, evidence.receipt
    known = Hello(
        agency="H26",
        opening=envelope,
        earlier=(receipt,),
        known=receipt.seal,
        known_opening=receipt,
        directory=world().directory.mark,
        time=NOW.astimezone(UTC),
        tail_lost=True,
        settled=(Settled(epoch=bytes(16), first=1, last=9),),
    )
    ids = {"message_id": MessageId(bytes(16)), "envelope_digest": b"d" * 32}
    given = [
        Received(receipt=receipt, **ids),
        Refused(reason="SEAL_INVALID", message="x", **ids),
        TryLater(reason="DISK_FULL", message="x", after=None, **ids),
        Need(parts=(PartWanted(index=1, offset=5),), **ids),
        Duplicate(envelope=envelope, receipt=receipt, **ids),
    ]
    later = exchanges.Answers()
    later.answers.add(message_id=bytes(16)).try_later.after.seconds = 5
    return {
        exchanges.Hello: [messages.hello_to_message(known)],
        exchanges.Batch: [
            messages.batch_to_message([Parcel(envelope=envelope, parts=b"x", offer=False)])
        ],
        exchanges.Answers: [*messages.answers_to_messages(given), later],
        exchanges.RecoverResponse: [
            messages.recovered_to_message(
                Recovered(envelope=envelope, receipt=receipt, record=b"{}")
            )
        ],
        exchanges.FetchRequest: [
            exchanges.FetchRequest(message_id=bytes(16), envelope_digest=bytes(32), index=1)
        ],
        exchanges.ReconcileRequest: [messages.question_to_message(bytes(16), [(1, 5), (9, 9)])],
        exchanges.ReconcileResponse: [
            messages.numbers_to_message(
                NumberAnswer(seq=seq, state=state, message_id=bytes(16))
                for seq, state in enumerate(NumberState)
            )
        ],
        exchanges.InquireRequest: [
            exchanges.InquireRequest(
                messages=[{"message_id": bytes(16), "envelope_digest": bytes(32), "sender": "H26"}]
            )
        ],
        offices.SubmitHeader: [
            offices.SubmitHeader(
                request_id="1",
                recipients=["H29"],
                urgency=2,
                record_size=2,
                parts=[{"name": "a.pdf", "media_type": "application/pdf", "size": 5}],
                lifetime={"seconds": 3600},
            )
        ],
        offices.DecideRequest: [
            offices.DecideRequest(actor="A", reject={"code": "01", "reason": "Sai nơi nhận"})
        ],
        offices.ListInboxRequest: [offices.ListInboxRequest(state=2, limit=5)],
        offices.ListOutboxRequest: [offices.ListOutboxRequest(state=2, limit=5)],
        enrolments.PublishEndpointRequest: [
            enrolments.PublishEndpointRequest(endpoint=sealed_to_message(envelope))
        ],
    }


TARGETS = [Target(name="message", run=message, seeds=_seeds, max_bytes=8192)]
