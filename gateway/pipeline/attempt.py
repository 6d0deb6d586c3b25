"""One send and what it came to: rendered for the endpoint, handed to its destination, and turned into outcomes."""

import random
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Any

import msgspec
import structlog

from gateway import limiter, store
from gateway.breaker import Breakers, Policy, State
from gateway.clock import SECOND, Clock, new_id
from gateway.destination import Destination, Endpoint, Message, Tried
from gateway.errors import GatewayError, Tampered, VaultDown
from gateway.meters import Meters
from gateway.pipeline import retry, vigil
from gateway.pipeline.alarm import Alarm
from gateway.pipeline.operators import Operators
from gateway.pipeline.outcomes import Outcomes
from gateway.pipeline.outlet import Link, Outlet
from gateway.pipeline.render import Renderer
from gateway.store import DeliveryState
from gateway.vault import Vault

_log = structlog.get_logger()

# A restart of the far side is over in seconds, so the first rests are short; a dead one is asked every five minutes in the end.
CIRCUIT = Policy(trip=10, rest=2.0, longest=300.0, probes=1)
# What a proxy says of somebody behind it, and who is asked too often (RFC 9110 §15.6, RFC 6585 §4).
_GATEWAYS = frozenset({429, 502, 503, 504})
_FAULT = Tried(error="fault")
_MISCONFIGURED = Tried(error="config")
_LONGEST_FAULT = 60.0
# The HTTP client's thread needs the interpreter's lock for each answer. Rendering between any two sends makes it stand in line for each of them;
# rendering for some sends at once does not.
_AHEAD = 16
_AHEAD_SECONDS = 0.5

OpenDestination = Callable[[Endpoint], Destination]
Spawn = Callable[[Coroutine[Any, Any, None]], None]


class Ways(msgspec.Struct, frozen=True, kw_only=True):
    """What attempts are made with. ``dice`` in [0, 1) spreads retries."""

    open_destination: OpenDestination
    vault: Vault
    clock: Clock
    meters: Meters
    limits: limiter.Limiter
    breakers: Breakers
    operators: Operators
    circuit: Policy = CIRCUIT
    dice: Callable[[], float] = random.random


class Attempts:
    """Makes them. ``hand_back`` gives everything that an outlet holds back to the store for some seconds."""

    def __init__(
        self,
        ways: Ways,
        *,
        outcomes: Outcomes,
        watch: vigil.Vigil,
        hand_back: Callable[[Outlet, Sequence[store.Claimed], float], None],
        spawn: Spawn,
    ) -> None:
        self._ways = ways
        self._vault = ways.vault
        self._clock = ways.clock
        self._meters = ways.meters
        self._outcomes = outcomes
        self._watch = watch
        self._hand_back = hand_back
        self._spawn = spawn
        self._alarm = Alarm(ways.operators, ways.meters)
        self._render = Renderer(ways.vault, clock=ways.clock)
        self._counts: dict[tuple[str, str], int] = {}
        self._took: dict[str, Callable[[float], None]] = {}

    def rest(self) -> None:
        """There is nothing to send just now: hold nothing opened for it."""
        self._render.rest()

    # ------------------------------------------------------------------ endpoints come and go
    def unlink(self, outlet: Outlet) -> None:
        """Close its destination once nothing is under way there."""
        link, outlet.link = outlet.link, None
        if link is not None:
            link.retired = True
            if not link.busy:
                self._spawn(link.destination.close())

    # ------------------------------------------------------------------ may it go?
    async def may(self, outlet: Outlet) -> float:
        """Seconds for which the endpoint's pace holds back the next send, 0.0 for none; -1.0 when its circuit is open, and all was handed back."""
        if outlet.rate is not None:
            answer = await self._ways.limits.take(outlet.key, outlet.rate)
            if isinstance(answer, limiter.Refused):
                return answer.wait
        # Whoever had nothing but successes is not asked about: that would cost each send two questions to hear nothing new.
        if outlet.troubled and (wait := await self._ways.breakers.ask(outlet.circuit, self._ways.circuit)):
            self._shut(outlet, wait, State.OPEN)
            return -1.0
        return 0.0

    async def look(self, outlet: Outlet) -> None:
        """Learn how the circuit is: somebody who shares it may have opened it."""
        state = await self._ways.breakers.look(outlet.circuit)
        self._meters.circuit.labels(outlet.end.name).set(_GAUGE[state])
        if state is not State.CLOSED:
            outlet.troubled = True
        outlet.state = state

    def _shut(self, outlet: Outlet, wait: float, state: State) -> None:
        outlet.state = state
        outlet.shut(self._clock.monotonic(), wait)
        self._hand_back(outlet, outlet.emptied(), wait)

    async def _report(self, outlet: Outlet, tried: Tried) -> None:
        """Tell the circuit; nothing is told of an endpoint that is well and was well."""
        well = not _is_down(tried)
        if well and not outlet.troubled:
            return
        outlet.troubled = True
        there = tried.status is not None and tried.status not in _GATEWAYS
        state = await self._ways.breakers.tell(outlet.circuit, self._ways.circuit, ok=well, answered=there)
        self._meters.circuit.labels(outlet.end.name).set(_GAUGE[state])
        before, outlet.state = outlet.state, state
        if state is State.CLOSED:
            outlet.troubled = not well
            if before is not State.CLOSED:
                _log.info("deliver.circuit_closed", endpoint=outlet.end.name)
                outlet.reopen(self._clock.monotonic())
        elif state is State.OPEN and before is not State.OPEN:
            _log.warning("deliver.circuit_open", endpoint=outlet.end.name, cause=_cause(tried))

    # ------------------------------------------------------------------ one send
    async def send(self, outlet: Outlet, some: Sequence[store.Claimed]) -> None:
        """Never raises: whatever happens is an outcome."""
        clock = self._clock
        began = clock.now()
        try:
            messages, sent = self._messages(outlet, some, began)
            if not messages:
                return
            tried = await self._handed_over(outlet, messages, began)
        # A fault of ours on one delivery is an outcome too: left leased, it would be tried every minute for ever.
        except Exception:
            _log.exception("deliver.fault", endpoint=outlet.end.name, delivery=some[0].delivery.id)
            sent, tried = some, _FAULT
        if tried.ours:
            self._ours(outlet, sent, tried.error or "egress")
            return
        if outlet.fault_wait:
            outlet.fault_wait = 0.0
            _log.info("deliver.fault_over", endpoint=outlet.end.name)
        if tried.ok:
            self._done(outlet, sent, tried, began)
        else:
            self._failed(outlet, sent, tried, began)
        if outlet.troubled or not tried.ok:
            await self._report(outlet, tried)

    async def _handed_over(self, outlet: Outlet, messages: Sequence[Message], began: int) -> Tried:
        link = outlet.link
        if link is None:
            try:
                link = outlet.link = Link(self._ways.open_destination(outlet.end))
            except GatewayError as error:
                _log.error("deliver.endpoint_unusable", endpoint=outlet.end.name, code=error.code, detail=str(error))
                return _MISCONFIGURED
        link.busy += 1
        try:
            return await link.destination.send(messages, now=began)
        finally:
            link.busy -= 1
            if link.retired and not link.busy:
                self._spawn(link.destination.close())

    def _messages(
        self, outlet: Outlet, some: Sequence[store.Claimed], began: int
    ) -> tuple[Sequence[Message], Sequence[store.Claimed]]:
        """What can leave, and which deliveries that is; what cannot be rendered has its outcome already."""
        messages, sent = [], []
        for one in some:
            delivery, event = one.delivery, one.event
            # Somebody else may hold the lease before this is through: trying anyway would send it twice for nothing.
            if delivery.lease - outlet.needs <= began:
                continue
            try:
                body = self._body(outlet, one)
            except VaultDown:
                self._ours(outlet, [one], VaultDown.code)
                continue
            except GatewayError as error:
                self._unfit(outlet, one, error)
                continue
            messages.append(Message(id=event.id, type=event.type, subject=event.subject, at=event.at, body=body))
            sent.append(one)
        return messages, sent

    def _body(self, outlet: Outlet, one: store.Claimed) -> bytes:
        mono = self._clock.monotonic()
        if (made := outlet.made(one, mono)) is not None:
            return made
        if (ready := self._render.ready(one.event, outlet.end)) is not None:
            return ready
        body = self._render.render(one.event, outlet.end)
        if outlet.batch == 1 and len(outlet) > 1:
            outlet.ready_with(self._rendered(outlet), mono + _AHEAD_SECONDS)
        return body

    def _rendered(self, outlet: Outlet) -> dict[str, bytes]:
        """What leaves next, up to the first that cannot be rendered: that one's turn will come."""
        ahead: dict[str, bytes] = {}
        render, end = self._render.render, outlet.end
        with suppress(GatewayError, ValueError, LookupError, TypeError):
            for one in outlet.upcoming(_AHEAD):
                ahead[one.delivery.id] = render(one.event, end)
        return ahead

    def _unfit(self, outlet: Outlet, one: store.Claimed, error: GatewayError) -> None:
        _log.error("deliver.render_failed", delivery=one.delivery.id, code=error.code)
        cause = f"{error.code}: {error.detail}"
        self._outcomes.add(one, DeliveryState.DEAD, tries=one.delivery.tries, cause=cause)
        if isinstance(error, Tampered):
            facts = {"subject": one.event.subject, "delivery": one.delivery.id, "endpoint": outlet.end.name}
            self._spawn(self._alarm.altered(error, stage="deliver", where=one.event.id, **facts))

    # ------------------------------------------------------------------ outcomes
    def _ours(self, outlet: Outlet, some: Sequence[store.Claimed], cause: str) -> None:
        """Our own fault says nothing of the endpoint: no try is counted, and all it holds waits with it."""
        name = outlet.end.name
        if not outlet.fault_wait:
            _log.error("deliver.fault_of_ours", endpoint=name, cause=cause)
        mono = self._clock.monotonic()
        if outlet.shut_until <= mono:
            # Of the sends that were under way together only the first makes the wait longer.
            outlet.fault_wait = min(_LONGEST_FAULT, max(1.0, outlet.fault_wait * 2))
            outlet.shut(mono, outlet.fault_wait)
        self._meters.our_faults.labels(name, cause).inc(len(some))
        self._hand_back(outlet, [*some, *outlet.emptied()], outlet.fault_wait)

    def _done(self, outlet: Outlet, sent: Sequence[store.Claimed], tried: Tried, began: int) -> None:
        now = self._clock.now()
        for one in sent:
            tries = one.delivery.tries + 1
            if tries == 1:
                self._meters.end_to_end.observe(max(0, now - one.event.at) / SECOND)
            attempt = self._row(one, tried, began, now)
            self._outcomes.add(one, DeliveryState.DONE, tries=tries, attempt=attempt)
        self._count(outlet.end.name, "ok", len(sent))
        self._time(outlet.end.name, now - began)
        outlet.pulse.ok(now)

    def _failed(self, outlet: Outlet, sent: Sequence[store.Claimed], tried: Tried, began: int) -> None:
        now = self._clock.now()
        end, status = outlet.end, tried.status
        cause = _cause(tried)
        wait = retry.asked_to_wait(status, tried.retry_after, now=now)
        for one in sent:
            tries = one.delivery.tries + 1
            attempt = self._row(one, tried, began, now)
            again = None
            if status != 410:
                again = retry.next_attempt(end.schedule, tries, wait=wait, now=now, dice=self._ways.dice())
            state = DeliveryState.DEAD if again is None else DeliveryState.DUE
            self._outcomes.add(one, state, tries=tries, due=again or 0, attempt=attempt, cause=cause)
        self._count(end.name, tried.error or f"{status}", len(sent))
        self._time(end.name, now - began)
        outlet.pulse.failed(now, cause)
        if status == 410:
            self._gone(outlet)

    def _count(self, endpoint: str, outcome: str, amount: int) -> None:
        key = endpoint, outcome
        self._counts[key] = self._counts.get(key, 0) + amount

    def _time(self, endpoint: str, took: int) -> None:
        known = self._took.get(endpoint)
        if known is None:
            known = self._took[endpoint] = self._meters.took.labels(endpoint).observe
        known(max(0, took) / SECOND)

    def count_up(self) -> None:
        """Add what was counted since the last time to the metrics: one by one it would cost as much as a signature."""
        counts, self._counts = self._counts, {}
        for labels, amount in counts.items():
            self._meters.attempts.labels(*labels).inc(amount)

    def _gone(self, outlet: Outlet) -> None:
        if not outlet.stopped:
            _log.warning("deliver.endpoint_gone", endpoint=outlet.end.name)
            outlet.stop()
            self._watch.condemn(outlet.end.name, vigil.GONE)

    def _row(self, one: store.Claimed, tried: Tried, began: int, now: int) -> store.Attempt:
        delivery = one.delivery
        name = new_id("att", now)
        return store.Attempt(
            id=name,
            delivery=delivery.id,
            endpoint=delivery.endpoint,
            event=delivery.event,
            at=began,
            took=now - began,
            status=tried.status,
            error=tried.error,
            response=self._vault.seal(tried.response, name.encode()) if tried.response else None,
        )


_GAUGE = {State.CLOSED: 0, State.HALF_OPEN: 1, State.OPEN: 2}


def _cause(tried: Tried) -> str:
    return tried.error or f"http {tried.status}"


def _is_down(tried: Tried) -> bool:
    """Whether a failure says that nothing would go through now. A 4xx is an answer about what was sent, by somebody who is there; so is one
    that says when to come again."""
    if tried is _FAULT or tried.ok:
        return False
    return tried.status is None or (tried.retry_after is None and (tried.status >= 500 or tried.status == 429))
