"""From a leased delivery to a recorded outcome: open what the endpoint is granted, sign, post, record."""

import asyncio
import random
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any

import msgspec
import structlog
from pyreqwest.client import Client, ClientBuilder
from pyreqwest.exceptions import ConnectError, PyreqwestError, RequestTimeoutError

from gateway import store
from gateway.clock import SECOND, Clock, new_id
from gateway.errors import GatewayError, StoreError
from gateway.meters import Meters
from gateway.model.values import Sensitivity
from gateway.pipeline import retry, sign
from gateway.pipeline.address import Unfit, Vetted, Vetter
from gateway.pipeline.route import Endpoint
from gateway.store import DeliveryState
from gateway.vault import Vault, reveal_event

_log = structlog.get_logger()
_RESPONSE_KEPT = 2048
_json = msgspec.json.Encoder()
_event = msgspec.json.Decoder(dict[str, Any])


class Tried(msgspec.Struct, frozen=True, kw_only=True):
    """What an attempt came to: ``status`` of the answer or ``error``, a stable word."""

    status: int | None = None
    error: str | None = None
    retry_after: str | None = None
    response: bytes = b""

    @property
    def ok(self) -> bool:
        """2xx and nothing else; a redirect is a failure (Standard Webhooks)."""
        return self.status is not None and 200 <= self.status < 300


class Poster:
    """One endpoint's client, pinned to the vetted address."""

    def __init__(self, vetter: Vetter) -> None:
        self._vetter = vetter
        self._clients: dict[tuple[str, Vetted], Client] = {}

    async def post(self, end: Endpoint, body: bytes, headers: Mapping[str, str]) -> Tried:
        """Never raises for what an endpoint or the network can do."""
        where = await self._vetter.vet(end.url, allow_private=end.allow_private)
        if isinstance(where, Unfit):
            return Tried(error=where.error, response=where.detail.encode())
        client = self._client(end, where)
        request = (
            client.post(end.url)
            .headers(headers)
            .body_bytes(body)
            .timeout(timedelta(seconds=end.timeout))
            .streamed_read_buffer_limit(_RESPONSE_KEPT * 8)
            .build_streamed()
        )
        try:
            async with request as response:
                kept = await response.body_reader.read(_RESPONSE_KEPT)
                return Tried(
                    status=response.status,
                    retry_after=response.get_header("retry-after"),
                    response=bytes(kept) if kept else b"",
                )
        except RequestTimeoutError:
            return Tried(error="timeout")
        except ConnectError as error:
            return Tried(error="tls" if "certificate" in str(error).lower() else "connect")
        except PyreqwestError:
            return Tried(error="network")

    def _client(self, end: Endpoint, where: Vetted) -> Client:
        key = (end.name, where)
        client = self._clients.get(key)
        if client is None:
            builder = ClientBuilder().follow_redirects(False).no_proxy().pool_max_idle_per_host(end.concurrency)
            builder = builder.user_agent("scrm-gateway").resolve(where.host, where.address, where.port)
            client = self._clients[key] = builder.build()
        return client

    async def close(self) -> None:
        """Drop all connections."""
        for client in self._clients.values():
            await client.close()


class Renderer:
    """An event as one endpoint may see it. Endpoints with equal grants share the work."""

    def __init__(self, vault: Vault, keep: int = 1024) -> None:
        self._vault = vault
        self._keep = keep
        self._done: dict[tuple[str, tuple[str, ...]], bytes] = {}

    def render(self, event: store.EventRow, end: Endpoint) -> bytes:
        """The body to post. VaultError when a key is gone or a sealed value was altered."""
        key = (event.id, tuple(end.grants[one] for one in Sensitivity if one is not Sensitivity.PUBLIC))
        known = self._done.get(key)
        if known is None:
            shown, withheld = reveal_event(_event.decode(event.body), self._vault, lambda one: end.grants[one])
            if withheld:
                shown["withheld"] = sorted(one.value for one in withheld)
            known = _json.encode(shown)
            if len(self._done) >= self._keep:
                self._done.pop(next(iter(self._done)))
            self._done[key] = known
        return known


class Lanes(msgspec.Struct):
    """One endpoint's leased deliveries, first attempts before retries, and how many are under way."""

    first: deque[store.Claimed]
    again: deque[store.Claimed]
    running: int = 0

    def take(self) -> store.Claimed | None:
        """The next one to try."""
        if self.first:
            return self.first.popleft()
        return self.again.popleft() if self.again else None

    def __len__(self) -> int:
        return len(self.first) + len(self.again)


class Deliverer:
    """Posts leased deliveries, each endpoint at its own pace, and records outcomes in batches.

    ``room`` is how many more deliveries it is willing to hold in memory; whoever makes deliveries leases at most that many to it.
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
        self._keys = {
            end.name: [sign.key_of(secret, place=f"endpoints.{end.name}.secret") for secret in end.secrets]
            for end in endpoints
        }
        self._store = records
        self._vault = vault
        self._clock = clock
        self._meters = meters
        self._poster = poster
        self._claim = claim
        self._dice = dice
        self._lease = lease
        self._hold = hold
        self._batch = batch
        self._render = Renderer(vault)
        self._lanes = {end.name: Lanes(deque(), deque()) for end in endpoints}
        self._held = 0
        self._results: list[store.Result] = []
        self._flush = asyncio.Event()
        self._hungry = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._draining = False

    def room(self) -> int:
        """See the class."""
        return self._hold - self._held

    def offer(self, claimed: Sequence[store.Claimed]) -> None:
        """Take leased deliveries on. Those of an endpoint that is far behind are handed back for later."""
        for one in claimed:
            lanes = self._lanes.get(one.delivery.endpoint)
            if lanes is None:
                self._record(one, state=DeliveryState.CANCELLED, cause="endpoint removed")
            elif self._draining:
                self._record(one, due=self._clock.now())
            elif len(lanes) >= self._hold // 2:
                self._record(one, due=self._clock.now() + 5 * SECOND)
            else:
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
            limit = min(self._batch, self.room() if not retries else self.room() - self._hold // 2)
            if limit <= 0:
                continue
            now = self._clock.now()
            claimed = await self._store.claim(
                now=now, lease=now + int(self._lease * SECOND), claim=self._claim, limit=limit, retries=retries
            )
            self.offer(claimed)
            took += len(claimed)
        return took

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
                # Somebody else may hold the lease by now: trying anyway would send it twice for nothing.
                if one.delivery.lease > self._clock.now():
                    await self._attempt(end, one)
        finally:
            lanes.running -= 1

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
            **dict(end.headers),
            "content-type": "application/json",
            "webhook-id": message,
            "webhook-timestamp": str(seconds),
            "webhook-signature": sign.signature(self._keys[end.name], message, seconds, body),
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
