"""Flow of one thing: every hop from a door to each endpoint, with its time.

A **journey** is one entry's way. Its times are those that are kept: an entry knows when it was received, a delivery when its event was
published (which is when the entry was projected), an attempt when it began and how long it took.
"""

import asyncio
from collections.abc import Iterable, Sequence
from enum import Enum
from typing import Any

import msgspec

from gateway import access, journal, store
from gateway.clock import derived_id
from gateway.desk import subscribers
from gateway.desk.resources import Desk
from gateway.pipeline.read import Read, Reader
from gateway.pipeline.world import record_key
from gateway.store import DeliveryState

MOST = 10
"""Journeys of a record at once."""

_EVENTS = 60
_LETTERS = 1000
_document = msgspec.json.Decoder(dict[str, Any])


class Verdict(Enum):
    """What became of an entry."""

    NEW = "new"
    UPDATED = "updated"
    NOTHING = "nothing"
    ASKED = "asked"
    ERASED = "erased"
    DUPLICATE = "duplicate"
    SUPERSEDED = "superseded"
    DEAD = "dead"
    RETRIED = "retried"
    DROPPED = "dropped"
    WAITING = "waiting"
    SETTLED = "settled"


class Sent(msgspec.Struct, frozen=True, kw_only=True):
    """One delivery with its attempts, oldest first."""

    delivery: store.Delivery
    attempts: Sequence[store.Attempt]


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """One event that was published. ``changed`` names fields; ``mapping`` is the version that read the entry."""

    event: store.EventRow
    changed: Sequence[str]
    mapping: str
    sent: Sequence[Sent]


class Journey(msgspec.Struct, frozen=True, kw_only=True):
    """One entry's way. ``entry`` is None where the journal forgot it, or a person did it. ``twin`` is the entry that was applied in its place.

    ``at`` is when it was received; ``projected`` is None where nothing that is kept tells it.
    """

    id: str
    account: str
    at: int
    verdict: Verdict
    entry: journal.Entry | None = None
    connector: str = ""
    door: str = ""
    letter: store.DeadLetter | None = None
    twin: str = ""
    projected: int | None = None
    told: Sequence[Told] = ()

    @property
    def sent(self) -> list[Sent]:
        """Deliveries of all its events."""
        return [one for told in self.told for one in told.sent]

    @property
    def mapping(self) -> str:
        """The version that read it, as events say."""
        return next((told.mapping for told in self.told if told.mapping), "")


class Hop(msgspec.Struct, frozen=True, kw_only=True):
    """One step. ``since`` is microseconds after the one before. ``kind`` is received, projected, published, attempt or next."""

    kind: str
    at: int
    since: int = 0
    level: str = ""
    facts: dict[str, Any] = {}


# ---------------------------------------------------------------------- pure
def verdict_of(
    name: str,
    *,
    events: Sequence[store.EventRow],
    late: bool,
    seen: store.Seen | None,
    letter: store.DeadLetter | None,
    past: bool,
) -> Verdict:
    """What became of entry ``name``. ``past`` says that the cursor has gone by it."""
    if events:
        return Verdict.NEW if any(event.sequence == 1 for event in events) else Verdict.UPDATED
    if late:
        return Verdict.SUPERSEDED
    if seen is not None and seen.entry == name:
        return Verdict.NOTHING
    if letter is not None:
        return {"open": Verdict.DEAD, "retried": Verdict.RETRIED}.get(letter.state, Verdict.DROPPED)
    if seen is not None:
        return Verdict.DUPLICATE
    return Verdict.NOTHING if past else Verdict.WAITING


def hops(journey: Journey) -> list[Hop]:
    """Every step in the order of time."""
    found = [] if journey.entry is None else [Hop(kind="received", at=journey.at)]
    if journey.projected is not None or journey.verdict is not Verdict.WAITING:
        level = "bad" if journey.verdict is Verdict.DEAD else "good" if journey.told else ""
        found.append(Hop(kind="projected", at=journey.projected or journey.at, level=level))
    at = journey.projected or journey.at
    found += [Hop(kind="published", at=at, level="good", facts={"told": told}) for told in journey.told]
    tries = sorted(
        ((number, attempt, one) for one in journey.sent for number, attempt in enumerate(one.attempts, 1)),
        key=lambda item: item[1].at,
    )
    found += [
        Hop(kind="attempt", at=one.at, level="good" if ok(one) else "bad", facts={"attempt": one, "number": number, "sent": sent})
        for number, one, sent in tries
    ]  # fmt: skip
    found += [
        Hop(kind="next", at=one.delivery.due, level=_level(one.delivery), facts={"sent": one})
        for one in journey.sent
        if one.delivery.state is not DeliveryState.DONE
    ]
    return [msgspec.structs.replace(hop, since=max(0, hop.at - before.at)) for hop, before in _pairs(found)]


def _pairs(found: Sequence[Hop]) -> Iterable[tuple[Hop, Hop]]:
    return zip(found, [found[0], *found] if found else (), strict=False)


def _level(delivery: store.Delivery) -> str:
    if delivery.state in (DeliveryState.DEAD, DeliveryState.DISABLED):
        return "bad"
    return "warn" if delivery.tries else "busy"


def ok(attempt: store.Attempt) -> bool:
    """A 2xx and nothing else."""
    return attempt.status is not None and 200 <= attempt.status < 300


def delivered(journey: Journey) -> int | None:
    """When the last of its deliveries arrived; None while one has not, or there is none."""
    ends = [max((one.at + one.took for one in sent.attempts if ok(one)), default=None) for sent in journey.sent]
    return None if not ends or None in ends else max(end for end in ends if end is not None)


# ---------------------------------------------------------------------- assembling
async def of_entry(
    desk: Desk, viewer: access.Viewer, name: str, *, event: store.EventRow | None = None
) -> Journey | None:
    """The way of one entry; of one that the journal forgot as much as ``event`` still tells. None when it is not there or not the viewer's."""
    entry = await desk.log.find(name) if name.startswith("ent_") else None
    if entry is None:
        return await _without_entry(desk, viewer, name, event) if event is not None else None
    if not within(desk, viewer, entry.account):
        return None
    marks = await desk.records.applied([(entry.account, entry.dedupe)])
    seen = marks[0] if marks else None
    letter = await letter_of(desk.records, entry.account, entry.dedupe)
    events = await _published(desk, viewer, name, entry.received_at)
    past = await _past(desk, entry)
    said = (
        await _said(desk, entry)
        if not events and (seen is None or seen.entry == name) and letter is None and past
        else None
    )
    late = said is not None and await _came_too_late(desk, name, said)
    verdict = verdict_of(name, events=events, late=late, seen=seen, letter=letter, past=past)
    if verdict is Verdict.NOTHING and said is not None:
        verdict = Verdict.ERASED if said.opened is None else Verdict.ASKED if said.fetch and not said.stem else verdict
    told = [await _told(desk, viewer, event) for event in events]
    twin = seen.entry if seen is not None and seen.entry != name else ""
    opened = desk.accounts.get(entry.account)
    return Journey(
        id=name, account=entry.account, at=entry.received_at, verdict=verdict, entry=entry, letter=letter, twin=twin, told=told,
        connector=opened.card.name if opened else "", door=_door(opened.account.options if opened else None),
        projected=_projected(told, letter if letter is not None and letter.entry == name else None),
    )  # fmt: skip


async def _without_entry(desk: Desk, viewer: access.Viewer, name: str, event: store.EventRow) -> Journey | None:
    if not viewer.sees(event.unit):
        return None
    known = await _published(desk, viewer, name, event.at) if name else []
    told = [await _told(desk, viewer, one) for one in known or [event]]
    verdict = Verdict.SETTLED
    if name.startswith("ent_"):
        verdict = Verdict.NEW if any(one.event.sequence == 1 for one in told) else Verdict.UPDATED
    return Journey(
        id=name or event.id, account=event.account, at=event.at, verdict=verdict, told=told, projected=_projected(told, None)
    )  # fmt: skip


def within(desk: Desk, viewer: access.Viewer, account: str) -> bool:
    """Whether what an account said is the viewer's to see."""
    opened = desk.accounts.get(account)
    return viewer.domain is None or (opened is not None and viewer.sees(opened.account.unit))


def _door(options: Any) -> str:
    if getattr(options, "listen", None):
        return "mllp"
    return "files" if getattr(options, "watch", None) else "http"


def _projected(told: Sequence[Told], letter: store.DeadLetter | None) -> int | None:
    made = [one.delivery.created for each in told for one in each.sent]
    return min(made) if made else letter.at if letter is not None else None


async def letter_of(records: store.Store, account: str, dedupe: bytes) -> store.DeadLetter | None:
    """The dead letter of what was said, whatever its state."""
    return await letter_by_id(records, derived_id("ded", 0, account, dedupe))


async def letter_by_id(records: store.Store, name: str) -> store.DeadLetter | None:
    """One dead letter, whatever its state."""
    for state in ("open", "retried", "dropped"):
        found = await records.dead_letters(state=state, limit=1, after=before(name))
        if found and found[0].id == name:
            return found[0]
    return None


def before(name: str) -> str:
    """The id just below another: a listing that goes on after it begins with the other. "" for what is no id of this house."""
    prefix, _, digits = name.partition("_")
    try:
        return f"{prefix}_{int(digits, 16) - 1:032x}"
    except ValueError:
        return ""


async def _past(desk: Desk, entry: journal.Entry) -> bool:
    cursors = await desk.records.cursors()
    own = [cursors.get((entry.lane, shard), 0) for shard in desk.log.shards(entry.lane)]
    return bool(own) and entry.position <= min(own)


async def _published(desk: Desk, viewer: access.Viewer, name: str, at: int) -> list[store.EventRow]:
    # An event carries the instant at which its entry was received, by which it is found at once.
    rows = await desk.records.span(store.Span(since=at, until=at + 1), limit=1000)
    return [row for row in rows if row.entry == name and viewer.sees(row.unit)]


async def _told(desk: Desk, viewer: access.Viewer, event: store.EventRow) -> Told:
    document = _document.decode(event.body)
    seen = {entry.endpoint.name for entry in await subscribers.seen(desk, viewer)}
    # What went to endpoints of other units is theirs; of endpoints that are no more whoever sees all sees it.
    made = [
        one
        for one in await desk.records.deliveries(event=event.id, limit=200)
        if viewer.domain is None or one.endpoint in seen
    ]
    return Told(
        event=event,
        changed=document.get("data", {}).get("changed") or (),
        mapping=document.get("source", {}).get("mapping", ""),
        sent=[Sent(delivery=one, attempts=await desk.records.attempts(one.id)) for one in made],
    )


async def _said(desk: Desk, entry: journal.Entry) -> Read:
    reader = Reader(accounts=desk.accounts, vault=desk.vault, clock=desk.clock)
    return await asyncio.to_thread(reader.read, entry)


async def _came_too_late(desk: Desk, name: str, said: Read) -> bool:
    keys = [
        record_key(desk.vault, one.kind, said.entry.account, getattr(one.record, "external_id", ""))
        for one in said.said
        if one.kind != "customer"
    ]
    rows = (await desk.records.look(store.Wants(records=keys))).rows if keys else {}
    for row in rows.values():
        if any(one.entry == name for one in await desk.records.superseded(row.id, limit=100)):
            return True
    return False


# ---------------------------------------------------------------------- of a record
async def of_record(
    desk: Desk, viewer: access.Viewer, row: store.Row, *, below: int | None = None, most: int = MOST
) -> tuple[list[Journey], int | None]:
    """What was said of a record, newest first, entries that never reached it included; and the number to go on below, None at the end."""
    events = [one for one in await desk.records.timeline(row.id, before=below, limit=_EVENTS) if viewer.sees(one.unit)]
    by_entry: dict[str, store.EventRow] = {}
    for event in events:
        by_entry.setdefault(event.entry or event.id, event)
        if len(by_entry) > most:
            break
    shown = list(by_entry.items())[:most]
    names = dict(shown)
    more = shown[-1][1].number if len(by_entry) > most else None
    extra = [] if below is not None else [*await _late_of(desk, row, most), *await lost(desk, viewer, row)]
    found = [await of_entry(desk, viewer, event.entry, event=event) for event in names.values()]
    found += [await of_entry(desk, viewer, name) for name in dict.fromkeys(extra) if name not in names]
    journeys = [one for one in found if one is not None]
    return sorted(journeys, key=lambda one: one.at, reverse=True), more


async def _late_of(desk: Desk, row: store.Row, most: int) -> list[str]:
    return [one.entry for one in await desk.records.superseded(row.id, limit=most)]


async def lost(desk: Desk, viewer: access.Viewer, row: store.Row) -> list[str]:
    """Entries of a record that stand among the open dead letters."""
    number = _document.decode(row.body).get("external_id")
    if not isinstance(number, str) or not within(desk, viewer, row.account):
        return []
    return await letters_about(desk, {row.account: desk.vault.blind("partition", row.account, number)})


async def letters_about(desk: Desk, wanted: dict[str, bytes], *, most: int = MOST) -> list[str]:
    """Entries with an open dead letter whose partition key is the wanted one of their account."""
    found = []
    for letter in await desk.records.dead_letters(limit=_LETTERS):
        entry = await desk.log.find(letter.entry) if letter.account in wanted else None
        if entry is not None and entry.partition == wanted[letter.account]:
            found.append(entry.id)
        if len(found) == most:
            break
    return found
