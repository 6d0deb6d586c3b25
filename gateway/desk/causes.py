"""What a person must look at, by cause: entries that could not be projected and deliveries that were given up. Counted first, then tried again
or dropped, as much at a time as a person waits for."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence

import msgspec

from gateway import access, journal, mapping, store
from gateway.desk import flow, subscribers
from gateway.desk.resources import Desk
from gateway.errors import GatewayError
from gateway.pipeline.read import source_of
from gateway.store import DeliveryState

MOST = 1000
"""Letters in one go: what is left is said, and done by the next."""

TRIED = 200
"""Entries that a mapping is tried on."""

_PAGE = 1000
_WALK = 50_000
_STEP = 250


class Chosen(msgspec.Struct, frozen=True, kw_only=True):
    """One group, or a single letter of it by ``id``. ``kind`` is entry or delivery; ``of`` account/topic, or an endpoint."""

    kind: str
    of: str
    stage: str
    cause: str
    id: str = ""


class Group(msgspec.Struct, kw_only=True):
    """Letters of one cause: how many, and when the first and the last of them began."""

    kind: str
    of: str
    stage: str
    cause: str
    count: int = 0
    first: int = 0
    last: int = 0
    detail: str = ""

    def add(self, at: int, detail: str) -> None:
        """One more."""
        self.first = min(self.first, at) if self.count else at
        if at >= self.last:
            self.last, self.detail = at, detail
        self.count += 1


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What trying again would come to: ``ready`` can be tried, ``gone`` the journal or a person's erasure took, ``held`` belong to a disabled
    endpoint, ``fetch`` are re-reads, which the account's next push or pull asks again."""

    total: int
    ready: int
    gone: int = 0
    held: int = 0
    fetch: int = 0


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What was done: ``left`` still stand, because they cannot be tried or for the next go."""

    done: int
    left: int


class Tried(msgspec.Struct, frozen=True, kw_only=True):
    """What a mapping makes of a group's entries, without writing: ``would`` succeed, ``unknown`` of them with a value no table knows; ``faults``
    by text with how many; ``gone`` could not be opened or are read by another mapping."""

    version: str
    total: int
    would: int = 0
    unknown: int = 0
    gone: int = 0
    faults: Sequence[tuple[str, int]] = ()
    example: str = ""


# ---------------------------------------------------------------------- looking
async def groups(desk: Desk, viewer: access.Viewer) -> list[Group]:
    """Open ones by cause, the most first."""
    found: dict[tuple[str, str, str, str], Group] = {}
    async for letter in letters(desk, viewer):
        of = f"{letter.account}/{letter.topic}"
        _group(found, "entry", of, letter.stage, letter.cause).add(letter.at, letter.detail)
    async for one in deliveries(desk, viewer):
        _group(found, "delivery", one.endpoint, "delivery", one.cause or "").add(one.created, "")
    return sorted(found.values(), key=lambda one: -one.count)


def _group(found: dict[tuple[str, str, str, str], Group], kind: str, of: str, stage: str, cause: str) -> Group:
    return found.setdefault((kind, of, stage, cause), Group(kind=kind, of=of, stage=stage, cause=cause))


async def letters(desk: Desk, viewer: access.Viewer) -> AsyncIterator[store.DeadLetter]:
    """Open dead letters within the viewer's domain."""
    after, walked = "", 0
    while walked < _WALK and (page := await desk.records.dead_letters(limit=_PAGE, after=after)):
        after, walked = page[-1].id, walked + len(page)
        for one in page:
            if flow.within(desk, viewer, one.account):
                yield one


async def deliveries(desk: Desk, viewer: access.Viewer) -> AsyncIterator[store.Delivery]:
    """Deliveries that were given up, to endpoints within the viewer's domain; of endpoints that are no more only for who sees all."""
    seen = {entry.endpoint.name for entry in await subscribers.seen(desk, viewer)}
    after, walked = "", 0
    while walked < _WALK and (
        page := await desk.records.deliveries(state=DeliveryState.DEAD, limit=_PAGE, after=after)
    ):
        after, walked = page[-1].id, walked + len(page)
        for one in page:
            if one.endpoint in seen or viewer.domain is None:
                yield one


async def letters_of(desk: Desk, viewer: access.Viewer, chosen: Chosen) -> list[store.DeadLetter]:
    """The open letters that are meant, the newest first."""
    if chosen.kind != "entry":
        return []
    found = [one async for one in letters(desk, viewer) if (one.id == chosen.id if chosen.id else _same(one, chosen))]
    return sorted(found, key=lambda one: one.at, reverse=True)


def _same(one: store.DeadLetter, chosen: Chosen) -> bool:
    return (f"{one.account}/{one.topic}", one.stage, one.cause) == (chosen.of, chosen.stage, chosen.cause)


async def deliveries_of(desk: Desk, viewer: access.Viewer, chosen: Chosen) -> list[store.Delivery]:
    """The dead deliveries that are meant, the newest first."""
    if chosen.kind != "delivery":
        return []
    found = [
        one
        async for one in deliveries(desk, viewer)
        if (one.id == chosen.id if chosen.id else (one.endpoint, one.cause or "") == (chosen.of, chosen.cause))
    ]
    return sorted(found, key=lambda one: one.created, reverse=True)


# ---------------------------------------------------------------------- trying again
async def plan(desk: Desk, viewer: access.Viewer, chosen: Chosen) -> Plan:
    """Count, and change nothing. Whether an entry is still there is looked up for the first thousand."""
    meant = await letters_of(desk, viewer, chosen)
    if chosen.kind == "delivery":
        dead = await deliveries_of(desk, viewer, chosen)
        off = await desk.records.disabled()
        held = sum(one.endpoint in off for one in dead)
        return Plan(total=len(dead), ready=len(dead) - held, held=held)
    fetch = sum(one.stage == "fetch" for one in meant)
    gone = 0
    for one in [one for one in meant if one.stage != "fetch"][:MOST]:
        entry = await desk.log.find(one.entry)
        gone += entry is None or _erased(desk, entry)
    return Plan(total=len(meant), ready=len(meant) - fetch - gone, gone=gone, fetch=fetch)


def _erased(desk: Desk, entry: journal.Entry) -> bool:
    try:
        return desk.vault.open(entry.payload, entry.id.encode()) == journal.ERASED
    except GatewayError:
        # What was altered is not gone: trying says what is wrong with it.
        return False


async def retry(desk: Desk, viewer: access.Viewer, chosen: Chosen) -> Outcome:
    """Project entries again with today's mappings, or make deliveries due again: a thousand at most, the oldest first. The caller left the trace.

    What cannot be tried is passed over, so that the next go comes to what lies behind it.
    """
    if chosen.kind == "delivery":
        dead = [one.id for one in await deliveries_of(desk, viewer, chosen)][::-1]
        done = 0
        for start in range(0, min(len(dead), MOST), _STEP):
            done += await desk.records.revive(dead[start : start + _STEP], now=desk.clock.now())
        return Outcome(done=done, left=len(dead) - done)
    meant = (await letters_of(desk, viewer, chosen))[::-1]
    ready = [one for one in meant if one.stage != "fetch"]
    settler, done = await desk.settler(), 0
    for start in range(0, len(ready), _STEP):
        if done >= MOST:
            break
        some = ready[start : start + min(_STEP, MOST - done)]
        done += len(some) - len(await settler.retry(some))
    return Outcome(done=done, left=len(meant) - done)


async def drop(desk: Desk, viewer: access.Viewer, chosen: Chosen, reason: str) -> Outcome:
    """Close them for good. The caller left the trace."""
    if chosen.kind == "delivery":
        dead = [one.id for one in await deliveries_of(desk, viewer, chosen)]
        done = sum(
            [
                await desk.records.drop(dead[start : start + _STEP], cause=f"dropped: {reason}")
                for start in range(0, len(dead), _STEP)
            ]
        )
        return Outcome(done=done, left=len(dead) - done)
    meant = await letters_of(desk, viewer, chosen)
    await (await desk.settler()).drop(meant, reason)
    return Outcome(done=len(meant), left=0)


# ---------------------------------------------------------------------- trying a mapping
async def line_of(desk: Desk, chosen: Sequence[store.DeadLetter]) -> tuple[str, str] | None:
    """Connector and stem of the mapping that reads these entries; None where none of the newest can be decoded."""
    for one in chosen[:5]:
        entry = await desk.log.find(one.entry)
        if entry is None:
            continue
        try:
            source = source_of(entry, desk.accounts, desk.vault)
        except GatewayError:
            continue
        if source.stem:
            return source.opened.card.name, source.stem
    return None


async def attempt(
    desk: Desk, chosen: Sequence[store.DeadLetter], program: mapping.Program, *, stem: str, version: str
) -> Tried:
    """Run a mapping over the newest of these entries and say what would become of them. Nothing is written."""
    entries = [await desk.log.find(one.entry) for one in chosen[:TRIED]]
    there = [entry for entry in entries if entry is not None]
    found = await asyncio.to_thread(_run, desk, there, program, stem)
    return msgspec.structs.replace(
        found, version=version, total=len(entries), gone=found.gone + len(entries) - len(there)
    )


def _run(desk: Desk, entries: Sequence[journal.Entry], program: mapping.Program, stem: str) -> Tried:
    faults: Counter[str] = Counter()
    would = unknown = gone = 0
    example = ""
    for entry in entries:
        try:
            source = source_of(entry, desk.accounts, desk.vault)
        except GatewayError as error:
            faults[f"{error.code} {error}"] += 1
            continue
        if source.stem != stem:
            gone += 1
            continue
        try:
            said = program.run(source.data, source.context)
        except GatewayError as error:
            faults[f"{error.code} {error}"] += 1
            continue
        would += 1
        unknown += any(one.unknowns for one in said)
        example = example or entry.id
    return Tried(
        version="", total=0, would=would, unknown=unknown, gone=gone, faults=faults.most_common(8), example=example
    )
