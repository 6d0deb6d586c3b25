"""Alembic, driven in code."""

from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.util import CommandError

from gateway.errors import StoreError
from gateway.stores import sqlite_connection


def migrate(url: str | sa.URL) -> None:
    """See ``gateway.stores.migrations.migrate``."""
    place = sa.make_url(url)
    try:
        engine = _engine(place)
        with engine.begin() as connection:
            config = Config()
            # The option is read with interpolation, where a percent sign stands for itself only when doubled.
            config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    except CommandError as error:
        raise StoreError(
            "the store was written by a newer gateway", place=place.render_as_string(), remedy="install that version"
        ) from error
    except sa.exc.SQLAlchemyError as error:
        raise StoreError(f"cannot migrate: {type(error).__name__}", place=place.render_as_string()) from error


def _engine(url: sa.URL) -> sa.Engine:
    if url.get_backend_name() != "sqlite":
        return sa.create_engine(url, poolclass=sa.NullPool)
    path = Path(url.database or "")
    sqlite_connection.create(path)
    engine = sa.create_engine(url, poolclass=sa.NullPool, creator=lambda: sqlite_connection.writer(path))
    sa.event.listen(engine, "begin", _begin)
    return engine


def _begin(connection: sa.Connection, *_: Any) -> None:
    # Two processes may open a fresh store at once: the second waits here, then finds the tables.
    connection.exec_driver_sql("BEGIN IMMEDIATE")
