"""Brings the tables of the registry to the form this program knows, by Alembic."""

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection

from edoccore.errors import DataFolderError

SCRIPTS = "edocregistry.storage:migrations"  # package:folder, as Alembic finds it in a wheel
HEAD = "0001"  # newest revision this program knows
KNOWN = frozenset({"0001"})


def migrate(connection: Connection) -> None:
    """Applies what is missing inside the transaction of ``connection``; repeating does nothing.

    Raises:
        DataFolderError: A newer program has changed the tables.
    """
    current = MigrationContext.configure(connection).get_current_revision()
    if current == HEAD:
        return
    if current is not None and current not in KNOWN:
        raise DataFolderError(
            f"The database is of a newer program (revision {current}).",
            hint="Start the newer edocregistry, or restore the backup made before the upgrade.",
        )
    config = Config()
    config.set_main_option("script_location", SCRIPTS)
    config.attributes["connection"] = connection
    command.upgrade(config, HEAD)
