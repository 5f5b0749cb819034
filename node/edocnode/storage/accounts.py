"""Accounts of offices and restrictions of documents: see ``domain.access.AccountStore``."""

import json
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from edockit.database import Database
from edocnode.domain.access import Account, AccountChange, Right
from edocnode.domain.model import DocumentId
from edocnode.storage.access_tables import AccountRow, RestrictionRow
from edocnode.storage.sealing import add_effect
from edocnode.storage.sql import Row, insert_missing, insert_rows, upsert
from edocnode.storage.tables import table_of

_ACCOUNT, _RESTRICTION = table_of(AccountRow), table_of(RestrictionRow)
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

    async def restrict(
        self, document_id: DocumentId, names: Sequence[str], *, salt: bytes, effect: bytes
    ) -> bool:
        """Lets only these accounts see a document; none: whoever its agencies let see it."""

        def write(connection: Connection) -> bool:
            if _audience(connection, document_id) == frozenset(names):
                return False
            connection.execute(
                sa.delete(_RESTRICTION).where(_RESTRICTION.c.document_id == document_id)
            )
            rows = [{"document_id": document_id, "account": name} for name in sorted(set(names))]
            insert_rows(connection, _RESTRICTION, rows)
            add_effect(connection, salt, effect)
            return True

        return await self._database.awrite(write)

    async def audience(self, document_id: DocumentId) -> frozenset[str]:
        """Accounts to which a document is restricted; empty when it is not."""
        return await self._database.aread(lambda connection: _audience(connection, document_id))


def _audience(connection: Connection, document_id: bytes) -> frozenset[str]:
    wanted = sa.select(_RESTRICTION.c.account).where(_RESTRICTION.c.document_id == document_id)
    return frozenset(connection.scalars(wanted))


def _row(account: Account) -> Row:
    return {
        "name": account.name,
        "agencies": json.dumps(account.agencies),
        "subtree": int(account.subtree),
        "may": json.dumps(sorted(account.may)),
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
        may=frozenset(Right(name) for name in json.loads(row.may)),
        token_digest=row.token_digest,
        cursor_key=row.cursor_key,
        created_at=row.created_at,
        changed_at=row.changed_at,
        ended_at=row.ended_at,
    )
