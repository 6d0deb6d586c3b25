"""Sending events again: counted first, then done in steps that a crash may end anywhere.

Whoever replays is on record: the caller leaves the trace (audit verb ``replay``) between ``plan`` and ``run``.
"""

from collections.abc import Callable, Collection, Sequence
from enum import Enum

import msgspec

from gateway import store
from gateway.clock import Clock
from gateway.destination import Endpoint
from gateway.pipeline.route import Router
from gateway.store import DeliveryState

_PAGE = 500
"""Events in one step."""

_STEP = 250
"""Deliveries in one transaction."""

_FAILED = (DeliveryState.DEAD, DeliveryState.DISABLED, DeliveryState.CANCELLED)


class Held(Enum):
    """Why nothing reaches an endpoint now. What is sent again to a paused one waits; to a disabled one nothing is."""

    NO = ""
    PAUSED = "paused"
    DISABLED = "disabled"


class Count(msgspec.Struct, kw_only=True):
    """The deliveries of the events that are meant, to one endpoint. ``missing`` were never made (it was added later, or asked for less),
    ``failed`` are dead, disabled or cancelled, ``done`` arrived, ``open`` are on their way."""

    endpoint: str
    held: Held = Held.NO
    missing: int = 0
    failed: int = 0
    done: int = 0
    open: int = 0


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What a replay comes to. ``last`` is the number of the newest event that is meant: what happens later is not part of it."""

    span: store.Span
    endpoint: str | None
    again: bool
    events: int
    last: int
    counts: Sequence[Count]

    def sends(self, count: Count) -> int:
        """How many deliveries to this endpoint would be made or revived."""
        if count.held is Held.DISABLED:
            return 0
        return count.missing + count.failed + (count.done if self.again else 0)

    @property
    def total(self) -> int:
        """How many deliveries would be made or revived."""
        return sum(self.sends(count) for count in self.counts)


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """How far a replay has come: events passed, deliveries made or revived, and the number of the last event, after which it goes on."""

    events: int
    deliveries: int
    number: int


class Replayer:
    """Sends again by today's endpoints: ``router`` says whom an event is for, ``endpoints`` how they stand.

    By default only to those who do not have it. The event's id, and with it the ``webhook-id``, is the one it had. Within one subject an
    endpoint that asks for order gets events in their order; one of them that is under way just now goes first. Works beside a running
    gateway: the deliverer finds what is due by its sweep.
    """

    def __init__(self, *, records: store.Store, clock: Clock, router: Router, endpoints: Sequence[Endpoint]) -> None:
        self._store = records
        self._clock = clock
        self._router = router
        self._paused = {end.name for end in endpoints if end.paused}

    async def plan(self, span: store.Span, *, endpoint: str | None = None, again: bool = False) -> Plan:
        """Count, and change nothing. Endpoints that none of the events is for are left out."""
        await self._router.units.load(self._store)
        off = await self._store.disabled()
        counts: dict[str, Count] = {}
        events = last = 0
        while page := await self._store.span(span, after=last, limit=_PAGE):
            made = self._routed(page, endpoint)
            known = await self._store.known([one.id for one in made])
            for one in made:
                count = counts.get(one.endpoint)
                if count is None:
                    count = counts[one.endpoint] = Count(endpoint=one.endpoint, held=self._held(one.endpoint, off))
                _count(count, known.get(one.id))
            events, last = events + len(page), page[-1].number
        in_order = sorted(counts.values(), key=lambda count: count.endpoint)
        return Plan(span=span, endpoint=endpoint, again=again, events=events, last=last, counts=in_order)

    async def run(self, plan: Plan, *, after: int = 0, told: Callable[[Step], None] = lambda _: None) -> int:
        """Do what was planned; how many deliveries were made or revived. ``told`` hears of every step.

        A run that was cut off is done again from the start, or ``after`` the number of its last step; without ``again`` both come to the same.
        """
        await self._router.units.load(self._store)
        events = sent = 0
        while (step := await self.step(plan, after=after)) is not None:
            events, sent, after = events + step.events, sent + step.deliveries, step.number
            told(Step(events=events, deliveries=sent, number=after))
        return sent

    async def step(self, plan: Plan, *, after: int) -> Step | None:
        """The next few hundred events behind number ``after``: what that came to, or None at the end. For who keeps the place themselves; the
        tree of units is as it was loaded last."""
        if after >= plan.last:
            return None
        page = await self._store.span(plan.span, after=after, limit=_PAGE)
        if not page:
            return None
        meant = [event for event in page if event.number <= plan.last]
        made, sent = self._routed(meant, plan.endpoint), 0
        for start in range(0, len(made), _STEP):
            some = made[start : start + _STEP]
            sent += await self._store.replay(some, again=plan.again, now=self._clock.now())
        return Step(events=len(meant), deliveries=sent, number=page[-1].number)

    async def prepare(self) -> None:
        """Load the tree of units. To be called before the first ``step``."""
        await self._router.units.load(self._store)

    def _routed(self, events: Sequence[store.EventRow], endpoint: str | None) -> list[store.Delivery]:
        now = self._clock.now()
        made = (one for event in events for one in self._router.deliveries(event, now=now))
        return [one for one in made if endpoint is None or one.endpoint == endpoint]

    def _held(self, endpoint: str, off: Collection[str]) -> Held:
        if endpoint in off:
            return Held.DISABLED
        return Held.PAUSED if endpoint in self._paused else Held.NO


def _count(count: Count, known: store.Delivery | None) -> None:
    if known is None:
        count.missing += 1
    elif known.state in _FAILED:
        count.failed += 1
    elif known.state is DeliveryState.DONE:
        count.done += 1
    else:
        count.open += 1
