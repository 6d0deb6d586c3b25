"""Endpoints that are polled, and how far the feed goes."""

from pathlib import Path

from gateway.clock import SECOND, TurnedClock
from gateway.store import Batch, Claimed, Delivery, DeliveryState, Reach, Served, Store
from tests.contract.stores.samples import LEASE, NOW, StoreTests, batch_of, delivery, event, ids, outcome, states, take

HOUR = NOW + 3600 * SECOND


async def serve(store: Store, page: str = "pge_1", *, limit: int = 100) -> Served:
    """What ``erp`` is handed."""
    return await store.serve("erp", page=page, limit=limit, until=HOUR)


def of(served: Served) -> list[str]:
    """The deliveries of a page."""
    return ids([one.delivery for one in served.items])


def polled(number: int, subject: str | None = "s", **changes: object) -> Delivery:
    """One for ``erp``, of an event of its own."""
    return delivery(f"dlv_{number}", f"evt_{number}", endpoint="erp", subject=subject, **changes)


class Polling(StoreTests):
    """What is served stays open until it is acknowledged."""

    def test_line_is_served_with_its_events_and_is_done_once_acknowledged(self, place: Path) -> None:
        """Whoever waits behind another comes in the same page, others' deliveries never; done once, each with an attempt."""

        async def scenario(store: Store, clock: TurnedClock) -> None:
            await store.apply(
                batch_of(polled(1), polled(2), polled(3, "t"), delivery("dlv_x", "evt_1", endpoint="crm"))
            )
            page = await serve(store)
            assert of(page) == ["dlv_1", "dlv_2", "dlv_3"]
            assert [one.event.id for one in page.items] == ["evt_1", "evt_2", "evt_3"]
            assert (await states(store))["dlv_1"] == "due"
            assert await store.acknowledge("crm", page.page, now=NOW) == 0
            assert await store.acknowledge("erp", page.page, now=NOW + 5) == 3
            assert await store.acknowledge("erp", page.page, now=NOW + 6) == 0
            assert await states(store) == {"dlv_1": "done", "dlv_2": "done", "dlv_3": "done", "dlv_x": "due"}
            (tried,) = await store.attempts("dlv_2")
            assert (tried.at, tried.status, tried.endpoint, tried.event) == (NOW + 5, 200, "erp", "evt_2")
            assert (await store.counts())["deliveries.done"] == 3
            assert await serve(store) == Served(page="", items=())

        self.run(place, scenario)

    def test_what_cannot_be_shown_is_dead_and_the_line_goes_on(self, place: Path) -> None:
        """Only under the page it was served on; what waited behind it is free, and the rest of the page is acknowledged as before."""

        async def scenario(store: Store, clock: TurnedClock) -> None:
            await store.apply(batch_of(polled(1), polled(2), polled(3, "t")))
            page = await serve(store)
            assert await store.spoil("erp", "pge_9.9", ["dlv_1"], cause="x") == 0
            assert await store.spoil("crm", page.page, ["dlv_1"], cause="x") == 0
            assert await store.spoil("erp", page.page, ["dlv_1"], cause="vault.tampered: x") == 1
            assert (await states(store))["dlv_1"] == "dead"
            assert (await store.counts())["deliveries.dead"] == 1
            assert await store.acknowledge("erp", page.page, now=NOW) == 2
            assert await states(store) == {"dlv_1": "dead", "dlv_2": "done", "dlv_3": "done"}

        self.run(place, scenario)

    def test_page_that_was_not_acknowledged_comes_again_and_what_is_new_after_it(self, place: Path) -> None:
        """The same page for whoever asks again, so that either acknowledgment counts; also after the store was opened anew."""

        async def first(store: Store, clock: TurnedClock) -> None:
            await store.apply(batch_of(polled(1), polled(2)))
            assert (await serve(store, "pge_1")).page.startswith("pge_1")

        async def second(store: Store, clock: TurnedClock) -> None:
            await store.apply(batch_of(polled(3)))
            again = await serve(store, "pge_2")
            assert again.page.startswith("pge_1") and of(again) == ["dlv_1", "dlv_2"]
            assert await store.acknowledge("erp", again.page, now=NOW) == 2
            rest = await serve(store, "pge_3")
            assert rest.page.startswith("pge_3") and of(rest) == ["dlv_3"]
            assert (await states(store))["dlv_3"] == "due"

        self.run(place, first)
        self.run(place, second)

    def test_smaller_page_of_what_was_served_acknowledges_no_more_than_it_holds(self, place: Path) -> None:
        """And the larger one, should its answer have arrived after all, what is left of it."""

        async def scenario(store: Store, clock: TurnedClock) -> None:
            await store.apply(batch_of(*(polled(number) for number in range(1, 5))))
            large = await serve(store, "pge_1")
            small = await serve(store, "pge_2", limit=2)
            assert of(small) == ["dlv_1", "dlv_2"]
            assert await store.acknowledge("erp", small.page, now=NOW) == 2
            assert await store.acknowledge("erp", large.page, now=NOW) == 2

        self.run(place, scenario)

    def test_deliverer_who_holds_the_head_neither_hides_it_nor_takes_it_back(self, place: Path) -> None:
        """What was leased at birth is served first all the same, and its being handed back afterwards changes nothing."""

        async def scenario(store: Store, clock: TurnedClock) -> None:
            await store.apply(batch_of(polled(1), polled(2), claim="me", lease=NOW + LEASE, claim_most=9))
            (held,) = await store.deliveries(state=DeliveryState.LEASED)
            page = await serve(store)
            assert of(page) == ["dlv_1", "dlv_2"]
            back = Claimed(delivery=held, event=event("evt_1"))
            await store.finish([outcome(back, DeliveryState.DUE, due=NOW)])
            assert not await take(store)
            assert await store.acknowledge("erp", page.page, now=NOW) == 2

        self.run(place, scenario)

    def test_what_was_revived_below_a_page_is_not_acknowledged_by_it(self, place: Path) -> None:
        """It stands earlier in line and was not part of what was served: it is served next."""

        async def scenario(store: Store, clock: TurnedClock) -> None:
            await store.apply(batch_of(polled(1, None), polled(2, None), polled(3, None)))
            assert await store.acknowledge("erp", (await serve(store, limit=1)).page, now=NOW) == 1
            page = await serve(store, "pge_2")
            assert await store.replay([polled(1, None)], again=True, now=NOW) == 1
            assert await store.acknowledge("erp", page.page, now=NOW) == 2
            assert of(await serve(store, "pge_3")) == ["dlv_1"]

        self.run(place, scenario)

    def test_what_a_replay_moved_up_the_line_is_served_anew(self, place: Path) -> None:
        """In the order of events, and it can be acknowledged."""

        async def scenario(store: Store, clock: TurnedClock) -> None:
            await store.apply(batch_of(polled(2), polled(3)))
            late = await serve(store, "pge_1")
            await store.replay([polled(2), polled(3)], again=True, now=NOW)
            page = await serve(store, "pge_2")
            assert of(page) == ["dlv_2", "dlv_3"]
            done = await store.acknowledge("erp", page.page, now=NOW)
            assert done + await store.acknowledge("erp", late.page, now=NOW) == 2
            assert of(await serve(store, "pge_3")) == []

        self.run(place, scenario)

    def test_disabled_endpoint_has_nothing_to_serve(self, place: Path) -> None:
        """Its deliveries are final until replayed."""

        async def scenario(store: Store, clock: TurnedClock) -> None:
            await store.apply(batch_of(polled(1), polled(2)))
            page = await serve(store)
            assert await store.disable("erp", cause="by hand", now=NOW) == 2
            assert of(await serve(store)) == []
            assert await store.acknowledge("erp", page.page, now=NOW) == 0

        self.run(place, scenario)

    def test_page_that_is_none_acknowledges_nothing(self, place: Path) -> None:
        """Whatever a client sends."""

        async def scenario(store: Store, clock: TurnedClock) -> None:
            await store.apply(batch_of(polled(1)))
            for page in ("", "pge_1", "pge_1.x", "pge_1.1", "pge_1.99999999999999999999", "pge_1.٣"):
                assert await store.acknowledge("erp", page, now=NOW) == 0

        self.run(place, scenario)

    def test_reach_tells_the_newest_event_and_the_last_one_forgotten(self, place: Path) -> None:
        """Also when an older one had to stay, and when all are gone."""

        async def scenario(store: Store, clock: TurnedClock) -> None:
            assert await store.reach() == Reach(newest=0, forgotten=0)
            await store.apply(batch_of(polled(1)))
            await store.apply(Batch(events=[event("evt_2", at=NOW - 9), event("evt_3", at=NOW)]))
            assert await store.reach() == Reach(newest=3, forgotten=0)
            await store.purge(before=NOW)
            assert await store.reach() == Reach(newest=3, forgotten=2)
            await store.acknowledge("erp", (await serve(store)).page, now=NOW)
            await store.purge(before=NOW + 1)
            assert await store.reach() == Reach(newest=3, forgotten=3)
            assert "events.forgotten" not in await store.counts()

        self.run(place, scenario)
