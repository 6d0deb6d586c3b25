"""Growth: what an order costs to project in a store with a million customers, against one with ten thousand.

Each order is of a customer drawn evenly from all of them, so that nothing of what it looks up is at hand. The stores are filled directly: the
customers that orders will name are made by the gateway's own code, the others are rows of the same size with keys of their own.
``--size 0.1`` fills a hundred thousand instead.
"""

import asyncio
import os
import random
import sqlite3
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import uvloop

from bench import figure, inside, made, report, running
from bench.figure import Figure, Scale
from gateway import clock, store
from gateway.journal import Entry
from gateway.model.lane import Lane
from gateway.pipeline.world import Cause, World
from gateway.stores import shapes

_FEW, _MANY = 10_000, 1_000_000
_NAMED = 8000
_STEP = 20_000
# A customer a millisecond, ending before now: ids are in the order of their making.
_EVERY = 1000


def measure(scale: Scale) -> Sequence[Figure]:
    """Microseconds an order in both stores."""
    many = scale.count(_MANY, least=4 * _FEW)
    with running.folder() as data:
        return uvloop.run(_measure(scale, data, many))


async def _measure(scale: Scale, data: Path, many: int) -> Sequence[Figure]:
    small, large = [await _Stocked.open(data / str(people), people) for people in (_FEW, many)]
    pairs = []
    count = min(scale.count(4096), 4096)
    try:
        for number in range(-1, scale.rounds):
            figure.say(f"growth: round {number + 1}")
            turns = (small, large) if number % 2 else (large, small)
            took = {id(one): await one.round(512 if number < 0 else count) for one in turns}
            pairs.append((took[id(large)], took[id(small)]))
    finally:
        await small.close()
        await large.close()
    return [
        figure.ratio(
            "growth", f"Microseconds to project one order among {many:,} customers with two identities each.", "µs", pairs[1:],
            against=f"the same among {_FEW:,}", floor=1.5, aim=1.15, best="low",
            notes=[f"store files of {large.size:.0f} MiB and {small.size:.0f} MiB; all of it was in the kernel's page cache"],
        )
    ]  # fmt: skip


class _Stocked:
    """A house whose store holds ``people`` customers, and those of them that orders may name."""

    def __init__(self, house: inside.Inside, named: Sequence[int], size: float) -> None:
        self._house = house
        self._named = named
        self._number = 0
        self.size = size

    @classmethod
    async def open(cls, data: Path, people: int) -> "_Stocked":
        """Fill, then open."""
        data.mkdir()
        text = running.config(data, sinks=("http://127.0.0.1:9/hook",))
        house = inside.open_inside(data, text)
        named = sorted(random.Random(people).sample(range(people), min(_NAMED, people)))
        figure.say(f"growth: filling {people:,} customers")
        rows, edges = _customers(house, named, people)
        await house.close()
        await asyncio.to_thread(_fill, data / "store.db", rows, edges, people)
        return cls(inside.open_inside(data, text), named, (data / "store.db").stat().st_size / 2**20)

    async def round(self, count: int) -> float:
        """Orders are in the journal when the clock starts."""
        people = made.spread_over(self._named, count, self._number)
        bodies = [made.order(self._number + at, person) for at, person in enumerate(people)]
        self._number += count
        await self._house.accept(bodies, run=f"r{self._number}")
        began = time.perf_counter()
        assert await self._house.project() == count
        took = time.perf_counter() - began
        kept = (await self._house.ground.records.counts()).get("records.customer", 0)
        assert not kept, f"{kept} orders found nobody"
        return took / count * 1e6

    async def close(self) -> None:
        """Let go."""
        await self._house.close()


# ---------------------------------------------------------------------- filling
Made = dict[int, store.Row]


def _customers(house: inside.Inside, named: Sequence[int], people: int) -> tuple[Made, list[store.Edge]]:
    """The named customers as the gateway makes them from an order, as of different times."""
    opened = house.ground.accounts.need("feed")
    vault, now = house.ground.vault, house.ground.clock.now()
    rows: Made = {}
    edges: list[store.Edge] = []
    for person in named:
        at = now - (people - person) * _EVERY - 3_600_000_000
        entry = Entry(
            position=1, id=clock.derived_id("ent", at, str(person)), account="feed", topic="order", lane=Lane.LIVE, dedupe=b"", partition=b"",
            received_at=at, payload=b"",
        )  # fmt: skip
        sealed = vault.seal(made.order(0, person, at=at / 1e6), entry.id.encode())
        read = house.reader.read(msgspec.structs.replace(entry, payload=sealed))
        assert read.dead is None, read.dead
        world = World(store.Found(seen=set(), edges={}, rows={}, by_id={}, edges_of={}), vault)
        cause = Cause(
            entry=entry.id,
            account="feed",
            connector="feed",
            mapping=read.name,
            stem=read.stem,
            at=at,
            unit=opened.account.unit,
        )
        world.apply(read.said[0], read.claims[0], cause, 0)
        rows[person] = next(row for row in world.rows if row.kind == "customer")
        edges += world.edges
    return rows, edges


def _fill(path: Path, rows: Made, edges: list[store.Edge], people: int) -> None:
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("PRAGMA journal_mode = DELETE")
    for pragma in ("journal_mode = OFF", "synchronous = OFF", "cache_size = -400000", "locking_mode = EXCLUSIVE"):
        db.execute(f"PRAGMA {pragma}")
    # An index is quicker made at once than row by row in the order of hashes.
    late = [sql for (sql,) in db.execute("SELECT sql FROM sqlite_master WHERE name LIKE 'ix_edges%'")]
    db.execute("DROP INDEX ix_edges_customer")
    db.execute("BEGIN")
    assert _insert(db, shapes.row, _row_tuples(rows, people)) == people
    _insert(db, shapes.edge, _edge_tuples(edges, rows, people))
    db.execute("COMMIT")
    for sql in late:
        db.execute(sql)
    db.execute("PRAGMA optimize")
    db.close()


def _insert(db: sqlite3.Connection, shape: Any, tuples: Iterator[tuple[Any, ...]]) -> int:
    columns = [column.name for column in shape.written]
    marks = ", ".join("?" * len(columns))
    sql = f"INSERT INTO {shape.table.name} ({', '.join(columns)}) VALUES ({marks})"
    return db.executemany(sql, tuples).rowcount


def _row_tuples(rows: Made, people: int) -> Iterator[tuple[Any, ...]]:
    pattern = next(iter(rows.values()))
    first = min(rows)
    begin = rows[first].created - first * _EVERY
    names = [column.name for column in shapes.row.written]
    places = {name: names.index(name) for name in ("id", "key", "at", "created", "updated", "body")}
    like = list(shapes.row.pack(pattern))
    for number in range(people):
        own = rows.get(number)
        if own is not None:
            yield shapes.row.pack(own)
            continue
        at = begin + number * _EVERY
        name = _name(number, at)
        row = list(like)
        row[places["id"]], row[places["key"]] = name, name.encode()
        row[places["at"]] = row[places["created"]] = row[places["updated"]] = at
        row[places["body"]] = pattern.body.replace(pattern.id.encode(), name.encode())
        yield tuple(row)


def _edge_tuples(edges: list[store.Edge], rows: Made, people: int) -> Iterator[tuple[Any, ...]]:
    """In the order of their keys, as the table keeps them."""
    first = min(rows)
    begin = rows[first].created - first * _EVERY
    patterns = [shapes.edge.pack(edge) for edge in edges[:2]]
    others = [number for number in range(people) if number not in rows] * 2
    random.Random(1).shuffle(others)
    noise = os.urandom(16 * len(others))
    filler = ((noise[16 * at : 16 * at + 16], number, at) for at, number in enumerate(others))
    known = ((edge.key, None, at) for at, edge in enumerate(edges))
    for key, number, at in sorted((*filler, *known), key=lambda one: one[0]):
        if number is None:
            yield shapes.edge.pack(edges[at])
        else:
            yield (key, _name(number, begin + number * _EVERY), *patterns[at % 2][2:])


def _name(number: int, at: int) -> str:
    """The id of a customer nobody will name."""
    return f"cus_{at // 1000:012x}7000{0x8000 << 48 | number:016x}"


if __name__ == "__main__":
    report.main(measure)
