"""Where documents are that wait for a loop: their places alone, of which each is read by itself.

So a row that cannot be read spoils no other.
"""

from collections.abc import Collection, Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from edocnode.domain.model import DocumentId
from edocnode.domain.setting_aside import Waiting


def waiting(
    connection: Connection,
    wanted: sa.Select[Any],
    limit: int,
    without: Collection[Waiting] = (),
    **values: object,
) -> list[Waiting]:
    """The first of what waits.

    Args:
        wanted: A select of ``place`` and ``document_id`` with a parameter ``limit``.
        limit: At most so many, beside those left out.
        values: Of its other parameters.
    """
    place: Mapping[str, object] = {"limit": limit + len(without), **values}
    rows = connection.execute(wanted, place)
    found = (Waiting(row.place, DocumentId(row.document_id)) for row in rows)
    return [item for item in found if item not in without][:limit]
