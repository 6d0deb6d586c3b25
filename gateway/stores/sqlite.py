"""The store in a SQLite file of its own.

One thread writes, one reads for the projector, one reads for people: a look never waits for a commit, nor a commit for a listing, and the
event loop for neither. Several processes may open the file; a writer holds its lock for one batch.
"""

import sqlite3
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import sqlalchemy as sa

from gateway.clock import Clock
from gateway.model.lane import Lane
from gateway.store import (
    Batch,
    Booked,
    Claimed,
    Delivery,
    DeliveryState,
    Errand,
    Found,
    Health,
    Merge,
    PullState,
    Result,
    Served,
    Waiting,
    Wants,
)
from gateway.stores import (
    inquiries,
    migrations,
    shapes,
    sqlite_connection,
    sqlite_deliver,
    sqlite_endpoints,
    sqlite_poll,
    sqlite_project,
    sqlite_purge,
    sqlite_replay,
    statements,
)
from gateway.stores.sqlite_actions import SqliteActions
from gateway.stores.sqlite_connection import Line, transaction
from gateway.stores.sqlite_desk import SqliteDesk


def open_store(path: Path | str, *, clock: Clock, patience: float = 5.0) -> "SqliteStore":
    """Open the file, made and migrated first where that is due. ``patience`` is how many seconds to wait for another writer.

    StoreError when it cannot be opened, is no store, or is a newer gateway's.
    """
    path = Path(path)
    sqlite_connection.create(path)
    with sqlite_connection.translated(path):
        writer = sqlite_connection.writer(path, patience=patience)
        try:
            if _revision(writer) != migrations.HEAD:
                migrations.migrate(sa.URL.create("sqlite", database=str(path)))
            readers = [sqlite_connection.reader(path, patience=patience) for _ in range(2)]
        except BaseException:
            writer.close()
            raise
    return SqliteStore(
        writer=Line(writer, path, "store-write"),
        reader=Line(readers[0], path, "store-look"),
        desk=Line(readers[1], path, "store-desk"),
        clock=clock,
    )


def _revision(connection: sqlite3.Connection) -> str | None:
    if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'").fetchone():
        return None
    found = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    return found[0] if found else None


class SqliteStore(SqliteDesk, SqliteActions):
    """See ``gateway.store.Store``."""

    def __init__(self, *, writer: Line, reader: Line, desk: Line, clock: Clock) -> None:
        super().__init__(writer=writer, desk=desk)
        self._reader = reader
        self._clock = clock

    # ------------------------------------------------------------------ project
    async def look(self, wants: Wants) -> Found:
        """See ``Store.look``."""
        return await self._reader.run(lambda connection: sqlite_project.look(connection, wants))

    async def apply(self, batch: Batch) -> set[str]:
        """See ``Store.apply``."""
        return await self._writer.run(partial(sqlite_project.apply, batch=batch, now=self._clock.now()))

    async def cursors(self) -> dict[tuple[Lane, int], int]:
        """See ``Store.cursors``."""
        rows = await self._reader.run(statements.cursors.run)
        return {(Lane(lane), shard): position for lane, shard, position in rows}

    # ------------------------------------------------------------------ deliver
    async def claim(self, *, now: int, lease: int, claim: str, limit: int, retries: bool) -> Sequence[Claimed]:
        """See ``Store.claim``."""
        job = partial(sqlite_deliver.claim, now=now, lease=lease, claim=claim, limit=limit, retries=retries)
        return await self._writer.run(job)

    async def finish(self, results: Sequence[Result]) -> int:
        """See ``Store.finish``."""
        return await self._writer.run(partial(sqlite_deliver.finish, results=results))

    async def release(self, *, now: int) -> int:
        """See ``Store.release``."""
        alone, left = await self._desk.run(sqlite_deliver.strays)
        for endpoint, cause in left:
            await self._stop(endpoint, DeliveryState.DISABLED, cause)
        return await self._writer.run(partial(sqlite_deliver.release, alone=alone, now=now))

    async def hasten(self, endpoint: str, *, before: int, now: int) -> int:
        """See ``Store.hasten``."""
        hastened = 0
        place: int | None = 0
        while place is not None:
            job = partial(sqlite_endpoints.hasten, endpoint=endpoint, before=before, now=now, after=place)
            some, place = await self._writer.run(job)
            hastened += some
        return hastened

    async def disable(self, endpoint: str, *, cause: str, now: int) -> int:
        """See ``Store.disable``. What a crash leaves of it, the next ``release`` does."""
        await self._writer.run(partial(sqlite_endpoints.disable, endpoint=endpoint, cause=cause, now=now))
        return await self._stop(endpoint, DeliveryState.DISABLED, cause)

    async def enable(self, endpoint: str, *, now: int) -> None:  # noqa: ARG002 - the promise has it; here nothing is dated
        """See ``Store.enable``."""
        await self._writer.run(partial(sqlite_endpoints.enable, endpoint=endpoint))

    async def disabled(self) -> dict[str, str]:
        """See ``Store.disabled``."""
        return dict(await self._reader.run(statements.endpoints.run))

    # ------------------------------------------------------------------ being polled
    async def serve(self, endpoint: str, *, page: str, limit: int, until: int) -> Served:
        """See ``Store.serve``."""
        job = partial(sqlite_poll.serve, endpoint=endpoint, page=page, limit=limit, until=until)
        return await self._writer.run(job)

    async def acknowledge(self, endpoint: str, page: str, *, now: int) -> int:
        """See ``Store.acknowledge``."""
        return await self._writer.run(partial(sqlite_poll.acknowledge, endpoint=endpoint, page=page, now=now))

    async def waiting(self, endpoint: str) -> Waiting:
        """See ``Store.waiting``."""
        return await self._desk.run(partial(sqlite_poll.waiting, endpoint=endpoint))

    async def spoil(self, endpoint: str, page: str, deliveries: Sequence[str], *, cause: str) -> int:
        """See ``Store.spoil``."""
        job = partial(sqlite_poll.spoil, endpoint=endpoint, page=page, deliveries=deliveries, cause=cause)
        return await self._writer.run(job)

    # ------------------------------------------------------------------ errands and pulls
    async def errands(self, *, now: int, lease: int, limit: int) -> Sequence[Errand]:
        """See ``Store.errands``."""
        return await self._writer.run(partial(_take_errands, now=now, lease=lease, limit=limit))

    async def settle(self, done: Sequence[Errand], again: Sequence[Errand]) -> None:
        """See ``Store.settle``."""
        await self._writer.run(partial(_settle, done=done, again=again, now=self._clock.now()))

    async def pulls(self) -> Sequence[PullState]:
        """See ``Store.pulls``."""
        return await self._listed(shapes.pull, statements.pulls)

    async def pulled(self, state: PullState, errands: Sequence[Errand] = ()) -> None:
        """See ``Store.pulled``."""
        await self._write(
            (statements.put_pulls, shapes.pull.pack_all([state])), (statements.ask, shapes.errand.pack_all(errands))
        )

    # ------------------------------------------------------------------ what a person settles
    async def unmerge(self, merge: Merge, batch: Batch) -> None:
        """See ``Store.unmerge``."""
        await self._writer.run(partial(sqlite_project.unmerge, merge=merge, batch=batch, now=self._clock.now()))

    async def revive(self, deliveries: Sequence[str], *, now: int) -> int:
        """See ``Store.revive``."""
        return await self._writer.run(partial(sqlite_replay.revive, deliveries=deliveries, now=now))

    async def replay(self, deliveries: Sequence[Delivery], *, again: bool = False, now: int) -> int:
        """See ``Store.replay``."""
        return await self._writer.run(partial(sqlite_replay.replay, deliveries=deliveries, again=again, now=now))

    # ------------------------------------------------------------------ endpoints
    async def booked(self) -> Sequence[Booked]:
        """See ``Store.booked``."""
        rows = await self._reader.run(statements.booked.run)
        return shapes.booked.unpack_all(rows)

    async def book(self, entry: Booked, *, before: int) -> None:
        """See ``Store.book``."""
        await self._writer.run(partial(sqlite_endpoints.book, entry=entry, before=before))

    async def unbook(self, endpoint: str, *, before: int) -> None:
        """See ``Store.unbook``. Open deliveries that a crash leaves have nowhere to go, and whoever claims one cancels it."""
        await self._writer.run(partial(sqlite_endpoints.unbook, endpoint=endpoint, before=before))
        await self._stop(endpoint, DeliveryState.CANCELLED, "endpoint removed")

    async def health(self) -> dict[str, Health]:
        """See ``Store.health``."""
        rows = await self._reader.run(statements.health.run)
        return {one.endpoint: one for one in shapes.health.unpack_all(rows)}

    async def note(self, health: Sequence[Health]) -> None:
        """See ``Store.note``."""
        await self._writer.run(partial(sqlite_endpoints.note, health=health))

    # ------------------------------------------------------------------ forgetting
    async def scrub(self) -> bool:
        """See ``Store.scrub``. Waits a few seconds for readers and other writers."""
        return await self._writer.run(sqlite_connection.truncate)

    async def drop(self, deliveries: Sequence[str], *, cause: str) -> int:
        """See ``Store.drop``."""
        return await self._writer.run(partial(sqlite_replay.drop, deliveries=deliveries, cause=cause))

    async def purge(self, *, before: int) -> int:
        """See ``Store.purge``. In steps of ``sqlite_purge.STEP`` rows, each a transaction of its own."""
        gone = 0
        for forms in inquiries.aged:
            more = True
            while more:
                some, more = await self._writer.run(partial(sqlite_purge.age, forms=forms, before=before))
                gone += some
        place: sqlite_purge.Place | None = sqlite_purge.Place()
        while place is not None:
            some, place = await self._writer.run(partial(sqlite_purge.events, place=place, before=before))
            gone += some
        return gone

    async def close(self) -> None:
        """See ``Store.close``."""
        # The writer last: closing the last connection writes the log back and removes it.
        for line in (self._desk, self._reader, self._writer):
            await line.close()

    async def _stop(self, endpoint: str, to: DeliveryState, cause: str) -> int:
        stopped, more = 0, True
        while more:
            some, more = await self._writer.run(partial(sqlite_endpoints.stop, endpoint=endpoint, to=to, cause=cause))
            stopped += some
        return stopped


def _take_errands(connection: sqlite3.Connection, *, now: int, lease: int, limit: int) -> Sequence[Errand]:
    if limit < 1 or not statements.due_errands.run(connection, now=now, most=1):
        return ()
    with transaction(connection):
        found = statements.due_errands.run(connection, now=now, most=limit)
        statements.lease_errands.run(connection, [row[0] for row in found], until=lease)
    return shapes.errand.unpack_all(row[1:] for row in found)


def _settle(connection: sqlite3.Connection, *, done: Sequence[Errand], again: Sequence[Errand], now: int) -> None:
    ran = [(one.account, one.topic, one.hash, one.asked) for one in done]
    later = [(one.account, one.topic, one.hash, one.due, one.tries, one.cause) for one in again]
    with transaction(connection):
        statements.ask_again.run(connection, ran, now=now)
        statements.forget_errands.run(connection, ran)
        statements.postpone_errands.run(connection, later)
