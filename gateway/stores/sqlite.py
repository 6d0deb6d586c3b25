"""The store in a SQLite file of its own.

One thread writes, one reads for the projector, one reads for people: a look never waits for a commit, nor a commit for a listing, and the
event loop for neither. Several processes may open the file; a writer holds its lock for one batch.
"""

import sqlite3
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from gateway.clock import Clock
from gateway.model.lane import Lane
from gateway.store import (
    Attempt,
    Batch,
    Booked,
    Candidate,
    Claimed,
    DeadLetter,
    Delivery,
    DeliveryState,
    Edge,
    Errand,
    EventRow,
    Found,
    Health,
    Merge,
    PullState,
    Reject,
    Result,
    Row,
    Span,
    Superseded,
    Wants,
)
from gateway.stores import (
    inquiries,
    migrations,
    sealed,
    shapes,
    sqlite_connection,
    sqlite_deliver,
    sqlite_endpoints,
    sqlite_project,
    sqlite_purge,
    sqlite_replay,
    sqlite_span,
    statements,
)
from gateway.stores.forms import Form, Rows
from gateway.stores.shapes import Shape
from gateway.stores.sqlite_connection import Line, snapshot, transaction


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


class SqliteStore:
    """See ``gateway.store.Store``."""

    def __init__(self, *, writer: Line, reader: Line, desk: Line, clock: Clock) -> None:
        self._writer = writer
        self._reader = reader
        self._desk = desk
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

    # ------------------------------------------------------------------ what a person sees and settles
    async def reject(self, rejects: Sequence[Reject], *, keep: int) -> None:
        """See ``Store.reject``."""
        await self._writer.run(partial(_reject, rejects=rejects, keep=keep))

    async def dead_letters(self, *, state: str = "open", limit: int = 100, after: str = "") -> Sequence[DeadLetter]:
        """See ``Store.dead_letters``."""
        return await self._listed(shapes.dead_letter, inquiries.dead_letters, in_state=state, most=limit, after=after)

    async def bury(self, dead: Sequence[DeadLetter]) -> None:
        """See ``Store.bury``."""
        await self._write((statements.put_dead_letters, shapes.dead_letter.pack_all(dead)))

    async def rows(self, kind: str, *, limit: int, after: str = "", customer: str | None = None) -> Sequence[Row]:
        """See ``Store.rows``."""
        if customer is None:
            return await self._listed(shapes.row, inquiries.rows, of=kind, most=limit, after=after)
        return await self._listed(shapes.row, inquiries.rows_of, of=kind, whose=customer, most=limit, after=after)

    async def edges(self, key: bytes) -> Sequence[Edge]:
        """See ``Store.edges``."""
        return await self._listed(shapes.edge, inquiries.live_edges, of=key)

    async def merges(self, customer: str) -> Sequence[Merge]:
        """See ``Store.merges``."""
        return await self._listed(shapes.merge, inquiries.merges, of=customer)

    async def moved(self, merge: str) -> Sequence[str]:
        """See ``Store.moved``."""
        rows = await self._desk.run(partial(inquiries.moved.run, of=merge))
        return [record for (record,) in rows]

    async def unmerge(self, merge: Merge, batch: Batch) -> None:
        """See ``Store.unmerge``."""
        await self._writer.run(partial(sqlite_project.unmerge, merge=merge, batch=batch, now=self._clock.now()))

    async def candidates(self, *, state: str = "open", limit: int = 100) -> Sequence[Candidate]:
        """See ``Store.candidates``."""
        return await self._listed(shapes.candidate, inquiries.candidates, in_state=state, most=limit)

    async def events(self, *, after: int = 0, limit: int = 100, subject: str | None = None) -> Sequence[EventRow]:
        """See ``Store.events``."""
        if subject is None:
            return await self._listed(shapes.event, inquiries.events, after=after, most=limit)
        return await self._listed(shapes.event, inquiries.events_of, after=after, most=limit, of=subject)

    async def deliveries(
        self,
        *,
        state: DeliveryState | None = None,
        endpoint: str | None = None,
        event: str | None = None,
        limit: int = 100,
        after: str = "",
    ) -> Sequence[Delivery]:
        """See ``Store.deliveries``."""
        asked = {"in_state": state.value if state else None, "to": endpoint, "of": event}
        if event is not None:
            form = inquiries.deliveries_of(state=state is not None, endpoint=endpoint is not None)
        else:
            form = inquiries.deliveries(inquiries.group_of(state), endpoint=endpoint is not None)
        given = {name: value for name, value in asked.items() if value is not None}
        return await self._listed(shapes.delivery, form, most=limit, after=after, **given)

    async def attempts(self, delivery: str) -> Sequence[Attempt]:
        """See ``Store.attempts``."""
        return await self._listed(shapes.attempt, inquiries.attempts, of=delivery)

    async def revive(self, deliveries: Sequence[str], *, now: int) -> int:
        """See ``Store.revive``."""
        return await self._writer.run(partial(sqlite_replay.revive, deliveries=deliveries, now=now))

    # ------------------------------------------------------------------ replay
    async def span(self, span: Span, *, after: int = 0, limit: int = 1000) -> Sequence[EventRow]:
        """See ``Store.span``. In steps of ``sqlite_span.STEP`` events, so that other listings get their turn between."""
        if span.ids:
            return await self._desk.run(partial(sqlite_span.by_id, span=span, after=after, limit=limit))
        if span.subject is not None:
            return await self._desk.run(partial(sqlite_span.of_subject, span=span, after=after, limit=limit))
        place: int | None = after or await self._desk.run(partial(sqlite_span.start, span=span))
        found: list[EventRow] = []
        while place is not None and len(found) < limit:
            job = partial(sqlite_span.step, span=span, after=place, limit=limit - len(found))
            some, place = await self._desk.run(job)
            found += some
        return found

    async def known(self, deliveries: Sequence[str]) -> dict[str, Delivery]:
        """See ``Store.known``."""
        rows = await self._desk.run(lambda connection: inquiries.known.run(connection, deliveries))
        return {one.id: one for one in shapes.delivery.unpack_all(rows)}

    async def replay(self, deliveries: Sequence[Delivery], *, again: bool = False, now: int) -> int:
        """See ``Store.replay``."""
        return await self._writer.run(partial(sqlite_replay.replay, deliveries=deliveries, again=again, now=now))

    async def rejects(self, *, account: str | None = None, limit: int = 100, after: str = "") -> Sequence[Reject]:
        """See ``Store.rejects``."""
        if account is None:
            return await self._listed(shapes.reject, inquiries.rejects, most=limit, after=after)
        return await self._listed(shapes.reject, inquiries.rejects_of, most=limit, after=after, whose=account)

    async def superseded(self, record: str, *, limit: int = 100) -> Sequence[Superseded]:
        """See ``Store.superseded``."""
        return await self._listed(shapes.superseded, inquiries.superseded, of=record, most=limit)

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

    # ------------------------------------------------------------------ erasing and sealing anew
    async def records_of(self, customer: str) -> Sequence[Row]:
        """See ``Store.records_of``."""
        rows = await self._desk.run(partial(_records_of, customer=customer))
        return shapes.row.unpack_all(rows)

    async def bodies(self, table: str, *, after: str = "", limit: int = 200) -> Sequence[tuple[str, bytes]]:
        """See ``Store.bodies``."""
        walk = sealed.walks[table]
        given = walk.after(after)
        rows = await self._desk.run(lambda connection: walk.page.run(connection, most=limit, **given))
        return [walk.read(row) for row in rows]

    async def rebody(self, table: str, bodies: Sequence[tuple[str, bytes, bytes]]) -> int:
        """See ``Store.rebody``."""
        walk = sealed.walks[table]
        given = [walk.given(key, old, new) for key, old, new in bodies]
        return await self._writer.run(partial(_rebody, form=walk.put, given=given))

    async def scrub(self) -> bool:
        """See ``Store.scrub``. Waits a few seconds for readers and other writers."""
        return await self._writer.run(sqlite_connection.truncate)

    async def counts(self) -> dict[str, Any]:
        """See ``Store.counts``."""
        return await self._desk.run(_counts)

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

    async def _listed(self, shape: Shape[Any], form: Form, **values: Any) -> Sequence[Any]:
        return await self._desk.run(lambda connection: shape.unpack_all(form.run(connection, **values)))

    async def _write(self, *parts: tuple[Form, Rows]) -> None:
        await self._writer.run(partial(_write, parts=parts))


def _write(connection: sqlite3.Connection, parts: Sequence[tuple[Form, Rows]]) -> None:
    with transaction(connection):
        for form, rows in parts:
            form.run(connection, rows)


def _records_of(connection: sqlite3.Connection, *, customer: str) -> Rows:
    with snapshot(connection):
        return inquiries.record.run(connection, of=customer) + inquiries.records_of.run(connection, of=customer)


def _rebody(connection: sqlite3.Connection, *, form: Form, given: Rows) -> int:
    with transaction(connection):
        return len(form.run(connection, given))


def _reject(connection: sqlite3.Connection, rejects: Sequence[Reject], *, keep: int) -> None:
    with transaction(connection):
        statements.put_rejects.run(connection, shapes.reject.pack_all(rejects))
        statements.drop_rejects.run(connection, keep=keep)


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


def _counts(connection: sqlite3.Connection) -> dict[str, Any]:
    with snapshot(connection):
        figures = {name: form.run(connection)[0][0] for name, form in inquiries.counts.items()}
        return {**figures, **sqlite_deliver.counts(connection)}
