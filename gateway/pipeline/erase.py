"""Forgetting one customer: their values go for good, what has to add up stays.

In this order, so that a crash at any point leaves what a second ``erase`` completes, and nothing in between is worse than before:

1. Copies are overwritten: the journal's payloads about the person, while there are still identities to know them by; events, late versions,
   what merges kept, endpoints' answers.
2. One commit: identities are deleted, records become what says nothing of anybody, ``customer.erased`` is published. From here on nobody
   finds the person, and what comes in about them makes a new customer. A batch that had looked the customer up before is Stale.
3. The records' own secrets are destroyed. Doing so first would leave a live customer whose fields cannot be opened; doing so at the end
   would destroy with them what updates of their orders sealed meanwhile. From here on every copy is worthless too: backups, dumps, old pages.
4. Copies once more, until there are none: what came in, or was repeated, while 1 went on.
5. The write-ahead logs are emptied.

Rows, merges and events keep their ids, so that a second run finds everything again and does what is left.
"""

import asyncio
import contextlib
import functools
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec

from gateway import audit, journal, store
from gateway.clock import Clock, derived_id, text
from gateway.errors import GatewayError, Stale, Tampered
from gateway.model.event import SCHEMA
from gateway.pipeline import skeleton
from gateway.pipeline.about import About, Search, Tell, about, events
from gateway.pipeline.alarm import Alarm
from gateway.pipeline.change import Body
from gateway.pipeline.read import Reader
from gateway.pipeline.route import Router
from gateway.vault import Vault

_json = msgspec.json.Encoder()
_body = msgspec.json.Decoder(dict[str, Any])
_TRIES = 8
_MANY = 100_000
_STEP = 100
_GONE = b'{"erased":true}'

Swap = tuple[str, bytes, bytes]


class Busy(GatewayError):
    """Somebody kept changing what was to be erased."""

    code = "erase.busy"


class Forgotten(msgspec.Struct, kw_only=True):
    """What there is to erase, or what was erased. ``unread`` entries could not be read and may name anybody; they go with ``journal.keep``.
    ``clean`` is false while an older copy still lies in a write-ahead log."""

    who: str
    customers: int = 0
    records: dict[str, int] = {}
    identities: int = 0
    events: int = 0
    answers: int = 0
    entries: int = 0
    unread: int = 0
    secrets: int = 0
    clean: bool = False


class Eraser:
    """See the module. Works beside a running gateway."""

    def __init__(
        self,
        *,
        log: journal.Journal,
        records: store.Store,
        vault: Vault,
        clock: Clock,
        router: Router,
        reader: Reader,
        trail: audit.Trail,
        alarm: Alarm | None = None,
    ) -> None:
        self._alarm = alarm
        self._trail = trail
        self._journal = log
        self._store = records
        self._vault = vault
        self._clock = clock
        self._router = router
        self._reader = reader

    async def plan(self, customer: str) -> Forgotten:
        """What there is of a customer; nothing is changed. ``entries`` are those that led to something."""
        whose = await about(self._store, customer)
        found = _counted(whose)
        entries: set[str] = set()
        for name in whose.rows:
            async for page in events(self._store, store.Span(subject=name)):
                found.events += len(page)
                entries |= _behind(page)
        found.entries = len(entries)
        return found

    async def erase(
        self, customer: str, *, actor: str, reason: str, tell: Tell = lambda _what, _done, _total: None
    ) -> Forgotten:
        """Do it, or what an earlier call left. Unknown when there is no such customer; Busy when workers would not let go of it.

        The act is recorded before anything is done (StoreError: nothing was), and once more when all is done: an ``erase`` without its
        ``erased`` is one to run again.
        """
        whose = await about(self._store, customer)
        await self._record(actor, "erase", customer, who=whose.who, reason=reason)
        done = _counted(whose)
        search = Search(log=self._journal, reader=self._reader, vault=self._vault)
        await self._copies(whose, search, done, tell)
        whose = await self._commit(whose)
        done.secrets = await asyncio.to_thread(self._vault.forget, sorted(whose.rows))
        await self._left(whose, search, done, tell)
        done.clean = all([await self._store.scrub(), await self._journal.scrub()])
        await self._record(actor, "erased", customer, who=whose.who, entries=done.entries, secrets=done.secrets)
        return done

    async def _record(self, actor: str, verb: str, customer: str, **detail: str | int) -> None:
        act = audit.Act(at=self._clock.now(), actor=actor, verb=verb, object=customer, detail=detail)
        await self._trail.record([act])

    # ------------------------------------------------------------------ 2: one commit
    async def _commit(self, whose: About) -> About:
        """Until nothing is left to commit. Returns what there was."""
        held = whose.held
        for _ in range(_TRIES):
            whose = await about(self._store, whose.who)
            batch = await self._batch(whose)
            if batch is None:
                return msgspec.structs.replace(whose, held=held)
            held |= whose.held
            with contextlib.suppress(Stale):
                await self._store.apply(batch)
        raise Busy("workers kept changing it", place=whose.who, remedy="try again")

    async def _batch(self, whose: About) -> store.Batch | None:
        """What is left to commit; None when nothing is."""
        now = self._clock.now()
        bodies = {name: _body.decode(row.body) for name, row in whose.rows.items()}
        rows = [new for name, row in whose.rows.items() if (new := _left(row, bodies[name], now)) is not None]
        if not rows and not whose.edges:
            return None
        batch = store.Batch(
            rows=rows,
            read=[(row.id, row.sequence, row.updated) for row in whose.rows.values()],
            gone=[(edge.key, edge.customer) for edge in whose.edges],
            candidates=await self._pairs(whose),
        )
        if bodies[whose.who].get("state") == skeleton.ERASED:
            return batch
        return await self._published(batch, whose, now)

    async def _pairs(self, whose: About) -> list[store.Candidate]:
        open_ = await self._store.candidates(limit=_MANY)
        return [msgspec.structs.replace(pair, state="rejected") for pair in open_ if {pair.a, pair.b} & whose.customers]

    async def _published(self, batch: store.Batch, whose: About, now: int) -> store.Batch:
        row = whose.rows[whose.who]
        event = _event(row, sorted(whose.customers - {row.id}), now)
        await self._router.units.load(self._store)
        rows = [
            msgspec.structs.replace(one, sequence=row.sequence + 1) if one.id == row.id else one for one in batch.rows
        ]
        return msgspec.structs.replace(
            batch, rows=rows, events=[event], deliveries=self._router.deliveries(event, now=now)
        )

    # ------------------------------------------------------------------ 1 and 4: copies
    async def _copies(self, whose: About, search: Search, done: Forgotten, tell: Tell) -> None:
        entries = await self._events(whose, done, tell) | await self._versions(whose)
        await _again(lambda: self._merges(whose))
        done.entries += sum([await self._erased(name) for name in sorted(entries)])
        async for page in search.pages(whose, tell):
            done.entries += sum([await self._erased(entry.id) for entry in page])
        done.unread = search.unread

    async def _left(self, whose: About, search: Search, done: Forgotten, tell: Tell) -> None:
        """Until there is no more. An entry is not repeated once it is erased, but may have been while the journal was searched: its copy then stands
        behind where the search ended, and the next one finds it."""
        for _ in range(_TRIES):
            before = done.entries
            await self._copies(whose, search, done, tell)
            if done.entries == before:
                return
        raise Busy("entries about it kept coming in", place=whose.who, remedy="try again")

    async def _events(self, whose: About, done: Forgotten, tell: Tell) -> set[str]:
        """Overwrite them, and what endpoints answered to them; returns the entries behind them."""
        entries: set[str] = set()
        for number, name in enumerate(whose.rows):
            async for page in events(self._store, store.Span(subject=name)):
                entries |= _behind(page)
                done.events += await self._rewrite(page, whose.customers, only=False)
                done.answers += await self._answers(page)
            tell("events", number + 1, len(whose.rows))
        for other, span in whose.parted():
            await self._borrowed(other, span)
        return entries

    async def _borrowed(self, other: str, span: store.Span) -> None:
        """What events said of ``other`` while these were part of it."""
        subjects = [row.id for row in await self._store.records_of(other)]
        for subject in {other, *subjects}:
            async for page in events(self._store, msgspec.structs.replace(span, subject=subject)):
                await self._rewrite(page, frozenset({other}), only=True)

    async def _rewrite(self, page: Sequence[store.EventRow], whom: frozenset[str], *, only: bool) -> int:
        count = 0

        async def rewrite() -> bool:
            nonlocal count
            span = store.Span(ids=[event.id for event in page])
            fresh = await self._store.span(span, limit=len(page))
            swaps = [swap for event in fresh if (swap := _swap(event, whom, only=only))]
            count = count or len(swaps)
            return await self._put("events", swaps)

        await _again(rewrite)
        return count

    async def _answers(self, page: Sequence[store.EventRow]) -> int:
        count = 0
        for event in page:
            for delivery in await self._store.deliveries(event=event.id, limit=_MANY):
                count += await self._below("attempts", delivery.id, f"{delivery.id}/0/", lambda _old: b"")
        return count

    async def _versions(self, whose: About) -> set[str]:
        """Overwrite versions that came too late; returns the entries behind them."""
        entries: set[str] = set()
        for name, row in whose.rows.items():
            late = await self._store.superseded(name, limit=_MANY)
            entries |= {one.entry for one in late}
            if late:
                await self._below("superseded", name, f"{name}/0", functools.partial(_version, row.kind))
        return entries

    async def _below(self, table: str, name: str, after: str, change: Callable[[bytes], bytes]) -> int:
        """Change every body whose key begins with ``name``; returns how many there were."""
        count, more = 0, True
        while more:
            found = await self._store.bodies(table, after=after, limit=_STEP)
            mine = [(key, old) for key, old in found if key.startswith(f"{name}/")]
            swaps = [(key, old, new) for key, old in mine if (new := change(old)) != old]
            if await self._put(table, swaps):
                count += len(mine)
                more = len(mine) == _STEP
                after = mine[-1][0] if mine else after
        return count

    async def _merges(self, whose: About) -> bool:
        found = {merge.id: merge for name in whose.customers for merge in await self._store.merges(name)}
        return await self._put("merges", [(one.id, one.before, _GONE) for one in found.values() if one.before != _GONE])

    async def _put(self, table: str, swaps: Sequence[Swap]) -> bool:
        return not swaps or await self._store.rebody(table, swaps) == len(swaps)

    async def _erased(self, name: str) -> int:
        for _ in range(_TRIES):
            found = await self._journal.find(name)
            if found is None or await self._is_erased(found):
                return 0
            marker = self._vault.seal(journal.ERASED, name.encode())
            if await self._journal.replace([(name, found.payload, marker)]):
                return 1
        raise Busy("an entry kept changing", place=name, remedy="try again")

    async def _is_erased(self, entry: journal.Entry) -> bool:
        try:
            return self._vault.open(entry.payload, entry.id.encode()) == journal.ERASED
        except GatewayError as error:
            # What cannot be opened any more is overwritten all the same.
            if isinstance(error, Tampered) and self._alarm is not None:
                await self._alarm.altered(error, stage="erase", where=entry.id)
            return False


async def _again(work: Callable[[], Awaitable[bool]]) -> None:
    """Until it is done: whoever seals anew at the same time changes bodies too."""
    for _ in range(_TRIES):
        if await work():
            return
    raise Busy("something else kept sealing anew", remedy="try again when it is through")


def _counted(whose: About) -> Forgotten:
    kinds: dict[str, int] = {}
    for row in whose.rows.values():
        if row.kind != "customer":
            kinds[row.kind] = kinds.get(row.kind, 0) + 1
    return Forgotten(who=whose.who, customers=len(whose.customers), records=kinds, identities=len(whose.edges))


def _behind(page: Sequence[store.EventRow]) -> set[str]:
    """The journal's entries behind events; what a person settled has none."""
    return {event.entry for event in page if event.entry.startswith("ent_")}


def _left(row: store.Row, body: Body, now: int) -> store.Row | None:
    if row.kind == "customer":
        left = body if body.get("state") == skeleton.ERASED else skeleton.of_customer(body, text(now))
    else:
        left = skeleton.of_record(row.kind, body)
    return None if left == body else msgspec.structs.replace(row, body=_json.encode(left), updated=now)


def _swap(event: store.EventRow, whom: frozenset[str], *, only: bool) -> Swap | None:
    document = _body.decode(event.body)
    left = skeleton.of_event(document, whom, only=only)
    return None if left == document or event.type == "customer.erased" else (event.id, event.body, _json.encode(left))


def _version(kind: str, old: bytes) -> bytes:
    return _json.encode(skeleton.of_record(kind, _body.decode(old)))


def _event(row: store.Row, merged: Sequence[str], now: int) -> store.EventRow:
    sequence = row.sequence + 1
    name = derived_id("evt", now, row.id, "erased", str(sequence))
    document = {
        "id": name,
        "type": "customer.erased",
        "timestamp": text(now),
        "schema": SCHEMA,
        "subject": row.id,
        "sequence": sequence,
        "source": {"account": row.account, "connector": "", "entry": "", "mapping": ""},
        "data": {"customer": {"id": row.id, "state": skeleton.ERASED}, "merged": list(merged), "changed": []},
    }
    return store.EventRow(
        id=name, type="customer.erased", subject=row.id, sequence=sequence, at=now, account=row.account, entry="", unit=row.unit,
        body=_json.encode(document),
    )  # fmt: skip
