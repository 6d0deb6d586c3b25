"""Counting, forgetting, opening and closing."""

import asyncio
from pathlib import Path

import pytest

from gateway.clock import TurnedClock
from gateway.errors import StoreError
from gateway.model.lane import Lane
from gateway.store import (
    Batch,
    DeliveryState,
    Seen,
    Store,
    Wants,
)
from tests.contract.stores.samples import (
    LEASE,
    NOW,
    StoreTests,
    at,
    batch_of,
    dead,
    delivery,
    event,
    ids,
    key,
    outcome,
    reject,
    row,
    states,
    take,
)


class Counting(StoreTests):
    """Figures, and forgetting."""

    def test_counts_of_an_empty_store_are_noughts(self, place: Path) -> None:
        """A metric that is missing looks like a gateway that is down."""

        async def scenario(store: Store, clock: TurnedClock) -> None:
            counts = await store.counts()
            assert {f"deliveries.{state.value}" for state in DeliveryState} <= counts.keys()
            assert {"dead_letters", "rejects", "errands", "candidates"} <= counts.keys()
            assert counts.pop("oldest_due") is None
            assert set(counts.values()) == {0}

        self.run(place, scenario)

    def test_counts_stay_true_through_everything_that_happens_to_a_delivery(self, place: Path) -> None:
        """Compared with the rows themselves at every step."""

        async def scenario(store: Store, clock: TurnedClock) -> None:
            async def agree() -> None:
                truth = list((await states(store)).values())
                counts = await store.counts()
                said = {state: counts[f"deliveries.{state.value}"] for state in DeliveryState}
                assert said == {state: truth.count(state.value) for state in DeliveryState}
                dues = [one.due for one in await store.deliveries(state=DeliveryState.DUE)]
                assert counts["oldest_due"] == min(dues, default=None)

            rows = [row("ord_1"), row("ord_2"), row("cus_1", kind="customer")]
            many = [
                delivery(f"dlv_{number}", subject="s" if number > 5 else None, due=NOW + number) for number in range(9)
            ]
            await store.apply(batch_of(*many, rows=rows, claim="me", lease=NOW + LEASE, claim_most=1))
            await agree()
            held = await take(store, now=NOW + 4)
            await agree()
            ends = [DeliveryState.DONE, DeliveryState.DEAD, DeliveryState.CANCELLED, DeliveryState.DUE]
            await store.finish([outcome(one, end) for one, end in zip(held, ends, strict=True)])
            await agree()
            await store.disable("crm", cause="410", now=NOW)
            await store.apply(batch_of(delivery("dlv_9", "evt_2")))
            await agree()
            await store.enable("crm", now=NOW)
            await store.revive(["dlv_1", "dlv_2", "dlv_6", "dlv_7"], now=NOW)
            await agree()
            await store.purge(before=NOW + 1)
            await agree()
            counts = await store.counts()
            assert (counts["records.order"], counts["records.customer"]) == (2, 1)

        self.run(place, scenario)

    def test_purge_forgets_what_is_older_and_only_that(self, place: Path) -> None:
        """Seen keys, attempts and rejects by their time; records, merges and dead letters never."""

        async def scenario(store: Store, clock: TurnedClock) -> None:
            marks = [Seen(account="shop", dedupe=key(number), entry="ent", at=NOW + number) for number in range(4)]
            await store.apply(
                batch_of(delivery("dlv_1"), seen=marks, rows=[row("ord_1", at=0)], dead=[dead("ded_1", at=0)])
            )
            await store.reject([reject("rej_1", NOW), reject("rej_2", NOW + 5)], keep=9)
            held = await take(store)
            await store.finish([outcome(one, DeliveryState.DUE, due=NOW) for one in held])
            assert await store.purge(before=NOW + 2) == 4
            found = await store.look(Wants(seen=[("shop", key(number)) for number in range(4)]))
            assert found.seen == {("shop", key(2)), ("shop", key(3))}
            assert not await store.attempts("dlv_1")
            counts = await store.counts()
            assert (counts["rejects"], counts["dead_letters"], counts["records.order"]) == (1, 1, 1)

        self.run(place, scenario)

    def test_purge_keeps_an_event_until_its_last_delivery_is_final(self, place: Path) -> None:
        """And then forgets it with its deliveries."""

        async def scenario(store: Store, clock: TurnedClock) -> None:
            await store.apply(batch_of(delivery("dlv_1"), delivery("dlv_2", endpoint="bi"), delivery("dlv_3", "evt_2")))
            first, second, third = await take(store)
            await store.finish([outcome(first), outcome(third, DeliveryState.DEAD)])
            await store.purge(before=NOW + 1)
            assert ids(await store.events()) == ["evt_1"]
            assert ids(await store.deliveries()) == ["dlv_1", "dlv_2"]
            await store.finish([outcome(second)])
            await store.purge(before=NOW)
            assert ids(await store.events()) == ["evt_1"]
            await store.purge(before=NOW + 1)
            assert not await store.events() and not await store.deliveries()

        self.run(place, scenario)

    def test_purge_of_very_much_forgets_all_of_it(self, place: Path) -> None:
        """However many steps it takes, and with events that must stay among the others."""

        async def scenario(store: Store, clock: TurnedClock) -> None:
            names = [f"{number:05d}" for number in range(1300)]
            stuck = set(names[::7])
            await store.apply(
                Batch(
                    seen=[Seen(account="shop", dedupe=key(name), entry=name, at=NOW + int(name)) for name in names],
                    events=[event(name, at=NOW + int(name)) for name in names],
                    deliveries=[delivery(name, name) for name in names if name in stuck],
                )
            )
            assert await store.purge(before=NOW + 1250) == 1250 + sum(name not in stuck for name in names[:1250])
            assert ids(await store.events(limit=2000)) == [name for name in names if name in stuck or name >= "01250"]

        self.run(place, scenario)


class Opening(StoreTests):
    """Restarts and neighbours."""

    def test_what_was_applied_is_there_after_closing_and_opening(self, place: Path) -> None:
        """A restart is boring."""

        async def write(store: Store, clock: TurnedClock) -> None:
            await store.apply(batch_of(delivery("dlv_1"), before=at(0), after=at(3), rows=[row("ord_1")]))

        async def read(store: Store, clock: TurnedClock) -> None:
            assert await store.cursors() == {(Lane.LIVE, 0): 3}
            assert ids(await store.rows("order", limit=9)) == ["ord_1"]
            assert (await states(store)) == {"dlv_1": "due"}

        self.run(place, write)
        self.run(place, read)

    def test_closing_finishes_what_was_begun_and_refuses_what_comes_after(self, place: Path) -> None:
        """Closing twice is closing."""

        async def scenario(store: Store, clock: TurnedClock) -> None:
            begun = asyncio.create_task(store.apply(batch_of(delivery("dlv_1"))))
            await asyncio.sleep(0)
            await store.close()
            await begun
            with pytest.raises(StoreError):
                await store.look(Wants())
            with pytest.raises(StoreError):
                await store.apply(Batch())

        async def read(store: Store, clock: TurnedClock) -> None:
            assert (await states(store)) == {"dlv_1": "due"}

        self.run(place, scenario)
        self.run(place, read)

    def test_two_openings_see_each_other(self, place: Path) -> None:
        """The gateway runs, and a person asks from another process."""

        async def scenario(store: Store, clock: TurnedClock) -> None:
            other = self.open(place, clock)
            try:
                await store.apply(batch_of(delivery("dlv_1")))
                (held,) = await take(other)
                assert not await take(store)
                await other.finish([outcome(held)])
                assert (await states(store)) == {"dlv_1": "done"}
            finally:
                await other.close()

        self.run(place, scenario)
