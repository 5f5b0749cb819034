"""Lists are cut where a message is full, and go on there."""

from edocnet.office.v1 import office_service_pb2 as messages
from edocnode.rpc.office_messages import PAGE_BYTES, fitting


def deliveries(number: int, size: int) -> list[tuple[messages.Delivery, int]]:
    return [(messages.Delivery(message="x" * size), place) for place in range(10, 10 + number)]


def test_page_that_fits_is_whole_and_keeps_its_cursor() -> None:
    items = deliveries(100, 1000)
    assert fitting(items, "77") == ([item for item, _ in items], "77")
    assert fitting([], "") == ([], "")


def test_page_that_does_not_fit_ends_sooner_with_the_cursor_of_its_last_item() -> None:
    shown, rest = fitting(deliveries(1000, 2000), "77")
    assert sum(item.ByteSize() for item in shown) <= PAGE_BYTES
    assert rest == str(10 + len(shown) - 1)
    assert 400 < len(shown) < 1000


def test_item_that_is_too_large_alone_is_not_left_out_for_ever() -> None:
    shown, rest = fitting(deliveries(2, PAGE_BYTES + 1), "")
    assert (len(shown), rest) == (1, "10")
