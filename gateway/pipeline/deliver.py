"""From a due delivery to a recorded outcome: claimed in batches, each endpoint served at its own pace, whatever its neighbours do."""

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any

import structlog

from gateway import store
from gateway.breaker import State
from gateway.clock import SECOND, at_most
from gateway.destination import Endpoint
from gateway.errors import GatewayError, StoreError
from gateway.pipeline.attempt import Attempts, Ways
from gateway.pipeline.outcomes import Outcomes
from gateway.pipeline.outlet import LONG_LINGER, Hold, Outlet
from gateway.pipeline.vigil import Vigil
from gateway.store import DeliveryState

_log = structlog.get_logger()
# Another process can send to an endpoint that it has just added: only who is unknown for longer is no more.
_UNKNOWN = 3.0
_MOMENT = 0.05


class Deliverer:
    """Sends leased deliveries, each endpoint at its own pace, and records outcomes in batches.

    ``room`` is how many more deliveries it is willing to hold in memory; whoever makes deliveries leases at most that many to it, for ``lease``
    seconds.
    """

    def __init__(
        self,
        *,
        endpoints: Sequence[Endpoint],
        records: store.Store,
        ways: Ways,
        claim: str,
        lease: float = 60.0,
        hold: int = 2000,
        batch: int = 256,
    ) -> None:
        self._store = records
        self._clock = ways.clock
        self._meters = ways.meters
        self._claim = claim
        self._leased_for = lease
        self._batch = batch
        self._hold = Hold(hold)
        self._outlets: dict[str, Outlet] = {}
        self._unknown: dict[str, float] = {}
        self._full_until = 0.0
        self._hungry = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._timers: set[asyncio.Task[None]] = set()
        self._draining = False
        self._outcomes = Outcomes(records=records, clock=ways.clock, batch=batch, woken=self.wake)
        self._watch = Vigil(
            records=records, clock=ways.clock, operators=ways.operators, stopped=self._stop, resumed=self._resume,
            settled=self._outcomes.settle,
        )  # fmt: skip
        self._attempts = Attempts(
            ways, outcomes=self._outcomes, watch=self._watch, hand_back=self._hand_back, spawn=self._spawn
        )
        self.replace(endpoints)

    # ------------------------------------------------------------------ endpoints come, change and go
    def replace(self, endpoints: Sequence[Endpoint]) -> None:
        """Serve these from now on. What is under way ends as it began; what is held goes to the endpoint as it now is, is handed back where
        it is paused, and cancelled where it is no more."""
        wanted = {end.name: end for end in endpoints}
        for name in self._outlets.keys() - wanted.keys():
            self._remove(self._outlets.pop(name))
        for name, end in wanted.items():
            outlet = self._outlets.get(name)
            if outlet is None:
                self._add(end)
            elif outlet.end != end:
                self._change(outlet, end)
        # Whatever waits its turn for as long as a lease can still use up its whole time-out before anybody else takes it over.
        self.lease = self._leased_for + max((end.timeout for end in endpoints), default=0.0)

    def _add(self, end: Endpoint) -> None:
        mono = self._clock.monotonic()
        self._outlets[end.name] = Outlet(end, hold=self._hold, pulse=self._watch.adopt(end), mono=mono)
        self._meters.circuit.labels(end.name).set(0)
        self._unknown.pop(end.name, None)

    def _change(self, outlet: Outlet, end: Endpoint) -> None:
        self._attempts.unlink(outlet)
        now = self._clock.now()
        silent_until = outlet.back_until(now) if outlet.silent else now
        outlet.adopt(end, self._clock.monotonic())
        self._watch.adopt(end)
        if not outlet.stopped:
            outlet.reopen(self._clock.monotonic())
        if outlet.silent:
            self._hand_back(outlet, outlet.emptied(), outlet.refusal(self._clock.monotonic()))
        elif silent_until > now:
            self._spawn(self._hasten(end.name, silent_until))
        self._start(outlet)

    async def _hasten(self, name: str, before: int) -> None:
        """Nothing keeps what was handed back any more."""
        try:
            # What was handed back this moment is to be found too.
            await self._outcomes.settle()
            hastened = await self._store.hasten(name, before=before, now=self._clock.now())
        except StoreError as error:
            _log.error("deliver.hasten_failed", endpoint=name, detail=error.detail)
            return
        if hastened:
            self._hungry.set()

    def _remove(self, outlet: Outlet) -> None:
        for one in outlet.emptied():
            self._cancel(one)
        outlet.stop()
        self._attempts.unlink(outlet)
        self._watch.dismiss(outlet.end.name)
        self._meters.circuit.remove(outlet.end.name)

    def _stop(self, name: str) -> None:
        """It is disabled: the store has stopped its deliveries, those held here among them."""
        if (outlet := self._outlets.get(name)) is not None:
            outlet.stop()

    def _resume(self, name: str) -> None:
        if (outlet := self._outlets.get(name)) is not None:
            outlet.reopen(self._clock.monotonic())

    # ------------------------------------------------------------------ taking on
    def room(self) -> int:
        """See the class."""
        # Never none: outlets that hold less than their share take more, however full the others are.
        return max(self._hold.share, self._hold.most - self._hold.count)

    def offer(self, claimed: Sequence[store.Claimed]) -> None:
        """Take leased deliveries on. Those that cannot be tried soon are handed back until they can."""
        now, mono, taken = self._clock.now(), self._clock.monotonic(), 0
        for one in claimed:
            outlet = self._outlets.get(one.delivery.endpoint)
            if outlet is None:
                self._stray(one, now, mono)
            elif self._draining:
                self._outcomes.back(one, now)
            elif wait := outlet.refusal(mono):
                # The store stops what is held by a stopped endpoint, or has done so.
                if not outlet.stopped:
                    self._outcomes.back(one, outlet.postponed(now, wait))
            else:
                taken += 1
                self._take_on(one, outlet, now, mono)
        if claimed and not taken:
            # Claiming on at once would be all that the worker does while a long backlog is handed back.
            self._full_until = mono + 0.02

    def _take_on(self, one: store.Claimed, outlet: Outlet, now: int, mono: float) -> None:
        if not outlet.linger:
            outlet.put(one, mono)
            if outlet.running < outlet.at_once:
                self._start(outlet)
            return
        if outlet.linger > LONG_LINGER and outlet.fresh(one.delivery):
            if outlet.flush_due <= now:
                outlet.flush_due = now + int(outlet.linger * SECOND)
            self._outcomes.back(one, outlet.flush_due)
            return
        outlet.put(one, mono)
        self._fill(outlet, outlet.fill_time(one.delivery))

    def _fill(self, outlet: Outlet, seconds: float) -> None:
        if not seconds:
            outlet.full = True
        elif not outlet.timed:
            outlet.timed = True
            self._spawn(self._filled(outlet, outlet.filling, seconds), self._timers)
        self._start(outlet)

    async def _filled(self, outlet: Outlet, filling: int, seconds: float) -> None:
        await self._clock.sleep(seconds)
        if outlet.filling == filling:
            outlet.full = True
            self._start(outlet)

    def _stray(self, one: store.Claimed, now: int, mono: float) -> None:
        since = self._unknown.setdefault(one.delivery.endpoint, mono)
        if mono - since < _UNKNOWN and not self._draining:
            self._outcomes.back(one, now + int((since + _UNKNOWN - mono) * SECOND))
        elif self._draining:
            self._outcomes.back(one, now)
        else:
            self._cancel(one)

    def _cancel(self, one: store.Claimed) -> None:
        self._outcomes.add(one, DeliveryState.CANCELLED, tries=one.delivery.tries, cause="endpoint removed")

    def _hand_back(self, outlet: Outlet, some: Sequence[store.Claimed], wait: float) -> None:
        now = self._clock.now()
        for one in some:
            self._outcomes.back(one, outlet.postponed(now, wait))

    def wake(self) -> None:
        """Something may be due."""
        self._hungry.set()

    # ------------------------------------------------------------------ running
    async def run(self) -> None:
        """Claim, and record, until cancelled; then record what is done."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._claiming())
                group.create_task(self._outcomes.run())
                group.create_task(self._tending())
        finally:
            await self._outcomes.settle()

    async def drain(self, seconds: float) -> None:
        """Let attempts under way end within ``seconds``; what was not begun goes back to be claimed again, and nothing more is claimed."""
        self._draining = True
        now = self._clock.now()
        for timer in self._timers:
            timer.cancel()
        for outlet in self._outlets.values():
            for one in outlet.emptied():
                self._outcomes.back(one, now)
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=seconds)
        self._attempts.count_up()
        await self._outcomes.settle()
        await self._watch.note(all_of_it=True)

    async def close(self) -> None:
        """Let go of all destinations. A send under way may fail."""
        for outlet in self._outlets.values():
            link, outlet.link = outlet.link, None
            if link is not None:
                await link.destination.close()

    def parts(self) -> Mapping[str, Mapping[str, str | int]]:
        """How each endpoint is, for the board: its circuit, how much is held and under way, and since when (an instant) nobody fetches what
        waits there."""
        return {
            name: {
                "circuit": outlet.state.value,
                "state": outlet.word,
                "held": len(outlet),
                "under_way": outlet.running,
                **self._unpolled(name),
            }
            for name, outlet in self._outlets.items()
        }

    def _unpolled(self, name: str) -> Mapping[str, int]:
        found = self._watch.unpolled.get(name)
        return (
            {} if found is None else {"unpolled_since": found.since, "waiting": found.waiting, "oldest": found.oldest}
        )

    def _spawn(self, work: Coroutine[Any, Any, None], among: set[asyncio.Task[None]] | None = None) -> None:
        tasks = self._tasks if among is None else among
        task = asyncio.get_running_loop().create_task(work)
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    async def _claiming(self) -> None:
        while True:
            self._hungry.clear()
            try:
                took = await self._claim_some()
            except StoreError as error:
                _log.error("deliver.claim_failed", detail=error.detail)
                took = 0
                await self._clock.sleep(1.0)
            if (rest := self._full_until - self._clock.monotonic()) > 0:
                await self._clock.sleep(rest)
                continue
            if took:
                await self._moment()
                continue
            if not await at_most(0.5, self._hungry):
                await self._sweep()

    async def _moment(self) -> None:
        """A commit costs the same for few as for many: outlets that are nearly full may let some go before more is claimed for them."""
        if self._spare() >= self._batch:
            await asyncio.sleep(0)
            return
        await at_most(_MOMENT, self._hungry)

    async def _sweep(self) -> None:
        self._attempts.rest()
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
            room = self.room() if not retries else max(self._hold.share, self.room() - self._hold.most // 2)
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
        """How many the emptiest outlet would take: claiming more could only be handed back."""
        return max((one.window - len(one) for one in self._outlets.values()), default=self._batch)

    async def _tending(self) -> None:
        """Once a second: measure paces, hand back what stuck endpoints hold too much of, and look how everybody is."""
        while True:
            try:
                await self.tend()
            except GatewayError as error:
                _log.error("deliver.tending_failed", code=error.code, detail=error.detail)
            await self._clock.sleep(1.0)

    async def tend(self) -> None:
        """One round of it. StoreError leaves what is not done for the next."""
        self._attempts.count_up()
        mono = self._clock.monotonic()
        for outlet in list(self._outlets.values()):
            outlet.measure(mono)
            if len(outlet) > outlet.window:
                self._hand_back(outlet, outlet.surplus(), outlet.backlog_wait())
            await self._attempts.look(outlet)
            self._start(outlet)
        await self._watch.round()

    # ------------------------------------------------------------------ working
    def _start(self, outlet: Outlet) -> None:
        """As many at work as there are sends to make, and as the endpoint allows."""
        if not outlet.ready() or self._draining:
            return
        sends = -(-len(outlet) // outlet.batch)
        for _ in range(min(sends, outlet.at_once - outlet.running)):
            outlet.running += 1
            self._spawn(self._work(outlet))

    async def _work(self, outlet: Outlet) -> None:
        try:
            while True:
                if (outlet.rate or outlet.troubled) and not await self._may(outlet):
                    return
                if not (some := outlet.take()):
                    return
                if len(outlet) <= outlet.window // 2 < len(outlet) + len(some):
                    self._hungry.set()
                was = outlet.state
                await self._attempts.send(outlet, some)
                outlet.through += len(some)
                if outlet.running > outlet.at_once:
                    return
                if was is not State.CLOSED and outlet.state is State.CLOSED:
                    self._start(outlet)
        finally:
            outlet.running -= 1

    async def _may(self, outlet: Outlet) -> bool:
        if not outlet.ready():
            return False
        wait = await self._attempts.may(outlet)
        if wait > 0:
            outlet.resting = True
            self._spawn(self._rested(outlet, wait), self._timers)
        return not wait

    async def _rested(self, outlet: Outlet, wait: float) -> None:
        await self._clock.sleep(wait)
        outlet.resting = False
        self._start(outlet)
