"""From whatever somebody has in hand to the things it may mean: an id of ours, a partner's number, a phone, a key that a request carried.

Nothing is opened to search: numbers, identities and keys are looked up by their keyed hashes.
"""

from collections.abc import Iterable, Mapping

import msgspec

from gateway import access, journal, store
from gateway.desk import flow, probes
from gateway.desk.people import normal
from gateway.desk.reading import Reading
from gateway.desk.resources import Desk
from gateway.errors import PayloadError
from gateway.identity import NAMESPACES
from gateway.model.lane import Lane
from gateway.pipeline import backwards
from gateway.pipeline.accounts import Opened
from gateway.pipeline.world import PREFIXES, record_key

_SCAN = 5000
_AHEAD = 500
_MOST = 20
_KINDS = {prefix: kind for kind, prefix in PREFIXES.items()}


class Thing(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that may be meant. ``kind`` is a record's, or entry, event, delivery. ``by`` tells how it was found: id, number, identity,
    dedupe, partition."""

    kind: str
    id: str
    by: str
    account: str = ""
    at: int | None = None


class Aim(msgspec.Struct, frozen=True, kw_only=True):
    """A thing as ``flow`` takes it: a record's row, or an entry, or an event with the entry it came from. ``focus`` is what was asked for."""

    kind: str
    focus: str
    row: store.Row | None = None
    entry: str = ""
    event: store.EventRow | None = None


async def aim(desk: Desk, viewer: access.Viewer, name: str) -> Aim | None:
    """What an id of ours names; None for what is none, is not there, or is not the viewer's."""
    prefix = name.partition("_")[0]
    if prefix in _KINDS:
        row = await Reading(desk.records, desk.vault, desk.witness).row(viewer, _KINDS[prefix], name)
        return Aim(kind=row.kind, focus=row.id, row=row) if row else None
    if prefix == "ent":
        return Aim(kind="entry", focus=name, entry=name)
    if prefix == "ded":
        letter = await flow.letter_by_id(desk.records, name)
        return Aim(kind="entry", focus=letter.entry, entry=letter.entry) if letter else None
    if prefix == "dlv":
        known = (await desk.records.known([name])).get(name)
        return await _event(desk, viewer, known.event, name) if known else None
    return await _event(desk, viewer, name, name) if prefix == "evt" else None


async def _event(desk: Desk, viewer: access.Viewer, name: str, focus: str) -> Aim | None:
    rows = await desk.records.span(store.Span(ids=[name]), limit=1)
    if not rows or not viewer.sees(rows[0].unit):
        return None
    return Aim(kind="event", focus=focus, entry=rows[0].entry, event=rows[0])


async def seek(desk: Desk, viewer: access.Viewer, asked: str) -> list[Thing]:
    """Everything that ``asked`` may mean, what is surest first: at most twenty."""
    accounts = [one for one in desk.accounts.all() if flow.within(desk, viewer, one.account.name)]
    found = [
        *await _by_number(desk, viewer, asked, accounts),
        *await _by_identity(desk, viewer, asked, accounts),
        *await _by_dedupe(desk, asked, accounts),
    ]
    if not found:
        found = await _by_partition(desk, asked, accounts)
    return list({one.id: one for one in reversed(found)}.values())[::-1][:_MOST]


async def _by_number(desk: Desk, viewer: access.Viewer, asked: str, accounts: Iterable[Opened]) -> list[Thing]:
    keys = [
        record_key(desk.vault, kind, one.account.name, asked)
        for one in accounts
        for kind in PREFIXES
        if kind != "customer"
    ]
    rows = (await desk.records.look(store.Wants(records=keys))).rows.values() if keys else ()
    return [
        Thing(kind=row.kind, id=row.id, by="number", account=row.account, at=row.updated)
        for row in sorted(rows, key=lambda row: row.updated, reverse=True)
        if viewer.sees(row.unit)
    ]


async def _by_identity(desk: Desk, viewer: access.Viewer, asked: str, accounts: Iterable[Opened]) -> list[Thing]:
    scopes = _scopes(accounts)
    keys = []
    likely = probes.looks_like(asked)
    if likely and await probes.wait(desk, viewer, likely):
        likely = ""
    for name, space in NAMESPACES.items():
        # An address or a birthday is nothing that somebody has in hand and wants to follow.
        if name in probes.GUESSABLE and name != likely:
            continue
        try:
            value = normal(name, asked)
        except PayloadError:
            continue
        keys += [desk.vault.blind("identity", name, scope, value) for scope in (scopes if space.scope else ("",))]
    edges = (await desk.records.look(store.Wants(keys=keys))).edges
    reading = Reading(desk.records, desk.vault, desk.witness)
    rows: dict[str, store.Row] = {}
    for edge in (one for held in edges.values() for one in held if one.live):
        row = await reading.row(viewer, "customer", edge.customer)
        if row is not None:
            rows[row.id] = row
    return [
        Thing(kind="customer", id=row.id, by="identity", account=row.account, at=row.updated) for row in rows.values()
    ]


def _scopes(accounts: Iterable[Opened]) -> set[str]:
    """What an identity may be scoped by: accounts, and what their options say (a corp, an app, a system)."""
    return {scope for one in accounts for scope in (one.account.name, *one.facts.values()) if scope}


async def _by_dedupe(desk: Desk, asked: str, accounts: Iterable[Opened]) -> list[Thing]:
    marks = [
        (one.account.name, desk.vault.blind("dedupe", one.account.name, topic.name, asked))
        for one in accounts
        for topic in one.card.topics
    ]
    return [
        Thing(kind="entry", id=one.entry, by="dedupe", account=one.account, at=one.at)
        for one in (await desk.records.applied(marks) if marks else ())
    ]


async def _by_partition(desk: Desk, asked: str, accounts: Iterable[Opened]) -> list[Thing]:
    """Entries that never became a record: among dead letters, among what is not projected yet, and the newest of the journal."""
    wanted = {one.account.name: desk.vault.blind("partition", one.account.name, asked) for one in accounts}
    names = await flow.letters_about(desk, wanted)
    entries = [entry for name in names if (entry := await desk.log.find(name)) is not None]
    entries += await _journal(desk, wanted)
    return [
        Thing(kind="entry", id=entry.id, by="partition", account=entry.account, at=entry.received_at)
        for entry in sorted(entries, key=lambda one: one.received_at, reverse=True)
    ]


async def _journal(desk: Desk, wanted: Mapping[str, bytes]) -> list[journal.Entry]:
    def meant(entry: journal.Entry) -> bool:
        return wanted.get(entry.account) == entry.partition

    cursors = await desk.records.cursors()
    found: list[journal.Entry] = []
    for lane in Lane:
        for shard in desk.log.shards(lane):
            page = await desk.log.read(lane, shard, cursors.get((lane, shard), 0), _AHEAD)
            found += [entry for entry in page if meant(entry)]
    async for page in backwards.newest(desk.log, cursors, meant, scan=_SCAN):
        found += page
        if len(found) >= _MOST:
            break
    return found
