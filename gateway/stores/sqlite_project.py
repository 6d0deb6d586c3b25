"""Looking and applying: one transaction for everything a stretch of entries led to, on SQLite."""

import sqlite3
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from gateway.errors import Stale, StoreError
from gateway.model.identity import Strength
from gateway.store import Batch, Cursor, Delivery, DeliveryState, Edge, Found, Merge, Wants
from gateway.stores import shapes, sqlite_actions, statements
from gateway.stores.sqlite_connection import snapshot, transaction

_OPEN = (DeliveryState.DUE, DeliveryState.LEASED, DeliveryState.WAITING)


def look(connection: sqlite3.Connection, wants: Wants) -> Found:
    """See ``Store.look``."""
    with snapshot(connection):
        seen = statements.seen_among.run(connection, [dedupe for _, dedupe in wants.seen])
        edges = statements.edges_by_key.run(connection, wants.keys)
        rows = statements.rows_by_key.run(connection, wants.records)
        by_id = statements.rows_by_id.run(connection, wants.ids)
        edges_of = statements.edges_by_customer.run(connection, wants.edges_of)
    return Found(
        seen=set(wants.seen).intersection(seen),
        edges=_grouped(shapes.edge.unpack_all(edges), "key"),
        rows={row.key: row for row in shapes.row.unpack_all(rows)},
        by_id={row.id: row for row in shapes.row.unpack_all(by_id)},
        edges_of=_grouped(shapes.edge.unpack_all(edges_of), "customer"),
    )


def _grouped(edges: Iterable[Edge], name: str) -> dict[Any, list[Edge]]:
    groups: dict[Any, list[Edge]] = {}
    for edge in edges:
        groups.setdefault(getattr(edge, name), []).append(edge)
    return groups


def apply(connection: sqlite3.Connection, batch: Batch, *, now: int) -> set[str]:
    """See ``Store.apply``."""
    with transaction(connection):
        return _apply(connection, batch, now)


def unmerge(connection: sqlite3.Connection, merge: Merge, batch: Batch, *, now: int) -> None:
    """See ``Store.unmerge``."""
    with transaction(connection):
        if not statements.undo_merge.change(connection, id_=merge.id, at_=now):
            raise Stale("this merge is already undone")
        statements.give_back.run(connection, merge_=merge.id, loser_=merge.loser, survivor_=merge.survivor)
        _apply(connection, batch, now)


def _apply(connection: sqlite3.Connection, batch: Batch, now: int) -> set[str]:
    _advance(connection, batch.before, batch.after)
    statements.mark_seen.run(connection, shapes.seen.pack_all(batch.seen))
    tally = _write_rows(connection, batch)
    _write_edges(connection, batch)
    statements.put_merges.run(connection, shapes.merge.pack_all(batch.merges))
    for merge in batch.merges:
        statements.note_moved.run(connection, merge_=merge.id, loser_=merge.loser)
    statements.move_records.run(connection, _resolved(batch.moves))
    _write_candidates(connection, batch)
    statements.put_superseded.run(connection, shapes.superseded.pack_all(batch.superseded))
    statements.put_events.run(connection, shapes.event.pack_all(batch.events))
    placed = _place(connection, batch, now)
    statements.put_deliveries.run(connection, shapes.delivery.pack_all(placed))
    statements.put_dead_letters.run(connection, shapes.dead_letter.pack_all(batch.dead))
    statements.ask.run(connection, shapes.errand.pack_all(batch.errands))
    sqlite_actions.save(connection, batch.actions)
    tally.update(f"deliveries.{one.state.value}" for one in placed if one.state not in _OPEN)
    count_up(connection, tally)
    return {one.id for one in placed if one.state is DeliveryState.LEASED}


def count_up(connection: sqlite3.Connection, tally: Counter[str]) -> None:
    """Add to the tallies, which stand for counting what only grows."""
    statements.count_up.run(connection, [item for item in tally.items() if item[1]])


def _advance(connection: sqlite3.Connection, before: Cursor | None, after: Cursor | None) -> None:
    place = after or before
    if place is None:
        return
    if before is not None and after is not None and (before.lane, before.shard) != (after.lane, after.shard):
        raise StoreError("a batch moves one cursor, not two")
    lane, shard = place.lane.value, place.shard
    stands = statements.cursor_at.run(connection, in_lane=lane, in_shard=shard)
    # Nowhere is as good as nought: nothing was applied.
    if (stands[0][0] if stands else 0) != (before.position if before else 0):
        raise Stale("another worker has moved the cursor", place=f"{lane}/{shard}")
    if after is not None:
        statements.move_cursor.run(connection, [(lane, shard, after.position)])


def _write_rows(connection: sqlite3.Connection, batch: Batch) -> Counter[str]:
    if batch.read and set(batch.read).difference(
        statements.stamps.run(connection, [name for name, _, _ in batch.read])
    ):
        raise Stale("another writer changed a record of this batch since it was read")
    if not batch.rows:
        return Counter()
    newest = statements.newest_row.run(connection)[0][0]
    statements.put_rows.run(connection, shapes.row.pack_all(batch.rows))
    fresh = statements.new_kinds.run(connection, after=newest)
    return Counter(f"records.{kind}" for (kind,) in fresh)


def _write_edges(connection: sqlite3.Connection, batch: Batch) -> None:
    statements.drop_edges.run(connection, batch.gone)
    statements.put_edges.run(connection, shapes.edge.pack_all(batch.edges))
    strong = {edge.key for edge in batch.edges if edge.live and edge.strength is Strength.STRONG}
    if statements.twice_held.run(connection, list(strong)):
        raise Stale("a strong key would have two live edges")


def _resolved(moves: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Each loser with the survivor at the end of its chain, since one statement moves them all at once."""
    into = dict(moves)
    return [(loser, _end(loser, into)) for loser in into]


def _end(name: str, into: dict[str, str]) -> str:
    passed = {name}
    while (further := into.get(name)) is not None and further not in passed:
        passed.add(name := further)
    return name


def _write_candidates(connection: sqlite3.Connection, batch: Batch) -> None:
    rejected = set(statements.rejected_pairs.run(connection, [one.a for one in batch.candidates]))
    wanted = [one for one in batch.candidates if one.state != "open" or (one.a, one.b) not in rejected]
    statements.put_candidates.run(connection, shapes.candidate.pack_all(wanted))


def _place(connection: sqlite3.Connection, batch: Batch, now: int) -> list[Delivery]:
    """Each new delivery in the state it is born in: disabled, waiting, leased to the caller, or due."""
    if not batch.deliveries:
        return []
    off: dict[str, str] = dict(statements.endpoints.run(connection))
    subjects = list(dict.fromkeys((one.endpoint, one.subject) for one in batch.deliveries if one.subject is not None))
    busy: set[tuple[str, str | None]] = set(statements.busy_subjects.run(connection, subjects))
    room = batch.claim_most if batch.claim is not None else 0
    placed = []
    for one in batch.deliveries:
        changes = _birth(one, batch, off, busy, leasable=room > 0, now=now)
        room -= changes.get("state") is DeliveryState.LEASED
        placed.append(msgspec.structs.replace(one, **changes) if changes else one)
    return placed


def _birth(
    one: Delivery,
    batch: Batch,
    off: dict[str, str],
    busy: set[tuple[str, str | None]],
    *,
    leasable: bool,
    now: int,
) -> dict[str, Any]:
    if one.state is not DeliveryState.DUE:
        return {}
    if one.endpoint in off:
        return {"state": DeliveryState.DISABLED, "cause": off[one.endpoint]}
    if one.subject is not None:
        if (one.endpoint, one.subject) in busy:
            return {"state": DeliveryState.WAITING}
        busy.add((one.endpoint, one.subject))
    if leasable and one.due <= now:
        return {"state": DeliveryState.LEASED, "claim": batch.claim, "lease": batch.lease}
    return {}
