"""Replays: events sent again, counted first, then by a job that goes on where it was when a process ends."""

import asyncio
from collections.abc import Mapping
from typing import Any

import msgspec

from gateway import store
from gateway.book import Book
from gateway.clock import Clock
from gateway.desk.jobs import Job, Jobs, State
from gateway.pipeline.replay import Plan, Replayer
from gateway.pipeline.route import Router

KIND = "replay"
_LONGEST = 20.0


class Replays:
    """Counts, begins, and is what their job does."""

    def __init__(self, jobs: Jobs, records: store.Store, book: Book, clock: Clock) -> None:
        self._jobs = jobs
        self._store = records
        self._book = book
        self._clock = clock

    async def plan(self, span: store.Span, *, endpoint: str | None, again: bool) -> Plan | None:
        """What it comes to, with nothing changed; None when counting alone takes too long to wait for."""
        replayer = await self._replayer()
        try:
            async with asyncio.timeout(_LONGEST):
                return await replayer.plan(span, endpoint=endpoint, again=again)
        except TimeoutError:
            return None

    async def begin(self, client: str, plan: Plan, *, job: str) -> Job:
        """Let a runner do what was counted."""
        now = self._clock.now()
        asked: dict[str, Any] = {
            "span": msgspec.to_builtins(plan.span), "endpoint": plan.endpoint, "again": plan.again, "last": plan.last
        }  # fmt: skip
        made = Job(
            id=job, kind=KIND, client=client, created=now, updated=now, total=plan.events, asked=asked, counts={"deliveries": 0}
        )  # fmt: skip
        return await self._jobs.make(made)

    async def step(self, job: Job) -> Job:
        """A few hundred events."""
        replayer = await self._replayer()
        await replayer.prepare()
        step = await replayer.step(_plan(job.asked), after=int(job.place or "0"))
        if step is None:
            return msgspec.structs.replace(job, state=State.DONE)
        counts = {"deliveries": job.counts["deliveries"] + step.deliveries}
        return msgspec.structs.replace(job, place=str(step.number), done=job.done + step.events, counts=counts)

    async def _replayer(self) -> Replayer:
        ends = await self._book.endpoints()
        return Replayer(records=self._store, clock=self._clock, router=Router(ends), endpoints=ends)


def _plan(asked: Mapping[str, Any]) -> Plan:
    span = msgspec.convert(asked["span"], store.Span)
    return Plan(span=span, endpoint=asked["endpoint"], again=asked["again"], events=0, last=asked["last"], counts=())
