"""Replaying events: counted first, once to those who lack them, in order, and again from anywhere."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway.clock import SECOND, TurnedClock
from gateway.destination import Endpoint
from gateway.pipeline import replay
from gateway.pipeline.replay import Count, Held, Plan, Replayer, Step
from gateway.pipeline.route import Router
from gateway.store import Batch, DeliveryState, EventRow, Result, Span, Store
from gateway.stores.sqlite import open_store

NOW = TurnedClock().now()


def endpoint(name: str, **more: Any) -> Endpoint:
    """A subscriber to everything."""
    return Endpoint(name=name, url="https://x.example", grants={}, schedule=(0.0,), **more)


def event(number: int, subject: str = "ord_1", **more: Any) -> EventRow:
    """The ``number``-th thing that happened, a second after the one before."""
    given = {
        "id": f"evt_{number}", "type": "order.paid", "subject": subject, "sequence": number, "at": NOW + number * SECOND, "account": "shop",
        "entry": "ent_1", "unit": None, "body": b"{}",
    }  # fmt: skip
    return EventRow(**{**given, **more})


class Hub:
    """A store and today's endpoints; ``arrive`` is what a deliverer would do."""

    def __init__(self, records: Store, clock: TurnedClock, *ends: Endpoint) -> None:
        self.records = records
        self.clock = clock
        self.arrived: list[tuple[str, str]] = []
        self.subscribe(*ends)

    def subscribe(self, *ends: Endpoint) -> None:
        """From now on these, and no others."""
        self.router = Router(ends)
        self.replayer = Replayer(records=self.records, clock=self.clock, router=self.router, endpoints=ends)

    async def publish(self, *events: EventRow) -> None:
        """As the projector does."""
        made = [one for each in events for one in self.router.deliveries(each, now=self.clock.now())]
        await self.records.apply(Batch(events=events, deliveries=made))

    async def arrive(self, *, dead: Sequence[str] = (), only: int = 10_000) -> list[str]:
        """Try everything that is due until nothing is; endpoints in ``dead`` fail for good. What arrived, as endpoint:number."""
        began = len(self.arrived)
        for _ in range(only):
            now = self.clock.now()
            held = await self.records.claim(now=now, lease=now + SECOND, claim="me", limit=100, retries=False)
            if not held:
                break
            self.arrived += [(one.delivery.endpoint, one.event.id) for one in held if one.delivery.endpoint not in dead]
            await self.records.finish(
                [
                    Result(
                        delivery=one.delivery.id, claim="me", due=now, tries=1, attempt=None,
                        state=DeliveryState.DEAD if one.delivery.endpoint in dead else DeliveryState.DONE,
                    )
                    for one in held
                ]
            )  # fmt: skip
        return [f"{end}:{name.removeprefix('evt_')}" for end, name in self.arrived[began:]]


def told(tmp_path: Path, story: Callable[[Hub], Awaitable[None]], *ends: Endpoint) -> None:
    """Run a story on a store of its own."""

    async def run() -> None:
        clock = TurnedClock()
        records = open_store(tmp_path / "store.db", clock=clock)
        try:
            await story(Hub(records, clock, *(ends or (endpoint("crm"),))))
        finally:
            await records.close()

    asyncio.run(run())


def counted(plan: Plan) -> dict[str, tuple[int, int, int, int, int]]:
    """By endpoint: missing, failed, done, open, and how many would be sent."""
    return {one.endpoint: (one.missing, one.failed, one.done, one.open, plan.sends(one)) for one in plan.counts}


def test_dry_run_counts_who_lacks_what_and_changes_nothing(tmp_path: Path) -> None:
    """One has everything, one got nothing, one came later, one is disabled, one is paused, one never asked."""

    async def story(hub: Hub) -> None:
        await hub.publish(event(1), event(2, "ord_2"))
        await hub.arrive(dead=["bi"])
        await hub.records.disable("oa", cause="410", now=NOW)
        await hub.publish(event(3))
        hub.subscribe(
            *map(endpoint, ("crm", "bi", "oa", "erp")),
            endpoint("wms", paused=True),
            endpoint("hr", events=("staff.*",)),
        )
        before = await hub.records.deliveries(limit=100)
        plan = await hub.replayer.plan(Span())
        assert (plan.events, plan.total) == (3, 8)
        assert counted(plan) == {
            "bi": (0, 2, 0, 1, 2), "crm": (0, 0, 2, 1, 0), "erp": (3, 0, 0, 0, 3), "oa": (0, 1, 2, 0, 0), "wms": (3, 0, 0, 0, 3),
        }  # fmt: skip
        assert {one.endpoint: one.held for one in plan.counts} == {
            "bi": Held.NO, "crm": Held.NO, "erp": Held.NO, "oa": Held.DISABLED, "wms": Held.PAUSED,
        }  # fmt: skip
        assert await hub.records.deliveries(limit=100) == before

    told(tmp_path, story, *map(endpoint, ("crm", "bi", "oa")))


def test_replay_reaches_those_who_lack_it_once_and_in_order(tmp_path: Path) -> None:
    """Dead ones and never made ones of one subject, in the order in which it happened; who had it hears nothing."""

    async def story(hub: Hub) -> None:
        hub.subscribe(endpoint("crm"), endpoint("bi"))
        await hub.publish(event(1), event(2))
        await hub.arrive(dead=["bi"])
        hub.subscribe(endpoint("crm"))
        await hub.publish(event(3))
        await hub.arrive()
        hub.subscribe(endpoint("crm"), endpoint("bi"))
        await hub.publish(event(4))
        plan = await hub.replayer.plan(Span())
        assert counted(plan) == {"bi": (1, 2, 0, 1, 3), "crm": (0, 0, 3, 1, 0)}
        assert await hub.replayer.run(plan) == 3
        assert [one for one in await hub.arrive() if one.startswith("bi")] == ["bi:1", "bi:2", "bi:3", "bi:4"]
        assert (await hub.replayer.plan(Span())).total == 0

    told(tmp_path, story)


def test_replay_again_sends_to_those_who_had_it_too(tmp_path: Path) -> None:
    """Because somebody asked: by the same delivery, whose event's id is the message's."""

    async def story(hub: Hub) -> None:
        await hub.publish(event(1), event(2))
        assert await hub.arrive() == ["crm:1", "crm:2"]
        assert await hub.replayer.run(await hub.replayer.plan(Span())) == 0
        assert await hub.arrive() == []
        plan = await hub.replayer.plan(Span(ids=["evt_2", "evt_1"]), again=True)
        assert await hub.replayer.run(plan) == 2
        assert await hub.arrive() == ["crm:1", "crm:2"]
        assert len(await hub.records.deliveries()) == 2

    told(tmp_path, story)


@pytest.mark.parametrize(
    ("span", "sent"),
    [
        (Span(ids=["evt_2"]), ["crm:2"]),
        (Span(since=NOW + 2 * SECOND, until=NOW + 4 * SECOND), ["crm:2", "crm:3"]),
        (Span(subject="ord_2"), ["crm:4"]),
        (Span(types=["order.created"]), ["crm:3"]),
        (Span(account="other"), ["crm:4"]),
    ],
)  # fmt: skip
def test_replay_means_what_is_asked_for(tmp_path: Path, span: Span, sent: list[str]) -> None:
    """By id, time, subject, type and account."""

    async def story(hub: Hub) -> None:
        await hub.publish(event(1), event(2), event(3, type="order.created"), event(4, "ord_2", account="other"))
        await hub.arrive(dead=["crm"])
        assert await hub.replayer.run(await hub.replayer.plan(span)) == len(sent)
        assert await hub.arrive() == sent

    told(tmp_path, story)


def test_replay_for_one_endpoint_leaves_the_others(tmp_path: Path) -> None:
    """However much they lack."""

    async def story(hub: Hub) -> None:
        await hub.publish(event(1))
        await hub.arrive(dead=["crm", "bi"])
        plan = await hub.replayer.plan(Span(), endpoint="bi")
        assert counted(plan) == {"bi": (0, 1, 0, 0, 1)}
        assert await hub.replayer.run(plan) == 1
        assert await hub.arrive() == ["bi:1"]

    told(tmp_path, story, endpoint("crm"), endpoint("bi"))


def test_replay_of_a_filter_that_changed_makes_what_is_wanted_today(tmp_path: Path) -> None:
    """And nothing that no longer is."""

    async def story(hub: Hub) -> None:
        await hub.publish(event(1), event(2, type="order.created"))
        await hub.arrive(dead=["crm"])
        hub.subscribe(endpoint("crm", events=("order.created",)))
        assert await hub.replayer.run(await hub.replayer.plan(Span())) == 1
        assert await hub.arrive() == ["crm:2"]

    told(tmp_path, story, endpoint("crm", events=("order.paid", "order.created")))


def test_what_happens_after_the_count_is_no_part_of_the_replay(tmp_path: Path) -> None:
    """It arrives by itself; sending it again would be twice."""

    async def story(hub: Hub) -> None:
        await hub.publish(event(1))
        await hub.arrive()
        plan = await hub.replayer.plan(Span(), again=True)
        await hub.publish(event(2))
        await hub.arrive()
        assert await hub.replayer.run(plan) == 1
        assert await hub.arrive() == ["crm:1"]

    told(tmp_path, story)


def test_replay_that_was_cut_off_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run again it finds what is on its way; with ``after`` even what is sent again on purpose goes once."""
    monkeypatch.setattr(replay, "_PAGE", 3)
    monkeypatch.setattr(replay, "_STEP", 2)

    class CutOff(Exception):
        """The process died."""

    async def story(hub: Hub) -> None:
        await hub.publish(*(event(number) for number in range(10)))
        await hub.arrive()
        plan = await hub.replayer.plan(Span(), again=True)
        steps: list[Step] = []

        def die(step: Step) -> None:
            steps.append(step)
            if len(steps) == 2:
                raise CutOff

        with pytest.raises(CutOff):
            await hub.replayer.run(plan, told=die)
        assert [(step.events, step.deliveries) for step in steps] == [(3, 3), (6, 6)]
        assert await hub.arrive() == [f"crm:{number}" for number in range(6)]
        assert await hub.replayer.run(plan, after=steps[-1].number) == 4
        assert await hub.arrive() == [f"crm:{number}" for number in range(6, 10)]

    told(tmp_path, story)


def test_replay_to_a_disabled_endpoint_sends_nothing_until_it_is_enabled(tmp_path: Path) -> None:
    """What it missed meanwhile is there, disabled, and is sent in order once it may be."""

    async def story(hub: Hub) -> None:
        await hub.publish(event(1), event(2))
        await hub.records.disable("crm", cause="410", now=NOW)
        await hub.publish(event(3))
        assert await hub.replayer.run(await hub.replayer.plan(Span())) == 0
        await hub.records.enable("crm", now=NOW)
        assert await hub.replayer.run(await hub.replayer.plan(Span())) == 3
        assert await hub.arrive() == ["crm:1", "crm:2", "crm:3"]

    told(tmp_path, story)


def test_counts_are_for_every_endpoint_that_is_meant_and_no_other() -> None:
    """A disabled one counts, and is sent nothing."""
    plan = Plan(
        span=Span(), endpoint=None, again=True, events=1, last=1,
        counts=[Count(endpoint="a", missing=1, failed=2, done=4, open=8), Count(endpoint="b", held=Held.DISABLED, failed=9)],
    )  # fmt: skip
    assert [plan.sends(one) for one in plan.counts] == [7, 0]
    assert plan.total == 7
    assert msgspec.structs.replace(plan, again=False).total == 3
