"""The store in one SQLite file."""

import asyncio
import random
import resource
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.clock import SECOND, TurnedClock
from gateway.errors import Stale, StoreError
from gateway.store import Batch, Booked, Claimed, DeliveryState, Seen, Span, Store, Wants
from gateway.stores import (
    claiming,
    inquiries,
    sealed,
    sqlite_actions,
    sqlite_connection,
    sqlite_endpoints,
    sqlite_purge,
    sqlite_span,
    statements,
)
from gateway.stores.forms import MOST, Form
from gateway.stores.sqlite import SqliteStore, open_store
from gateway.stores.sqlite_connection import translated
from tests.contract.store import StoreContract
from tests.contract.stores.samples import (
    LEASE,
    NOW,
    at,
    batch_of,
    delivery,
    edge,
    event,
    ids,
    key,
    outcome,
    row,
    states,
    take,
)

ROOT = Path(__file__).parents[2]

HEADER = """
import asyncio, sys
from gateway.clock import TurnedClock
from gateway.store import *
from gateway.stores.sqlite import open_store
from tests.contract.stores.samples import *
"""

# Applies batch after batch from where the cursor stands, claims and finishes between; killed at any moment.
WORKER = (
    HEADER
    + """
async def main():
    store = open_store(sys.argv[1], clock=TurnedClock())
    position = (await store.cursors()).get((Lane.LIVE, 0), 0)
    print("ready", flush=True)
    while True:
        names = [f"{position:06d}_{part}" for part in range(7)]
        await store.apply(Batch(
            before=at(position), after=at(position + 1), rows=[row(name) for name in names], edges=[edge(name, name) for name in names],
            seen=[Seen(account="shop", dedupe=key(name), entry=name, at=NOW) for name in names],
            events=[event(name) for name in names], deliveries=[delivery(name, name) for name in names]))
        position += 1
        await store.finish([outcome(one) for one in await take(store, limit=5)])
        print(position, flush=True)

asyncio.run(main())
"""
)

CLAIMER = (
    HEADER
    + """
async def main():
    store = open_store(sys.argv[1], clock=TurnedClock(), patience=20.0)
    while taken := await take(store, limit=3):
        for one in taken:
            print(one.delivery.id)
    await store.close()

asyncio.run(main())
"""
)

OPENER = (
    HEADER
    + """
async def main():
    store = open_store(sys.argv[1], clock=TurnedClock(), patience=20.0)
    print(await store.cursors())
    await store.close()

asyncio.run(main())
"""
)


def place_of(folder: Path) -> Path:
    return folder / "store.db"


def open_at(folder: Path, *, patience: float = 20.0) -> SqliteStore:
    return open_store(place_of(folder), clock=TurnedClock(), patience=patience)


def run(folder: Path, scenario: Callable[[SqliteStore], Awaitable[None]], *, patience: float = 20.0) -> None:
    """With a store that is closed whatever happens."""

    async def main() -> None:
        store = open_at(folder, patience=patience)
        try:
            await scenario(store)
        finally:
            await store.close()

    asyncio.run(main())


def child(code: str, folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, str(place_of(folder))], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Another writer in the middle of its transaction."""
    with closing(sqlite3.connect(place_of(folder), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


@contextmanager
def full_disk(allowed: int) -> Iterator[None]:
    """No file may grow past ``allowed`` bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (allowed, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


class TestSqliteStore(StoreContract):
    def open(self, place: Path, clock: TurnedClock) -> Store:
        return open_store(place_of(place), clock=clock, patience=20.0)


# ---------------------------------------------------------------------- cost
def test_batch_of_256_costs_less_than_a_third_of_a_statement_per_event(tmp_path: Path) -> None:
    """Looking and applying together, with records, edges, events, ordered deliveries and seen keys; and finishing."""

    async def scenario(store: SqliteStore) -> None:
        said: list[str] = []
        for line in (store._writer, store._reader):
            await line.run(lambda connection: connection.set_trace_callback(said.append))
        names = [f"{number:03d}" for number in range(256)]
        seen = [Seen(account="shop", dedupe=key(name), entry=name, at=NOW) for name in names]
        await store.look(
            Wants(seen=[(one.account, one.dedupe) for one in seen], keys=[one.dedupe for one in seen], records=[one.dedupe for one in seen],
                  ids=names, edges_of=names)
        )  # fmt: skip
        born = await store.apply(
            Batch(
                before=at(0), after=at(256), seen=seen, rows=[row(name) for name in names], edges=[edge(name, name) for name in names],
                events=[event(name) for name in names], deliveries=[delivery(name, name, subject=name) for name in names],
                claim="me", lease=NOW + LEASE, claim_most=256,
            )
        )  # fmt: skip
        assert len(born) == 256
        assert len(said) / 256 <= 0.3, "\n".join(text[:60] for text in said)
        said.clear()
        await store.apply(batch_of(*(delivery(f"x{name}") for name in names), claim="me", lease=NOW, claim_most=0))
        taken = await take(store, limit=256)
        await store.finish([outcome(one) for one in taken])
        assert len(taken) == 256
        assert len(said) / 256 <= 0.1, "\n".join(text[:60] for text in said)

    run(tmp_path, scenario)


# Small by nature, or bounded by what is kept; everything else must be found by an index.
WALKS = {"cursors", "endpoints", "booked", "health", "pulls", "rejects", "candidates", "tallies", "counted"}


def plans(connection: sqlite3.Connection, form: Form) -> list[str]:
    text = form.sql(4)
    return [step[3] for step in connection.execute(f"EXPLAIN QUERY PLAN {text}", [None] * text.count("?"))]


def walks(steps: list[str]) -> list[str]:
    """Steps that pass over a table that grows."""
    passed = [step for step in steps if step.startswith("SCAN ")]
    return [step for step in passed if step.split()[1] not in {"given", "CONSTANT", "4", "chosen"} | WALKS]


def forms_of(module: Any) -> dict[str, Form]:
    return {name: form for name, form in vars(module).items() if isinstance(form, Form)}


def test_no_statement_of_a_worker_walks_a_table(tmp_path: Path) -> None:
    """Looking, applying, claiming and finishing cost the same however much is kept, and claiming sorts nothing."""
    asyncio.run(open_at(tmp_path).close())
    with closing(sqlite3.connect(place_of(tmp_path))) as connection:
        found = {name: plans(connection, form) for name, form in (forms_of(statements) | forms_of(claiming)).items()}
    # The sweep for strays walks what waits, in the index that holds nothing else, and off the writer's thread.
    assert walks(found.pop("stranded")) == ["SCAN behind USING INDEX ix_deliveries_waiting"]
    assert {name: walks(steps) for name, steps in found.items() if walks(steps)} == {}
    for name in ("due_first", "due_again", "some_expired", "promote"):
        assert not [step for step in found[name] if "TEMP B-TREE" in step], found[name]
    assert any("ix_deliveries_first" in step for step in found["due_first"])
    assert any("ix_deliveries_again" in step for step in found["due_again"])


def test_no_listing_walks_a_table(tmp_path: Path) -> None:
    """Nor does a purge; counts pass over small indexes only."""
    asyncio.run(open_at(tmp_path).close())
    listings = [inquiries.deliveries(group, endpoint=to) for group in (None, *inquiries.Group) for to in (False, True)]
    of_event = [inquiries.deliveries_of(state=state, endpoint=to) for state in (False, True) for to in (False, True)]
    spans = [inquiries.span(*names, types=types) for names in (("since", "until"), ("whose",), ("of",), ("since", "of")) for types in (False, True)]  # fmt: skip
    sealed_walks = [form for walk in sealed.walks.values() for form in (walk.page, walk.put)]
    purges = [form for pair in inquiries.aged for form in pair]
    asked = [
        sqlite_actions._listed(*names, newest=newest)
        for names in (
            ("account",),
            ("client",),
            ("account", "state", "open"),
            ("client", "state"),
            ("state", "open"),
            ("late",),
        )
        for newest in (False, True)
    ]
    with closing(sqlite3.connect(place_of(tmp_path))) as connection:
        assert any("ix_actions_due" in step for step in plans(connection, sqlite_actions._due))
        assert not [one for one in forms_of(sqlite_actions).values() if walks(plans(connection, one))]
        assert not [one for one in asked if walks(plans(connection, one))]
        for form in (*forms_of(inquiries).values(), *listings, *of_event, *spans, *sealed_walks, *purges):
            assert not walks(plans(connection, form)), form.sql(1)
        # An endpoint has very many deliveries: whoever names events must not be led by it.
        for form in of_event:
            assert "ix_deliveries_event " in " ".join(plans(connection, form)), form.sql(1)
        counted = {name: plans(connection, form) for name, form in inquiries.counts.items()}
    assert {name: [step.split()[0] for step in steps] for name, steps in counted.items()} == {
        "dead_letters": ["SEARCH"], "candidates": ["SEARCH"], "rejects": ["SCAN"], "errands": ["SCAN"], "actions": ["SEARCH"], "actions_unknown": ["SEARCH"],
    }  # fmt: skip


async def steps_of(store: SqliteStore, act: Callable[[], Awaitable[Any]]) -> int:
    """How many instructions of the database's machine ``act`` takes, writer and reader together."""
    count = 0

    def tick() -> int:
        nonlocal count
        count += 1
        return 0

    for line in (store._writer, store._reader):
        await line.run(lambda connection: connection.set_progress_handler(tick, 10))
    await act()
    for line in (store._writer, store._reader):
        await line.run(lambda connection: connection.set_progress_handler(None, 0))
    return count


def test_claiming_and_finishing_cost_the_same_after_many_finished_deliveries_as_after_none(tmp_path: Path) -> None:
    """Counted in the database's own instructions, so that a busy machine proves nothing else."""

    async def scenario(store: SqliteStore) -> None:
        async def once(name: str) -> int:
            names = [f"{name}_{number}" for number in range(20)]
            await store.apply(batch_of(*(delivery(one, f"evt_{name}", subject=one) for one in names)))

            async def both() -> None:
                await store.finish([outcome(one) for one in await take(store, limit=20)])

            return await steps_of(store, both)

        few = await once("a")
        for part in range(10):
            names = [f"{part}_{number}" for number in range(500)]
            await store.apply(
                Batch(
                    events=[event(name) for name in names],
                    deliveries=[delivery(name, name) for name in names],
                    claim="me",
                    lease=NOW + LEASE,
                    claim_most=500,
                )
            )
            held = await store.deliveries(limit=500, state=DeliveryState.LEASED)
            assert len(held) == 500
            await store.finish([outcome(Claimed(delivery=one, event=event(one.event))) for one in held])
        assert (await store.counts())["deliveries.done"] >= 5000
        assert await once("b") <= few * 1.1

    run(tmp_path, scenario)


def test_looking_and_applying_cost_the_same_with_many_customers_as_with_few(tmp_path: Path) -> None:
    """Counted in the database's own instructions."""

    async def scenario(store: SqliteStore) -> None:
        async def once(name: str, size: int) -> int:
            names = [f"{name}_{number}" for number in range(size)]
            wants = Wants(
                seen=[("shop", key(one)) for one in names], keys=[key(one) for one in names], ids=names, edges_of=names
            )
            batch = Batch(
                seen=[Seen(account="shop", dedupe=key(one), entry=one, at=NOW) for one in names], rows=[row(one) for one in names],
                edges=[edge(one, one) for one in names], events=[event(one) for one in names],
                deliveries=[delivery(one, one) for one in names],
            )  # fmt: skip

            async def both() -> None:
                await store.look(wants)
                await store.apply(batch)

            return await steps_of(store, both)

        await once("warm", 64)
        few = await once("a", 64)
        await once("many", 5000)
        assert await once("b", 64) <= few * 1.1

    run(tmp_path, scenario)


def test_purge_takes_small_steps(tmp_path: Path) -> None:
    """No transaction of it holds the lock for more than a few hundred rows."""

    async def scenario(store: SqliteStore) -> None:
        names = [f"{number:05d}" for number in range(2000)]
        marks = [Seen(account="shop", dedupe=key(name), entry=name, at=NOW + int(name)) for name in names]
        await store.apply(Batch(seen=marks, events=[event(name, at=NOW + int(name)) for name in names]))
        sizes: list[int] = []
        changed = 0

        def watch(connection: sqlite3.Connection, text: str) -> None:
            nonlocal changed
            if text == "COMMIT":
                sizes.append(connection.total_changes - changed)
                changed = connection.total_changes

        await store._writer.run(lambda connection: connection.set_trace_callback(lambda text: watch(connection, text)))
        changed = await store._writer.run(lambda connection: connection.total_changes)
        assert await store.purge(before=NOW + 2000) == 4000
        assert len(sizes) >= 8
        assert max(sizes) <= sqlite_purge.STEP + 1

    run(tmp_path, scenario)


async def commits_of(store: SqliteStore, act: Callable[[], Awaitable[Any]]) -> list[int]:
    """How many rows each transaction of ``act`` changed."""
    sizes: list[int] = []
    changed = await store._writer.run(lambda connection: connection.total_changes)

    def watch(connection: sqlite3.Connection, text: str) -> None:
        nonlocal changed
        if text == "COMMIT":
            sizes.append(connection.total_changes - changed)
            changed = connection.total_changes

    await store._writer.run(lambda connection: connection.set_trace_callback(lambda text: watch(connection, text)))
    await act()
    await store._writer.run(lambda connection: connection.set_trace_callback(None))
    return sizes


async def backlog(store: SqliteStore, size: int, endpoint: str = "crm") -> None:
    names = [f"{endpoint}_{number:05d}" for number in range(size)]
    await store.apply(
        Batch(
            events=[event(name) for name in names],
            deliveries=[delivery(name, name, endpoint=endpoint) for name in names],
        )
    )


def test_endpoint_with_a_backlog_is_stopped_in_small_steps(tmp_path: Path) -> None:
    """Disabled or removed: no transaction holds the lock for more than a few hundred rows, and all of it is stopped."""

    async def scenario(store: SqliteStore) -> None:
        await backlog(store, 1800)
        await backlog(store, 1100, "bi")
        await store.book(Booked(name="bi", version=1, document=b"", secrets=b"", paused=False, updated=NOW), before=0)
        for act in (lambda: store.disable("crm", cause="410", now=NOW), lambda: store.unbook("bi", before=1)):
            sizes = await commits_of(store, act)
            assert len(sizes) >= 4
            # And the tally.
            assert max(sizes) <= sqlite_endpoints.STEP + 1
        counts = await store.counts()
        assert (counts["deliveries.disabled"], counts["deliveries.cancelled"], counts["deliveries.due"]) == (
            1800,
            1100,
            0,
        )

    run(tmp_path, scenario)


def test_stopping_an_endpoint_costs_the_same_beside_the_backlog_of_another(tmp_path: Path) -> None:
    """Counted in the database's own instructions: what is queued is found by endpoint."""

    async def scenario(store: SqliteStore) -> None:
        await backlog(store, 20, "warm")
        await store.disable("warm", cause="410", now=NOW)
        await backlog(store, 20, "small")
        few = await steps_of(store, lambda: store.disable("small", cause="410", now=NOW))
        await backlog(store, 3000, "slow")
        await backlog(store, 20, "other")
        assert await steps_of(store, lambda: store.disable("other", cause="410", now=NOW)) <= few * 1.2

    run(tmp_path, scenario)


def test_sweep_finishes_what_a_crash_left_of_disabling(tmp_path: Path) -> None:
    """The endpoint was marked and the process died: what is still queued is not sent for ever."""

    async def scenario(store: SqliteStore) -> None:
        await backlog(store, 700)
        await store._writer.run(lambda connection: sqlite_endpoints.disable(connection, "crm", cause="410", now=NOW))
        assert await store.release(now=NOW) == 0
        assert (await store.counts())["deliveries.disabled"] == 700

    run(tmp_path, scenario)


def test_events_of_a_span_are_looked_for_in_short_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rare type in a long history keeps no other listing waiting, and is found across the steps."""
    monkeypatch.setattr(sqlite_span, "STEP", 100)

    async def scenario(store: SqliteStore) -> None:
        rare = {99, 100, 450, 999}
        await store.apply(
            Batch(
                events=[
                    event(f"{n:04d}", type="order.paid" if n in rare else "order.updated", at=NOW + n)
                    for n in range(1000)
                ]
            )
        )
        jobs = 0
        ran = store._desk.run

        async def counted(job: Any) -> Any:
            nonlocal jobs
            jobs += 1
            return await ran(job)

        monkeypatch.setattr(store._desk, "run", counted)
        found = await store.span(Span(types=["order.paid"]), limit=3)
        assert ids(found) == ["0099", "0100", "0450"]
        assert jobs >= 5
        assert ids(await store.span(Span(types=["order.paid"]), after=found[-1].number)) == ["0999"]
        jobs = 0
        assert len(await store.span(Span(since=NOW + 950, until=NOW + 980))) == 30
        assert jobs <= 3

    run(tmp_path, scenario)


def test_listing_never_waits_for_a_writer_nor_the_loop_for_either(tmp_path: Path) -> None:
    """While another process holds the lock: reads answer, the write waits, and the loop goes on."""

    async def scenario(store: SqliteStore) -> None:
        await store.apply(batch_of(delivery("dlv_1")))
        with held(tmp_path):
            write = asyncio.create_task(store.apply(batch_of(delivery("dlv_2", "evt_2"))))
            await asyncio.sleep(0)
            assert len((await store.look(Wants(ids=["ord_1"]))).by_id) == 0
            assert ids(await store.deliveries()) == ["dlv_1"]
            assert (await store.counts())["deliveries.due"] == 1
            assert not write.done()
        await write
        assert ids(await store.deliveries()) == ["dlv_1", "dlv_2"]

    run(tmp_path, scenario)


# ---------------------------------------------------------------------- crashes and processes
@pytest.mark.slow
def test_batch_is_whole_or_absent_wherever_the_process_is_killed(tmp_path: Path) -> None:
    """SIGKILL ten times at random moments: the cursor says exactly which batches are there, and every outcome has its attempt.

    Each time some batches have been told of, and the moment falls anywhere into those behind them.
    """
    chance = random.Random(7)
    for _ in range(10):
        process = child(WORKER, tmp_path)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        for _ in range(chance.randrange(2, 20)):
            assert process.stdout.readline()
        time.sleep(chance.uniform(0.0, 0.02))
        process.kill()
        process.communicate()
        run(tmp_path, whole)
    run(tmp_path, grown)


async def whole(store: SqliteStore) -> None:
    position = next(iter((await store.cursors()).values()), 0)
    names = [f"{batch:06d}_{part}" for batch in range(position) for part in range(7)]
    most = len(names) + 100
    assert ids(await store.rows("order", limit=most)) == names
    assert ids(await store.events(limit=most)) == names
    assert ids(await store.deliveries(limit=most)) == names
    wants = Wants(seen=[("shop", key(name)) for name in names], keys=[key(name) for name in names])
    found = await store.look(wants)
    assert len(found.seen) == len(found.edges) == len(names)
    counts = await store.counts()
    assert counts.get("records.order", 0) == len(names)
    truth = list((await states(store)).values())[: len(names)]
    assert counts["deliveries.done"] >= truth.count("done")
    attempts = await store._desk.run(lambda connection: connection.execute("SELECT count(*) FROM attempts").fetchone())
    assert attempts[0] == counts["deliveries.done"]


async def grown(store: SqliteStore) -> None:
    assert next(iter((await store.cursors()).values())) > 10
    assert (await store.counts())["deliveries.done"] > 0
    assert await store._writer.run(lambda connection: connection.execute("PRAGMA integrity_check").fetchone()) == (
        "ok",
    )


def test_two_processes_never_claim_the_same_delivery(tmp_path: Path) -> None:
    """Both work until nothing is left."""

    async def fill(store: SqliteStore) -> None:
        await store.apply(batch_of(*(delivery(f"dlv_{number:04d}") for number in range(300))))

    run(tmp_path, fill)
    workers = [child(CLAIMER, tmp_path) for _ in range(2)]
    names = [name for worker in workers for name in worker.communicate()[0].split()]
    assert [worker.returncode for worker in workers] == [0, 0]
    assert sorted(names) == [f"dlv_{number:04d}" for number in range(300)]


def test_many_processes_may_open_a_fresh_store_at_once(tmp_path: Path) -> None:
    """One makes the tables; the others wait for it."""
    openers = [child(OPENER, tmp_path) for _ in range(4)]
    assert [opener.communicate()[0] for opener in openers] == ["{}\n"] * 4
    assert [opener.returncode for opener in openers] == [0] * 4


# ---------------------------------------------------------------------- errors
def test_every_error_of_the_driver_is_translated(tmp_path: Path) -> None:
    """Also those it may grow: the walk finds each exception the module has."""
    kinds = [kind for kind in vars(sqlite3).values() if isinstance(kind, type) and issubclass(kind, Exception)]
    assert len(kinds) >= 10
    for kind in (*kinds, OverflowError):
        with pytest.raises(StoreError), translated(tmp_path):
            raise kind("detail")


def test_number_beyond_the_database_is_an_error_of_the_store(tmp_path: Path) -> None:
    """Sixty-four bits are what it keeps; the batch is not half done."""

    async def scenario(store: SqliteStore) -> None:
        with pytest.raises(StoreError):
            await store.apply(Batch(rows=[row("ord_1")], events=[event("evt_1", at=2**63)]))
        assert not await store.rows("order", limit=9)

    run(tmp_path, scenario)


def test_locked_store_is_an_error_after_the_patience_and_nothing_is_done(tmp_path: Path) -> None:
    """And works again once the lock is gone."""

    async def scenario(store: SqliteStore) -> None:
        batch = batch_of(delivery("dlv_1"), before=at(0), after=at(1))
        with held(tmp_path), pytest.raises(StoreError, match="SQLITE_BUSY") as caught:
            await store.apply(batch)
        assert not isinstance(caught.value, Stale)
        assert await store.cursors() == {}
        await store.apply(batch)
        assert await store.cursors()

    run(tmp_path, scenario, patience=0.05)


def test_full_disk_is_an_error_and_nothing_is_half_done(tmp_path: Path) -> None:
    """The batch is absent, what was there stays, and it is applied once there is room."""

    async def scenario(store: SqliteStore) -> None:
        await store.apply(Batch(after=at(1), rows=[row("ord_1")]))
        names = [f"ord_{number:04d}" for number in range(400)]
        batch = Batch(
            before=at(1), after=at(2), rows=[row(name, body=b"x" * 5000) for name in names], edges=[edge(name, name) for name in names]
        )  # fmt: skip
        with full_disk(300_000), pytest.raises(StoreError):
            await store.apply(batch)
        assert (await store.cursors()) == {(at(0).lane, 0): 1}
        assert ids(await store.rows("order", limit=9)) == ["ord_1"]
        assert not await store.edges(key("ord_0001"))
        await store.apply(batch)
        assert len(await store.rows("order", limit=999)) == 401

    run(tmp_path, scenario)


def test_place_that_cannot_be_opened_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    """A folder that is a file, a file that is a folder, a file that is no database."""
    (tmp_path / "file").write_bytes(b"x")
    (tmp_path / "folder").mkdir()
    (tmp_path / "junk.db").write_bytes(b"not a database" * 1000)
    for place in ("file/store.db", "folder", "junk.db"):
        with pytest.raises(StoreError) as caught:
            open_store(tmp_path / place, clock=TurnedClock())
        assert caught.value.remedy
        assert str(tmp_path / place) in str(caught.value)


def test_file_is_readable_by_its_owner_alone(tmp_path: Path) -> None:
    """Its write-ahead log too."""

    async def scenario(store: SqliteStore) -> None:
        await store.apply(Batch(rows=[row("ord_1")]))
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
        assert modes == {"store.db": 0o600, "store.db-wal": 0o600, "store.db-shm": 0o600}

    run(tmp_path, scenario)


def test_commits_are_durable_and_readers_cannot_write(tmp_path: Path) -> None:
    """The settings that the promise rests on."""

    async def scenario(store: SqliteStore) -> None:
        def setting(name: str) -> Callable[[sqlite3.Connection], Any]:
            return lambda connection: connection.execute(f"PRAGMA {name}").fetchone()[0]

        assert await store._writer.run(setting("journal_mode")) == "wal"
        assert await store._writer.run(setting("synchronous")) == 2
        for line in (store._reader, store._desk):
            with pytest.raises(StoreError, match="SQLITE_READONLY"):
                await line.run(lambda connection: connection.execute("DELETE FROM events"))

    run(tmp_path, scenario)


def test_statement_is_written_for_powers_of_two_only() -> None:
    """So that a handful of texts serves every size and none reaches the limit of variables."""
    form = statements.put_deliveries
    with closing(sqlite3.connect(":memory:")) as connection:
        limit = connection.getlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER)
    sizes = [[len(part) for part in _parts(size)] for size in (1, 3, 128, 129, 300)]
    assert sizes == [[1], [2, 1], [128], [128, 1], [128, 128, 32, 8, 4]]
    assert form.sql(MOST).count("?") < min(limit, 32_766)
    assert form.sql(MOST) is form.sql(MOST)


def _parts(size: int) -> Iterator[Any]:
    rows = [(number,) * 11 for number in range(size)]
    for _, given in statements.put_deliveries._calls(rows, {}):
        yield given[::11]


def test_too_old_a_database_library_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Better at the start than at the first statement it cannot read."""
    monkeypatch.setattr(sqlite_connection, "OLDEST", (99, 0, 0))
    with pytest.raises(StoreError, match="too old"):
        open_at(tmp_path)


def test_claims_at_birth_follow_the_clock_given(tmp_path: Path) -> None:
    """What is due in an hour is not handed out now."""

    async def scenario(store: SqliteStore) -> None:
        later = delivery("dlv_1", due=NOW + 3600 * SECOND)
        assert await store.apply(batch_of(later, claim="me", lease=NOW + LEASE, claim_most=1)) == set()

    run(tmp_path, scenario)
