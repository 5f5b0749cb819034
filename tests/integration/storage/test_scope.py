"""What an account reads is what the pure rule allows, whatever is read, on every database."""

import random
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy as sa

from edockit.database import Database, UTCDateTime
from edocnode.domain.access import Caller, Right, may_see
from edocnode.storage.access_tables import RestrictionRow
from edocnode.storage.appointed_tables import AppointedRow
from edocnode.storage.people_tables import EventRow
from edocnode.storage.scope import RULES, ScopedConnection, ScopedDatabase, ScopeError
from edocnode.storage.sql import insert_rows
from edocnode.storage.tables import (
    DeliveryRow,
    DocumentRow,
    InboxRow,
    IncomingRow,
    NodeTable,
    StatusGotRow,
    table_of,
)
from edocnode.storage.workflow_tables import LinkRow, VersionRow

NOW = datetime(2026, 11, 26, tzinfo=UTC)
AGENCIES = ("H29", "H29.5", "H29.6", "H29.7")
NAMES = ("a", "b", "c")
INBOX, INCOMING, EVENT = table_of(InboxRow), table_of(IncomingRow), table_of(EventRow)
DOCUMENT, DELIVERY = table_of(DocumentRow), table_of(DeliveryRow)
VERSION, LINK = table_of(VersionRow), table_of(LinkRow)
APPOINTED = table_of(AppointedRow)
STATUS, RESTRICTION = table_of(StatusGotRow), table_of(RestrictionRow)


def filled(table: sa.Table, **values: Any) -> Mapping[str, Any]:
    """A row with these values and anything else that fits."""
    row: dict[str, Any] = {}
    for column in table.columns:
        if column.name in values:
            row[column.name] = values[column.name]
        elif column.nullable or (column.primary_key and column.autoincrement):
            continue
        elif isinstance(column.type, UTCDateTime):
            row[column.name] = NOW
        elif isinstance(column.type, sa.LargeBinary):
            row[column.name] = bytes(column.type.length or 4)
        elif isinstance(column.type, sa.Integer):
            row[column.name] = 0
        else:
            row[column.name] = ""
    return row


class Office:
    """Documents of several offices in one database, with who may see each."""

    def __init__(self, database: Database, chance: random.Random) -> None:
        self.sides: list[tuple[str, bytes, str]] = []  # received or sent, document, agency
        self.audience: dict[bytes, frozenset[str]] = {}
        rows: list[tuple[sa.Table, Mapping[str, Any]]] = []
        for number in range(1, chance.randrange(2, 25)):
            document = number.to_bytes(16, "big")
            if chance.random() < 0.7:
                rows += self._received(document, number, chance.choice(AGENCIES))
            if chance.random() < 0.6:
                rows += self._sent(document, number, chance.choice(AGENCIES))
            named = frozenset(chance.sample(NAMES, chance.choice((0, 0, 1, 2))))
            self.audience[document] = named
            rows += [
                (
                    RESTRICTION,
                    filled(RESTRICTION, document_id=document, account=name, may='["read"]'),
                )
                for name in sorted(named)
            ]

        def write(connection: sa.Connection) -> None:
            for table, row in rows:
                insert_rows(connection, table, [row])

        database.write(write).result()

    def _received(
        self, document: bytes, number: int, agency: str
    ) -> Sequence[tuple[sa.Table, Mapping[str, Any]]]:
        self.sides.append(("received", document, agency))
        message = b"r" + document[1:]
        event = {"document_id": document, "message_id": message}
        common = {**event, "recipient": agency}
        return [
            (INCOMING, filled(INCOMING, id=number, **common)),
            (INBOX, filled(INBOX, position=number, incoming_id=number, **common)),
            (VERSION, filled(VERSION, incoming_id=number, document_id=document, recipient=agency)),
            (LINK, filled(LINK, document_id=document, here="received", sender="G01")),
            (APPOINTED, filled(APPOINTED, side="received", owner=number)),
            (
                EVENT,
                filled(EVENT, kind="document.received", document_id=document, message_id=message),
            ),
        ]

    def _sent(
        self, document: bytes, number: int, agency: str
    ) -> Sequence[tuple[sa.Table, Mapping[str, Any]]]:
        self.sides.append(("sent", document, agency))
        message, status = b"s" + document[1:], b"t" + document[1:]
        common = {"document_id": document, "sender": agency}
        event = {"document_id": document}
        return [
            (DOCUMENT, filled(DOCUMENT, id=number, operation="new", **common)),
            (DELIVERY, filled(DELIVERY, document_row=number, message_id=message, **common)),
            (LINK, filled(LINK, here="sent", **common)),
            (APPOINTED, filled(APPOINTED, side="sent", owner=number)),
            (STATUS, filled(STATUS, incoming_id=1000 + number, message_id=message, **event)),
            (EVENT, filled(EVENT, kind="delivery.delivered", message_id=message, **event)),
            (EVENT, filled(EVENT, kind="status.received", message_id=status, **event)),
        ]

    def seen(self, caller: Caller, side: str) -> set[bytes]:
        """Documents that the pure rule lets an account see."""
        return {
            document
            for found, document, agency in self.sides
            if found == side and may_see(caller, agency=agency, audience=self.audience[document])
        }


def callers(chance: random.Random) -> list[Caller]:
    found = [
        Caller(name=name, codes=frozenset(chance.sample(AGENCIES, chance.randrange(0, 4))))
        for name in (*NAMES, "d")
    ]
    return [*found, Caller(name="all", codes=frozenset(AGENCIES), everything=True)]


@pytest.mark.parametrize("seed", range(8))
def test_every_table_shows_an_account_just_the_rows_that_the_rule_allows(
    database: Database, seed: int
) -> None:
    chance = random.Random(seed)
    office = Office(database, chance)
    for caller in callers(chance):
        received, sent = office.seen(caller, "received"), office.seen(caller, "sent")
        for table, allowed in (
            (INBOX, received),
            (INCOMING, received),
            (DOCUMENT, sent),
            (DELIVERY, sent),
            (STATUS, sent),
            (VERSION, received),
        ):
            assert read(database, caller, sa.select(table.c.document_id)) == allowed
        for prefix, allowed in (("document", received), ("delivery", sent), ("status", sent)):
            events = sa.select(EVENT.c.document_id).where(EVENT.c.kind.like(f"{prefix}.%"))
            assert read(database, caller, events) == allowed
        for side, allowed in (("received", received), ("sent", sent)):
            links = sa.select(LINK.c.document_id).where(LINK.c.here == side)
            assert read(database, caller, links) == allowed
            owners = sa.select(APPOINTED.c.owner).where(APPOINTED.c.side == side)
            assert read(database, caller, owners) == {
                int.from_bytes(document, "big") for document in allowed
            }
        joined = sa.select(INBOX.c.document_id).select_from(
            INBOX.outerjoin(DOCUMENT, DOCUMENT.c.document_id == INBOX.c.document_id)
        )
        assert read(database, caller, joined) == received
        beside = sa.select(INBOX.c.document_id).where(
            sa.exists().where(DOCUMENT.c.document_id == INBOX.c.document_id)
        )
        assert read(database, caller, beside) == received & sent
        alias = DOCUMENT.alias("other")
        assert read(database, caller, sa.select(alias.c.document_id)) == sent
        total = sa.select(sa.func.count()).select_from(INBOX)
        assert read(database, caller, total) == {len(received)}
        either = sa.union(sa.select(INBOX.c.document_id), sa.select(DOCUMENT.c.document_id))
        assert read(database, caller, either) == received | sent


def scoped(connection: sa.Connection, caller: Caller) -> ScopedConnection:
    return ScopedConnection(connection, caller)


def read(database: Database, caller: Caller, statement: Any) -> set[Any]:
    return database.read(
        lambda connection: set(scoped(connection, caller).scalars(statement).all())
    )


def test_what_nobody_thought_of_is_refused(database: Database) -> None:
    caller = Caller(name="all", codes=frozenset(AGENCIES), everything=True)
    unknown = NodeTable.metadata.tables["meta"]
    for statement in (
        sa.select(unknown),
        sa.select(INBOX.c.position).where(sa.exists().where(unknown.c.name == INBOX.c.subject)),
        sa.text("SELECT * FROM inbox"),
        sa.select(INBOX.c.position).where(sa.text("position IN (SELECT id FROM incoming)")),
        sa.delete(INBOX),
    ):
        with pytest.raises(ScopeError):
            database.read(
                lambda connection, wanted=statement: scoped(connection, caller).execute(wanted)  # type: ignore[misc]
            )
    with pytest.raises(ScopeError):
        database.read(lambda connection: scoped(connection, caller).exec_driver_sql("SELECT 1"))


def test_tables_with_accounts_tokens_and_the_history_have_no_rule() -> None:
    assert not {"account", "restriction", "access_log", "hold", "meta", "effect"} & RULES.keys()


async def test_an_account_that_has_ended_neither_reads_nor_writes(database: Database) -> None:
    def ended() -> Caller:
        raise PermissionError

    office = ScopedDatabase(database, ended)
    with pytest.raises(PermissionError):
        await office.aread(lambda connection: None)
    with pytest.raises(PermissionError):
        await office.awrite(lambda connection: None)


def test_of_documents_with_names_only_those_with_a_right_are_acted_on(database: Database) -> None:
    rights = {1: '["read"]', 2: '["read", "send"]', 3: '["decide", "process", "read"]'}
    rows = [
        (
            DOCUMENT,
            filled(DOCUMENT, id=number, sender="H29", document_id=number.to_bytes(16, "big")),
        )
        for number in (*rights, 4)
    ]
    rows += [
        (
            RESTRICTION,
            filled(RESTRICTION, document_id=number.to_bytes(16, "big"), account="a", may=may),
        )
        for number, may in rights.items()
    ]

    def write(connection: sa.Connection) -> None:
        for table, row in rows:
            insert_rows(connection, table, [row])

    database.write(write).result()
    caller = Caller(name="a", codes=frozenset({"H29"}))

    def acted_on(right: Right) -> list[int]:
        wanted = sa.select(DOCUMENT.c.id).order_by(DOCUMENT.c.id)
        return database.read(
            lambda connection: list(
                ScopedConnection(connection, caller, right=right).scalars(wanted)
            )
        )

    assert acted_on(Right.READ) == [1, 2, 3, 4]
    assert acted_on(Right.SEND) == [2, 4]
    assert acted_on(Right.DECIDE) == [3, 4]
