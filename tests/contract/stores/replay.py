"""Which events somebody means, and sending them again."""

from pathlib import Path

import msgspec
import pytest

from gateway.clock import TurnedClock
from gateway.store import Batch, Claimed, Delivery, DeliveryState, Result, Span, Store
from tests.contract.stores.samples import (
    LEASE,
    NOW,
    StoreTests,
    batch_of,
    delivery,
    event,
    ids,
    outcome,
    states,
    take,
)


def to(event_name: str, *, endpoint: str = "crm", subject: str | None = "s") -> Delivery:
    """What the router would make of an event."""
    return delivery(f"dlv_{endpoint}_{event_name}", event_name, endpoint=endpoint, subject=subject)


async def arrivals(store: Store, *, now: int = NOW) -> list[str]:
    """Events in the order in which they reach their endpoints, when every attempt works."""
    order = []
    while taken := [*await take(store, now=now), *await take(store, now=now, retries=True)]:
        order += [one.event.id for one in taken]
        await store.finish([arrived(one) for one in taken])
    return order


def arrived(one: Claimed) -> Result:
    """Done, without an attempt that an earlier one of the same name would be in the way of."""
    return msgspec.structs.replace(outcome(one), attempt=None)


async def end(store: Store, name: str, state: DeliveryState) -> None:
    """Take the one that is due and end it so."""
    (held,) = await take(store)
    assert held.event.id == name
    await store.finish([outcome(held, state)])


class Meaning(StoreTests):
    """The events that a span names."""

    @pytest.mark.parametrize(
        ("span", "found"),
        [
            (Span(), ["evt_a", "evt_b", "evt_c", "evt_d"]),
            (Span(since=NOW), ["evt_b", "evt_c", "evt_d"]),
            (Span(until=NOW), ["evt_a"]),
            (Span(since=NOW, until=NOW + 9), ["evt_b", "evt_c"]),
            (Span(since=NOW + 99), []),
            (Span(subject="ord_2"), ["evt_b", "evt_d"]),
            (Span(subject="ord_2", since=NOW + 1), ["evt_d"]),
            (Span(ids=["evt_d", "evt_a", "evt_a", "evt_9"]), ["evt_a", "evt_d"]),
            (Span(ids=["evt_d", "evt_a"], types=["order.paid"], subject="ord_1", account="shop", until=NOW), ["evt_a"]),
            (Span(ids=["evt_d", "evt_a"], since=NOW), ["evt_d"]),
            (Span(types=["order.created", "customer.merged"]), ["evt_c", "evt_d"]),
            (Span(types=["order.created"], subject="ord_2"), ["evt_d"]),
            (Span(account="other"), ["evt_c"]),
            (Span(account="other", types=["order.paid"]), []),
        ],
    )  # fmt: skip
    def test_span_means_the_events_that_meet_every_condition(self, place: Path, span: Span, found: list[str]) -> None:
        """By number, whatever the source's times."""

        async def scenario(store: Store, clock: TurnedClock) -> None:
            await store.apply(
                Batch(
                    events=[
                        event("evt_a", at=NOW - 5), event("evt_b", subject="ord_2"),
                        event("evt_c", type="customer.merged", account="other", at=NOW + 5),
                        event("evt_d", type="order.created", subject="ord_2", at=NOW + 9),
                    ]
                )
            )  # fmt: skip
            assert ids(await store.span(span)) == found
            assert ids(await store.span(span, limit=1)) == found[:1]
            first = await store.span(span, limit=1)
            assert ids(await store.span(span, after=first[0].number if first else 0)) == found[1:]

        self.run(place, scenario)

    def test_known_deliveries_are_found_by_id(self, place: Path) -> None:
        """Those that exist."""

        async def scenario(store: Store, clock: TurnedClock) -> None:
            some = [delivery("dlv_1"), delivery("dlv_2", endpoint="bi")]
            await store.apply(batch_of(*some))
            assert await store.known(["dlv_2", "dlv_9", "dlv_1", "dlv_1"]) == {one.id: one for one in some}
            assert await store.known([]) == {}

        self.run(place, scenario)


class Replaying(StoreTests):
    """Sending again: once, to those who lack it, in order."""

    def test_replay_makes_what_is_missing_and_revives_what_failed(self, place: Path) -> None:
        """Open ones stay as they are, and so does what was done."""

        async def scenario(store: Store, clock: TurnedClock) -> None:
            ends = {
                "evt_1": DeliveryState.DEAD, "evt_2": DeliveryState.CANCELLED, "evt_3": DeliveryState.DONE, "evt_4": DeliveryState.DUE,
            }  # fmt: skip
            await store.apply(
                Batch(
                    events=[event(f"evt_{n}") for n in range(1, 6)],
                    deliveries=[to(name, subject=None) for name in ends],
                )
            )
            held = {one.event.id: one for one in await take(store)}
            await store.finish([outcome(held[name], state, due=NOW + 5) for name, state in ends.items()])
            asked = [to(f"evt_{n}", subject=None) for n in range(1, 6)]
            assert await store.replay(asked, now=NOW + 1) == 3
            assert await store.replay(asked, now=NOW + 2) == 0
            known = await store.known([one.id for one in asked])
            assert {one.event: (one.state.value, one.due, one.tries) for one in known.values()} == {
                "evt_1": ("due", NOW + 1, 0), "evt_2": ("due", NOW + 1, 0), "evt_3": ("done", NOW + 5, 1),
                "evt_4": ("due", NOW + 5, 1), "evt_5": ("due", NOW + 1, 0),
            }  # fmt: skip
            assert known["dlv_crm_evt_5"].created == NOW + 1
            counts = await store.counts()
            assert (counts["deliveries.dead"], counts["deliveries.cancelled"], counts["deliveries.done"]) == (0, 0, 1)

        self.run(place, scenario)

    def test_replay_sends_what_was_done_only_when_asked_again(self, place: Path) -> None:
        """And not twice when it is asked twice before it was sent."""

        async def scenario(store: Store, clock: TurnedClock) -> None:
            await store.apply(batch_of(to("evt_1")))
            assert await arrivals(store) == ["evt_1"]
            assert await store.replay([to("evt_1")], now=NOW) == 0
            assert await store.replay([to("evt_1"), to("evt_1")], again=True, now=NOW) == 1
            assert await store.replay([to("evt_1")], again=True, now=NOW) == 0
            assert await arrivals(store) == ["evt_1"]
            assert (await store.counts())["deliveries.done"] == 1

        self.run(place, scenario)

    def test_replay_to_a_disabled_endpoint_changes_nothing(self, place: Path) -> None:
        """Neither what exists nor what does not; another endpoint's goes."""

        async def scenario(store: Store, clock: TurnedClock) -> None:
            await store.apply(batch_of(to("evt_1"), to("evt_2")))
            await store.disable("crm", cause="410", now=NOW)
            asked = [to("evt_1"), to("evt_2"), to("evt_1", endpoint="bi")]
            assert await store.replay(asked, now=NOW) == 1
            assert await states(store) == {
                "dlv_bi_evt_1": "due",
                "dlv_crm_evt_1": "disabled",
                "dlv_crm_evt_2": "disabled",
            }

        self.run(place, scenario)

    def test_replayed_events_of_a_subject_arrive_in_their_order(self, place: Path) -> None:
        """One was dead, one was never made, one was done: made in any order, sent in the events'."""

        async def scenario(store: Store, clock: TurnedClock) -> None:
            await store.apply(
                Batch(events=[event(f"evt_{n}") for n in range(1, 4)], deliveries=[to("evt_1"), to("evt_3")])
            )
            await end(store, "evt_1", DeliveryState.DEAD)
            await end(store, "evt_3", DeliveryState.DONE)
            assert await store.replay([to("evt_3"), to("evt_2"), to("evt_1")], again=True, now=NOW) == 3
            assert await arrivals(store) == ["evt_1", "evt_2", "evt_3"]

        self.run(place, scenario)

    def test_replayed_event_goes_before_later_ones_that_wait(self, place: Path) -> None:
        """Also before the head of the line, which waits for its retry; that keeps its tries and its time."""

        async def scenario(store: Store, clock: TurnedClock) -> None:
            names = [f"evt_{n}" for n in range(1, 6)]
            await store.apply(
                Batch(
                    events=[event(name) for name in names], deliveries=[to(name) for name in names if name != "evt_2"]
                )
            )
            await end(store, "evt_1", DeliveryState.DEAD)
            (head,) = await take(store)
            await store.finish([outcome(head, DeliveryState.DUE, due=NOW + 60)])
            assert await store.replay([to("evt_1"), to("evt_2")], now=NOW) == 2
            assert await arrivals(store) == ["evt_1", "evt_2"]
            (again,) = await take(store, now=NOW + 60, retries=True)
            assert (again.event.id, again.delivery.tries) == ("evt_3", 1)
            await store.finish([arrived(again)])
            assert await arrivals(store) == ["evt_4", "evt_5"]

        self.run(place, scenario)

    def test_replayed_event_waits_for_what_is_under_way(self, place: Path) -> None:
        """Two of one subject are never sent at once."""

        async def scenario(store: Store, clock: TurnedClock) -> None:
            await store.apply(batch_of(to("evt_1"), to("evt_2")))
            await end(store, "evt_1", DeliveryState.DEAD)
            (under_way,) = await take(store)
            assert await store.replay([to("evt_1")], now=NOW) == 1
            assert not await take(store)
            await store.finish([outcome(under_way)])
            assert await arrivals(store) == ["evt_1"]

        self.run(place, scenario)

    def test_replay_follows_what_the_endpoint_asks_of_order_today(self, place: Path) -> None:
        """It was unordered when the delivery was made."""

        async def scenario(store: Store, clock: TurnedClock) -> None:
            loose = [to(f"evt_{n}", subject=None) for n in range(3)]
            await store.apply(batch_of(*loose))
            await store.finish([outcome(one, DeliveryState.DEAD) for one in await take(store)])
            await store.replay([msgspec.structs.replace(one, subject="s") for one in loose], now=NOW)
            assert sorted((await states(store)).values()) == ["due", "waiting", "waiting"]
            assert await arrivals(store) == ["evt_0", "evt_1", "evt_2"]

        self.run(place, scenario)

    def test_replay_of_many_subjects_lines_up_each(self, place: Path) -> None:
        """More than one statement holds, and to several endpoints."""

        async def scenario(store: Store, clock: TurnedClock) -> None:
            pairs = [(f"{n:03d}_{part}", f"s{n}") for n in range(200) for part in range(3)]
            made = [
                delivery(f"{end}_{name}", name, endpoint=end, subject=subject)
                for name, subject in pairs
                for end in ("crm", "bi")
            ]
            await store.apply(Batch(events=[event(name) for name, _ in pairs], deliveries=made[::3]))
            held = await take(store, limit=1000)
            while held:
                await store.finish([outcome(one, DeliveryState.DEAD) for one in held])
                held = await take(store, limit=1000)
            assert await store.replay(made, now=NOW) == len(made)
            seen: dict[tuple[str, str | None], list[str]] = {}
            while held := await store.claim(now=NOW, lease=NOW + LEASE, claim="me", limit=1000, retries=False):
                for one in held:
                    seen.setdefault((one.delivery.endpoint, one.delivery.subject), []).append(one.event.id)
                await store.finish([arrived(one) for one in held])
            assert len(seen) == 400
            assert all(names == sorted(names) and len(names) == 3 for names in seen.values())

        self.run(place, scenario)
