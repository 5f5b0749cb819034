"""Official numbers: one sequence a year, no gap lost, none given twice."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from edoccore.errors import DecisionConflictError, DocumentUnknownError
from edockit.database import Database
from edocnode.domain.model import IncomingId, Submission
from edocnode.domain.official_numbers import (
    Book,
    GivenNumber,
    NumberRequest,
    NumberState,
    Series,
    Void,
)
from edocnode.storage.official_numbers import SqlNumberBook, give_arrival_number
from edocnode.storage.store import NodeStore, open_store
from tests.integration.storage.offices import NOW, submission

OUT = Series(book=Book.OUT, agency="H29", name="", year=2026)
SALT, EFFECT = b"s" * 16, b"{}"


def wanted(number: int, series: Series = OUT) -> NumberRequest:
    return NumberRequest(series=series, request_id=f"r-{number}", issued_date="2026-11-23")


def void(number: int, series: Series = OUT) -> Void:
    return Void(series=series, number=number, reason="In hỏng, bỏ số", actor="Lan", at=NOW)


def numbered(given: GivenNumber, request_id: str = "r-1") -> Submission:
    return replace(submission(request=request_id), number=given)


@pytest.fixture
def book(database: Database) -> SqlNumberBook:
    return SqlNumberBook(database)


async def listed(book: SqlNumberBook, year: int = 2026, kind: Book = Book.OUT):
    entries = await book.numbers(kind, "H29", year, limit=1000, before=0)
    return [(entry.number, entry.state) for entry in reversed(entries)]


async def test_paper_and_documents_share_one_sequence_from_1(book: SqlNumberBook) -> None:
    first = await book.take(wanted(1), NOW)
    paper = await book.reserve(OUT, 3, note="Quyết định giấy", actor="Lan", at=NOW)
    last = await book.take(wanted(2), NOW)
    assert (first.number, list(paper), last.number) == (1, [2, 3, 4], 5)


async def test_each_year_agency_and_series_begins_at_1(book: SqlNumberBook) -> None:
    others = [
        replace(OUT, year=2027),
        replace(OUT, agency="H29.5"),
        replace(OUT, name="qd"),
        replace(OUT, book=Book.IN),
    ]
    await book.take(wanted(0), NOW)
    for place, series in enumerate(others, 1):
        assert (await book.take(wanted(place, series), NOW)).number == 1


async def test_number_counts_as_used_with_its_document_alone(
    store: NodeStore, book: SqlNumberBook
) -> None:
    given = await book.take(wanted(1), NOW)
    assert await listed(book) == [(1, NumberState.TAKEN)]
    kept = await store.submit(numbered(given))
    assert await listed(book) == [(1, NumberState.USED)]
    [entry] = await book.numbers(Book.OUT, "H29", 2026, limit=1, before=0)
    assert entry.document_id == kept.document_id


async def test_number_of_a_request_that_was_cut_off_is_never_given_to_another(
    book: SqlNumberBook,
) -> None:
    cut_off = await book.take(wanted(1), NOW)
    assert (await book.take(wanted(2), NOW)).number == 2
    again = await book.take(wanted(1), NOW + timedelta(days=60))
    assert again == cut_off


async def test_document_whose_number_was_given_up_meanwhile_is_not_kept(
    store: NodeStore, book: SqlNumberBook, database: Database
) -> None:
    given = await book.take(wanted(1), NOW)
    assert await book.give_up(void(1), SALT, EFFECT)
    with pytest.raises(DecisionConflictError):
        await store.submit(numbered(given))
    count = database.read(
        lambda connection: connection.exec_driver_sql("SELECT count(*) FROM document").scalar()
    )
    assert count == 0
    with pytest.raises(DecisionConflictError):
        await book.take(wanted(1), NOW)


async def test_void_number_stays_in_the_book_and_in_the_journal_once(
    store: NodeStore, book: SqlNumberBook
) -> None:
    await book.reserve(OUT, 1, note="Giấy", actor="Lan", at=NOW)
    assert await book.give_up(void(1), SALT, EFFECT)
    assert not await book.give_up(void(1), SALT, EFFECT)
    assert len((await store.unsealed(10)).effects) == 1
    assert await listed(book) == [(1, NumberState.VOID)]
    assert (await book.take(wanted(2), NOW)).number == 2


async def test_number_of_a_document_is_not_given_up(store: NodeStore, book: SqlNumberBook) -> None:
    await store.submit(numbered(await book.take(wanted(1), NOW)))
    with pytest.raises(DecisionConflictError):
        await book.give_up(void(1), SALT, EFFECT)
    with pytest.raises(DocumentUnknownError):
        await book.give_up(void(2), SALT, EFFECT)
    assert await listed(book) == [(1, NumberState.USED)]


async def test_document_to_thousands_uses_its_number_with_the_transaction_that_counts(
    store: NodeStore, book: SqlNumberBook
) -> None:
    many = submission(request="r-1", to=tuple(f"G{number:04d}" for number in range(1100)))
    await store.submit(replace(many, number=await book.take(wanted(1), NOW)))
    assert await listed(book) == [(1, NumberState.USED)]


async def test_pages_of_the_book_follow_each_other(book: SqlNumberBook) -> None:
    await book.reserve(OUT, 7, note="Giấy", actor="Lan", at=NOW)
    first = await book.numbers(Book.OUT, "H29", 2026, limit=4, before=0)
    rest = await book.numbers(Book.OUT, "H29", 2026, limit=4, before=first[-1].position)
    assert [entry.number for entry in (*first, *rest)] == [7, 6, 5, 4, 3, 2, 1]


async def arrived(database: Database, incoming_id: int, at: datetime) -> int:
    return await database.awrite(
        lambda connection: give_arrival_number(connection, IncomingId(incoming_id), "H29", at)
    )


async def test_arrival_has_exactly_one_number_of_a_sequence_shared_with_paper(
    database: Database, book: SqlNumberBook
) -> None:
    assert await arrived(database, 7, NOW) == 1
    arrivals = Series(book=Book.IN, agency="H29", name="", year=2026)
    assert list(await book.reserve(arrivals, 1, note="Công văn giấy", actor="Lan", at=NOW)) == [2]
    assert await arrived(database, 8, NOW) == 3
    assert await arrived(database, 7, NOW + timedelta(days=90)) == 1


async def test_year_of_an_arrival_is_that_of_viet_nam(database: Database) -> None:
    assert await arrived(database, 1, datetime(2026, 12, 31, 16, 59, tzinfo=UTC)) == 1
    assert await arrived(database, 2, datetime(2026, 12, 31, 17, 0, tzinfo=UTC)) == 1
    assert await arrived(database, 3, datetime(2026, 12, 31, 16, 0, tzinfo=UTC)) == 2


async def test_givers_at_once_lose_no_number_and_give_none_twice(url: str) -> None:
    if url == "sqlite://":
        pytest.skip("a database in memory has one process")
    databases = [open_store(url) for _ in range(3)]
    try:
        books = [SqlNumberBook(database) for database in databases]
        calls = [
            books[place % 3].take(wanted(place // 2), NOW)  # each request from two processes
            for place in range(60)
        ]
        given = await asyncio.gather(*calls)
        assert sorted({item.number for item in given}) == list(range(1, 31))
        assert [item.number for item in given[::2]] == [item.number for item in given[1::2]]
        assert await listed(books[0]) == [(n, NumberState.TAKEN) for n in range(1, 31)]
    finally:
        for database in databases:
            database.close()


async def test_batches_of_several_processes_lose_no_number_and_give_none_twice(url: str) -> None:
    if url == "sqlite://":
        pytest.skip("a database in memory has one process")
    databases = [open_store(url) for _ in range(3)]
    other = replace(OUT, name="công văn")
    try:
        books = [SqlNumberBook(database) for database in databases]
        batches = [
            # Each request from two processes, both series in both orders.
            [wanted(n, other if n % 2 else OUT) for n in range(first, first + 20)][::turn]
            for first in range(0, 100, 20)
            for turn in (1, -1)
        ]
        given = await asyncio.gather(
            *(books[place % 3].take_many(batch, NOW) for place, batch in enumerate(batches)),
            books[0].reserve(OUT, 5, note="Giấy", actor="Lan", at=NOW),
        )
        for one, again in zip(given[0:10:2], given[1:10:2], strict=True):
            assert list(one) == list(again)[::-1]
        everything = await books[0].numbers(Book.OUT, "H29", 2026, limit=1000, before=0)
        for series, count in ((OUT, 55), (other, 50)):
            numbers = [item.number for item in everything if item.series == series]
            assert sorted(numbers) == list(range(1, count + 1))
    finally:
        for database in databases:
            database.close()


async def test_number_given_up_meanwhile_spoils_no_other_document_of_a_batch(
    store: NodeStore, book: SqlNumberBook
) -> None:
    given = await book.take_many([wanted(n) for n in range(3)], NOW)
    assert await book.give_up(void(2), SALT, EFFECT)
    made = [
        numbered(number, f"r-{place}")
        for place, number in enumerate(given)
        if isinstance(number, GivenNumber)
    ]
    first, second, third = await store.submit_many(made)
    assert isinstance(second, DecisionConflictError)
    assert [getattr(each, "repeated", None) for each in (first, third)] == [False, False]
    assert await listed(book) == [
        (1, NumberState.USED),
        (2, NumberState.VOID),
        (3, NumberState.USED),
    ]
