"""Migrations: all missing steps or none, on every database."""

import textwrap
from pathlib import Path

import pytest
import sqlalchemy as sa

from edoccore.errors import DataFolderError, StorageDamagedError
from edockit import migrations
from edockit.database import Database

METADATA = sa.MetaData()
PARENTS = sa.Table(
    "parents",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("name", sa.String(50), nullable=False, server_default=""),
)
CHILDREN = sa.Table(
    "children",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("parent_id", sa.Integer, sa.ForeignKey("parents.id"), nullable=False),
)

STEPS = {
    "0001": """
        op.create_table("parents", sa.Column("id", sa.Integer, primary_key=True),
                        sa.Column("old", sa.Integer))
        op.create_table("children", sa.Column("id", sa.Integer, primary_key=True),
                        sa.Column("parent_id", sa.Integer, sa.ForeignKey("parents.id"),
                                  nullable=False))
    """,
    "0002": """
        with op.batch_alter_table("parents") as batch:
            batch.add_column(sa.Column("name", sa.String(50), nullable=False, server_default=""))
            batch.drop_column("old")
    """,
    "broken": """
        op.execute("DELETE FROM children")
        op.execute("SELECT nothing FROM nowhere")
    """,
    "orphaning": """
        op.execute("DELETE FROM parents")
    """,
}


@pytest.fixture(params=["memory", "sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgres":
        return request.getfixturevalue("postgres_url")
    return "sqlite://" if request.param == "memory" else f"sqlite:///{tmp_path}/node.db"


def steps(folder: Path, *names: str) -> str:
    """Writes a folder of steps, one after another, and returns its place."""
    place = folder / ("dữ liệu 100% " + "-".join(names))
    (place / "versions").mkdir(parents=True)
    before = None
    for name in names:
        body = textwrap.indent(textwrap.dedent(STEPS[name]), "    ")
        (place / "versions" / f"{name}.py").write_text(
            "import sqlalchemy as sa\nfrom alembic import op\n"
            f"revision = {name!r}\ndown_revision = {before!r}\n"
            f"def upgrade():\n{body}\n",
            encoding="utf-8",
        )
        before = name
    return str(place)


def with_rows(database: Database) -> None:
    def add(connection: sa.Connection) -> None:
        connection.execute(sa.text("INSERT INTO parents (id) VALUES (1)"))
        connection.execute(sa.text("INSERT INTO children (id, parent_id) VALUES (1, 1)"))

    database.write(add).result(60)


def count(database: Database, table: str) -> int:
    query = sa.text(f"SELECT count(*) FROM {table}")
    return database.read(lambda connection: connection.execute(query).scalar_one())


def test_missing_steps_are_run_once_and_rows_stay(url: str, tmp_path: Path) -> None:
    database = Database.open(url)
    first, both = steps(tmp_path, "0001"), steps(tmp_path, "0001", "0002")
    assert migrations.current(database) == "base"
    assert migrations.upgrade(database, first) == "0001"
    with_rows(database)
    assert migrations.differences(database, METADATA)
    assert migrations.upgrade(database, both) == migrations.head(both) == "0002"
    assert migrations.upgrade(database, both) == "0002"
    assert migrations.current(database) == "0002"
    assert migrations.differences(database, METADATA) == []
    assert (count(database, "parents"), count(database, "children")) == (1, 1)
    orphan = sa.text("INSERT INTO children (id, parent_id) VALUES (2, 99)")
    error = database.write(lambda connection: connection.execute(orphan)).exception(10)
    assert isinstance(error, sa.exc.IntegrityError)  # foreign keys are checked again
    database.close()


def test_a_step_that_fails_leaves_everything_as_it_was(url: str, tmp_path: Path) -> None:
    database = Database.open(url)
    migrations.upgrade(database, steps(tmp_path, "0001"))
    with_rows(database)
    with pytest.raises(sa.exc.DBAPIError):
        migrations.upgrade(database, steps(tmp_path, "0001", "0002", "broken"))
    assert migrations.current(database) == "0001"
    assert count(database, "children") == 1
    assert migrations.upgrade(database, steps(tmp_path, "0001", "0002")) == "0002"
    database.close()


def test_a_step_may_not_leave_rows_that_refer_to_nothing(url: str, tmp_path: Path) -> None:
    database = Database.open(url)
    migrations.upgrade(database, steps(tmp_path, "0001"))
    with_rows(database)
    with pytest.raises((StorageDamagedError, sa.exc.IntegrityError)):
        migrations.upgrade(database, steps(tmp_path, "0001", "orphaning"))
    assert migrations.current(database) == "0001"
    assert (count(database, "parents"), count(database, "children")) == (1, 1)
    database.close()


def test_a_database_of_a_newer_version_is_refused_untouched(url: str, tmp_path: Path) -> None:
    database = Database.open(url)
    migrations.upgrade(database, steps(tmp_path, "0001", "0002"))
    with pytest.raises(DataFolderError, match="newer version"):
        migrations.upgrade(database, steps(tmp_path, "0001"))
    assert migrations.current(database) == "0002"
    database.close()
