"""The book of official numbers: see ``domain.official_numbers.NumberBook``.

The last number of a series stands in one row, which the transaction that gives the next one
changes: givers of several processes follow each other there, and what is rolled back leaves no gap.
"""

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from edoccore.errors import DecisionConflictError, DocumentUnknownError
from edockit.database import Database
from edocnode.domain.model import IncomingId, Submission
from edocnode.domain.official_numbers import (
    Book,
    GivenNumber,
    NumberEntry,
    NumberRequest,
    NumberState,
    Series,
    Void,
    day_in_viet_nam,
)
from edocnode.storage.official_number_tables import NumberSeriesRow, OfficialNumberRow
from edocnode.storage.sealing import add_effect
from edocnode.storage.sql import (
    AnyRow,
    Row,
    among,
    change_each,
    insert_missing,
    insert_rows,
    select_by,
)
from edocnode.storage.tables import table_of

_SERIES, _NUMBER = table_of(NumberSeriesRow), table_of(OfficialNumberRow)
_PLACE = ("book", "agency", "series", "year", "number")
_OF_REQUESTS = sa.select(_NUMBER).where(among(_NUMBER.c.request_id))
_OF_ARRIVALS = sa.select(_NUMBER.c.incoming_id, _NUMBER.c.number).where(
    among(_NUMBER.c.incoming_id)
)

_USE = (
    sa.update(_NUMBER)
    .where(
        *(_NUMBER.c[name] == sa.bindparam(f"of_{name}") for name in _PLACE),
        _NUMBER.c.state == NumberState.TAKEN.value,
    )
    .values(
        state=NumberState.USED.value,
        document_id=sa.bindparam("its_document"),
        ended_at=sa.bindparam("at", type_=_NUMBER.c.ended_at.type),
    )
)

Given = GivenNumber | DecisionConflictError


class SqlNumberBook:
    """See ``domain.official_numbers.NumberBook``."""

    def __init__(self, database: Database) -> None:
        """Takes the database."""
        self._database = database

    async def take(self, request: NumberRequest, at: datetime) -> GivenNumber:
        """Gives the next number for a document; the same request id has the same again."""
        [given] = await self.take_many([request], at)
        if isinstance(given, DecisionConflictError):
            raise given
        return given

    async def take_many(self, requests: Sequence[NumberRequest], at: datetime) -> list[Given]:
        """Gives the next numbers for documents, in their order, in one transaction."""
        take = partial(_take, requests, at)
        try:
            return await self._database.awrite(take)
        except sa.exc.IntegrityError:  # another process took some for the same requests
            return await self._database.awrite(take)

    async def reserve(
        self, series: Series, count: int, *, note: str, actor: str, at: datetime
    ) -> Sequence[int]:
        """Gives the next numbers for paper."""
        values = {"state": NumberState.PAPER.value, "note": note, "actor": actor, "taken_at": at}
        return await self._database.awrite(
            lambda connection: _give(connection, series, [values] * count)
        )

    async def give_up(self, line: Void, salt: bytes, effect: bytes) -> bool:
        """Makes a number void, with an effect for the journal; False when it was already."""

        def write(connection: Connection) -> bool:
            changed = _give_up(connection, line)
            if changed:
                add_effect(connection, salt, effect)
            return changed

        return await self._database.awrite(write)

    async def numbers(
        self, book: Book, agency: str, year: int, *, limit: int, before: int
    ) -> Sequence[NumberEntry]:
        """Lines of a book, the newest first; ``before`` 0: from the newest on."""
        wanted = sa.select(_NUMBER).where(
            _NUMBER.c.book == book.value, _NUMBER.c.agency == agency, _NUMBER.c.year == year
        )
        if before:
            wanted = wanted.where(_NUMBER.c.id < before)
        wanted = wanted.order_by(_NUMBER.c.id.desc()).limit(limit)
        rows = await self._database.aread(lambda connection: connection.execute(wanted).all())
        return [_entry(row) for row in rows]


def use_numbers(connection: Connection, used: Sequence[tuple[GivenNumber, Submission]]) -> None:
    """Counts numbers as used, in the transaction that keeps their documents.

    Raises:
        DecisionConflictError: One was given up meanwhile; of a single one it says which.
    """
    rows = [
        {
            **{f"of_{name}": value for name, value in _key(given.series).items()},
            "of_number": given.number,
            "its_document": each.document_id,
            "at": each.created,
        }
        for given, each in used
    ]
    if change_each(connection, _USE, rows) < len(rows):
        raise _given_up(used[0][0].series, used[0][0].number)


def give_arrival_number(
    connection: Connection, incoming_id: IncomingId, agency: str, at: datetime
) -> int:
    """Gives a received document its number, in the transaction that registers it.

    Exactly one: asked again, for the same document, it is the same.

    Args:
        agency: That received it: the code it was addressed to.
        at: When it is registered; its year in Viet Nam is that of the number.

    Source: Decree 30/2020, Article 22: one sequence a year for paper and electronic documents.
    """
    known = connection.execute(
        sa.select(_NUMBER.c.number).where(_NUMBER.c.incoming_id == incoming_id)
    ).scalar_one_or_none()
    if known is not None:
        return int(known)
    series = Series(book=Book.IN, agency=agency, name="", year=day_in_viet_nam(at).year)
    values = {
        "state": NumberState.USED.value,
        "incoming_id": incoming_id,
        "taken_at": at,
        "ended_at": at,
    }
    (number,) = _give(connection, series, [values])
    return number


def arrival_numbers(connection: Connection, ids: Sequence[int]) -> dict[int, int]:
    """The numbers of received documents, by ``incoming_id``; those without one are left out."""
    return {row.incoming_id: row.number for row in select_by(connection, _OF_ARRIVALS, ids)}


def _take(requests: Sequence[NumberRequest], at: datetime, connection: Connection) -> list[Given]:
    ids = [request.request_id for request in requests]
    known = {row.request_id: _known(row) for row in select_by(connection, _OF_REQUESTS, ids)}
    new: dict[Series, dict[str, NumberRequest]] = {}
    for request in requests:
        if request.request_id not in known:
            new.setdefault(request.series, {}).setdefault(request.request_id, request)
    # In one order everywhere, so that two givers never wait for each other.
    for series in sorted(new, key=lambda series: (series.agency, series.name, series.year)):
        wanted = list(new[series].values())
        values = [
            {
                "state": NumberState.TAKEN.value,
                "request_id": request.request_id,
                "issued_date": request.issued_date,
                "taken_at": at,
            }
            for request in wanted
        ]
        for request, number in zip(wanted, _give(connection, series, values), strict=True):
            known[request.request_id] = GivenNumber(
                series=series, number=number, issued_date=request.issued_date
            )
    return [known[request_id] for request_id in ids]


def _known(row: AnyRow) -> Given:
    if row.state == NumberState.VOID:
        return _given_up(_series(row), row.number)
    return GivenNumber(series=_series(row), number=row.number, issued_date=row.issued_date)


def _give(connection: Connection, series: Series, lines: Sequence[Row]) -> list[int]:
    """Gives the next numbers of a series, in order, one for each line of the book."""
    key, count = _key(series), len(lines)
    insert_missing(connection, _SERIES, [{**key, "last": 0}])
    mine = sa.and_(*(_SERIES.c[name] == value for name, value in key.items()))
    last = connection.execute(
        sa.update(_SERIES).where(mine).values(last=_SERIES.c.last + count).returning(_SERIES.c.last)
    ).scalar_one()
    common = {
        "note": "", "actor": "", "request_id": None, "incoming_id": None, "document_id": None,
        "issued_date": "", "ended_at": None, **key,
    }  # fmt: skip
    numbers = list(range(last - count + 1, last + 1))
    rows = [
        {**common, **line, "number": number} for line, number in zip(lines, numbers, strict=True)
    ]
    insert_rows(connection, _NUMBER, rows)
    return numbers


def _give_up(connection: Connection, line: Void) -> bool:
    series, number = line.series, line.number
    found = connection.execute(
        sa.select(_NUMBER.c.state).where(_is(series, number)).with_for_update()
    ).scalar_one_or_none()
    if found is None:
        raise DocumentUnknownError(
            f"Number {number} of {series.agency} in {series.year} was never given.",
            hint="See: edocnode numbers list",
        )
    if found == NumberState.USED:
        raise DecisionConflictError(
            f"Number {number} of {series.agency} in {series.year} belongs to a document.",
            hint="See: edocnode numbers list",
        )
    if found == NumberState.VOID:
        return False
    connection.execute(
        sa.update(_NUMBER)
        .where(_is(series, number))
        .values(state=NumberState.VOID.value, note=line.reason, actor=line.actor, ended_at=line.at)
    )
    return True


def _key(series: Series) -> dict[str, Any]:
    return {
        "book": series.book.value,
        "agency": series.agency,
        "series": series.name,
        "year": series.year,
    }


def _is(series: Series, number: int) -> sa.ColumnElement[bool]:
    key = {**_key(series), "number": number}
    return sa.and_(*(_NUMBER.c[name] == value for name, value in key.items()))


def _series(row: sa.Row[Any]) -> Series:
    return Series(book=Book(row.book), agency=row.agency, name=row.series, year=row.year)


def _entry(row: sa.Row[Any]) -> NumberEntry:
    return NumberEntry(
        series=_series(row),
        number=row.number,
        state=NumberState(row.state),
        note=row.note,
        actor=row.actor,
        document_id=row.document_id,
        taken_at=row.taken_at,
        position=row.id,
    )


def _given_up(series: Series, number: int) -> DecisionConflictError:
    return DecisionConflictError(
        f"Number {number} of {series.agency} in {series.year} was given up meanwhile.",
        hint="Send the document again with another request id; it gets the next number.",
    )
