"""From a leased delivery to a recorded outcome: open what the endpoint is granted, sign, post, record."""

import asyncio
import random
from collections import deque
from collections.abc import Callable, Sequence

import msgspec
import structlog

from gateway import store
from gateway.clock import SECOND, Clock, new_id
from gateway.destination import Endpoint, Tried
from gateway.destinations import sign
from gateway.destinations.webhook import Poster
from gateway.errors import GatewayError, StoreError
from gateway.meters import Meters
from gateway.model.mac import Mac
from gateway.pipeline import retry
from gateway.pipeline.render import Renderer
from gateway.store import DeliveryState
from gateway.vault import Vault

_log = structlog.get_logger()


class Lanes(msgspec.Struct):
    """One endpoint's leased deliveries, first attempts before retries, and how many are under way."""

    first: deque[store.Claimed]
    again: deque[store.Claimed]
    running: int = 0
    through: int = 0
    since: float = 0.0

    def wait(self, now: float) -> float:
        """Seconds until about half of what is held is through, by the pace since this was last asked: 0.05 for a fast endpoint, 5 for a stuck one."""
        pace = self.through / max(now - self.since, 0.001)
        self.through, self.since = 0, now
        return min(5.0, max(0.05, len(self) / 2 / pace)) if pace else 5.0

    def take(self) -> store.Claimed | None:
        """The next one to try."""
        if self.first:
            return self.first.popleft()
        return self.again.popleft() if self.again else None

    def __len__(self) -> int:
        return len(self.first) + len(self.again)


class Deliverer:
    """Posts leased deliveries, each endpoint at its own pace, and records outcomes in batches.

    ``room`` is how many more deliveries it is willing to hold in memory; whoever makes deliveries leases at most that many to it, for ``lease``
    seconds.
    """

    def __init__(
        self,
        *,
        endpoints: Sequence[Endpoint],
        records: store.Store,
        vault: Vault,
        clock: Clock,
        meters: Meters,
        poster: Poster,
        claim: str,
        dice: Callable[[], float] = random.random,
        lease: float = 60.0,
        hold: int = 2000,
        batch: int = 128,
    ) -> None:
        self._ends = {end.name: end for end in endpoints}
        self._macs = {
            end.name: [Mac(sign.key_of(secret, place=f"endpoints.{end.name}.secret")) for secret in end.secrets]
            for end in endpoints
        }
        self._own = {end.name: dict(end.headers) for end in endpoints}
        self._store = records
        self._vault = vault
        self._clock = clock
        self._meters = meters
        self._poster = poster
        self._claim = claim
        self._dice = dice
        # Whatever waits its turn for ``lease`` can still use up its whole time-out before anybody else takes it over.
        self.lease = lease + max((end.timeout for end in endpoints), default=0.0)
        self._hold = hold
        self._batch = batch
        self._render = Renderer(vault)
        self._lanes = {end.name: Lanes(deque(), deque(), since=clock.monotonic()) for end in endpoints}
        self._held = 0
        self._full_until = 0.0
        self._results: list[store.Result] = []
        self._flush = asyncio.Event()
        self._hungry = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._draining = False

    def room(self) -> int:
        """See the class."""
        return self._hold - self._held

    def offer(self, claimed: Sequence[store.Claimed]) -> None:
        """Take leased deliveries on. Those of an endpoint that is far behind are handed back until it has caught up by half."""
        waits: dict[str, float] = {}
        now, taken = self._clock.monotonic(), 0
        for one in claimed:
            lanes = self._lanes.get(one.delivery.endpoint)
            if lanes is None:
                self._record(one, state=DeliveryState.CANCELLED, cause="endpoint removed")
            elif self._draining:
                self._record(one, due=self._clock.now())
            elif len(lanes) >= self._hold // 2:
                wait = waits.setdefault(one.delivery.endpoint, 0.0) or lanes.wait(now)
                waits[one.delivery.endpoint] = wait
                self._record(one, due=self._clock.now() + int(wait * SECOND))
            else:
                taken += 1
                self._take_on(one, lanes)
        if waits and not taken:
            self._full_until = now + min(0.5, *waits.values())

    def _take_on(self, one: store.Claimed, lanes: Lanes) -> None:
        if not lanes and not lanes.running:
            # A pace is measured while there is work; an idle hour before says nothing of it.
            lanes.through, lanes.since = 0, self._clock.monotonic()
        (lanes.again if one.delivery.tries else lanes.first).append(one)
        self._held += 1
        self._start(self._ends[one.delivery.endpoint], lanes)

    def wake(self) -> None:
        """Something may be due."""
        self._hungry.set()

    async def run(self) -> None:
        """Claim, and record, until cancelled; then record what is done."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._claiming())
                group.create_task(self._recording())
        finally:
            await self.settle()

    async def drain(self, seconds: float) -> None:
        """Let attempts under way end within ``seconds``; what was not begun goes back to be claimed again, and nothing more is claimed."""
        self._draining = True
        for lanes in self._lanes.values():
            while (one := lanes.take()) is not None:
                self._held -= 1
                self._record(one, due=self._clock.now())
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=seconds)
        await self.settle()

    async def settle(self) -> None:
        """Record everything that is done."""
        while self._results:
            results, self._results = self._results, []
            await self._store.finish(results)

    # ------------------------------------------------------------------ claiming and recording
    async def _claiming(self) -> None:
        while True:
            self._hungry.clear()
            try:
                took = await self._claim_some()
            except StoreError as error:
                _log.error("deliver.claim_failed", detail=error.detail)
                took = 0
                await self._clock.sleep(1.0)
            # Claiming on would only bring more of what was just handed back; first attempts are leased as they are made.
            if (rest := self._full_until - self._clock.monotonic()) > 0:
                await self._clock.sleep(rest)
                continue
            if took:
                await asyncio.sleep(0)
                continue
            try:
                async with asyncio.timeout(0.5):
                    await self._hungry.wait()
            except TimeoutError:
                await self._sweep()

    async def _sweep(self) -> None:
        try:
            await self._store.release(now=self._clock.now())
        except StoreError as error:
            _log.error("deliver.sweep_failed", detail=error.detail)

    async def _claim_some(self) -> int:
        if self._draining:
            return 0
        took = 0
        for retries in (False, True):
            # Retries may fill at most half of the room, so that first attempts always find some.
            room = self.room() if not retries else self.room() - self._hold // 2
            limit = min(self._batch, room, self._spare())
            if limit <= 0:
                continue
            now = self._clock.now()
            claimed = await self._store.claim(
                now=now, lease=now + int(self.lease * SECOND), claim=self._claim, limit=limit, retries=retries
            )
            self.offer(claimed)
            took += len(claimed)
        return took

    def _spare(self) -> int:
        """How many the emptiest lane would take: claiming more could only be handed back."""
        most = self._hold // 2
        return most - min((len(lanes) for lanes in self._lanes.values()), default=0)

    async def _recording(self) -> None:
        while True:
            await self._flush.wait()
            # A short wait lets the outcomes of one burst share a commit.
            if len(self._results) < self._batch:
                await asyncio.sleep(0.005)
            self._flush.clear()
            results, self._results = self._results, []
            try:
                if results and await self._store.finish(results):
                    self.wake()
            except StoreError as error:
                _log.error("deliver.record_failed", detail=error.detail, results=len(results))
                self._results = results + self._results
                await self._clock.sleep(1.0)
                self._flush.set()

    def _record(
        self,
        one: store.Claimed,
        *,
        state: DeliveryState = DeliveryState.DUE,
        due: int = 0,
        tries: int | None = None,
        attempt: store.Attempt | None = None,
        cause: str | None = None,
    ) -> None:
        delivery = one.delivery
        self._results.append(
            store.Result(
                delivery=delivery.id,
                claim=delivery.claim or "",
                state=state,
                due=due,
                tries=delivery.tries if tries is None else tries,
                attempt=attempt,
                cause=cause,
            )
        )
        self._flush.set()

    # ------------------------------------------------------------------ attempting
    def _start(self, end: Endpoint, lanes: Lanes) -> None:
        if lanes.running >= end.concurrency:
            return
        lanes.running += 1
        task = asyncio.get_running_loop().create_task(self._work(end, lanes))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _work(self, end: Endpoint, lanes: Lanes) -> None:
        try:
            while (one := lanes.take()) is not None:
                self._held -= 1
                lanes.through += 1
                if len(lanes) == self._hold // 4:
                    self._hungry.set()
                # Somebody else may hold the lease before this is through: trying anyway would send it twice for nothing.
                if one.delivery.lease - int(end.timeout * SECOND) > self._clock.now():
                    await self._survive(end, one)
        finally:
            lanes.running -= 1

    async def _survive(self, end: Endpoint, one: store.Claimed) -> None:
        began = self._clock.now()
        try:
            await self._attempt(end, one)
        # A fault of ours on one delivery is an outcome too: left leased, it would be tried every minute for ever.
        except Exception:
            _log.exception("deliver.fault", delivery=one.delivery.id)
            self._conclude(end, one, Tried(error="fault"), began)

    async def _attempt(self, end: Endpoint, one: store.Claimed) -> None:
        began = self._clock.now()
        try:
            body = self._render.render(one.event, end)
        except GatewayError as error:
            _log.error("deliver.render_failed", delivery=one.delivery.id, code=error.code)
            self._record(one, state=DeliveryState.DEAD, tries=one.delivery.tries, cause=f"{error.code}: {error.detail}")
            return
        tried = await self._poster.post(end, body, self._headers(end, one.event.id, began, body))
        self._conclude(end, one, tried, began)

    def _headers(self, end: Endpoint, message: str, began: int, body: bytes) -> dict[str, str]:
        seconds = began // SECOND
        return {
            **self._own[end.name],
            "content-type": "application/json",
            "webhook-id": message,
            "webhook-timestamp": str(seconds),
            "webhook-signature": sign.signature(self._macs[end.name], message, seconds, body),
        }

    def _conclude(self, end: Endpoint, one: store.Claimed, tried: Tried, began: int) -> None:
        now = self._clock.now()
        tries = one.delivery.tries + 1
        attempt = self._attempt_row(one, tried, began, now)
        if tried.ok:
            self._meters.attempts.labels(end.name, "ok").inc()
            if tries == 1:
                self._meters.end_to_end.observe(max(0, now - one.event.at) / SECOND)
            self._record(one, state=DeliveryState.DONE, tries=tries, attempt=attempt)
            return
        self._meters.attempts.labels(end.name, tried.error or f"{tried.status}").inc()
        wait = retry.asked_to_wait(tried.status, tried.retry_after, now=now)
        again = (
            None
            if tried.status == 410
            else retry.next_attempt(end.schedule, tries, wait=wait, now=now, dice=self._dice())
        )
        cause = tried.error or f"http {tried.status}"
        if again is None:
            self._record(one, state=DeliveryState.DEAD, tries=tries, attempt=attempt, cause=cause)
        else:
            self._record(one, due=again, tries=tries, attempt=attempt, cause=cause)
        if tried.status == 410:
            self._gone(end)

    def _gone(self, end: Endpoint) -> None:
        _log.warning("deliver.endpoint_gone", endpoint=end.name)
        task = asyncio.get_running_loop().create_task(self._disable(end))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _disable(self, end: Endpoint) -> None:
        await self.settle()
        await self._store.disable(end.name, cause="the endpoint answered 410 Gone", now=self._clock.now())

    def _attempt_row(self, one: store.Claimed, tried: Tried, began: int, now: int) -> store.Attempt:
        name = new_id("att", now)
        return store.Attempt(
            id=name,
            delivery=one.delivery.id,
            endpoint=one.delivery.endpoint,
            event=one.delivery.event,
            at=began,
            took=now - began,
            status=tried.status,
            error=tried.error,
            response=self._vault.seal(tried.response, name.encode()) if tried.response else None,
        )
