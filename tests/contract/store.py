"""What every store keeps. A way inherits ``StoreContract`` and says how to open one on a clock."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway.clock import SECOND, TurnedClock
from gateway.errors import Stale, StoreError
from gateway.model.identity import Strength
from gateway.model.lane import Lane
from gateway.store import (
    Attempt,
    Batch,
    Candidate,
    Claimed,
    Cursor,
    DeadLetter,
    Delivery,
    DeliveryState,
    Edge,
    Errand,
    EventRow,
    Merge,
    PullState,
    Reject,
    Result,
    Row,
    Seen,
    Store,
    Superseded,
    Wants,
)

NOW = TurnedClock().now()
LEASE = 60 * SECOND

Scenario = Callable[[Store, TurnedClock], Awaitable[None]]


def key(*parts: object) -> bytes:
    """A look-up key as the vault would make one."""
    return hashlib.blake2b(repr(parts).encode(), digest_size=16).digest()


def row(name: str, **changes: Any) -> Row:
    """An order of the shop, unless told otherwise."""
    given = {
        "id": name, "kind": "order", "key": key(name), "account": "shop", "customer": None, "unit": None, "at": NOW, "version": None,
        "sequence": 1, "created": NOW, "updated": NOW, "body": b"{}",
    }  # fmt: skip
    return Row(**{**given, **changes})


def edge(name: str, customer: str, **changes: Any) -> Edge:
    """A live strong identity."""
    given = {
        "key": key(name), "customer": customer, "namespace": "taobao.ouid", "scope": "shop", "strength": Strength.STRONG,
        "verified": True, "live": True, "value": "k1.contact.AAAA", "first_seen": NOW, "last_seen": NOW,
    }  # fmt: skip
    return Edge(**{**given, **changes})


def event(name: str, **changes: Any) -> EventRow:
    """An order that was paid."""
    given = {
        "id": name, "type": "order.paid", "subject": "ord_1", "sequence": 1, "at": NOW, "account": "shop", "entry": "ent_1",
        "unit": "hq", "body": b'{"id": "x"}',
    }  # fmt: skip
    return EventRow(**{**given, **changes})


def delivery(name: str, of: str = "evt_1", **changes: Any) -> Delivery:
    """Due now, at ``crm``, in no order."""
    given = {"id": name, "event": of, "endpoint": "crm", "subject": None, "due": NOW, "created": NOW}
    return Delivery(**{**given, **changes})


def batch_of(*deliveries: Delivery, **more: Any) -> Batch:
    """These deliveries with their events."""
    events = [event(name) for name in dict.fromkeys(one.event for one in deliveries)]
    return Batch(events=events, deliveries=deliveries, **more)


def outcome(
    claimed: Claimed, state: DeliveryState = DeliveryState.DONE, *, due: int = NOW, cause: str | None = None
) -> Result:
    """What became of it, with its attempt."""
    held = claimed.delivery
    tried = Attempt(
        id=f"att_{held.id}_{held.tries}", delivery=held.id, endpoint=held.endpoint, event=held.event, at=NOW + held.tries,
        took=1500, status=200, error=None, response=b"ok",
    )  # fmt: skip
    return Result(
        delivery=held.id, claim=held.claim or "", state=state, due=due, tries=held.tries + 1, attempt=tried, cause=cause
    )


def errand(name: str, **changes: Any) -> Errand:
    """A trade to re-read."""
    given = {
        "account": "shop",
        "topic": "trade",
        "hash": key(name),
        "key": "k1.contact.BBBB",
        "due": NOW,
        "entry": "ent_1",
    }
    return Errand(**{**given, **changes})


def dead(name: str, **changes: Any) -> DeadLetter:
    """An entry that could not be mapped."""
    given = {
        "id": name, "entry": "ent_1", "account": "shop", "topic": "trade", "stage": "map", "cause": "payload.value",
        "detail": "no time zone", "at": NOW,
    }  # fmt: skip
    return DeadLetter(**{**given, **changes})


def reject(name: str, at: int = NOW) -> Reject:
    """A forged request."""
    return Reject(
        id=name, account="shop", reason="signature", detail="", peer="192.0.2.1", size=9, at=at, body=b"sealed"
    )


def at(position: int, lane: Lane = Lane.LIVE, shard: int = 0) -> Cursor:
    """A place in the journal."""
    return Cursor(lane=lane, shard=shard, position=position)


async def take(
    store: Store, *, claim: str = "me", limit: int = 100, retries: bool = False, now: int = NOW
) -> Sequence[Claimed]:
    """Claim for a minute."""
    return await store.claim(now=now, lease=now + LEASE, claim=claim, limit=limit, retries=retries)


async def states(store: Store) -> dict[str, str]:
    """Every delivery's state."""
    return {one.id: one.state.value for one in await store.deliveries(limit=10_000)}


def ids(items: Sequence[Any]) -> list[str]:
    """Of records, events, deliveries."""
    return [item.id for item in items]


class StoreContract:
    """The promise of ``gateway.store.Store``, on a hand-turned clock."""

    def open(self, place: Path, clock: TurnedClock) -> Store:
        """The store that lives in ``place``; the first call makes it."""
        raise NotImplementedError

    @pytest.fixture
    def place(self, tmp_path: Path) -> Path:
        return tmp_path

    def run(self, place: Path, scenario: Scenario) -> None:
        async def main() -> None:
            clock = TurnedClock()
            store = self.open(place, clock)
            try:
                await scenario(store, clock)
            finally:
                await store.close()

        asyncio.run(main())

    # ------------------------------------------------------------------ look
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

    # ------------------------------------------------------------------ apply
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

    # ------------------------------------------------------------------ born deliveries
    def test_deliveries_claimed_at_birth_are_leased_to_the_caller(self, place: Path) -> None:
        """At most as many as asked for, the first ones, and nobody else can claim them."""

        async def scenario(store: Store, clock: TurnedClock) -> None:
            some = [delivery(f"dlv_{number}") for number in range(4)]
            born = await store.apply(batch_of(*some, claim="me", lease=NOW + LEASE, claim_most=3))
            assert born == {"dlv_0", "dlv_1", "dlv_2"}
            assert [one.delivery.id for one in await take(store, claim="other")] == ["dlv_3"]
            held = (await store.deliveries())[0]
            assert (held.state, held.claim, held.lease) == (DeliveryState.LEASED, "me", NOW + LEASE)
            done = await store.finish([outcome(Claimed(delivery=held, event=event("evt_1")))])
            assert (done, (await states(store))["dlv_0"]) == (0, "done")

        self.run(place, scenario)

    def test_nothing_is_claimed_at_birth_without_a_claim_or_before_it_is_due(self, place: Path) -> None:
        """A scheduled delivery waits for its time."""

        async def scenario(store: Store, clock: TurnedClock) -> None:
            assert await store.apply(batch_of(delivery("dlv_1"), claim_most=9)) == set()
            later = delivery("dlv_2", "evt_2", due=NOW + SECOND)
            assert await store.apply(batch_of(later, claim="me", lease=NOW + LEASE, claim_most=9)) == set()
            assert (await states(store)) == {"dlv_1": "due", "dlv_2": "due"}

        self.run(place, scenario)

    def test_only_the_first_open_delivery_of_a_subject_does_not_wait(self, place: Path) -> None:
        """In one batch and behind an earlier one, but not across endpoints, and not for the unordered."""

        async def scenario(store: Store, clock: TurnedClock) -> None:
            await store.apply(
                batch_of(delivery("dlv_1", subject="s"), delivery("dlv_2", subject="s"), delivery("dlv_3", subject="t"))
            )
            born = await store.apply(
                batch_of(
                    delivery("dlv_4", "evt_2", subject="s"), delivery("dlv_5", "evt_2", subject="s", endpoint="bi"),
                    delivery("dlv_6", "evt_2"), delivery("dlv_7", "evt_2"), claim="me", lease=NOW + LEASE, claim_most=9,
                )
            )  # fmt: skip
            assert born == {"dlv_5", "dlv_6", "dlv_7"}
            assert (await states(store)) == {
                "dlv_1": "due", "dlv_2": "waiting", "dlv_3": "due", "dlv_4": "waiting",
                "dlv_5": "leased", "dlv_6": "leased", "dlv_7": "leased",
            }  # fmt: skip

        self.run(place, scenario)

    def test_delivery_to_a_disabled_endpoint_is_born_disabled(self, place: Path) -> None:
        """With the cause of the endpoint, and holding up nobody."""

        async def scenario(store: Store, clock: TurnedClock) -> None:
            await store.disable("crm", cause="gone", now=NOW)
            born = await store.apply(
                batch_of(
                    delivery("dlv_1", subject="s"),
                    delivery("dlv_2", endpoint="bi"),
                    claim="me",
                    lease=NOW + LEASE,
                    claim_most=1,
                )
            )
            assert born == {"dlv_2"}
            first = (await store.deliveries())[0]
            assert (first.state, first.cause) == (DeliveryState.DISABLED, "gone")

        self.run(place, scenario)

    # ------------------------------------------------------------------ claim
    def test_claim_takes_the_oldest_due_first_up_to_the_limit(self, place: Path) -> None:
        """With their events, and leased to the claimer."""

        async def scenario(store: Store, clock: TurnedClock) -> None:
            await store.apply(
                batch_of(
                    delivery("dlv_1", due=NOW),
                    delivery("dlv_2", due=NOW - 5),
                    delivery("dlv_3", due=NOW - 9),
                    delivery("dlv_4", due=NOW),
                )
            )
            taken = await take(store, limit=3)
            assert [one.delivery.id for one in taken] == ["dlv_3", "dlv_2", "dlv_1"]
            assert {one.event.id for one in taken} == {"evt_1"}
            assert taken[0].event == msgspec.structs.replace(event("evt_1"), number=taken[0].event.number)
            held = taken[0].delivery
            assert (held.state, held.claim, held.lease) == (DeliveryState.LEASED, "me", NOW + LEASE)
            assert [one.delivery.id for one in await take(store)] == ["dlv_4"]
            assert not await take(store)

        self.run(place, scenario)

    def test_nothing_is_claimed_before_it_is_due(self, place: Path) -> None:
        """To the microsecond."""

        async def scenario(store: Store, clock: TurnedClock) -> None:
            await store.apply(batch_of(delivery("dlv_1", due=NOW + 1)))
            assert not await take(store)
            assert len(await take(store, now=NOW + 1)) == 1

        self.run(place, scenario)

    def test_retries_and_first_attempts_are_claimed_apart(self, place: Path) -> None:
        """So that an endpoint that fails cannot crowd out what was never tried."""

        async def scenario(store: Store, clock: TurnedClock) -> None:
            await store.apply(batch_of(delivery("dlv_1"), delivery("dlv_2")))
            (first,) = await take(store, limit=1)
            await store.finish([outcome(first, DeliveryState.DUE, due=NOW + 3, cause="timeout")])
            assert [one.delivery.id for one in await take(store, now=NOW + 3)] == ["dlv_2"]
            assert not await take(store, now=NOW + 2, retries=True)
            (again,) = await take(store, now=NOW + 3, retries=True)
            assert (again.delivery.id, again.delivery.tries, again.delivery.cause) == ("dlv_1", 1, "timeout")

        self.run(place, scenario)

    def test_claims_at_the_same_time_never_share_a_delivery(self, place: Path) -> None:
        """Many workers ask at once; each delivery goes to one."""

        async def scenario(store: Store, clock: TurnedClock) -> None:
            await store.apply(batch_of(*(delivery(f"dlv_{number:03d}") for number in range(100))))
            answers = await asyncio.gather(*(take(store, claim=f"w{number}", limit=7) for number in range(20)))
            names = [one.delivery.id for answer in answers for one in answer]
            assert len(names) == len(set(names)) == 100

        self.run(place, scenario)

    # ------------------------------------------------------------------ finish
    def test_finished_delivery_keeps_its_outcome_and_attempts(self, place: Path) -> None:
        """Through a retry to the end, oldest attempt first."""

        async def scenario(store: Store, clock: TurnedClock) -> None:
            await store.apply(batch_of(delivery("dlv_1")))
            (first,) = await take(store)
            await store.finish([outcome(first, DeliveryState.DUE, due=NOW + 5, cause="timeout")])
            (second,) = await take(store, now=NOW + 5, retries=True)
            last = outcome(second, DeliveryState.DEAD, cause="refused")
            await store.finish([last])
            (held,) = await store.deliveries(state=DeliveryState.DEAD)
            assert (held.tries, held.cause, held.claim, held.lease) == (2, "refused", None, 0)
            assert await store.attempts("dlv_1") == [outcome(first).attempt, last.attempt]
            assert not await store.attempts("dlv_9")

        self.run(place, scenario)

    def test_result_of_one_who_lost_the_lease_changes_nothing(self, place: Path) -> None:
        """Its attempt is not kept either, so that what is kept is what counted."""

        async def scenario(store: Store, clock: TurnedClock) -> None:
            await store.apply(batch_of(delivery("dlv_1")))
            (slow,) = await take(store, claim="slow")
            await store.release(now=NOW + LEASE + 1)
            (quick,) = await take(store, claim="quick", now=NOW + LEASE + 1)
            assert await store.finish([outcome(slow, DeliveryState.DEAD)]) == 0
            assert (await states(store)) == {"dlv_1": "leased"}
            assert not await store.attempts("dlv_1")
            await store.finish([outcome(quick)])
            await store.finish([outcome(quick), outcome(slow, DeliveryState.DEAD)])
            assert (await states(store)) == {"dlv_1": "done"}
            assert len(await store.attempts("dlv_1")) == 1

        self.run(place, scenario)

    def test_one_delivery_finished_twice_in_one_call_is_finished_once(self, place: Path) -> None:
        """The first word on it stands."""

        async def scenario(store: Store, clock: TurnedClock) -> None:
            await store.apply(batch_of(delivery("dlv_1")))
            (held,) = await take(store)
            await store.finish([outcome(held), outcome(held, DeliveryState.DEAD)])
            assert (await states(store)) == {"dlv_1": "done"}
            assert len(await store.attempts("dlv_1")) == 1

        self.run(place, scenario)

    def test_result_without_an_attempt_is_recorded(self, place: Path) -> None:
        """A delivery can end without having been tried: its endpoint was removed."""

        async def scenario(store: Store, clock: TurnedClock) -> None:
            await store.apply(batch_of(delivery("dlv_1")))
            (held,) = await take(store)
            await store.finish([msgspec.structs.replace(outcome(held, DeliveryState.CANCELLED), attempt=None, tries=0)])
            assert (await states(store)) == {"dlv_1": "cancelled"}
            assert not await store.attempts("dlv_1")

        self.run(place, scenario)

    @pytest.mark.parametrize("end", [DeliveryState.DONE, DeliveryState.DEAD, DeliveryState.CANCELLED])
    def test_end_of_a_delivery_wakes_the_next_of_its_subject(self, place: Path, end: DeliveryState) -> None:
        """In the order in which they were written, whatever their ids, one at a time."""

        async def scenario(store: Store, clock: TurnedClock) -> None:
            names = ["dlv_c", "dlv_a", "dlv_b"]
            await store.apply(
                batch_of(*(delivery(name, subject="s") for name in names), delivery("dlv_z", subject="t"))
            )
            order = []
            for woken in (1, 1, 0):
                held = [one for one in await take(store) if one.delivery.subject == "s"]
                order += [one.delivery.id for one in held]
                assert await store.finish([outcome(one, end) for one in held]) == woken
            assert order == names

        self.run(place, scenario)

    def test_retry_of_a_delivery_still_holds_back_its_subject_and_nobody_else(self, place: Path) -> None:
        """One stuck subject holds back only itself."""

        async def scenario(store: Store, clock: TurnedClock) -> None:
            await store.apply(
                batch_of(*(delivery(f"dlv_{name}{number}", subject=name) for name in "st" for number in range(2)))
            )
            stuck, free = await take(store)
            again = outcome(stuck, DeliveryState.DUE, due=NOW + 60)
            assert await store.finish([again, outcome(free)]) == 1
            assert (await states(store)) == {"dlv_s0": "due", "dlv_s1": "waiting", "dlv_t0": "done", "dlv_t1": "due"}

        self.run(place, scenario)

    # ------------------------------------------------------------------ release
    def test_release_makes_due_what_was_leased_until_before_now(self, place: Path) -> None:
        """Not at the very instant, and with its tries as they were."""

        async def scenario(store: Store, clock: TurnedClock) -> None:
            await store.apply(batch_of(delivery("dlv_1"), delivery("dlv_2", due=NOW + 5)))
            await take(store)
            assert await store.release(now=NOW + LEASE) == 0
            assert await store.release(now=NOW + LEASE + 1) == 1
            (held,) = await take(store, limit=1, now=NOW + LEASE + 1)
            assert (held.delivery.id, held.delivery.tries) == ("dlv_1", 0)
            assert await store.release(now=NOW + LEASE + 1) == 0

        self.run(place, scenario)

    def test_release_wakes_what_waits_behind_nothing(self, place: Path) -> None:
        """However it came to be stranded: the first of each subject, and none that has one under way."""

        async def scenario(store: Store, clock: TurnedClock) -> None:
            alone = [delivery(f"dlv_{number}", subject="s", state=DeliveryState.WAITING) for number in range(3)]
            await store.apply(
                batch_of(*alone, delivery("dlv_8", "evt_2", subject="t"), delivery("dlv_9", "evt_2", subject="t"))
            )
            assert await store.release(now=NOW) == 1
            assert (await states(store)) == {
                "dlv_0": "due", "dlv_1": "waiting", "dlv_2": "waiting", "dlv_8": "due", "dlv_9": "waiting",
            }  # fmt: skip
            assert await store.release(now=NOW) == 0

        self.run(place, scenario)

    # ------------------------------------------------------------------ endpoints
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

    # ------------------------------------------------------------------ errands and pulls
    def test_errand_asked_for_again_is_one_errand_with_the_earlier_due_time(self, place: Path) -> None:
        """One per account, topic and hash, however it is asked: by a batch, by a pull, twice in one."""

        async def scenario(store: Store, clock: TurnedClock) -> None:
            await store.apply(
                Batch(errands=[errand("a", due=NOW + 5), errand("a", due=NOW + 9), errand("b", topic="refund")])
            )
            await store.pulled(
                PullState(account="shop", topic="trade", done=NOW), [errand("a", due=NOW + 7), errand("b")]
            )
            assert (await store.counts())["errands"] == 3
            assert not [one for one in await store.errands(now=NOW + 4, lease=NOW + 4, limit=9) if one.hash == key("a")]
            (again,) = [
                one for one in await store.errands(now=NOW + 5, lease=NOW + LEASE, limit=9) if one.hash == key("a")
            ]
            assert again.asked == 3

        self.run(place, scenario)

    def test_due_errands_come_oldest_first_and_not_again_until_the_lease(self, place: Path) -> None:
        """Also when they are asked for while they run: that is answered when they are settled."""

        async def scenario(store: Store, clock: TurnedClock) -> None:
            await store.apply(Batch(errands=[errand("a", due=NOW), errand("b", due=NOW - 9), errand("c", due=NOW)]))
            first = await store.errands(now=NOW, lease=NOW + LEASE, limit=2)
            assert [one.hash for one in first] == [key("b"), key("a")]
            await store.apply(Batch(errands=[errand("a")]))
            assert [one.hash for one in await store.errands(now=NOW, lease=NOW + LEASE, limit=9)] == [key("c")]
            late = await store.errands(now=NOW + LEASE, lease=NOW + 2 * LEASE, limit=9)
            assert {one.hash for one in late} == {key("a"), key("b"), key("c")}

        self.run(place, scenario)

    def test_settled_errand_is_forgotten_unless_it_was_asked_for_meanwhile(self, place: Path) -> None:
        """What came in while an earlier one ran is not lost: it is due at once, and starts anew."""

        async def scenario(store: Store, clock: TurnedClock) -> None:
            await store.apply(Batch(errands=[errand("a", tries=3, cause="quota"), errand("b")]))
            ran = await store.errands(now=NOW, lease=NOW + LEASE, limit=9)
            await store.apply(Batch(errands=[errand("a", due=NOW + LEASE)]))
            clock.turn(1)
            await store.settle(ran, [])
            (left,) = await store.errands(now=clock.now(), lease=clock.now() + LEASE, limit=9)
            assert (left.hash, left.asked, left.tries, left.cause) == (key("a"), 2, 0, None)
            await store.settle([left], [])
            assert (await store.counts())["errands"] == 0

        self.run(place, scenario)

    def test_errand_settled_late_does_not_swallow_a_new_one(self, place: Path) -> None:
        """It was done by another, forgotten, and asked for anew."""

        async def scenario(store: Store, clock: TurnedClock) -> None:
            await store.apply(Batch(errands=[errand("a"), errand("a")]))
            slow = await store.errands(now=NOW, lease=NOW, limit=9)
            await store.settle(await store.errands(now=NOW, lease=NOW + LEASE, limit=9), [])
            await store.apply(Batch(errands=[errand("a")]))
            await store.settle(slow, [])
            assert (await store.counts())["errands"] == 1

        self.run(place, scenario)

    def test_errand_to_try_again_keeps_its_new_time_tries_and_cause(self, place: Path) -> None:
        """And how often it was asked for; one that is forgotten stays so."""

        async def scenario(store: Store, clock: TurnedClock) -> None:
            await store.apply(Batch(errands=[errand("a")]))
            (ran,) = await store.errands(now=NOW, lease=NOW + LEASE, limit=9)
            await store.apply(Batch(errands=[errand("a")]))
            later = msgspec.structs.replace(ran, due=NOW + 30, tries=1, cause="partner.down")
            await store.settle([], [later, errand("never")])
            assert not await store.errands(now=NOW + 29, lease=NOW + LEASE, limit=9)
            (again,) = await store.errands(now=NOW + 30, lease=NOW + LEASE, limit=9)
            assert (again.hash, again.tries, again.cause, again.asked) == (key("a"), 1, "partner.down", 2)

        self.run(place, scenario)

    def test_pull_is_remembered_by_account_and_topic(self, place: Path) -> None:
        """The newest word on it."""

        async def scenario(store: Store, clock: TurnedClock) -> None:
            first = PullState(account="shop", topic="trade", done=NOW, until=NOW + 9, cursor="page 2")
            other = PullState(account="shop", topic="refund", done=NOW)
            done = PullState(account="shop", topic="trade", done=NOW + 9)
            for state in (first, other, done):
                await store.pulled(state)
            assert sorted(await store.pulls(), key=lambda one: one.topic) == [other, done]

        self.run(place, scenario)

    # ------------------------------------------------------------------ what a person sees
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

    def test_rows_of_a_kind_come_by_id_page_by_page(self, place: Path) -> None:
        """Of everybody, or of one customer."""

        async def scenario(store: Store, clock: TurnedClock) -> None:
            mine = [row(f"ord_{number}", customer="cus_1") for number in (3, 1, 2)]
            await store.apply(Batch(rows=[*mine, row("ord_4", customer="cus_2"), row("cus_1", kind="customer")]))
            assert ids(await store.rows("order", limit=2)) == ["ord_1", "ord_2"]
            assert ids(await store.rows("order", limit=9, after="ord_2")) == ["ord_3", "ord_4"]
            assert ids(await store.rows("order", limit=9, after="ord_1", customer="cus_1")) == ["ord_2", "ord_3"]
            assert await store.rows("customer", limit=9) == [row("cus_1", kind="customer")]

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

    # ------------------------------------------------------------------ counts and purge
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

    # ------------------------------------------------------------------ opening and closing
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
