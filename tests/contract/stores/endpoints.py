"""Endpoints: stopped, revived, decided about, and how they have been."""

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway.clock import TurnedClock
from gateway.errors import Stale
from gateway.store import Batch, Booked, DeliveryState, Health, Store
from tests.contract.stores.samples import (
    NOW,
    StoreTests,
    batch_of,
    delivery,
    event,
    outcome,
    states,
    take,
)


class Stopping(StoreTests):
    """Endpoints that may not be sent to, and what is sent to them again."""

    def test_disabled_endpoint_ends_its_open_deliveries_and_no_others(self, place: Path) -> None:
        """Due, leased and waiting alike; what was done stays done; who was under way has lost the lease."""

        async def scenario(store: Store, clock: TurnedClock) -> None:
            await store.apply(
                batch_of(delivery("dlv_1"), delivery("dlv_2", due=NOW + 9), delivery("dlv_3", subject="s"), delivery("dlv_4", subject="s"),
                         delivery("dlv_5", endpoint="bi"))
            )  # fmt: skip
            held = {one.delivery.id: one for one in await take(store)}
            await store.finish([outcome(held["dlv_1"])])
            assert await store.disable("crm", cause="410", now=NOW) == 3
            assert await store.disabled() == {"crm": "410"}
            await store.finish([outcome(held["dlv_3"])])
            assert (await states(store)) == {
                "dlv_1": "done", "dlv_2": "disabled", "dlv_3": "disabled", "dlv_4": "disabled", "dlv_5": "leased",
            }  # fmt: skip
            assert {one.cause for one in await store.deliveries(state=DeliveryState.DISABLED)} == {"410"}

        self.run(place, scenario)

    def test_enabled_endpoint_receives_again_and_what_was_disabled_stays(self, place: Path) -> None:
        """Until somebody replays it."""

        async def scenario(store: Store, clock: TurnedClock) -> None:
            await store.apply(batch_of(delivery("dlv_1")))
            await store.disable("crm", cause="410", now=NOW)
            await store.disable("crm", cause="a person", now=NOW)
            assert await store.disabled() == {"crm": "a person"}
            await store.enable("crm", now=NOW)
            await store.enable("unknown", now=NOW)
            await store.apply(batch_of(delivery("dlv_2", "evt_2")))
            assert await store.disabled() == {}
            assert (await states(store)) == {"dlv_1": "disabled", "dlv_2": "due"}

        self.run(place, scenario)

    def test_revived_delivery_is_due_with_its_tries_from_zero(self, place: Path) -> None:
        """Only what was final, each once; the attempts stay."""

        async def scenario(store: Store, clock: TurnedClock) -> None:
            await store.apply(batch_of(delivery("dlv_1"), delivery("dlv_2")))
            held = await take(store, limit=1)
            await store.finish([outcome(held[0], DeliveryState.DEAD, cause="500")])
            assert await store.revive(["dlv_1", "dlv_1", "dlv_2", "dlv_9"], now=NOW + 7) == 1
            (again,) = await store.deliveries(event="evt_1", limit=1)
            assert (again.state, again.tries, again.due, again.cause) == (DeliveryState.DUE, 0, NOW + 7, None)
            assert len(await store.attempts("dlv_1")) == 1
            assert (await store.counts())["deliveries.dead"] == 0

        self.run(place, scenario)

    def test_revived_delivery_keeps_the_order_of_its_subject(self, place: Path) -> None:
        """It waits while another one is under way; of several, one becomes due."""

        async def scenario(store: Store, clock: TurnedClock) -> None:
            await store.apply(batch_of(*(delivery(f"dlv_{number}", subject="s") for number in range(3))))
            for _ in range(2):
                (held,) = await take(store)
                await store.finish([outcome(held, DeliveryState.DEAD)])
            (last,) = await take(store)
            assert await store.revive(["dlv_0", "dlv_1"], now=NOW) == 2
            assert (await states(store)) == {"dlv_0": "waiting", "dlv_1": "waiting", "dlv_2": "leased"}
            assert await store.finish([outcome(last)]) == 1
            assert (await states(store)) == {"dlv_0": "due", "dlv_1": "waiting", "dlv_2": "done"}

        self.run(place, scenario)

    def test_delivery_of_a_disabled_endpoint_is_not_revived(self, place: Path) -> None:
        """It could be claimed and sent to where nothing may be sent."""

        async def scenario(store: Store, clock: TurnedClock) -> None:
            await store.apply(batch_of(delivery("dlv_1")))
            await store.disable("crm", cause="410", now=NOW)
            assert await store.revive(["dlv_1"], now=NOW) == 0
            await store.enable("crm", now=NOW)
            assert await store.revive(["dlv_1"], now=NOW) == 1

        self.run(place, scenario)

    def test_dropped_delivery_is_cancelled_with_the_reason(self, place: Path) -> None:
        """Dead or disabled; what is open or done is not somebody's to drop, and dropping again changes nothing."""

        async def scenario(store: Store, clock: TurnedClock) -> None:
            await store.apply(
                batch_of(*(delivery(f"dlv_{number}") for number in range(3)), delivery("dlv_3", endpoint="bi"))
            )
            await store.disable("bi", cause="410", now=NOW)
            held = await take(store, limit=2)
            await store.finish([outcome(held[0], DeliveryState.DEAD), outcome(held[1])])
            names = ["dlv_0", "dlv_1", "dlv_2", "dlv_3", "dlv_9"]
            assert await store.drop(names, cause="sold the shop") == 2
            assert await store.drop(names, cause="other") == 0
            assert await states(store) == {"dlv_0": "cancelled", "dlv_1": "done", "dlv_2": "due", "dlv_3": "cancelled"}
            assert {one.cause for one in await store.deliveries(state=DeliveryState.CANCELLED)} == {"sold the shop"}
            counts = await store.counts()
            assert [counts[f"deliveries.{name}"] for name in ("dead", "disabled", "cancelled")] == [0, 0, 2]

        self.run(place, scenario)


def entry(name: str = "crm", **changes: Any) -> Booked:
    """An endpoint that was made at run time."""
    given = {"name": name, "version": 1, "document": b"{}", "secrets": b"sealed", "paused": False, "updated": NOW}
    return Booked(**{**given, **changes})


class Hastening(StoreTests):
    """An endpoint goes on, and need not wait for instants that nobody meant."""

    def test_what_is_due_later_is_due_now_as_far_as_it_was_put_off(self, place: Path) -> None:
        """In the order in which it was made; not what a schedule put off for longer, nor another endpoint's, nor who waits or is in hand."""

        async def scenario(store: Store, clock: TurnedClock) -> None:
            later = {f"dlv_{number}": NOW + 100 - number for number in range(1, 4)}
            await store.apply(
                batch_of(
                    delivery("dlv_0"), *(delivery(name, due=due) for name, due in later.items()), delivery("dlv_far", due=NOW + 5000),
                    delivery("dlv_bi", endpoint="bi", due=NOW + 50), delivery("dlv_s", subject="s", due=NOW + 60), delivery("dlv_t", subject="s"),
                )
            )  # fmt: skip
            (held,) = await take(store)
            assert held.delivery.id == "dlv_0"
            assert await store.hasten("crm", before=NOW + 1000, now=NOW) == 4
            assert [one.delivery.id for one in await take(store)] == ["dlv_1", "dlv_2", "dlv_3", "dlv_s"]
            assert await store.hasten("crm", before=NOW + 1000, now=NOW) == 0
            due = {one.id: one.due for one in await store.deliveries(state=DeliveryState.DUE)}
            assert due == {"dlv_far": NOW + 5000, "dlv_bi": NOW + 50}

        self.run(place, scenario)

    def test_long_line_is_hastened_whole(self, place: Path) -> None:
        """In steps, and each of it."""

        async def scenario(store: Store, clock: TurnedClock) -> None:
            await store.apply(batch_of(*(delivery(f"dlv_{number:04}", due=NOW + 60) for number in range(1203))))
            assert await store.hasten("crm", before=NOW + 60, now=NOW) == 1203
            assert len(await take(store, limit=2000)) == 1203

        self.run(place, scenario)


class Booking(StoreTests):
    """What is decided about endpoints at run time, and how they have been."""

    def test_what_is_decided_about_an_endpoint_is_kept_by_name(self, place: Path) -> None:
        """As it was last written, and counted."""

        async def scenario(store: Store, clock: TurnedClock) -> None:
            assert await store.booked() == []
            await store.book(entry("erp"), before=0)
            await store.book(entry("crm"), before=0)
            changed = entry("crm", document=b"{2}", secrets=b"other", paused=True, updated=NOW + 5)
            await store.book(changed, before=1)
            assert await store.booked() == [msgspec.structs.replace(changed, version=2), entry("erp")]

        self.run(place, scenario)

    @pytest.mark.parametrize("before", [0, 1, 3])
    def test_decision_on_another_version_than_the_kept_one_is_stale(self, place: Path, before: int) -> None:
        """Two people changed it at once: the second looks again, and nothing is lost."""

        async def scenario(store: Store, clock: TurnedClock) -> None:
            await store.book(entry(), before=0)
            await store.book(entry(document=b"{2}"), before=1)
            with pytest.raises(Stale):
                await store.book(entry(document=b"{3}"), before=before)
            with pytest.raises(Stale):
                await store.unbook("crm", before=before)
            assert [(one.version, one.document) for one in await store.booked()] == [(2, b"{2}")]

        self.run(place, scenario)

    def test_version_of_what_was_never_there_is_stale(self, place: Path) -> None:
        """Somebody else removed it."""

        async def scenario(store: Store, clock: TurnedClock) -> None:
            with pytest.raises(Stale):
                await store.book(entry(), before=1)
            with pytest.raises(Stale):
                await store.unbook("crm", before=1)
            assert await store.booked() == []

        self.run(place, scenario)

    def test_forgotten_endpoint_leaves_nothing_open_and_nothing_known(self, place: Path) -> None:
        """Its open deliveries are cancelled, its health is gone, and one of the same name starts afresh."""

        async def scenario(store: Store, clock: TurnedClock) -> None:
            await store.apply(
                batch_of(delivery("dlv_1"), delivery("dlv_2", subject="s"), delivery("dlv_3", subject="s"), delivery("dlv_4", endpoint="bi"))
            )  # fmt: skip
            held = {one.delivery.id: one for one in await take(store, limit=1)}
            await store.finish([outcome(held["dlv_1"])])
            await take(store, limit=1)
            await store.book(entry(), before=0)
            await store.note([Health(endpoint="crm", warned=50), Health(endpoint="bi")])
            await store.unbook("crm", before=1)
            assert await states(store) == {"dlv_1": "done", "dlv_2": "cancelled", "dlv_3": "cancelled", "dlv_4": "due"}
            assert await store.booked() == []
            assert set(await store.health()) == {"bi"}
            assert (await store.counts())["deliveries.cancelled"] == 2
            await store.book(entry(), before=0)
            await store.disable("crm", cause="410", now=NOW)
            await store.unbook("crm", before=1)
            assert await store.disabled() == {}

        self.run(place, scenario)

    def test_health_is_kept_by_endpoint_as_last_noted(self, place: Path) -> None:
        """Whole, each time."""

        async def scenario(store: Store, clock: TurnedClock) -> None:
            assert await store.health() == {}
            ill = Health(
                endpoint="crm",
                failing_since=NOW,
                warned=70,
                sequence=3,
                last_ok=NOW - 9,
                last_failure=NOW,
                cause="timeout",
            )
            await store.note([ill, Health(endpoint="bi", last_ok=NOW)])
            well = Health(endpoint="bi", sequence=1, last_ok=NOW + 1)
            await store.note([well])
            await store.note([])
            assert await store.health() == {"crm": ill, "bi": well}

        self.run(place, scenario)

    def test_endpoint_stopped_while_others_write_is_stopped_whole(self, place: Path) -> None:
        """What is made meanwhile is born disabled, and what is under way has lost its lease."""

        async def scenario(store: Store, clock: TurnedClock) -> None:
            names = [f"{number:04d}" for number in range(1200)]
            await store.apply(
                Batch(events=[event(name) for name in names], deliveries=[delivery(name, name) for name in names])
            )
            held = await take(store, limit=200)
            stopping = asyncio.create_task(store.disable("crm", cause="410", now=NOW))
            await asyncio.sleep(0)
            await store.finish([outcome(one, DeliveryState.DUE, due=NOW) for one in held])
            await store.apply(batch_of(delivery("late", "evt_late")))
            await stopping
            counts = await store.counts()
            assert counts["deliveries.disabled"] + counts["deliveries.done"] == 1201
            assert counts["deliveries.due"] == counts["deliveries.leased"] == 0

        self.run(place, scenario)
