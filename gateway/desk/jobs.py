"""Work that outlasts a request: imports, exports, replays. A job is a document on a shelf of its own, with sealed parts beside it.

It goes on in small steps. Whoever works on it holds it for a few seconds and says after each step how far it is: when a process ends, another one
goes on from there, and repeats one step at most. What each kind does in a step is such that repeating it changes nothing, or sends twice what is
sent at least once anyway.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from enum import Enum
from typing import Any, Protocol

import msgspec
import structlog

from gateway.clock import SECOND, Clock, at_most, new_id
from gateway.errors import GatewayError, Stale, StoreError, Verdict
from gateway.shelf import Document, Shelf
from gateway.vault import Vault

SHELF = "jobs"
PARTS = "parts"
KEPT = 86_400 * SECOND
"""What an export holds, and what was refused of an import, for so long after it was written."""

MOST_OPEN = 20
"""Jobs of one client that are not at their end."""
MOST_LYING = {"export": 50}
"""Of one client within a day, where what they made is large."""

_FORGOTTEN = 7 * KEPT
_PAGE = 5000
_HELD = 15 * SECOND
_LOOK = 2.0
# A process that died of a job five times would die of it a sixth time.
_DEATHS = 5
_PATIENCE = 200
_LONGEST_WAIT = 60
_log = structlog.get_logger()
_json = msgspec.json.Encoder()


class State(Enum):
    """``queued`` nobody has begun; the last three are final."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


OPEN = (State.QUEUED, State.RUNNING)


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """``done`` of ``total`` (None: not known) in the job's own pieces; ``place`` is where the next step begins. ``asked`` is the kind's question,
    without personal data; ``counts`` what it came to so far. ``holder`` works on it until ``lease``; ``takes`` counts who began a step and never
    came back, ``waits`` how often a step had to be put off."""

    id: str
    kind: str
    client: str
    created: int
    updated: int
    state: State = State.QUEUED
    done: int = 0
    total: int | None = None
    place: str = ""
    asked: Mapping[str, Any] = {}
    counts: Mapping[str, int] = {}
    fault: str = ""
    holder: str = ""
    lease: int = 0
    takes: int = 0
    waits: int = 0

    @property
    def ends(self) -> int:
        """Until when all that it made is there: none of it was made before this was asked for."""
        return self.created + KEPT


class Work(Protocol):
    """What one kind of job does."""

    async def step(self, job: Job) -> Job:
        """A step of well under a second: the job as it stands then. Errors that pass by themselves put it off; others end it."""
        ...


_job = msgspec.json.Decoder(Job)


class Jobs:
    """Keeps jobs and their parts. ``wake`` lets a runner of this process look at once."""

    def __init__(self, shelf: Shelf, vault: Vault, clock: Clock) -> None:
        self._shelf = shelf
        self._vault = vault
        self._clock = clock
        self.wake = asyncio.Event()

    async def make(self, job: Job, parts: Mapping[str, list[bytes]] = {}) -> Job:
        """Keep a new job, its parts first."""
        for name, pieces in parts.items():
            for number, piece in enumerate(pieces):
                await self.put(job, name, number, piece)
        await self._file(job, before=0)
        self.wake.set()
        return job

    async def get(self, name: str, client: str) -> Job | None:
        """A client's own job; None for anybody else's."""
        kept = await self._shelf.document(SHELF, name)
        job = _job.decode(kept.body) if kept else None
        return job if job is not None and job.client == client else None

    async def all(self, client: str | None = None) -> list[tuple[Job, int]]:
        """Every job, or a client's, with its version, oldest first."""
        found: list[tuple[Job, int]] = []
        after = ""
        # However many one client has asked for, another's are seen.
        while page := await self._shelf.documents(SHELF, after=after, limit=_PAGE):
            jobs = [(_job.decode(one.body), one.version) for one in page]
            found += [(job, version) for job, version in jobs if client is None or job.client == client]
            after = page[-1].key
        return found

    async def room(self, client: str, kind: str) -> bool:
        """Whether a client may ask for one more: not while many of its jobs are open, nor when many of the kind still lie there."""
        now, own = self._clock.now(), [job for job, _ in await self.all(client)]
        lying = sum(job.kind == kind and now < job.ends for job in own)
        return sum(job.state in OPEN for job in own) < MOST_OPEN and lying < MOST_LYING.get(kind, _PAGE)

    async def cancel(self, job: Job) -> Job:
        """End it before its next step; what is done stays done. A job that has ended stays as it ended. Stale when it moved on just now."""
        kept = await self._shelf.document(SHELF, job.id)
        now = _job.decode(kept.body) if kept else job
        if kept is None or now.state not in OPEN:
            return now
        ended = msgspec.structs.replace(now, state=State.CANCELLED, updated=self._clock.now(), holder="", lease=0)
        await self._file(ended, before=kept.version)
        return ended

    async def save(self, job: Job, *, before: int) -> None:
        """Replace it. Stale when somebody else did."""
        await self._file(job, before=before)

    async def _file(self, job: Job, *, before: int) -> None:
        now = self._clock.now()
        document = Document(
            shelf=SHELF, key=job.id, version=before + 1, body=_json.encode(job), updated=now, expires=now + _FORGOTTEN
        )
        await self._shelf.file(document, before=before)

    # ------------------------------------------------------------------ parts
    async def put(self, job: Job, name: str, number: int, piece: bytes) -> None:
        """Keep a piece of what the job reads or makes, sealed, for a day; one of the same number is replaced: a step may be repeated."""
        key, now = _key(job, name, number), self._clock.now()
        before = await self._shelf.document(PARTS, key)
        document = Document(
            shelf=PARTS, key=key, version=before.version + 1 if before else 1, body=self._vault.seal(piece, key.encode()), updated=now,
            expires=now + KEPT,
        )  # fmt: skip
        await self._shelf.file(document, before=before.version if before else 0)

    async def piece(self, job: Job, name: str, number: int) -> bytes | None:
        """One of them."""
        kept = await self._shelf.document(PARTS, _key(job, name, number))
        return self._vault.open(kept.body, kept.key.encode()) if kept else None

    async def pieces(self, job: Job, name: str) -> AsyncIterator[bytes]:
        """All of them in their order, one in memory at a time."""
        number = 0
        while (piece := await self.piece(job, name, number)) is not None:
            yield piece
            number += 1

    async def drop(self, job: Job, name: str, number: int) -> None:
        """Forget a piece that nobody needs any more."""
        kept = await self._shelf.document(PARTS, _key(job, name, number))
        if kept is not None:
            await self._shelf.unfile(PARTS, kept.key, before=kept.version)


def _key(job: Job, name: str, number: int) -> str:
    return f"{job.id}/{name}/{number:06d}"


class Runner:
    """Works on jobs in one process, one step at a time, each job in its turn."""

    def __init__(self, jobs: Jobs, works: Mapping[str, Work], clock: Clock) -> None:
        self._jobs = jobs
        self._works = works
        self._clock = clock
        self._me = new_id("run", clock.now())

    async def run(self) -> None:
        """Until cancelled; then whoever comes next may go on at once."""
        try:
            while True:
                await self._look()
        finally:
            await self.let_go()

    async def _look(self) -> None:
        self._jobs.wake.clear()
        try:
            busy = await self.round()
        except StoreError as error:
            _log.error("jobs.unavailable", detail=error.detail)
            busy = False
        if not busy:
            await at_most(_LOOK, self._jobs.wake)

    async def let_go(self) -> None:
        """Hold nothing any more. What cannot be let go of is free when its lease is over."""
        try:
            for job, version in await self._jobs.all():
                if job.state in OPEN and job.holder == self._me:
                    free = msgspec.structs.replace(job, holder="", lease=0, takes=0)
                    await self._jobs.save(free, before=version)
        except StoreError as error:
            _log.warning("jobs.not_let_go", detail=error.detail)

    async def round(self) -> bool:
        """One step of each job that is free. False when there was none."""
        busy = False
        for job, version in await self._jobs.all():
            if job.state in OPEN and (job.holder == self._me or job.lease <= self._clock.now()):
                busy = await self._work(job, version) or busy
        return busy

    async def _work(self, job: Job, version: int) -> bool:
        """False when it was somebody else's after all, or has to wait."""
        now = self._clock.now()
        if job.holder == self._me and job.waits and job.lease > now:
            return False
        taken = msgspec.structs.replace(
            job, state=State.RUNNING, holder=self._me, lease=now + _HELD, takes=job.takes + 1, updated=now
        )
        try:
            # A step that ends the process leaves the count behind.
            await self._jobs.save(taken, before=version)
            after = _condemned(taken) if taken.takes > _DEATHS else await self._stepped(taken)
            await self._jobs.save(after, before=version + 1)
        except Stale:
            return False
        return not (after.waits and after.state in OPEN)

    async def _stepped(self, job: Job) -> Job:
        task = asyncio.get_running_loop().create_task(self._works[job.kind].step(job))
        try:
            await asyncio.wait([task])
        finally:
            task.cancel()
        error = task.exception()
        now = self._clock.now()
        if error is None:
            return msgspec.structs.replace(task.result(), takes=0, waits=0, lease=now + _HELD, updated=now)
        if isinstance(error, GatewayError) and error.verdict is not Verdict.NEVER and job.waits < _PATIENCE:
            waits = job.waits + 1
            lease = now + min(_LONGEST_WAIT, 2 * waits) * SECOND
            return msgspec.structs.replace(job, takes=0, waits=waits, lease=lease, updated=now)
        return self._failed(job, error)

    def _failed(self, job: Job, error: BaseException) -> Job:
        if isinstance(error, GatewayError):
            fault = f"{error.code}: {error.detail}"
        else:
            fault = "a fault of the gateway; the log has it under this job's id"
        _log.error("jobs.failed", job=job.id, kind=job.kind, exc_info=error)
        return msgspec.structs.replace(job, state=State.FAILED, fault=fault, updated=self._clock.now())


def _condemned(job: Job) -> Job:
    fault = f"the gateway ended {_DEATHS} times while it worked on this; it is not tried again"
    return msgspec.structs.replace(job, state=State.FAILED, fault=fault)
