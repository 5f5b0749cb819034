"""Asks a database whether its tables are up to date, without what could bring them there.

Alembic is imported only when a step is missing: once imported, it takes 9 MiB of a program for as
long as that runs.
"""

from sqlalchemy import inspect, text
from sqlalchemy.engine import Connection

from edockit.database import Database


def bring_up(database: Database, script_location: str, *, head: str) -> None:
    """Runs the migrations that are missing.

    Args:
        database: Not yet used by others.
        script_location: See ``migrations.upgrade``.
        head: Its newest step.

    Raises:
        DataFolderError, StorageDamagedError: As ``migrations.upgrade``.
    """
    if database.read(_revision) != head:
        from edockit import migrations  # noqa: PLC0415 - see above

        migrations.upgrade(database, script_location)


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return found
