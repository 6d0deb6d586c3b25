"""Exports: records or events as a file, as the client may see them, made by a job and kept sealed for a day."""

import csv
import io
from collections.abc import AsyncIterator, Mapping, Sequence
from functools import cache
from typing import Any

import msgspec

from gateway import access
from gateway.clock import Clock
from gateway.desk import cells
from gateway.desk.clients import Clients
from gateway.desk.feed import Asked, Feed
from gateway.desk.jobs import Job, Jobs, State
from gateway.desk.reading import Reading, Sought
from gateway.desk.schemas import RECORDS
from gateway.errors import ConfigError, GatewayError

KIND = "export"
EVENTS = "events"
SCOPES: Mapping[str, tuple[str, str]] = {
    "customers": ("customer", "customers:read"),
    "orders": ("order", "orders:read"),
    "appointments": ("appointment", "appointments:read"),
    "interactions": ("interaction", "records:read"),
    "relationships": ("relationship", "records:read"),
    "units": ("unit", "records:read"),
    "staff": ("staff", "records:read"),
    "stock": ("stock", "records:read"),
    EVENTS: ("event", "events:read"),
}
"""What can be taken out: its kind, and the scope that reading it needs."""

MOST = 1_000_000
_PAGE = 200
_CONTENT = "content"
_SEEN = ("sequence", "seen_at", "withheld")
_OF_EVENTS = ("id", "type", "timestamp", "schema", "subject", "sequence", "source", "data", "withheld")
_json = msgspec.json.Encoder()


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked for. ``what`` is a name of ``SCOPES``; ``form`` ndjson or csv; the rest are conditions, instants in microseconds. ``sight``
    is what the client could see when it asked."""

    what: str
    form: str
    account: str | None = None
    unit: str | None = None
    updated_since: int | None = None
    types: tuple[str, ...] = ()
    since: int | None = None
    sight: str = ""


def sight(client: access.Client, viewer: access.Viewer) -> str:
    """What a client may see, as text: its unit and what each class comes down to now."""
    grants = sorted(f"{one.value}={how}" for one, how in viewer.grants.items())
    return f"{client.unit or ''} {' '.join(grants)}"


class Exports:
    """Begins them, reads them back, and is what their job does."""

    def __init__(self, jobs: Jobs, clients: Clients, reading: Reading, feed: Feed, clock: Clock) -> None:
        self._jobs = jobs
        self._clients = clients
        self._reading = reading
        self._feed = feed
        self._clock = clock

    async def begin(self, client: access.Client, question: Question, *, job: str) -> Job:
        """Let a runner make it."""
        now = self._clock.now()
        made = Job(
            id=job, kind=KIND, client=client.id, created=now, updated=now, asked=msgspec.to_builtins(question), counts={"pieces": 0}
        )  # fmt: skip
        return await self._jobs.make(made)

    async def same_sight(self, client: access.Client, viewer: access.Viewer, job: Job) -> bool:
        """Whether the client may still see what it could see when it asked."""
        return question_of(job).sight == sight(client, viewer)

    def content(self, job: Job) -> AsyncIterator[bytes]:
        """The file, a piece at a time."""
        return self._jobs.pieces(job, _CONTENT)

    async def step(self, job: Job) -> Job:
        """A page of it, as the client may see it at this moment."""
        asked = question_of(job)
        viewer = await self._viewer(job, asked)
        items, place = await self._page(viewer, asked, job.place)
        number = job.counts["pieces"]
        if items or not number:
            await self._jobs.put(job, _CONTENT, number, _written(asked, items, first=not number))
            number += 1
        done = job.done + len(items)
        if done > MOST:
            raise GatewayError(f"more than {MOST} records", remedy="narrow it: by unit, account or time")
        state = State.RUNNING if place else State.DONE
        total = done if state is State.DONE else None
        return msgspec.structs.replace(
            job, state=state, place=place or job.place, done=done, total=total, counts={"pieces": number}
        )

    async def _viewer(self, job: Job, asked: Question) -> access.Viewer:
        client, viewer = await self._clients.get(job.client), await self._clients.viewer(job.client)
        if client is None or viewer is None or not viewer.may(SCOPES[asked.what][1]):
            raise ConfigError("the client has ended, or lacks the scope by now")
        if asked.sight != sight(client, viewer):
            raise ConfigError("what the client may see has changed since it asked", remedy="ask again")
        return viewer

    async def _page(
        self, viewer: access.Viewer, asked: Question, place: str
    ) -> tuple[Sequence[dict[str, Any]], str | None]:
        if asked.what == EVENTS:
            return await self._events(viewer, asked, place)
        sought = Sought(account=asked.account, unit=asked.unit, updated_since=asked.updated_since)
        cut = await self._reading.page(viewer, SCOPES[asked.what][0], sought, after=place, limit=_PAGE)
        return cut.items, cut.next

    async def _events(
        self, viewer: access.Viewer, asked: Question, place: str
    ) -> tuple[Sequence[dict[str, Any]], str | None]:
        types = Asked(types=frozenset(asked.types), since=asked.since)
        page = await self._feed.page(viewer, types, after=int(place) if place else None, limit=_PAGE)
        if page is None:
            raise GatewayError("events were forgotten while they were taken out", remedy="ask again")
        return page.items, str(page.number) if page.more else None


def question_of(job: Job) -> Question:
    """What was asked for."""
    return msgspec.convert(job.asked, Question)


# ------------------------------------------------------------------ writing
def _written(asked: Question, items: Sequence[Mapping[str, Any]], *, first: bool) -> bytes:
    if asked.form == "ndjson":
        return _json.encode_lines(items)
    columns = columns_of(asked.what)
    file = io.StringIO()
    writer = csv.writer(file)
    if first:
        writer.writerow([f"{name}:json" if nested else name for name, nested in columns])
    writer.writerows([[_cell(item.get(name), nested=nested) for name, nested in columns] for item in items])
    return (b"\xef\xbb\xbf" if first else b"") + file.getvalue().encode()


def columns_of(what: str) -> list[tuple[str, bool]]:
    """The columns of a CSV, and whether each holds JSON: its heading then ends in ``:json``, as a feed reads it."""
    if what == EVENTS:
        return [(name, name in ("source", "data", "withheld")) for name in _OF_EVENTS]
    struct = RECORDS[SCOPES[what][0]]
    fields = msgspec.json.schema(struct)["$defs"][struct.__name__]["properties"]
    own = [(name, _nested(shape)) for name, shape in fields.items() if name != "provenance"]
    return [*own, *((name, name == "withheld") for name in _SEEN)]


def _nested(shape: Mapping[str, Any]) -> bool:
    parts = shape.get("anyOf", [shape])
    return any(
        part.get("type") in ("array", "object") or ("$ref" in part and not _is_word(part["$ref"])) for part in parts
    )


def _is_word(reference: str) -> bool:
    return reference.rpartition("/")[2] in _words()


@cache
def _words() -> frozenset[str]:
    """The enums among the parts of records."""
    return frozenset(
        name
        for struct in RECORDS.values()
        for name, shape in msgspec.json.schema(struct)["$defs"].items()
        if "enum" in shape
    )


def _cell(value: Any, *, nested: bool) -> str:
    if value is None:
        return ""
    if nested or not isinstance(value, str):
        return _json.encode(value).decode()
    # A phone or an amount is no formula.
    return value if _is_number(value) else cells.disarmed(value)


def _is_number(text: str) -> bool:
    return text[1:].replace(".", "", 1).isdigit()
