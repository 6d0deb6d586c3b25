"""The feed of events: what a webhook would have carried, for whoever would rather ask."""

from collections.abc import Sequence
from typing import Any

import msgspec

from gateway import access, store
from gateway.desk.reading import Reading
from gateway.desk.watch import Watch
from gateway.model import event
from gateway.pipeline import operators
from gateway.pipeline.route import matches
from gateway.store import EventRow

_WALK = 500
# How many events one answer looks through at most: whoever may see few of many gets short pages, never slow ones.
_MOST = 4000
_NAMES = (*event.TYPES, *operators.TYPES)


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """Which events: ``types`` are whole names; ``subject`` the id of a record; ``since`` the instant from which on they happened."""

    types: frozenset[str]
    subject: str | None = None
    since: int | None = None


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """Events as the viewer may see them, and the number up to which all was looked at. ``more`` tells that there is more to be had at once."""

    items: list[dict[str, Any]]
    number: int
    more: bool


def names(patterns: Sequence[str]) -> frozenset[str]:
    """The types that patterns mean; none for one that means nothing."""
    return frozenset(name for name in _NAMES if any(matches(pattern, name) for pattern in patterns))


def of_operators(types: frozenset[str]) -> bool:
    """Whether any of them is about the gateway itself."""
    return not types.isdisjoint(operators.TYPES)


class Feed:
    """Reads it by number, which grows in the order of writing: whoever goes on from where they were misses nothing and gets nothing twice."""

    def __init__(self, records: store.Store, reading: Reading, watch: Watch) -> None:
        self._store = records
        self._reading = reading
        self._watch = watch

    async def newest(self) -> int:
        """The number behind which only what is yet to happen stands."""
        return (await self._store.reach()).newest

    async def page(
        self, viewer: access.Viewer, asked: Asked, *, after: int | None, limit: int, wait: float = 0.0
    ) -> Page | None:
        """What comes behind ``after`` (None: from the oldest that is kept), at most ``limit``; with nothing there, what comes within ``wait``
        seconds, as soon as it does. None when something behind ``after`` was forgotten: going on would pass over it in silence.
        """
        place = after or 0
        while True:
            reach = await self._store.reach()
            if after is not None and place < reach.forgotten:
                return None
            page = await self._read(viewer, asked, place, reach.newest, limit)
            if page.items or page.more or not wait:
                return page
            heard = await self._watch.wait(
                page.number, lambda row: _meant(row, asked, viewer), seconds=wait, most=limit
            )
            if heard is not None:
                return Page(
                    items=await self._shown(heard.rows, viewer), number=heard.number, more=len(heard.rows) == limit
                )
            place = page.number

    async def _read(self, viewer: access.Viewer, asked: Asked, place: int, newest: int, limit: int) -> Page:
        span = store.Span(types=tuple(sorted(asked.types)), subject=asked.subject, since=asked.since)
        step = limit + 1 if viewer.domain is None else _WALK
        found: list[EventRow] = []
        for _ in range(max(1, _MOST // step)):
            rows = await self._store.span(span, after=place, limit=step)
            found += [row for row in rows if viewer.sees(row.unit)]
            if len(found) > limit:
                return Page(items=await self._shown(found[:limit], viewer), number=found[limit - 1].number, more=True)
            if len(rows) < step:
                # What was written since ``newest`` was asked for may be among them, or not.
                end = max(newest, place, rows[-1].number if rows else 0)
                return Page(items=await self._shown(found, viewer), number=end, more=False)
            place = rows[-1].number
        return Page(items=await self._shown(found, viewer), number=place, more=True)

    async def _shown(self, rows: Sequence[EventRow], viewer: access.Viewer) -> list[dict[str, Any]]:
        return [await self._reading.told(row, viewer) for row in rows]


def _meant(row: EventRow, asked: Asked, viewer: access.Viewer) -> bool:
    return (
        row.type in asked.types
        and (asked.subject is None or row.subject == asked.subject)
        and (asked.since is None or row.at >= asked.since)
        and viewer.sees(row.unit)
    )  # fmt: skip
