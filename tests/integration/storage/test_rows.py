"""Many rows at once, on every database: all of them as given, or none and a clear error."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from edoccore.errors import StorageFailedError
from edockit.database import Database
from edocnode.storage.sql import (
    COPY_FROM,
    NotPlainError,
    Row,
    change_each,
    insert_plain,
    insert_rows,
)
from edocnode.storage.store import open_store
from edocnode.storage.tables import DeliveryRow, StatusGotRow, table_of
from tests.support.postgres import PostgresServer

STATUS, DELIVERY = table_of(StatusGotRow), table_of(DeliveryRow)
MOMENT = datetime(2026, 3, 4, 5, 6, 7, 89_000, tzinfo=UTC)
FEW, MANY = COPY_FROM - 1, 203  # which go to PostgreSQL in two ways, to SQLite in several pieces


def status(number: int, **values: object) -> Row:
    """A row with every kind of value."""
    return {
        "incoming_id": number,
        "document_id": number.to_bytes(16, "big"),
        "message_id": None if number % 2 else bytes(range(240, 256)),
        "agency": "H29",
        "state": "accepted",
        "actor": "Nguyễn Thị \\N \t'Hồng'\n😀",
        "step_order": number,
        "step": "",
        "at": MOMENT,
        "assignee": "",
        "code": "{}",
        "answers": None if number % 3 else bytes(range(32)),
        "still_held": "",
        "reason": "x" * 9_000,
        "received_at": MOMENT,
    } | values


def delivery(number: int) -> Row:
    key = number.to_bytes(16, "big")
    return {
        "message_id": key,
        "document_row": number,
        "document_id": key,
        "sender": "H29",
        "recipient": "G01",
        "to_node": "G01",
        "lane": 1,
        "state": "queued",
        "envelope_rank": 0,
        "attempts": 0,
        "digest_failures": 0,
        "answered": 0,
        "expires_at": MOMENT,
        "reason": "",
        "message": "",
    }


def written(database: Database, write: Callable[[Connection], Any]) -> BaseException | None:
    return database.write(write).exception(20)


def adding(*numbers: int) -> Callable[[Connection], None]:
    rows = [status(number) for number in numbers]
    return lambda connection: insert_plain(connection, STATUS, rows)


def kept(database: Database) -> list[Any]:
    query = sa.select(STATUS).order_by(STATUS.c.incoming_id)
    return list(database.read(lambda connection: connection.execute(query).mappings().all()))


def numbers(database: Database) -> set[int]:
    return {row["incoming_id"] for row in kept(database)}


@pytest.mark.parametrize("count", [1, FEW, MANY])
@pytest.mark.parametrize("insert", [insert_rows, insert_plain])
def test_rows_come_back_as_they_were_given(database: Database, count: int, insert: Any) -> None:
    rows = [status(number) for number in range(count)]
    assert written(database, lambda connection: insert(connection, STATUS, rows)) is None
    assert kept(database) == rows


@pytest.mark.parametrize("count", [FEW, MANY])
def test_the_database_numbers_rows_in_their_order(database: Database, count: int) -> None:
    rows = [delivery(number) for number in range(count)]
    assert written(database, lambda connection: insert_rows(connection, DELIVERY, rows)) is None
    query = sa.select(DELIVERY.c.document_row).order_by(DELIVERY.c.id)
    found = database.read(lambda connection: connection.execute(query).scalars().all())
    assert found == list(range(count))


@pytest.mark.parametrize("count", [FEW, MANY])
def test_a_key_that_is_there_ends_the_write_and_no_other_of_its_group(
    database: Database, count: int
) -> None:
    assert written(database, adding(1)) is None
    entered, release = threading.Event(), threading.Event()
    database.write(lambda _: (entered.set(), release.wait(60)))
    entered.wait(60)
    batches = (range(1_000, 1_000 + count), range(count), range(2_000, 2_000 + count))
    before, plain, after = (database.write(adding(*each)) for each in batches)
    again = database.write(adding(3_000))
    release.set()
    assert isinstance(plain.exception(20), NotPlainError)
    assert [each.exception(20) for each in (before, after, again)] == [None] * 3
    assert numbers(database) == {1, 3_000, *batches[0], *batches[2]}


def test_a_key_twice_in_one_write_is_not_plain(database: Database) -> None:
    assert isinstance(written(database, adding(*range(MANY), 0)), NotPlainError)
    assert numbers(database) == set()


def test_a_row_that_breaks_another_rule_is_an_error_and_not_a_second_way(
    database: Database,
) -> None:
    rows = [status(number) for number in range(MANY)] + [status(MANY, agency=None)]
    error = written(database, lambda connection: insert_plain(connection, STATUS, rows))
    assert isinstance(error, sa.exc.IntegrityError)
    assert numbers(database) == set()


def test_a_write_that_hides_a_key_that_was_there_is_never_kept_in_part(database: Database) -> None:
    def hide(connection: Connection) -> None:
        adding(*range(50, 50 + MANY))(connection)
        try:
            adding(*range(MANY))(connection)
        except NotPlainError:
            return

    assert written(database, adding(3)) is None
    if written(database, hide) is None:  # SQLite goes on after a key that was there
        assert {3, *range(50, 50 + MANY)} <= numbers(database)
    else:
        assert numbers(database) == {3}


@pytest.mark.postgres
def test_a_connection_lost_while_rows_stream_fails_their_group_and_the_next_connects_again(
    postgres_server: PostgresServer, postgres_store: str
) -> None:
    database = open_store(postgres_store)

    def lose(connection: Connection) -> None:
        backend = connection.execute(sa.text("SELECT pg_backend_pid()")).scalar_one()
        with postgres_server.connect() as other:
            other.execute("SELECT pg_terminate_backend(%s)", [backend])
        adding(*range(MANY))(connection)

    error = written(database, lose)
    assert isinstance(error, StorageFailedError)
    assert error.fields["cause"] == "connection_lost"
    assert written(database, adding(*range(MANY))) is None
    assert numbers(database) == set(range(MANY))
    database.close()


@pytest.mark.postgres
def test_a_document_that_fits_into_a_page_is_neither_compressed_nor_cut(
    postgres_store: str,
) -> None:
    database = open_store(postgres_store)
    query = sa.text("SELECT attstorage FROM pg_attribute WHERE attname = 'inline' AND attnum > 0")
    found = database.read(lambda connection: connection.execute(query).scalars().all())
    assert found == ["e", "e"]
    query = sa.text(
        "SELECT count(*) FROM pg_class WHERE 'toast_tuple_target=8160' = ANY(reloptions)"
    )
    assert database.read(lambda connection: connection.execute(query).scalar()) == 2
    database.close()


def changing(statement: Any, rows: list[Row]) -> Callable[[Connection], int]:
    return lambda connection: change_each(connection, statement, rows)


@pytest.mark.parametrize("count", [1, FEW, MANY])
def test_each_row_is_changed_by_its_own_values_and_counted(database: Database, count: int) -> None:
    rows = [status(number) for number in range(MANY + 1)]
    database.write(lambda connection: insert_rows(connection, STATUS, rows)).result(20)
    later = MOMENT.replace(year=2027)
    change = (
        sa.update(STATUS)
        .where(STATUS.c.incoming_id == sa.bindparam("of"), STATUS.c.state == "accepted")
        .values(
            state="seen",
            reason=sa.bindparam("why"),
            received_at=sa.bindparam("at", type_=STATUS.c.received_at.type),
            message_id=sa.bindparam("about"),
        )
    )
    wanted = {n: {"why": f"'{n}", "at": later, "about": None if n else b"{"} for n in range(count)}
    values = [{"of": number, **each} for number, each in wanted.items()]
    nobody = {"of": 999, "why": "", "at": later, "about": None}
    assert database.write(changing(change, [*values, nobody])).result(20) == count
    assert database.write(changing(change, values)).result(20) == 0
    for row, old in zip(kept(database), rows, strict=True):
        new = wanted.get(row["incoming_id"])
        expected = (
            old
            if new is None
            else dict(old)
            | {
                "state": "seen",
                "reason": new["why"],
                "received_at": later,
                "message_id": new["about"],
            }
        )
        assert row == expected


@pytest.mark.parametrize("count", [2, 9, 40, MANY])
def test_rows_that_get_the_same_values_are_changed_and_counted_once_each(
    database: Database, count: int
) -> None:
    rows = [status(number) for number in range(MANY + 1)]
    database.write(lambda connection: insert_rows(connection, STATUS, rows)).result(20)
    later = MOMENT.replace(year=2027)
    change = (
        sa.update(STATUS)
        .where(STATUS.c.incoming_id == sa.bindparam("of"), STATUS.c.state == "accepted")
        .values(state="seen", received_at=sa.bindparam("at", type_=STATUS.c.received_at.type))
    )
    values = [{"of": number, "at": later} for number in (*range(count), 999)]
    assert database.write(changing(change, values)).result(20) == count
    assert database.write(changing(change, values)).result(20) == 0
    seen = {
        row["incoming_id"]: row["received_at"] for row in kept(database) if row["state"] == "seen"
    }
    assert seen == dict.fromkeys(range(count), later)


@pytest.mark.parametrize("count", [1, MANY])
def test_only_the_rows_that_are_meant_are_deleted(database: Database, count: int) -> None:
    rows = [status(number) for number in range(2 * MANY)]
    database.write(lambda connection: insert_rows(connection, STATUS, rows)).result(20)
    drop = sa.delete(STATUS).where(
        STATUS.c.incoming_id == sa.bindparam("of"),
        STATUS.c.document_id == sa.bindparam("document"),
    )
    meant = [{"of": n, "document": n.to_bytes(16, "big")} for n in range(count)]
    others = [{"of": n + MANY, "document": bytes(16)} for n in range(count)]
    assert database.write(changing(drop, meant + others)).result(20) == count
    assert numbers(database) == set(range(count, 2 * MANY))
