"""Deliveries from birth to their end."""

import asyncio
from pathlib import Path

import msgspec
import pytest

from gateway.clock import SECOND, TurnedClock
from gateway.store import (
    Claimed,
    DeliveryState,
    Store,
)
from tests.contract.stores.samples import (
    LEASE,
    NOW,
    StoreTests,
    batch_of,
    delivery,
    event,
    outcome,
    states,
    take,
)


class Birth(StoreTests):
    """In which state a delivery begins."""

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


class Claiming(StoreTests):
    """Who tries what."""

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


class Finishing(StoreTests):
    """What became of it, and who is next."""

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


class Sweeping(StoreTests):
    """What a crash left."""

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
