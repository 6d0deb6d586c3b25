"""How a store comes to have its tables."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from gateway.clock import TurnedClock
from gateway.errors import StoreError
from gateway.store import Health
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


def test_store_of_the_first_revision_is_brought_up_with_what_it_holds(tmp_path: Path) -> None:
    """And works on: what was due is claimed, what was late is found by its record, and an endpoint can be stopped."""
    path = tmp_path / "store.db"
    clock = TurnedClock()
    now = clock.now()
    with closing(sqlite3.connect(path)) as connection:
        at_first(connection)
        connection.executescript(
            f"""
            INSERT INTO events (id, type, subject, sequence, at, account, entry, unit, body)
                VALUES ('evt_1', 'order.paid', 'ord_1', 1, {now}, 'shop', 'ent_1', NULL, x'7b7d');
            INSERT INTO deliveries (id, event, endpoint, subject, due, state, tries, lease, created)
                VALUES ('dlv_1', 'evt_1', 'crm', 'ord_1', {now}, 'due', 0, 0, {now}),
                       ('dlv_2', 'evt_1', 'bi', NULL, {now}, 'due', 0, 0, {now}),
                       ('dlv_3', 'evt_1', 'erp', NULL, {now}, 'dead', 3, 0, {now});
            INSERT INTO tallies VALUES ('deliveries.dead', 1);
            INSERT INTO superseded (record, entry, at, received, body) VALUES ('ord_1', 'ent_0', 1, 2, x'7b7d');
            """
        )

    async def main() -> None:
        store = open_store(path, clock=clock)
        try:
            assert await store.disable("bi", cause="410", now=now) == 1
            (held,) = await store.claim(now=now, lease=now + 1, claim="me", limit=9, retries=False)
            assert held.delivery.id == "dlv_1"
            assert [one.entry for one in await store.superseded("ord_1")] == ["ent_0"]
            assert await store.revive(["dlv_3"], now=now) == 1
            await store.note([Health(endpoint="crm", last_ok=now)])
            assert set(await store.health()) == {"crm"}
        finally:
            await store.close()

    asyncio.run(main())
    made = tmp_path / "made.db"
    tables.metadata.create_all(sa.create_engine(f"sqlite:///{made}", poolclass=sa.NullPool))
    assert schema(path) == schema(made)


def at_first(connection: sqlite3.Connection) -> None:
    """The tables of the first revision, as a gateway of that time left them."""
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent).replace("%", "%%"))
    engine = sa.create_engine("sqlite://", creator=lambda: connection, poolclass=sa.StaticPool)
    with engine.connect() as opened:
        config.attributes["connection"] = opened
        command.upgrade(config, "0001")
        opened.commit()


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
