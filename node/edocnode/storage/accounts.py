"""Accounts of offices and restrictions of documents: see ``domain.access.AccountStore``."""

import json
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from edockit.database import Database
from edocnode.domain.access import (
    Account,
    AccountChange,
    Named,
    NamedDocuments,
    Restriction,
    Right,
)
from edocnode.domain.model import DocumentId
from edocnode.storage.access_log import access_values
from edocnode.storage.access_tables import AccessLogRow, AccountRow, RestrictionRow
from edocnode.storage.sealing import add_effect
from edocnode.storage.sql import Row, insert_missing, insert_rows, upsert
from edocnode.storage.tables import table_of

_ACCOUNT, _RESTRICTION = table_of(AccountRow), table_of(RestrictionRow)
_LOG = table_of(AccessLogRow)
_ALL = sa.select(_ACCOUNT).order_by(_ACCOUNT.c.name)


class SqlAccounts:
    """See ``domain.access.AccountStore``."""

    def __init__(self, database: Database) -> None:
        """Takes the database."""
        self._database = database

    async def accounts(self) -> Sequence[Account]:
        """All accounts, also those that have ended, in order of name."""
        rows = await self._database.aread(lambda connection: connection.execute(_ALL).all())
        return [_account(row) for row in rows]

    async def add_account(self, change: AccountChange, salt: bytes) -> bool:
        """Keeps a new account; False when there is, or was, one of its name."""

        def write(connection: Connection) -> bool:
            if not insert_missing(connection, _ACCOUNT, [_row(change.account)]):
                return False
            add_effect(connection, salt, change.effect)
            return True

        return await self._database.awrite(write)

    async def change_account(self, change: AccountChange, salt: bytes) -> None:
        """Keeps an account as it is now."""

        def write(connection: Connection) -> None:
            upsert(connection, _ACCOUNT, [_row(change.account)])
            add_effect(connection, salt, change.effect)

        await self._database.awrite(write)

    async def restrict(self, restriction: Restriction) -> bool:
        """Keeps who sees a document and may do what with it."""
        document_id = restriction.document_id
        rows = [
            {"document_id": document_id, "account": each.account, "may": _text(each.may)}
            for each in restriction.named
        ]

        def write(connection: Connection) -> bool:
            if _audience(connection, document_id) == sorted(restriction.named, key=_name):
                return False
            connection.execute(
                sa.delete(_RESTRICTION).where(_RESTRICTION.c.document_id == document_id)
            )
            insert_rows(connection, _RESTRICTION, rows)
            insert_rows(connection, _LOG, [access_values(restriction.entry)])
            add_effect(connection, restriction.salt, restriction.effect)
            return True

        return await self._database.awrite(write)

    async def audience(self, document_id: DocumentId) -> Sequence[Named]:
        """Accounts to which a document is restricted, in order of name; none when it is not."""
        return await self._database.aread(lambda connection: _audience(connection, document_id))

    async def named_documents(self, account: str, limit: int) -> NamedDocuments:
        """Documents on which an account is named, the newest first."""
        of_account = _RESTRICTION.c.account == account
        wanted = sa.select(_RESTRICTION).where(of_account)
        wanted = wanted.order_by(_RESTRICTION.c.document_id.desc()).limit(limit)
        count = sa.select(sa.func.count()).select_from(_RESTRICTION).where(of_account)

        def read(connection: Connection) -> NamedDocuments:
            rows = connection.execute(wanted).all()
            found = [(DocumentId(row.document_id), _rights(row.may)) for row in rows]
            return NamedDocuments(documents=found, count=connection.scalar(count) or 0)

        return await self._database.aread(read)


def _audience(connection: Connection, document_id: bytes) -> list[Named]:
    wanted = sa.select(_RESTRICTION).where(_RESTRICTION.c.document_id == document_id)
    rows = connection.execute(wanted.order_by(_RESTRICTION.c.account)).all()
    return [Named(account=row.account, may=_rights(row.may)) for row in rows]


def _name(named: Named) -> str:
    return named.account


def _text(may: frozenset[Right]) -> str:
    return json.dumps(sorted(may))


def _rights(text: str) -> frozenset[Right]:
    return frozenset(Right(name) for name in json.loads(text))


def _row(account: Account) -> Row:
    return {
        "name": account.name,
        "agencies": json.dumps(account.agencies),
        "subtree": int(account.subtree),
        "may": _text(account.may),
        "token_digest": account.token_digest,
        "cursor_key": account.cursor_key,
        "created_at": account.created_at,
        "changed_at": account.changed_at,
        "ended_at": account.ended_at,
    }


def _account(row: sa.Row[Any]) -> Account:
    return Account(
        name=row.name,
        agencies=tuple(json.loads(row.agencies)),
        subtree=bool(row.subtree),
        may=_rights(row.may),
        token_digest=row.token_digest,
        cursor_key=row.cursor_key,
        created_at=row.created_at,
        changed_at=row.changed_at,
        ended_at=row.ended_at,
    )
