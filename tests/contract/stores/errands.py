"""Errands and pulls."""

from pathlib import Path

import msgspec

from gateway.clock import TurnedClock
from gateway.store import (
    Batch,
    PullState,
    Store,
)
from tests.contract.stores.samples import (
    LEASE,
    NOW,
    StoreTests,
    errand,
    key,
)


class Errands(StoreTests):
    """What is re-read from a partner."""

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
