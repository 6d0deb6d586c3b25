"""Work that outlasts a request: it goes on where it was, whoever ends, and is nobody else's to see."""

import asyncio
from pathlib import Path

import msgspec
import pytest

from gateway.clock import SECOND, TurnedClock
from gateway.desk.jobs import Job, Jobs, Runner, State
from gateway.errors import ConfigError, StoreError
from gateway.shelves.sqlite import SqliteShelf
from gateway.vaults.file import open_vault
from tests.api.kit import House, told


class Counting:
    """Counts to five, one a step; what it is told to do first, it does once."""

    def __init__(self, *first: BaseException) -> None:
        self.steps: list[int] = []
        self._first = list(first)

    async def step(self, job: Job) -> Job:
        """One more."""
        if self._first:
            raise self._first.pop(0)
        self.steps.append(job.done)
        state = State.DONE if job.done == 4 else State.RUNNING
        return msgspec.structs.replace(job, done=job.done + 1, state=state)


def job(name: str = "job_1", **fields: object) -> Job:
    """A job of a client, of now."""
    now = TurnedClock().now()
    return Job(**{"id": name, "kind": "count", "client": "cli_1", "created": now, "updated": now, "total": 5, **fields})


class Bench:
    """Jobs on a hand-turned clock."""

    def __init__(self, place: Path) -> None:
        self.clock = TurnedClock()
        self.shelf = SqliteShelf(place / "jobs.db", clock=self.clock)
        self.jobs = Jobs(self.shelf, open_vault(place / "keys.json"), self.clock)

    def runner(self, work: Counting) -> Runner:
        """A process that works on them."""
        return Runner(self.jobs, {"count": work}, self.clock)

    async def now(self, name: str = "job_1") -> Job:
        """How it stands."""
        found = await self.jobs.get(name, "cli_1")
        assert found is not None
        return found


def on_a_bench(place: Path, story: object) -> None:
    """Run it."""

    async def run() -> None:
        bench = Bench(place)
        try:
            await story(bench)  # type: ignore[operator]
        finally:
            await bench.shelf.close()

    asyncio.run(run())


def test_job_is_done_step_by_step_each_in_its_turn(tmp_path: Path) -> None:
    """Two jobs share one runner; both end, and nothing is left to do."""

    async def story(bench: Bench) -> None:
        await bench.jobs.make(job("job_1"))
        await bench.jobs.make(job("job_2"))
        work = Counting()
        runner = bench.runner(work)
        while await runner.round():
            pass
        assert work.steps == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
        assert [(one.state, one.done) for one, _ in await bench.jobs.all()] == [(State.DONE, 5)] * 2

    on_a_bench(tmp_path, story)


def test_job_of_a_process_that_ended_is_gone_on_with_by_another(tmp_path: Path) -> None:
    """Not before its lease is over; from where it stood, not from the start."""

    async def story(bench: Bench) -> None:
        await bench.jobs.make(job())
        first, second = Counting(), Counting()
        await bench.runner(first).round()
        other = bench.runner(second)
        assert not await other.round()
        bench.clock.turn(16)
        while await other.round():
            pass
        assert (first.steps, second.steps) == ([0], [1, 2, 3, 4])

    on_a_bench(tmp_path, story)


def test_process_that_ends_in_order_lets_go_at_once(tmp_path: Path) -> None:
    """Whoever comes next need not wait for the lease."""

    async def story(bench: Bench) -> None:
        await bench.jobs.make(job())
        first = bench.runner(Counting())
        await first.round()
        await first.let_go()
        assert await bench.runner(Counting()).round()

    on_a_bench(tmp_path, story)


def test_what_passes_by_itself_puts_a_job_off_and_what_does_not_ends_it(tmp_path: Path) -> None:
    """With the cause in words; a fault of ours tells nothing of itself."""

    async def story(bench: Bench) -> None:
        await bench.jobs.make(job())
        runner = bench.runner(Counting(StoreError("away"), StoreError("away")))
        for _ in range(2):
            assert not await runner.round()
            bench.clock.turn(5)
        while await runner.round():
            pass
        assert (await bench.now()).state is State.DONE
        await bench.jobs.make(job("job_2"))
        await bench.runner(Counting(ConfigError("no such thing"))).round()
        failed = await bench.now("job_2")
        assert (failed.state, failed.fault) == (State.FAILED, "config.invalid: no such thing")
        await bench.jobs.make(job("job_3"))
        await bench.runner(Counting(ValueError("13800138000"))).round()
        failed = await bench.now("job_3")
        assert failed.state is State.FAILED and "13800138000" not in failed.fault

    on_a_bench(tmp_path, story)


def test_job_that_ends_every_process_is_given_up_and_said_so(tmp_path: Path) -> None:
    """A process that was killed in the middle of a step leaves its mark; five are enough."""

    async def story(bench: Bench) -> None:
        await bench.jobs.make(job())
        for _ in range(5):
            bench.clock.turn(16)
            with pytest.raises(asyncio.CancelledError):
                await bench.runner(Counting(asyncio.CancelledError())).round()
        bench.clock.turn(16)
        await bench.runner(Counting()).round()
        failed = await bench.now()
        assert failed.state is State.FAILED and "ended 5 times" in failed.fault

    on_a_bench(tmp_path, story)


def test_cancelled_job_ends_before_its_next_step(tmp_path: Path) -> None:
    """What was done stays; cancelled again it stays as it is; one that is done is not undone."""

    async def story(bench: Bench) -> None:
        await bench.jobs.make(job())
        work = Counting()
        runner = bench.runner(work)
        await runner.round()
        ended = await bench.jobs.cancel(await bench.now())
        assert (ended.state, ended.done) == (State.CANCELLED, 1)
        assert not await runner.round() and work.steps == [0]
        assert (await bench.jobs.cancel(ended)).state is State.CANCELLED

    on_a_bench(tmp_path, story)


def test_pieces_are_sealed_replaced_by_a_repetition_and_gone_after_a_day(tmp_path: Path) -> None:
    """What lies on the disk says nothing; a step that is repeated leaves one piece, not two."""

    async def story(bench: Bench) -> None:
        one = await bench.jobs.make(job(), {"rows": [b"secret words", b"second"]})
        await bench.jobs.put(one, "rows", 0, b"other secret words")
        assert [piece async for piece in bench.jobs.pieces(one, "rows")] == [b"other secret words", b"second"]
        files = b"".join(path.read_bytes() for path in tmp_path.glob("jobs.db*"))
        assert b"secret" not in files
        bench.clock.turn(86_401)
        assert [piece async for piece in bench.jobs.pieces(one, "rows")] == []
        assert await bench.now() is not None
        bench.clock.turn(7 * 86_400 * SECOND // SECOND)
        assert await bench.jobs.get("job_1", "cli_1") is None

    on_a_bench(tmp_path, story)


def test_job_is_its_own_clients_alone(tmp_path: Path) -> None:
    """Listed, read and cancelled by nobody else."""

    async def story(house: House) -> None:
        async with house.caller() as mine, house.caller() as other:
            begun = await mine.post("/api/v1/exports", json={"what": "customers"})
            path = begun.headers["location"]
            assert (begun.status_code, path) == (202, f"/api/v1/jobs/{begun.json()['id']}")
            assert (await other.get(path)).status_code == 404
            assert (await other.post(f"{path}/cancel")).status_code == 404
            assert (await other.get("/api/v1/jobs")).json()["items"] == []
            assert (await mine.get("/api/v1/jobs")).json()["items"] == [begun.json()]
            assert (await mine.post(f"{path}/cancel")).json()["state"] == "cancelled"
            await house.work()
            assert (await mine.get(path)).json()["state"] == "cancelled"
            assert (await mine.get(f"{path}/rows")).status_code == 404

    told(tmp_path, story)
