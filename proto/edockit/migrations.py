"""Brings the tables of a program to the form its version needs, on SQLite and PostgreSQL.

Each program keeps its steps in a package folder (Alembic revisions, ``versions/*.py``; no
``env.py`` is needed). All missing steps run in one transaction: after a crash the old form is
there, whole. What the steps do is the program's business.
"""

from typing import Any

import sqlalchemy
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext, MigrationStep, RevisionStep
from alembic.script import Script, ScriptDirectory
from alembic.util.exc import CommandError
from sqlalchemy.engine import Connection

from edoccore.errors import DataFolderError, StorageDamagedError
from edockit.database import Database

# Workers that start together on one PostgreSQL wait for each other; any number serves.
_POSTGRES_LOCK = 0x65646F63
BASE = "base"  # what Alembic calls a database without any step


def upgrade(database: Database, script_location: str) -> str:
    """Runs the steps that are missing; repeating it does nothing.

    Args:
        database: Not yet used by others.
        script_location: Folder of the steps: a path, or ``package:folder``.

    Returns:
        The revision the database now has.

    Raises:
        DataFolderError: The database was made by a newer version of the program.
        StorageDamagedError: After the steps rows refer to rows that do not exist.
    """
    script = _script(script_location)

    def missing(revision: tuple[str, ...], _context: MigrationContext) -> list[RevisionStep]:
        found = script.iterate_revisions("heads", revision or BASE, implicit_base=True)
        steps = [
            MigrationStep.upgrade_from_script(script.revision_map, each)
            for each in found
            if isinstance(each, Script)
        ]
        return steps[::-1]

    with database.schema_change() as connection:
        if connection.dialect.name == "postgresql":
            lock = sqlalchemy.func.pg_advisory_xact_lock(_POSTGRES_LOCK)
            connection.execute(sqlalchemy.select(lock))
        _check_known(script, connection)
        context = _context(connection, fn=missing, script=script)
        with Operations.context(context):
            context.run_migrations()
        _check_references(connection)
        return _revision(connection) or BASE


def current(database: Database) -> str:
    """Returns the revision of the tables; ``base`` when no step has run."""
    return database.read(_revision) or BASE


def head(script_location: str) -> str:
    """Returns the revision that this version of the program needs."""
    return _script(script_location).get_current_head() or BASE


def differences(database: Database, metadata: sqlalchemy.MetaData) -> list[object]:
    """Returns how the tables differ from those the program defines; empty when they agree.

    For tests: the steps and the definitions are written apart, and must lead to the same.
    """
    with database.schema_change() as connection:
        return [*compare_metadata(_context(connection), metadata)]


def _script(script_location: str) -> ScriptDirectory:
    config = Config()
    config.set_main_option("script_location", script_location.replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return ScriptDirectory.from_config(config)


def _context(connection: Connection, **options: Any) -> MigrationContext:  # noqa: ANN401 - Alembic's
    return MigrationContext.configure(
        connection, opts={"render_as_batch": True, "compare_type": True, **options}
    )


def _revision(connection: Connection) -> str | None:
    return _context(connection).get_current_revision()


def _check_known(script: ScriptDirectory, connection: Connection) -> None:
    """Refuses a database whose revision this program has never heard of."""
    revision = _revision(connection)
    try:
        script.get_revisions(revision or ())
    except CommandError as error:
        raise DataFolderError(
            f"the database was made by a newer version of this program (revision {revision})",
            hint="install that version again, or restore a backup made before the upgrade",
            revision=revision or "",
        ) from error


def _check_references(connection: Connection) -> None:
    """Checks what SQLite did not while tables were copied; PostgreSQL always does."""
    if connection.dialect.name != "sqlite":
        return
    broken = connection.exec_driver_sql("PRAGMA foreign_key_check").fetchall()
    if broken:
        raise StorageDamagedError(
            f"{len(broken)} rows refer to rows that do not exist, first in {broken[0][0]}",
            hint="restore the last backup; nothing was changed",
        )
