"""The gateway's parts in this process, opened as ``app`` opens them, for figures that want to look at one of them."""

import asyncio
import contextlib
import gc
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from bench import made
from gateway import app, book, processes, settings, succession, worker
from gateway.connector import Request
from gateway.destination import Endpoint
from gateway.model.lane import Lane
from gateway.pipeline.deliver import Deliverer
from gateway.pipeline.operators import Operators
from gateway.pipeline.project import Projector
from gateway.pipeline.read import Reader
from gateway.pipeline.receive import Gate, Receiver, RejectLog
from gateway.pipeline.route import Router
from gateway.processes import Ground
from gateway.store import Claimed

_CLAIM = "clm_bench"


class Inside:
    """One gateway without its processes. ``wake`` is the projector's; ``leasing`` lets the projector hand new deliveries to the deliverer."""

    def __init__(self, ground: Ground, *, leasing: bool) -> None:
        self.ground = ground
        self.wake = asyncio.Event()
        self.endpoints: Sequence[Endpoint] = book.configured(ground.tree, ground.vault)
        self.router = Router(self.endpoints)
        self.deliverer = self._deliverer()
        self.reader = Reader(accounts=ground.accounts, vault=ground.vault, clock=ground.clock)

        # Not the deliverer's own methods: each round has a new one.
        def room() -> int:
            return self.deliverer.room() if leasing else 0

        def newborn(claimed: Sequence[Claimed]) -> None:
            self.deliverer.offer(claimed)

        self.projector = Projector(
            reader=self.reader, log=ground.log, records=ground.records, vault=ground.vault, clock=ground.clock, meters=ground.meters,
            router=self.router, room=room, newborn=newborn, claim=_CLAIM, errands=_nothing,
        )  # fmt: skip
        gate = Gate(bulk_most=ground.tree.journal.bulk_most, live_most=ground.tree.journal.live_most)
        self.receiver: Receiver = processes.receiver_of(ground, gate=gate, rejects=RejectLog(), wake=self.wake.set)

    def _deliverer(self) -> Deliverer:
        ground = self.ground
        operators = Operators(records=ground.records, router=self.router, clock=ground.clock)
        ways = worker.ways_of(ground, operators)
        return Deliverer(endpoints=self.endpoints, records=ground.records, ways=ways, claim=_CLAIM)

    async def accept(self, bodies: Sequence[bytes], *, run: str, at_once: int = 64) -> None:
        """Take signed orders in, as many at a time as a door has connections."""
        feed = iter(enumerate(bodies))

        async def one() -> None:
            for number, body in feed:
                request = Request(
                    path=made.PATH, body=body, peer="127.0.0.1", received_at=self.ground.clock.now(),
                    headers={"content-type": "application/json", **made.headers(body, f"msg_{run}_{number}")},
                )  # fmt: skip
                reply = await self.receiver.accept("feed", request)
                assert reply.status == 202, reply

        await asyncio.gather(*(one() for _ in range(at_once)))

    async def project(self) -> int:
        """Project what is in the journal; how many entries that was."""
        done = 0
        while took := await self.projector.step(Lane.LIVE, 0):
            done += took
        return done

    @contextlib.asynccontextmanager
    async def delivering(self) -> AsyncIterator[None]:
        """A deliverer at work; what it began is recorded when the block ends. A drained one is spent: each block has its own."""
        self.deliverer = self._deliverer()
        work = asyncio.get_running_loop().create_task(self.deliverer.run())
        try:
            yield
        finally:
            await self.deliverer.drain(10.0)
            work.cancel()
            await asyncio.wait([work])
            await self.deliverer.close()

    async def close(self) -> None:
        """Let go."""
        await self.ground.close()
        gc.collect()


def _nothing() -> None:
    return


def open_inside(data: Path, text: str, *, leasing: bool = False) -> Inside:
    """Inside a running event loop, after ``prepare``."""
    # As the gateway's processes do.
    succession.settle_memory()
    file = data / "config.toml"
    file.write_text(text, encoding="utf-8")
    return Inside(app.open_ground(settings.load(file, environ={})), leasing=leasing)


async def count_at(port: int, least: int = 0) -> int:
    """How many webhooks a sink process has taken, as soon as they are ``least``."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /%d HTTP/1.1\r\nhost: sink\r\n\r\n" % least)
    head = await reader.readuntil(b"\r\n\r\n")
    size = int(head.lower().partition(b"content-length:")[2].partition(b"\r")[0])
    told = await reader.readexactly(size)
    writer.close()
    return int(told)


async def until_taken(port: int, count: int, *, seconds: float = 60.0) -> None:
    """Return when a sink process has taken ``count``. TimeoutError when it does not come to that."""
    # Asked once: asking again and again is work on the same core, and told too late by half of what lies between.
    async with asyncio.timeout(seconds):
        await count_at(port, count)
