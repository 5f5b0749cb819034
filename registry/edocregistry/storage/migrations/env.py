"""Runs Alembic on the connection that ``migrate`` hands over, in its transaction."""

from alembic import context

from edocregistry.storage.tables import RegistryTable

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=RegistryTable.metadata,
    render_as_batch=True,
)
context.run_migrations()
