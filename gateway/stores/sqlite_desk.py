"""What a person sees, and what walks everything kept: the part of the store that runs beside the workers' way, on SQLite."""

import sqlite3
from collections.abc import Sequence
from functools import partial
from typing import Any

from gateway.store import (
    Attempt,
    Candidate,
    DeadLetter,
    Delivery,
    DeliveryState,
    Edge,
    EventRow,
    Merge,
    Reach,
    Reject,
    Row,
    Seen,
    Span,
    Superseded,
)
from gateway.stores import (
    inquiries,
    sealed,
    shapes,
    sqlite_deliver,
    sqlite_span,
    statements,
)
from gateway.stores.forms import Form, Rows
from gateway.stores.shapes import Shape
from gateway.stores.sqlite_connection import Line, snapshot, transaction

# Behind every id.
_LAST = "~"


class SqliteDesk:
    """Listings on a connection of their own; the few writes wait for the writer like everybody."""

    def __init__(self, *, writer: Line, desk: Line) -> None:
        self._writer = writer
        self._desk = desk

    async def reject(self, rejects: Sequence[Reject], *, keep: int) -> None:
        """See ``Store.reject``."""
        await self._writer.run(partial(_reject, rejects=rejects, keep=keep))

    async def bury(self, dead: Sequence[DeadLetter]) -> None:
        """See ``Store.bury``."""
        await self._write((statements.bury_dead_letters, shapes.dead_letter.pack_all(dead)))

    async def dead_letters(self, *, state: str = "open", limit: int = 100, after: str = "") -> Sequence[DeadLetter]:
        """See ``Store.dead_letters``."""
        return await self._listed(shapes.dead_letter, inquiries.dead_letters, in_state=state, most=limit, after=after)

    async def rejects(self, *, account: str | None = None, limit: int = 100, after: str = "") -> Sequence[Reject]:
        """See ``Store.rejects``."""
        if account is None:
            return await self._listed(shapes.reject, inquiries.rejects, most=limit, after=after)
        return await self._listed(shapes.reject, inquiries.rejects_of, most=limit, after=after, whose=account)

    async def candidates(self, *, state: str = "open", limit: int = 100, after: str = "") -> Sequence[Candidate]:
        """See ``Store.candidates``."""
        return await self._listed(shapes.candidate, inquiries.candidates, in_state=state, most=limit, after=after)

    async def rows(
        self, kind: str, *, limit: int, after: str = "", customer: str | None = None, newest: bool = False
    ) -> Sequence[Row]:
        """See ``Store.rows``."""
        after = after or (_LAST if newest else "")
        if customer is None:
            form = inquiries.rows_back if newest else inquiries.rows
            return await self._listed(shapes.row, form, of=kind, most=limit, after=after)
        form = inquiries.rows_of_back if newest else inquiries.rows_of
        return await self._listed(shapes.row, form, of=kind, whose=customer, most=limit, after=after)

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

    async def superseded(self, record: str, *, limit: int = 100) -> Sequence[Superseded]:
        """See ``Store.superseded``."""
        return await self._listed(shapes.superseded, inquiries.superseded, of=record, most=limit)

    async def events(self, *, after: int = 0, limit: int = 100, subject: str | None = None) -> Sequence[EventRow]:
        """See ``Store.events``."""
        if subject is None:
            return await self._listed(shapes.event, inquiries.events, after=after, most=limit)
        return await self._listed(shapes.event, inquiries.events_of, after=after, most=limit, of=subject)

    async def reach(self) -> Reach:
        """See ``Store.reach``."""
        newest, forgotten = (await self._desk.run(inquiries.reach.run))[0]
        return Reach(newest=max(newest, forgotten), forgotten=forgotten)

    async def timeline(self, customer: str, *, before: int | None = None, limit: int = 100) -> Sequence[EventRow]:
        """See ``Store.timeline``."""
        end = sqlite_span.LAST if before is None else before
        return await self._listed(shapes.event, inquiries.timeline, of=customer, before=end, most=limit)

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

    async def known(self, deliveries: Sequence[str]) -> dict[str, Delivery]:
        """See ``Store.known``."""
        rows = await self._desk.run(lambda connection: inquiries.known.run(connection, deliveries))
        return {one.id: one for one in shapes.delivery.unpack_all(rows)}

    async def applied(self, marks: Sequence[tuple[str, bytes]]) -> Sequence[Seen]:
        """See ``Store.applied``."""
        # A key may stand several times where its list is filled up, but a row is found once.
        rows = await self._desk.run(
            lambda connection: inquiries.applied.run(connection, [dedupe for _, dedupe in marks])
        )
        wanted = set(marks)
        return [one for one in shapes.seen.unpack_all(rows) if (one.account, one.dedupe) in wanted]

    async def attempts(self, delivery: str) -> Sequence[Attempt]:
        """See ``Store.attempts``."""
        return await self._listed(shapes.attempt, inquiries.attempts, of=delivery)

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

    async def counts(self) -> dict[str, Any]:
        """See ``Store.counts``."""
        return await self._desk.run(_counts)

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


def _counts(connection: sqlite3.Connection) -> dict[str, Any]:
    with snapshot(connection):
        figures = {name: form.run(connection)[0][0] for name, form in inquiries.counts.items()}
        return {**figures, **sqlite_deliver.counts(connection)}
