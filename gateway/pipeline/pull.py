"""Asking partners: errands that a push led to, and windows of reconciliation that find what no push told us."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import structlog

from gateway import store
from gateway.clock import SECOND, Clock, derived_id
from gateway.connector import Can, Inbound, Window
from gateway.errors import GatewayError, PartnerDenied, PartnerError, StoreError, Verdict
from gateway.meters import Meters
from gateway.pipeline.accounts import Accounts, Opened
from gateway.pipeline.project import errand
from gateway.pipeline.retry import pause
from gateway.pipeline.rounds import rounds
from gateway.vault import Vault

_log = structlog.get_logger()
_LAG = 60.0

Write = Callable[[Opened, Sequence[Inbound]], Awaitable[object]]


class Errands:
    """Runs due errands: fetch, write the answer to the journal, and only then forget the errand.

    Each account has ``at_once`` turns of its own, so that a partner that does not answer holds up nobody else's; ``hold`` errands are taken on
    at most, and leased for ``lease`` seconds.
    """

    def __init__(
        self,
        *,
        accounts: Accounts,
        records: store.Store,
        vault: Vault,
        clock: Clock,
        meters: Meters,
        write: Write,
        at_once: int = 8,
        hold: int = 256,
        lease: float = 120.0,
    ) -> None:
        self._accounts = accounts
        self._store = records
        self._vault = vault
        self._clock = clock
        self._meters = meters
        self._write = write
        self._at_once = at_once
        self._hold = hold
        self._lease = lease
        self._held = 0
        self._turns: dict[str, asyncio.Semaphore] = {}
        self._done: list[store.Errand] = []
        self._again: list[store.Errand] = []

    async def run(self, wake: asyncio.Event) -> None:
        """Until cancelled; woken by hints, and twice a second in case a hint was lost."""

        async def begin(group: asyncio.TaskGroup) -> int:
            await self._settle()
            return await self._begin(group, wake)

        await rounds(begin, wake=wake, clock=self._clock, what="errands")

    async def _begin(self, group: asyncio.TaskGroup, wake: asyncio.Event) -> int:
        room = min(self._hold - self._held, 32)
        if room <= 0:
            return 0
        now = self._clock.now()
        lease = now + int(self._lease * SECOND)
        due = await self._store.errands(now=now, lease=lease, limit=room)
        for job in due:
            self._held += 1
            group.create_task(self._one(job, lease, wake))
        return len(due)

    async def _one(self, job: store.Errand, lease: int, wake: asyncio.Event) -> None:
        try:
            async with self._turns.setdefault(job.account, asyncio.Semaphore(self._at_once)):
                # One that waited too long for its turn is due again, and taken up again.
                if self._clock.now() < lease:
                    later = await self._fetch(job)
                    (self._done if later is None else self._again).append(later or job)
        except StoreError as error:
            _log.error("errands.unavailable", detail=error.detail)
        finally:
            self._held -= 1
            wake.set()

    async def _settle(self) -> None:
        if not (self._done or self._again):
            return
        done, again = self._done, self._again
        self._done, self._again = [], []
        try:
            await self._store.settle(done, again)
        except StoreError:
            self._done, self._again = done + self._done, again + self._again
            raise

    async def _fetch(self, job: store.Errand) -> store.Errand | None:
        """None when it is done; else the errand as it is to be tried again."""
        try:
            opened = self._accounts.need(job.account)
            key = self._vault.open_text(job.key, f"errand/{job.account}/{job.topic}")
            events = await opened.connector.fetch(job.topic, key)
            if events:
                await self._write(opened, events)
        except GatewayError as error:
            self._meters.errands.labels(job.account, error.code).inc()
            later = self._later(job, error)
            if later is None:
                await self._store.bury([self._dead(job, error)])
            return later
        self._meters.errands.labels(job.account, "ok").inc()
        return None

    def _later(self, job: store.Errand, error: GatewayError) -> store.Errand | None:
        """An errand is never dropped for what the partner or we can mend: it waits, and stays visible with its cause. None: a person must look."""
        tries = job.tries + 1
        wait = pause(tries, error.wait)
        if error.verdict is Verdict.NEVER and not isinstance(error, PartnerDenied) and isinstance(error, PartnerError):
            return None
        return store.Errand(
            account=job.account,
            topic=job.topic,
            hash=job.hash,
            key=job.key,
            due=self._clock.now() + int(wait * SECOND),
            tries=tries,
            asked=job.asked,
            entry=job.entry,
            cause=f"{error.code}: {error.detail}"[:300],
        )

    def _dead(self, job: store.Errand, error: GatewayError) -> store.DeadLetter:
        _log.warning("errands.given_up", account=job.account, topic=job.topic, code=error.code, detail=error.detail)
        self._meters.dead.labels(job.account, error.code).inc()
        return store.DeadLetter(
            id=derived_id("ded", 0, job.account, job.topic, job.hash),
            entry=job.entry,
            account=job.account,
            topic=job.topic,
            stage="fetch",
            cause=error.code,
            detail=str(error),
            at=self._clock.now(),
        )


class Pulls:
    """Keeps one reconciliation per account and topic going: windows that overlap, end a little before now, and are resumed
    page by page after a restart."""

    def __init__(
        self, *, accounts: Accounts, records: store.Store, vault: Vault, clock: Clock, meters: Meters, write: Write
    ) -> None:
        self._accounts = accounts
        self._store = records
        self._vault = vault
        self._clock = clock
        self._meters = meters
        self._write = write

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            for opened in self._accounts.all():
                if Can.PULL in opened.card.can and not opened.account.disabled:
                    for topic in opened.card.pulls:
                        group.create_task(self._follow(opened, topic))

    async def _follow(self, opened: Opened, topic: str) -> None:
        every = opened.card.pulls[topic][0]
        failures = 0
        while True:
            try:
                await self.window(opened, topic)
                failures = 0
            except GatewayError as error:
                failures += 1
                self._meters.errands.labels(opened.account.name, error.code).inc()
                _log.warning(
                    "pull.failed", account=opened.account.name, topic=topic, code=error.code, detail=error.detail
                )
                await self._clock.sleep(pause(failures, error.wait))
                continue
            await self._clock.sleep(every)

    async def window(self, opened: Opened, topic: str) -> int:
        """Read one window to its end, continuing where a restart left it. Returns how many events it brought."""
        _, overlap, longest = opened.card.pulls[topic]
        name = opened.account.name
        known = next((one for one in await self._store.pulls() if (one.account, one.topic) == (name, topic)), None)
        state = known or store.PullState(account=name, topic=topic, done=self._clock.now() - int(longest * SECOND))
        until = state.until or min(self._clock.now() - int(_LAG * SECOND), state.done + int(longest * SECOND))
        window = Window(since=state.done - int(overlap * SECOND), until=until)
        cursor, brought = state.cursor, 0
        while window.until > state.done:
            page = await opened.connector.pull(topic, window, cursor)
            if page.events:
                await self._write(opened, page.events)
            brought += len(page.events)
            cursor = page.cursor
            last = cursor is None
            await self._store.pulled(
                store.PullState(
                    account=name,
                    topic=topic,
                    done=until if last else state.done,
                    until=None if last else until,
                    cursor=cursor,
                ),
                [errand(self._vault, name, fetch, now=self._clock.now()) for fetch in page.fetch],
            )
            if last:
                break
        return brought
