"""Messages of exchange/v1 whose numbers and ids cannot be."""

import pytest

from edoccore.errors import RequestInvalidError
from edocnet.exchange.v1 import exchange_service_pb2 as messages
from edocnode.domain.numbers import NumberState
from edocnode.rpc.messages import hello_from_message, numbers_from_message

EPOCH, MESSAGE = bytes(16), b"m" * 16


def hello(**settled: object) -> messages.Hello:
    mark = {"epoch": EPOCH, "first": 1, "last": 9, **settled}
    return messages.Hello(agency="H29", directory_hash=bytes(32), settled=[mark])


def test_a_settled_range_is_read() -> None:
    (mark,) = hello_from_message(hello()).settled
    assert (mark.epoch, mark.first, mark.last) == (EPOCH, 1, 9)


@pytest.mark.parametrize(
    "settled",
    [{"epoch": b"short"}, {"first": 0}, {"first": 10}, {"last": 1 << 53}, {"last": (1 << 64) - 1}],
)
def test_a_settled_range_that_cannot_be_is_refused(settled: dict[str, object]) -> None:
    with pytest.raises(RequestInvalidError, match="settled"):
        hello_from_message(hello(**settled))


@pytest.mark.parametrize("message_id", [b"", b"short", bytes(17)])
def test_a_number_whose_message_is_gone_names_that_message(message_id: bytes) -> None:
    number = {"seq": 1, "state": messages.NUMBER_STATE_GONE, "message_id": message_id}
    with pytest.raises(RequestInvalidError):
        numbers_from_message(messages.ReconcileResponse(numbers=[number]))


def test_a_number_that_was_never_used_names_none() -> None:
    void = {"seq": 1, "state": messages.NUMBER_STATE_VOID}
    gone = {"seq": 2, "state": messages.NUMBER_STATE_GONE, "message_id": MESSAGE}
    read = numbers_from_message(messages.ReconcileResponse(numbers=[void, gone]))
    assert [(item.state, item.message_id) for item in read] == [
        (NumberState.VOID, b""),
        (NumberState.GONE, MESSAGE),
    ]
