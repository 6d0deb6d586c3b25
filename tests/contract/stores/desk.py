"""What a person sees and settles."""

from pathlib import Path

import msgspec
import pytest

from gateway.clock import TurnedClock
from gateway.errors import Stale
from gateway.model.identity import Strength
from gateway.store import (
    Batch,
    DeliveryState,
    Merge,
    Seen,
    Store,
    Superseded,
    Wants,
)
from tests.contract.stores.samples import (
    NOW,
    StoreTests,
    batch_of,
    dead,
    delivery,
    edge,
    event,
    ids,
    key,
    outcome,
    reject,
    row,
    take,
)


class Desk(StoreTests):
    """What a person sees and settles."""

    def test_rejects_beyond_what_is_kept_lose_the_oldest(self, place: Path) -> None:
        """Forgers cannot fill the disk."""

        async def scenario(store: Store, clock: TurnedClock) -> None:
            await store.reject([reject(f"rej_{number}", NOW - number) for number in range(8)], keep=5)
            assert (await store.counts())["rejects"] == 5
            # The five that stay are the newest: nothing older than the fifth is left to forget.
            assert await store.purge(before=NOW - 4) == 0
            assert await store.purge(before=NOW - 3) == 1

        self.run(place, scenario)

    def test_dead_letters_are_listed_by_id_and_settled_by_burying_again(self, place: Path) -> None:
        """Page by page; the same entry dead again is the same letter."""

        async def scenario(store: Store, clock: TurnedClock) -> None:
            await store.apply(Batch(dead=[dead("ded_2"), dead("ded_1")]))
            await store.bury([dead("ded_3"), dead("ded_1", tries=2, cause="other")])
            assert await store.dead_letters() == [dead("ded_1", tries=2, cause="other"), dead("ded_2"), dead("ded_3")]
            assert ids(await store.dead_letters(limit=1, after="ded_1")) == ["ded_2"]
            await store.bury([dead("ded_2", state="dropped")])
            assert ids(await store.dead_letters()) == ["ded_1", "ded_3"]
            assert ids(await store.dead_letters(state="dropped")) == ["ded_2"]
            assert (await store.counts())["dead_letters"] == 2

        self.run(place, scenario)

    def test_letter_that_died_again_before_it_was_settled_stays_open(self, place: Path) -> None:
        """Its copy is projected while somebody still writes down that it was retried: nobody may lose sight of it."""

        async def scenario(store: Store, clock: TurnedClock) -> None:
            await store.apply(Batch(dead=[dead("ded_1")]))
            await store.apply(Batch(dead=[dead("ded_1", entry="ent_2")]))
            await store.bury([dead("ded_1", state="retried", tries=2)])
            assert await store.dead_letters() == [dead("ded_1", entry="ent_2")]
            await store.bury([dead("ded_1", entry="ent_2", state="dropped")])
            assert await store.dead_letters() == []
            await store.bury([dead("ded_1", entry="ent_3", cause="partner.denied")])
            assert ids(await store.dead_letters()) == ["ded_1"]

        self.run(place, scenario)

    def test_what_was_applied_names_the_entry_that_said_it_first(self, place: Path) -> None:
        """By account and dedupe key together; what was never applied is left out, what is said twice stays the first's."""

        async def scenario(store: Store, clock: TurnedClock) -> None:
            first = Seen(account="erp", dedupe=key("a"), entry="ent_1", at=NOW)
            other = Seen(account="pos", dedupe=key("a"), entry="ent_2", at=NOW)
            await store.apply(Batch(seen=[first, other]))
            await store.apply(Batch(seen=[Seen(account="erp", dedupe=key("a"), entry="ent_3", at=NOW + 1)]))
            assert await store.applied([("erp", key("a")), ("erp", key("b")), ("erp", key("a"))]) == [first]
            both = await store.applied([("pos", key("a")), ("erp", key("a"))])
            assert sorted(both, key=lambda one: one.entry) == [first, other]
            assert await store.applied([]) == []

        self.run(place, scenario)

    def test_rows_of_a_kind_come_by_id_page_by_page(self, place: Path) -> None:
        """Of everybody, or of one customer; forwards, or the newest first."""

        async def scenario(store: Store, clock: TurnedClock) -> None:
            mine = [row(f"ord_{number}", customer="cus_1") for number in (3, 1, 2)]
            await store.apply(Batch(rows=[*mine, row("ord_4", customer="cus_2"), row("cus_1", kind="customer")]))
            assert ids(await store.rows("order", limit=2)) == ["ord_1", "ord_2"]
            assert ids(await store.rows("order", limit=9, after="ord_2")) == ["ord_3", "ord_4"]
            assert ids(await store.rows("order", limit=9, after="ord_1", customer="cus_1")) == ["ord_2", "ord_3"]
            assert await store.rows("customer", limit=9) == [row("cus_1", kind="customer")]
            assert ids(await store.rows("order", limit=2, newest=True)) == ["ord_4", "ord_3"]
            assert ids(await store.rows("order", limit=9, after="ord_3", newest=True)) == ["ord_2", "ord_1"]
            assert ids(await store.rows("order", limit=2, customer="cus_1", newest=True)) == ["ord_3", "ord_2"]
            assert ids(await store.rows("order", limit=9, after="ord_2", customer="cus_1", newest=True)) == ["ord_1"]

        self.run(place, scenario)

    def test_look_up_by_identity_shows_live_edges_only(self, place: Path) -> None:
        """Who holds this phone now."""

        async def scenario(store: Store, clock: TurnedClock) -> None:
            holders = [
                edge("p", "cus_1", strength=Strength.WEAK),
                edge("p", "cus_2", strength=Strength.WEAK, live=False),
            ]
            await store.apply(Batch(edges=holders))
            assert await store.edges(key("p")) == holders[:1]
            assert not await store.edges(key("q"))

        self.run(place, scenario)

    def test_merges_of_a_customer_come_newest_first(self, place: Path) -> None:
        """As survivor and as loser."""

        async def scenario(store: Store, clock: TurnedClock) -> None:
            first = Merge(id="mrg_1", survivor="cus_2", loser="cus_3", at=NOW, reason="strong", before=b"was")
            second = Merge(id="mrg_2", survivor="cus_1", loser="cus_2", at=NOW + 1, reason="strong", before=b"was")
            await store.apply(Batch(merges=[first, second]))
            assert await store.merges("cus_2") == [second, first]
            assert await store.merges("cus_3") == [first]
            assert not await store.merges("cus_9")

        self.run(place, scenario)

    def test_unmerge_applies_its_batch_and_marks_the_merge_once(self, place: Path) -> None:
        """A second person who undoes it is told, and nothing is applied twice."""

        async def scenario(store: Store, clock: TurnedClock) -> None:
            merge = Merge(id="mrg_1", survivor="cus_1", loser="cus_2", at=NOW, reason="strong", before=b"was")
            await store.apply(Batch(rows=[row("ord_1", customer="cus_1")], merges=[merge]))
            clock.turn(5)
            await store.unmerge(merge, Batch(rows=[row("ord_1", customer="cus_2")], events=[event("evt_1")]))
            (undone,) = await store.merges("cus_1")
            assert undone.undone_at == clock.now()
            assert ids(await store.rows("order", limit=9, customer="cus_2")) == ["ord_1"]
            with pytest.raises(Stale):
                await store.unmerge(merge, Batch(events=[event("evt_2")]))
            assert ids(await store.events()) == ["evt_1"]

        self.run(place, scenario)

    def test_record_that_somebody_else_wrote_since_it_was_read_makes_the_batch_stale(self, place: Path) -> None:
        """Two who read the same record cannot both write it: the second reads again, and nothing of its batch is there."""

        async def scenario(store: Store, clock: TurnedClock) -> None:
            await store.apply(Batch(rows=[row("cus_1", kind="customer", sequence=1)]))
            read = [
                (one.id, one.sequence, one.updated) for one in (await store.look(Wants(ids=["cus_1"]))).by_id.values()
            ]
            await store.apply(Batch(rows=[row("cus_1", kind="customer", sequence=2)], read=read))

            with pytest.raises(Stale):
                await store.apply(
                    Batch(rows=[row("cus_1", kind="customer", sequence=2)], read=read, events=[event("evt_1")])
                )

            assert (await store.look(Wants(ids=["cus_1"]))).by_id["cus_1"].sequence == 2
            assert not await store.events()

        self.run(place, scenario)

    def test_unmerge_gives_back_the_records_that_the_merge_took(self, place: Path) -> None:
        """Those and no others: what the survivor had, or got since, stays with it."""

        async def scenario(store: Store, clock: TurnedClock) -> None:
            merge = Merge(id="mrg_1", survivor="cus_1", loser="cus_2", at=NOW, reason="strong", before=b"was")
            await store.apply(Batch(rows=[row("ord_1", customer="cus_1"), row("ord_2", customer="cus_2")]))
            await store.apply(Batch(merges=[merge], moves=[("cus_2", "cus_1")]))
            await store.apply(Batch(rows=[row("ord_3", customer="cus_1")]))
            assert await store.moved("mrg_1") == ["ord_2"]

            await store.unmerge(merge, Batch())

            found = await store.look(Wants(ids=["ord_1", "ord_2", "ord_3"]))
            assert {name: one.customer for name, one in found.by_id.items()} == {
                "ord_1": "cus_1", "ord_2": "cus_2", "ord_3": "cus_1",
            }  # fmt: skip

        self.run(place, scenario)

    def test_unmerge_whose_batch_cannot_be_applied_leaves_the_merge(self, place: Path) -> None:
        """One transaction for both."""

        async def scenario(store: Store, clock: TurnedClock) -> None:
            merge = Merge(id="mrg_1", survivor="cus_1", loser="cus_2", at=NOW, reason="strong", before=b"was")
            await store.apply(Batch(events=[event("evt_1")], merges=[merge]))
            with pytest.raises(Stale):
                await store.unmerge(merge, Batch(events=[event("evt_1")]))
            assert await store.merges("cus_1") == [merge]

        self.run(place, scenario)

    def test_feed_is_in_the_order_of_writing_and_can_be_followed_by_number(self, place: Path) -> None:
        """Of all, or of one subject."""

        async def scenario(store: Store, clock: TurnedClock) -> None:
            await store.apply(Batch(events=[event("evt_2"), event("evt_1", subject="ord_2", unit=None)]))
            await store.apply(Batch(events=[event("evt_0", at=NOW - 5)]))
            feed = await store.events()
            assert ids(feed) == ["evt_2", "evt_1", "evt_0"]
            numbers = [one.number for one in feed]
            assert numbers == sorted(set(numbers)) and numbers[0] > 0
            assert ids(await store.events(after=numbers[0], limit=1)) == ["evt_1"]
            assert ids(await store.events(subject="ord_1", after=numbers[0])) == ["evt_0"]
            assert msgspec.structs.replace(feed[1], number=0) == event("evt_1", subject="ord_2", unit=None)

        self.run(place, scenario)

    def test_numbers_of_the_feed_do_not_come_again_after_a_purge(self, place: Path) -> None:
        """A reader who stands at the end would miss what carries an old number."""

        async def scenario(store: Store, clock: TurnedClock) -> None:
            await store.apply(Batch(events=[event("evt_1"), event("evt_2")]))
            end = (await store.events())[-1].number
            await store.purge(before=NOW + 1)
            await store.apply(Batch(events=[event("evt_3")]))
            assert ids(await store.events(after=end)) == ["evt_3"]

        self.run(place, scenario)

    def test_deliveries_are_listed_by_id_under_any_conditions(self, place: Path) -> None:
        """State, endpoint and event, one by one and together."""

        async def scenario(store: Store, clock: TurnedClock) -> None:
            await store.apply(
                batch_of(
                    delivery("dlv_1"),
                    delivery("dlv_2", endpoint="bi"),
                    delivery("dlv_3", "evt_2"),
                    delivery("dlv_4", "evt_2", endpoint="bi"),
                )
            )
            held = {one.delivery.id: one for one in await take(store)}
            await store.finish([outcome(held["dlv_1"]), outcome(held["dlv_4"])])
            assert ids(await store.deliveries()) == ["dlv_1", "dlv_2", "dlv_3", "dlv_4"]
            assert ids(await store.deliveries(state=DeliveryState.DONE)) == ["dlv_1", "dlv_4"]
            assert ids(await store.deliveries(state=DeliveryState.LEASED, endpoint="bi")) == ["dlv_2"]
            assert ids(await store.deliveries(endpoint="bi", after="dlv_2")) == ["dlv_4"]
            assert ids(await store.deliveries(event="evt_2", limit=1)) == ["dlv_3"]
            assert ids(await store.deliveries(event="evt_1", endpoint="bi", state=DeliveryState.DONE)) == []

        self.run(place, scenario)

    def test_rejects_are_listed_by_id_page_by_page(self, place: Path) -> None:
        """Of everybody, or of one account."""

        async def scenario(store: Store, clock: TurnedClock) -> None:
            other = msgspec.structs.replace(reject("rej_2"), account="other", body=None)
            await store.reject([reject("rej_3"), reject("rej_1"), other], keep=9)
            assert await store.rejects() == [reject("rej_1"), other, reject("rej_3")]
            assert ids(await store.rejects(limit=1, after="rej_1")) == ["rej_2"]
            assert ids(await store.rejects(account="shop")) == ["rej_1", "rej_3"]
            assert ids(await store.rejects(account="shop", after="rej_1", limit=1)) == ["rej_3"]

        self.run(place, scenario)

    def test_late_versions_of_a_record_come_newest_first(self, place: Path) -> None:
        """By when they came, not by the source's time."""

        async def scenario(store: Store, clock: TurnedClock) -> None:
            late = [
                Superseded(record=name, entry=f"ent_{number}", at=NOW - number, received=NOW, body=b"{}")
                for number, name in enumerate(["ord_1", "ord_2", "ord_1"])
            ]
            await store.apply(Batch(superseded=late))
            assert await store.superseded("ord_1") == [late[2], late[0]]
            assert await store.superseded("ord_1", limit=1) == [late[2]]
            assert not await store.superseded("ord_9")

        self.run(place, scenario)

    def test_timeline_of_a_customer_holds_its_own_events_and_its_records(self, place: Path) -> None:
        """And those of whoever was merged into it: newest first, page by page."""

        async def scenario(store: Store, clock: TurnedClock) -> None:
            merge = Merge(id="mrg_1", survivor="cus_1", loser="cus_2", at=NOW, reason="strong", before=b"was")
            undone = Merge(
                id="mrg_2", survivor="cus_1", loser="cus_3", at=NOW, reason="strong", before=b"was", undone_at=NOW
            )
            subjects = ["cus_1", "ord_1", "cus_2", "ord_1", "ord_9", "cus_3"]
            await store.apply(
                Batch(
                    rows=[
                        row("cus_1", kind="customer"),
                        row("ord_1", customer="cus_1"),
                        row("ord_9", customer="cus_9"),
                    ],
                    merges=[merge, undone],
                    events=[event(f"evt_{number}", subject=subject) for number, subject in enumerate(subjects)],
                )
            )
            found = await store.timeline("cus_1")
            assert ids(found) == ["evt_3", "evt_2", "evt_1", "evt_0"]
            assert ids(await store.timeline("cus_1", before=found[0].number, limit=2)) == ["evt_2", "evt_1"]
            assert ids(await store.timeline("cus_9")) == ["evt_4"]
            assert not await store.timeline("cus_8")

        self.run(place, scenario)
