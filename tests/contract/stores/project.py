"""Looking and applying."""

from pathlib import Path

import msgspec
import pytest

from gateway.clock import TurnedClock
from gateway.errors import Stale, StoreError
from gateway.model.identity import Strength
from gateway.model.lane import Lane
from gateway.store import (
    Batch,
    Candidate,
    Cursor,
    Seen,
    Store,
    Superseded,
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
    edge,
    errand,
    event,
    ids,
    key,
    row,
    take,
)


class Looking(StoreTests):
    """What a batch needs to know."""

    def test_look_finds_everything_it_names_and_nothing_else(self, place: Path) -> None:
        """By seen key, record key, id, edge key and customer, each in its own place."""

        async def scenario(store: Store, clock: TurnedClock) -> None:
            one, other = row("ord_1", customer="cus_1", version=7, unit="hq"), row("ord_2")
            held, lost = edge("a", "cus_1"), edge("b", "cus_1", live=False, strength=Strength.WEAK, verified=False)
            mark = Seen(account="shop", dedupe=key("d"), entry="ent_1", at=NOW)
            await store.apply(Batch(rows=[one, other], edges=[held, lost], seen=[mark]))
            found = await store.look(
                Wants(
                    seen=[("shop", key("d")), ("other", key("d")), ("shop", key("e"))],
                    keys=[key("a"), key("b"), key("c")],
                    records=[key("ord_1"), key("nothing")],
                    ids=["ord_2", "ord_9"],
                    edges_of=["cus_1", "cus_9"],
                )
            )
            assert found.seen == {("shop", key("d"))}
            assert found.edges == {key("a"): [held], key("b"): [lost]}
            assert found.rows == {key("ord_1"): one}
            assert found.by_id == {"ord_2": other}
            assert {name: sorted(edges, key=lambda each: each.key) for name, edges in found.edges_of.items()} == {
                "cus_1": sorted([held, lost], key=lambda each: each.key)
            }

        self.run(place, scenario)

    def test_look_for_nothing_finds_nothing(self, place: Path) -> None:
        """An empty question is a question too."""

        async def scenario(store: Store, clock: TurnedClock) -> None:
            found = await store.look(Wants())
            assert not found.seen and not found.edges and not found.rows and not found.by_id and not found.edges_of

        self.run(place, scenario)

    def test_phone_of_several_customers_is_found_with_all_of_them(self, place: Path) -> None:
        """Only a strong key is held by one."""

        async def scenario(store: Store, clock: TurnedClock) -> None:
            shared = [edge("phone", f"cus_{number}", strength=Strength.MEDIUM) for number in range(3)]
            await store.apply(Batch(edges=shared))
            found = await store.look(Wants(keys=[key("phone")]))
            assert {one.customer for one in found.edges[key("phone")]} == {"cus_0", "cus_1", "cus_2"}

        self.run(place, scenario)

    @pytest.mark.parametrize("size", [1, 127, 128, 129, 3000])
    def test_any_size_of_batch_is_applied_and_found_whole(self, place: Path, size: int) -> None:
        """No limit of variables and no edge of a chunk loses a row."""

        async def scenario(store: Store, clock: TurnedClock) -> None:
            names = [f"{number:05d}" for number in range(size)]
            await store.apply(
                Batch(
                    seen=[Seen(account="shop", dedupe=key(name), entry=name, at=NOW) for name in names],
                    rows=[row(name) for name in names],
                    edges=[edge(name, name) for name in names],
                    events=[event(name) for name in names],
                    deliveries=[delivery(name, name) for name in names],
                    dead=[dead(name) for name in names],
                    errands=[errand(name) for name in names],
                )
            )
            found = await store.look(
                Wants(
                    seen=[("shop", key(name)) for name in names], keys=[key(name) for name in names],
                    records=[key(name) for name in names], ids=names, edges_of=names,
                )
            )  # fmt: skip
            sizes = [len(part) for part in (found.seen, found.edges, found.rows, found.by_id, found.edges_of)]
            assert sizes == [size] * 5
            assert ids(await store.events(limit=size + 1)) == names
            assert [one.delivery.id for one in await take(store, limit=size + 1)] == names

        self.run(place, scenario)


class Applying(StoreTests):
    """All of a batch or nothing, from where the cursor stands."""

    def test_applied_batch_moves_the_cursor_it_started_from(self, place: Path) -> None:
        """Nothing stands anywhere before; each lane and shard moves by itself."""

        async def scenario(store: Store, clock: TurnedClock) -> None:
            assert await store.cursors() == {}
            await store.apply(Batch(before=None, after=at(5)))
            await store.apply(Batch(before=at(5), after=at(9)))
            await store.apply(Batch(before=at(0, Lane.BULK, 3), after=at(2, Lane.BULK, 3)))
            assert await store.cursors() == {(Lane.LIVE, 0): 9, (Lane.BULK, 3): 2}

        self.run(place, scenario)

    @pytest.mark.parametrize("before", [None, at(0), at(4), at(6)], ids=["none", "nought", "behind", "ahead"])
    def test_batch_from_where_the_cursor_does_not_stand_is_stale_and_leaves_nothing(
        self, place: Path, before: Cursor | None
    ) -> None:
        """Two workers read the same entries; one of them applied them."""

        async def scenario(store: Store, clock: TurnedClock) -> None:
            await store.apply(Batch(after=at(5)))
            with pytest.raises(Stale):
                await store.apply(batch_of(delivery("dlv_1"), before=before, after=at(8), rows=[row("ord_1")]))
            assert await store.cursors() == {(Lane.LIVE, 0): 5}
            assert not await store.events() and not await store.rows("order", limit=9) and not await store.deliveries()

        self.run(place, scenario)

    def test_batch_applied_a_second_time_is_stale_and_changes_nothing(self, place: Path) -> None:
        """What a crash between commit and answer leads to."""

        async def scenario(store: Store, clock: TurnedClock) -> None:
            batch = batch_of(delivery("dlv_1"), before=at(0), after=at(1), rows=[row("ord_1")], errands=[errand("a")])
            await store.apply(batch)
            counts = await store.counts()
            with pytest.raises(Stale):
                await store.apply(batch)
            assert await store.counts() == counts
            assert (await store.errands(now=NOW, lease=NOW + LEASE, limit=9))[0].asked == 1

        self.run(place, scenario)

    def test_batch_without_a_cursor_that_repeats_an_event_is_stale(self, place: Path) -> None:
        """Ids are derived from what they are about, so the repeat is seen even where no cursor tells."""

        async def scenario(store: Store, clock: TurnedClock) -> None:
            await store.apply(Batch(events=[event("evt_1")]))
            with pytest.raises(Stale):
                await store.apply(Batch(rows=[row("ord_1")], events=[event("evt_2"), event("evt_1")]))
            assert ids(await store.events()) == ["evt_1"]
            assert not await store.rows("order", limit=9)

        self.run(place, scenario)

    def test_batch_that_moves_two_cursors_is_refused(self, place: Path) -> None:
        """It would apply one lane's entries and skip another's."""

        async def scenario(store: Store, clock: TurnedClock) -> None:
            with pytest.raises(StoreError):
                await store.apply(Batch(before=at(0), after=at(3, Lane.BULK)))
            assert await store.cursors() == {}

        self.run(place, scenario)

    def test_rows_and_edges_are_replaced_by_their_keys(self, place: Path) -> None:
        """A later batch overwrites every field."""

        async def scenario(store: Store, clock: TurnedClock) -> None:
            await store.apply(Batch(rows=[row("ord_1", customer="cus_1", version=1)], edges=[edge("a", "cus_1")]))
            newer = row(
                "ord_1", customer=None, version=None, unit="hq", at=NOW + 1, sequence=2, updated=NOW + 2, body=b"new"
            )
            seen_again = edge("a", "cus_1", live=False, verified=False, value="k2", last_seen=NOW + 9)
            await store.apply(Batch(rows=[newer], edges=[seen_again]))
            found = await store.look(Wants(ids=["ord_1"], keys=[key("a")]))
            assert found.by_id == {"ord_1": newer}
            assert found.edges == {key("a"): [seen_again]}
            assert (await store.counts())["records.order"] == 1

        self.run(place, scenario)

    def test_second_record_of_one_natural_key_is_stale(self, place: Path) -> None:
        """Two workers met a new order at once; the second must look again and finds the first one's."""

        async def scenario(store: Store, clock: TurnedClock) -> None:
            await store.apply(Batch(rows=[row("ord_1")]))
            with pytest.raises(Stale):
                await store.apply(Batch(rows=[row("ord_2", key=key("ord_1"))]))

        self.run(place, scenario)

    def test_second_live_edge_of_a_strong_key_is_stale(self, place: Path) -> None:
        """A strong key names one person; a dead edge beside it is history."""

        async def scenario(store: Store, clock: TurnedClock) -> None:
            await store.apply(Batch(edges=[edge("a", "cus_1")]))
            with pytest.raises(Stale):
                await store.apply(Batch(edges=[edge("a", "cus_2")]))
            await store.apply(Batch(edges=[edge("a", "cus_2", live=False)]))
            await store.apply(Batch(edges=[edge("a", "cus_2"), edge("a", "cus_1", live=False)]))
            assert [one.customer for one in await store.edges(key("a"))] == ["cus_2"]

        self.run(place, scenario)

    def test_edges_that_are_gone_go_before_edges_are_written(self, place: Path) -> None:
        """A merge takes a key from the loser and gives it to the survivor; others of the same key or customer stay."""

        async def scenario(store: Store, clock: TurnedClock) -> None:
            await store.apply(
                Batch(edges=[edge("a", "cus_2"), edge("b", "cus_2"), edge("p", "cus_2", strength=Strength.WEAK),
                             edge("p", "cus_3", strength=Strength.WEAK)])
            )  # fmt: skip
            await store.apply(Batch(gone=[(key("a"), "cus_2"), (key("p"), "cus_2")], edges=[edge("a", "cus_1")]))
            found = await store.look(Wants(keys=[key("a"), key("b"), key("p")]))
            holders = {name: [one.customer for one in edges] for name, edges in found.edges.items()}
            assert holders == {key("a"): ["cus_1"], key("b"): ["cus_2"], key("p"): ["cus_3"]}

        self.run(place, scenario)

    def test_moves_repoint_every_record_after_rows_are_written(self, place: Path) -> None:
        """Old ones and those of the same batch alike, along a chain of merges; nobody else's."""

        async def scenario(store: Store, clock: TurnedClock) -> None:
            old = [
                row("ord_1", customer="cus_3"),
                row("int_1", kind="interaction", customer="cus_2"),
                row("ord_9", customer="cus_9"),
            ]
            await store.apply(Batch(rows=old))
            fresh = row("ord_2", customer="cus_3")
            await store.apply(Batch(rows=[fresh], moves=[("cus_3", "cus_2"), ("cus_2", "cus_1")]))
            assert ids(await store.rows("order", limit=9, customer="cus_1")) == ["ord_1", "ord_2"]
            assert ids(await store.rows("interaction", limit=9, customer="cus_1")) == ["int_1"]
            assert ids(await store.rows("order", limit=9, customer="cus_9")) == ["ord_9"]
            assert not await store.rows("order", limit=9, customer="cus_3")

        self.run(place, scenario)

    def test_seen_key_that_exists_is_left_alone(self, place: Path) -> None:
        """The first entry stays its owner, and the rest of the batch is applied."""

        async def scenario(store: Store, clock: TurnedClock) -> None:
            await store.apply(Batch(seen=[Seen(account="shop", dedupe=key("d"), entry="ent_1", at=NOW)]))
            again = Seen(account="shop", dedupe=key("d"), entry="ent_2", at=NOW + LEASE)
            await store.apply(Batch(seen=[again], rows=[row("ord_1")]))
            assert len(await store.rows("order", limit=9)) == 1
            # Had it been replaced, it would be too young to forget.
            await store.purge(before=NOW + 1)
            assert not (await store.look(Wants(seen=[("shop", key("d"))]))).seen

        self.run(place, scenario)

    def test_candidate_is_unique_by_pair_and_reason(self, place: Path) -> None:
        """The same doubt twice is one question for a person; another reason is another."""

        async def scenario(store: Store, clock: TurnedClock) -> None:
            first = Candidate(id="mtc_1", a="cus_1", b="cus_2", reason="phone", at=NOW)
            again = msgspec.structs.replace(first, id="mtc_2", at=NOW + 5)
            other = msgspec.structs.replace(first, id="mtc_3", reason="name")
            await store.apply(Batch(candidates=[first]))
            await store.apply(Batch(candidates=[again, other]))
            assert await store.candidates() == [first, other]
            assert ids(await store.candidates(limit=1)) == ["mtc_1"]
            assert ids(await store.candidates(limit=1, after="mtc_1")) == [other.id]
            assert (await store.counts())["candidates"] == 2

        self.run(place, scenario)

    def test_settled_candidate_leaves_the_list_and_a_rejected_pair_is_not_reopened(self, place: Path) -> None:
        """Neither for the same reason nor for another: a person has said that they are two."""

        async def scenario(store: Store, clock: TurnedClock) -> None:
            first = Candidate(id="mtc_1", a="cus_1", b="cus_2", reason="phone", at=NOW)
            settled = msgspec.structs.replace(first, state="rejected")
            await store.apply(Batch(candidates=[first]))
            await store.apply(Batch(candidates=[settled]))
            await store.apply(
                Batch(
                    candidates=[
                        msgspec.structs.replace(first, id="mtc_2"),
                        msgspec.structs.replace(first, id="mtc_3", reason="name"),
                        msgspec.structs.replace(first, id="mtc_4", b="cus_3"),
                    ]
                )
            )
            assert ids(await store.candidates()) == ["mtc_4"]
            assert await store.candidates(state="rejected") == [settled]

        self.run(place, scenario)

    def test_candidate_that_led_to_a_merge_stays_settled(self, place: Path) -> None:
        """Doubt that comes in late does not ask a person again."""

        async def scenario(store: Store, clock: TurnedClock) -> None:
            first = Candidate(id="mtc_1", a="cus_1", b="cus_2", reason="phone", at=NOW)
            await store.apply(Batch(candidates=[first]))
            await store.apply(Batch(candidates=[msgspec.structs.replace(first, state="merged")]))
            await store.apply(Batch(candidates=[msgspec.structs.replace(first, id="mtc_2")]))
            assert not await store.candidates()
            assert ids(await store.candidates(state="merged")) == ["mtc_1"]

        self.run(place, scenario)

    def test_superseded_versions_are_kept_until_purged(self, place: Path) -> None:
        """By when they were received, not by the source's time."""

        async def scenario(store: Store, clock: TurnedClock) -> None:
            late = Superseded(record="ord_1", entry="ent_1", at=0, received=NOW, body=b"{}")
            await store.apply(Batch(superseded=[late, msgspec.structs.replace(late, received=NOW + 5)]))
            assert [
                await store.purge(before=NOW),
                await store.purge(before=NOW + 1),
                await store.purge(before=NOW + 9),
            ] == [0, 1, 1]

        self.run(place, scenario)
