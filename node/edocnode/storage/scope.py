"""Shows an account only the rows it may see, whatever is asked.

Every select that an account's office reads by is narrowed here before it runs: each table in it is
replaced by the rows of it that ``domain.access.may_see`` allows. So a query that is written later
is narrowed too, without knowing of accounts. A table that has no rule, and text that is SQL by
itself, is refused: what nobody thought of is not shown.

Writes are not narrowed: they change what a narrowed read found, see ``rpc.office_gate``.
"""

from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any, TypeVar, cast

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.sql.selectable import Alias
from sqlalchemy.sql.visitors import replacement_traverse

from edockit.database import Database
from edocnode.domain.access import Caller, Right
from edocnode.storage.access_tables import RestrictionRow
from edocnode.storage.tables import (
    DeliveryRow,
    DocumentRow,
    InboxRow,
    IncomingRow,
    NodeTable,
    table_of,
)

Result = TypeVar("Result")
Condition = sa.ColumnElement[bool]
Rule = Callable[[sa.Table, "Sight"], Condition | None]  # None: every row may be seen

_RESTRICTION = table_of(RestrictionRow)
_DOCUMENT, _DELIVERY = table_of(DocumentRow), table_of(DeliveryRow)
_INBOX, _INCOMING = table_of(InboxRow), table_of(IncomingRow)


class ScopeError(Exception):
    """A query cannot be narrowed to what an account may see; a fault of this program."""


class Part(Enum):
    """Which of an account's rows a connection shows."""

    ALL = "all"
    OPEN = "open"  # of its agencies; an index that begins with the agency serves
    NAMED = "named"  # restricted to it


class Sight:
    """What an account sees in one snapshot."""

    def __init__(
        self,
        caller: Caller,
        *,
        is_named: bool,
        part: Part = Part.ALL,
        right: Right = Right.READ,
    ) -> None:
        """Takes the account, and whether any document is restricted to it.

        Args:
            right: Of documents that are restricted to it, only those on which it has this.
        """
        self.caller = caller
        self.is_named = is_named
        self.part = part
        self.right = right

    def document(self, table: sa.Table, agency: str) -> Condition:
        """The rows of a table with documents, by the column of its agency here."""
        limited = sa.exists().where(_RESTRICTION.c.document_id == table.c.document_id)
        open_ones = sa.and_(self.of_agency(table.c[agency]), ~limited)
        if self.part is Part.OPEN or not self.is_named:
            return open_ones if self.part is not Part.NAMED else sa.false()
        named = sa.select(_RESTRICTION.c.document_id).where(
            _RESTRICTION.c.account == self.caller.name,
            _RESTRICTION.c.may.contains(f'"{self.right.value}"', autoescape=True),
        )
        is_named = table.c.document_id.in_(named)
        return is_named if self.part is Part.NAMED else sa.or_(open_ones, is_named)

    def of_agency(self, column: sa.ColumnElement[str]) -> Condition:
        """The condition that a code is one of the account's.

        Rows are looked for by what a query asks, not by this, unless they are wanted in the order
        of an index that begins with the agency: half of all rows may be the account's.
        """
        if self.caller.everything:
            return sa.true()
        codes = sorted(self.caller.codes)
        if self.part is Part.OPEN and len(codes) == 1:
            return column == codes[0]
        return sa.func.coalesce(column, "").in_(codes)


def _by_agency(column: str) -> Rule:
    return lambda table, sight: sight.document(table, column)


def _through(key: str, other: sa.Table, other_key: str, agency: str) -> Rule:
    """The rows whose row in another table may be seen."""
    return lambda table, sight: sa.exists().where(
        other.c[other_key] == table.c[key], sight.document(other, agency)
    )


def _event(table: sa.Table, sight: Sight) -> Condition:
    """What happened to a received document, to a delivery, and at a recipient of a sent one."""
    of_arrival = sa.exists().where(  # also one that is kept apart, of which lists show nothing
        _INCOMING.c.message_id == table.c.message_id,
        _INCOMING.c.document_id == table.c.document_id,
        _INCOMING.c.rank == 0,
        sight.document(_INCOMING, "recipient"),
    )
    of_delivery = sa.exists().where(
        _DELIVERY.c.message_id == table.c.message_id, sight.document(_DELIVERY, "sender")
    )
    of_document = sa.exists().where(
        _DOCUMENT.c.document_id == table.c.document_id,
        _DOCUMENT.c.operation != "status",
        sight.document(_DOCUMENT, "sender"),
    )
    return sa.or_(
        sa.and_(table.c.kind.like("document.%"), of_arrival),
        sa.and_(table.c.kind.like("delivery.%"), of_delivery),
        sa.and_(table.c.kind.like("status.%"), of_document),
    )


def _official_number(table: sa.Table, sight: Sight) -> Condition:
    """The numbers of an agency, but for those of documents that the account may not see."""
    return sa.or_(
        sa.and_(table.c.document_id.is_not(None), sight.document(table, "agency")),
        sa.and_(table.c.document_id.is_(None), sight.of_agency(table.c.agency)),
    )


def _sent(table: sa.Table, sight: Sight) -> Condition:
    """Documents handed in, found by their sender where their order is that of its index."""
    of_document = sa.exists().where(
        _DOCUMENT.c.id == table.c.document_row, sight.document(_DOCUMENT, "sender")
    )
    if sight.part is Part.OPEN:
        return sa.and_(sight.of_agency(table.c.sender), of_document)
    return of_document


def _duplicate(table: sa.Table, sight: Sight) -> Condition:
    """Both documents must be the account's: the one that came, and the one it looks like."""
    earlier = sa.exists().where(
        _INBOX.c.document_id == table.c.document_id, sight.document(_INBOX, "recipient")
    )
    arrival = sa.exists().where(
        _INCOMING.c.id == table.c.incoming_id, sight.document(_INCOMING, "recipient")
    )
    return sa.and_(arrival, earlier)


def _by_side(table: sa.Table, sight: Sight) -> Condition:
    """What belongs to a received or a sent document."""
    received = sa.exists().where(
        _INCOMING.c.id == table.c.owner, sight.document(_INCOMING, "recipient")
    )
    sent = sa.exists().where(_DOCUMENT.c.id == table.c.owner, sight.document(_DOCUMENT, "sender"))
    return sa.or_(
        sa.and_(table.c.side == "received", received), sa.and_(table.c.side == "sent", sent)
    )


def _link(table: sa.Table, sight: Sight) -> Condition:
    """The later document must be the account's; its record names the earlier one."""
    received = sa.exists().where(
        _INBOX.c.document_id == table.c.document_id, sight.document(_INBOX, "recipient")
    )
    return sa.or_(
        sa.and_(table.c.here == "received", received),
        sa.and_(table.c.here == "sent", sight.document(table, "sender")),
    )


def _of_agency(table: sa.Table, sight: Sight) -> Condition:
    """Sums of the account's agencies, over all their documents."""
    return sight.of_agency(table.c.agency)


def _every_row(_: sa.Table, __: Sight) -> None:
    """Nothing of a document is in such a table."""


_OF_DELIVERY = _through("message_id", _DELIVERY, "message_id", "sender")
_OF_INCOMING = _through("incoming_id", _INCOMING, "id", "recipient")

RULES: Mapping[str, Rule] = {
    "document": _by_agency("sender"),
    "delivery": _by_agency("sender"),
    "inbox": _by_agency("recipient"),
    "incoming": _by_agency("recipient"),
    "event": _event,
    "schedule": _through("document_row", _DOCUMENT, "id", "sender"),
    "delivery_envelope": _OF_DELIVERY,
    "receipt_got": _OF_DELIVERY,
    "status_got": _OF_DELIVERY,
    "revoked_delivery": _OF_DELIVERY,
    "passed_over": _OF_DELIVERY,
    "receipt_given": _OF_INCOMING,
    "destroyed": _OF_INCOMING,
    "revocation": _by_agency("recipient"),
    "official_number": _official_number,
    "scan": _by_agency("recipient"),
    "step": _OF_INCOMING,
    "sent": _sent,
    "duplicate": _duplicate,
    "received_number": _by_agency("recipient"),
    "signature_check": _by_side,
    "appointed": _by_side,
    "version": _by_agency("recipient"),
    "link": _link,
    "daily": _of_agency,
    "daily_detail": _of_agency,
    "peer": _every_row,
    "seal": _every_row,
    "consumer": _every_row,  # read by its name, which begins with the account's
}


class ScopedDatabase:
    """A database as one account sees it; for ``SqlOffice``."""

    def __init__(
        self,
        database: Database,
        caller: Callable[[], Caller],
        part: Part = Part.ALL,
        right: Right = Right.READ,
    ) -> None:
        """Takes the database.

        Args:
            caller: Asked at each read and write: who calls, as of now; raises when it has ended.
            right: See ``Sight``.
        """
        self._database = database
        self._caller = caller
        self._part = part
        self._right = right

    async def aread(self, fn: Callable[[Connection], Result]) -> Result:
        """Reads what the account may see."""
        caller = self._caller()
        return await self._database.aread(
            lambda connection: fn(
                cast("Connection", ScopedConnection(connection, caller, self._part, self._right))
            )
        )

    async def awrite(self, fn: Callable[[Connection], Result]) -> Result:
        """Writes for the account."""
        self._caller()
        return await self._database.awrite(fn)


class ScopedConnection:
    """A connection for reading on which every select is narrowed."""

    def __init__(
        self,
        connection: Connection,
        caller: Caller,
        part: Part = Part.ALL,
        right: Right = Right.READ,
    ) -> None:
        """Takes a connection in a snapshot."""
        self._connection = connection
        named = sa.select(sa.exists().where(_RESTRICTION.c.account == caller.name))
        is_named = bool(connection.scalar(named))
        self._sight = Sight(caller, is_named=is_named, part=part, right=right)

    @property
    def dialect(self) -> sa.Dialect:
        """Of the database."""
        return self._connection.dialect

    def execute(self, statement: sa.Select[Any], *args: Any, **options: Any) -> Any:  # noqa: ANN401
        """Runs a select on what may be seen."""
        return self._connection.execute(narrowed(statement, self._sight), *args, **options)

    def scalar(self, statement: sa.Select[Any], *args: Any) -> Any:  # noqa: ANN401
        """As ``execute``; the first column of the first row."""
        return self._connection.scalar(narrowed(statement, self._sight), *args)

    def scalars(self, statement: sa.Select[Any], *args: Any) -> Any:  # noqa: ANN401
        """As ``execute``; the first column of all rows."""
        return self._connection.scalars(narrowed(statement, self._sight), *args)

    def exec_driver_sql(self, statement: str, *_: object) -> Any:  # noqa: ANN401
        """Refuses text.

        Raises:
            ScopeError: Always.
        """
        raise ScopeError(f"text cannot be narrowed to an account: {statement[:80]}")


def narrowed(statement: sa.Select[Any], sight: Sight) -> sa.Select[Any]:
    """A select whose tables show only rows that an account may see.

    Raises:
        ScopeError: It is no select, or a table has no rule.
    """
    if not isinstance(statement, sa.Select | sa.CompoundSelect):
        raise ScopeError(f"only selects can be narrowed to an account, not {type(statement)}")
    shown: dict[tuple[str, str], sa.FromClause] = {}

    def show(table: sa.Table, name: str) -> sa.FromClause:
        if (table.name, name) not in shown:
            shown[table.name, name] = _rows_of(table, sight).subquery(name)
        return shown[table.name, name]

    def replace(element: Any, **_: object) -> Any:  # noqa: ANN401 - any element of a statement
        if isinstance(element, sa.TextClause) and "select" in element.text.lower():
            raise ScopeError(f"text cannot be narrowed to an account: {element.text[:80]}")
        if isinstance(element, sa.Column):
            owner = replace(element.table)
            return None if owner is None else owner.c[element.key]
        if isinstance(element, sa.Table):
            return show(element, element.name)
        if isinstance(element, Alias) and isinstance(element.element, sa.Table):
            return show(element.element, element.name)
        return None

    return cast("sa.Select[Any]", replacement_traverse(statement, {}, replace))


def _rows_of(table: sa.Table, sight: Sight) -> sa.Select[Any]:
    rule = RULES.get(table.name)
    if rule is None or table.metadata is not NodeTable.metadata:
        raise ScopeError(f"the table {table.name} has no rule that says who sees its rows")
    condition = rule(table, sight)
    return sa.select(table) if condition is None else sa.select(table).where(condition)
