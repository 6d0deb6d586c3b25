"""How a store comes to have its tables."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from gateway.clock import TurnedClock
from gateway.errors import StoreError
from gateway.stores import migrations, tables
from gateway.stores.sqlite import open_store


def schema(path: Path) -> dict[str, str]:
    """Every table and index as the database keeps it, white space aside."""
    with closing(sqlite3.connect(path)) as connection:
        found = connection.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
    return {name: " ".join(text.split()) for name, text in found if name != "alembic_version"}


def migrated(folder: Path) -> Path:
    path = folder / "store.db"
    migrations.migrate(f"sqlite:///{path}")
    return path


def test_migrated_store_has_the_tables_of_the_metadata(tmp_path: Path) -> None:
    """Alembic's own comparison finds nothing to change."""
    engine = sa.create_engine(f"sqlite:///{migrated(tmp_path)}", poolclass=sa.NullPool)
    with engine.connect() as connection:
        options = {"compare_type": True, "compare_server_default": True}
        assert compare_metadata(MigrationContext.configure(connection, opts=options), tables.metadata) == []


def test_migrated_store_is_what_the_metadata_would_make(tmp_path: Path) -> None:
    """To the word, since conditions of indexes and rowids are what the comparison does not see."""
    made = tmp_path / "made.db"
    engine = sa.create_engine(f"sqlite:///{made}", poolclass=sa.NullPool)
    tables.metadata.create_all(engine)
    assert schema(migrated(tmp_path)) == schema(made)


def test_head_is_the_newest_revision() -> None:
    """Opening a store compares with it, without asking Alembic."""
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent).replace("%", "%%"))
    assert ScriptDirectory.from_config(config).get_heads() == [migrations.HEAD]


def test_migrating_again_changes_nothing(tmp_path: Path) -> None:
    """And keeps what is there."""
    path = migrated(tmp_path)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("INSERT INTO endpoints VALUES ('crm', 'gone', 1)")
    before = schema(path)
    migrated(tmp_path)
    assert schema(path) == before
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM endpoints").fetchone() == (1,)


def test_fresh_store_is_migrated_when_it_is_opened(tmp_path: Path) -> None:
    """In a folder that did not exist, under a name with signs that mean something elsewhere."""
    path = tmp_path / "new" / "100% ?#店.db"

    async def main() -> None:
        await open_store(path, clock=TurnedClock()).close()

    asyncio.run(main())
    assert set(tables.metadata.tables) <= set(schema(path))


def test_store_of_a_newer_gateway_is_refused(tmp_path: Path) -> None:
    """It may hold what this one would not understand."""
    path = migrated(tmp_path)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(StoreError, match="newer"):
        open_store(path, clock=TurnedClock())


def test_migration_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    """All tables or none: a table in the way of the last one undoes the first."""
    path = tmp_path / "store.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE tallies (mine TEXT)")
    with pytest.raises(StoreError):
        migrations.migrate(f"sqlite:///{path}")
    assert set(schema(path)) == {"tallies"}


def test_every_index_serves_postgresql_with_the_same_condition() -> None:
    """A condition given to one database and forgotten for the other would make a unique index out of all rows."""
    for table in tables.metadata.tables.values():
        for index in table.indexes:
            conditions = {name: index.dialect_options[name]["where"] for name in ("sqlite", "postgresql")}
            assert str(conditions["sqlite"]) == str(conditions["postgresql"]), index.name
