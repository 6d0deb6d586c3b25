"""What partners are asked to do."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway.action import Action, Again, Cancelled, Done, PutOff, Silent, State, Taken, Wanted, step
from gateway.clock import SECOND, TurnedClock
from gateway.errors import Stale
from gateway.store import Batch, Store
from tests.contract.stores.samples import NOW, StoreTests, batch_of, delivery, event, ids, key

LATER = NOW + 3600 * SECOND


def action(name: str, **changes: Any) -> Action:
    """A message to somebody of the corp, unless told otherwise."""
    given = {
        "id": name, "account": "corp", "action": "message", "client": "cli_1", "customer": None, "key": None, "subject": key(name),
        "harmless": False, "due": NOW, "expires": LATER, "created": NOW, "updated": NOW, "body": b"{}",
    }  # fmt: skip
    return Action(**{**given, **changes})


async def keep(store: Store, *actions: Action) -> None:
    """Each of them, in this order."""
    for one in actions:
        await store.commission(one)


async def moved(store: Store, one: Action, happened: Any, **more: Any) -> Action:
    """What is kept of one after something happened to it."""
    after = step(one, happened, NOW)
    assert after is not None
    await store.apply(Batch(actions=[after], **more))
    return after


class Acting(StoreTests):
    """Commissions, taking them up, and what became of them."""

    def test_action_is_kept_as_it_was_asked_for(self, place: Path) -> None:
        """With all that it holds, also when the store is opened again."""
        one = action("act_1", customer="cus_1", key=key("idempotent"), harmless=True, body=b"sealed")

        async def first(store: Store, clock: TurnedClock) -> None:
            assert await store.commission(one) == one

        async def later(store: Store, clock: TurnedClock) -> None:
            assert await store.known_actions(["act_1", "act_2"]) == {"act_1": one}

        self.run(place, first)
        self.run(place, later)

    def test_repeated_key_finds_the_first_and_writes_nothing(self, place: Path) -> None:
        """Whoever got no answer asks again, and it is one action."""

        async def scenario(store: Store, clock: TurnedClock) -> None:
            first = action("act_1", key=key("same"))
            await keep(store, first, action("act_3"), action("act_4"))
            assert await store.commission(action("act_2", key=key("same"))) == first
            assert ids(await store.actions(Wanted())) == ["act_1", "act_3", "act_4"]

        self.run(place, scenario)

    def test_due_ones_of_an_account_are_taken_once_and_oldest_first(self, place: Path) -> None:
        """They are running then; what is not due, expired, or another account's is left."""

        async def scenario(store: Store, clock: TurnedClock) -> None:
            await keep(
                store, action("act_1"), action("act_2", due=NOW - 1), action("act_3", due=NOW + 1), action("act_4", account="shop"),
                action("act_5", expires=NOW), action("act_6"),
            )  # fmt: skip
            assert await store.take_actions("corp", now=NOW, limit=0) == ()
            taken = await store.take_actions("corp", now=NOW, limit=2)
            assert [(one.id, one.state, one.tries, one.version) for one in taken] == [
                ("act_2", State.RUNNING, 1, 2), ("act_1", State.RUNNING, 1, 2)
            ]  # fmt: skip
            assert ids(await store.take_actions("corp", now=NOW, limit=9)) == ["act_6"]
            assert not await store.take_actions("corp", now=NOW, limit=9)
            assert ids(await store.actions(Wanted(state=State.RUNNING))) == ["act_1", "act_2", "act_6"]

        self.run(place, scenario)

    def test_next_of_a_subject_waits_until_the_one_before_is_at_its_end(self, place: Path) -> None:
        """Also while that one is put off; other subjects go on."""

        async def scenario(store: Store, clock: TurnedClock) -> None:
            same = {"subject": key("one customer")}
            await keep(store, action("act_1", **same), action("act_2", due=NOW - 9, **same), action("act_3"))
            taken = await store.take_actions("corp", now=NOW, limit=9)
            assert ids(taken) == ["act_1", "act_3"]
            waits = await moved(store, taken[0], PutOff("partner.down", 60.0))
            assert not await store.take_actions("corp", now=NOW + 59 * SECOND, limit=9)
            (again,) = await store.take_actions("corp", now=waits.due, limit=9)
            assert (again.id, again.tries) == ("act_1", 2)
            await moved(store, again, Done())
            assert ids(await store.take_actions("corp", now=NOW, limit=9)) == ["act_2"]

        self.run(place, scenario)

    def test_what_is_unknown_holds_up_nobody(self, place: Path) -> None:
        """A person may take hours; whoever retries it does so out of its line."""

        async def scenario(store: Store, clock: TurnedClock) -> None:
            same = {"subject": key("one customer")}
            await keep(store, action("act_1", **same), action("act_2", **same))
            (one,) = await store.take_actions("corp", now=NOW, limit=9)
            unknown = await moved(store, one, Silent("partner.down", 5.0))
            assert (await store.counts())["actions_unknown"] == 1
            assert ids(await store.take_actions("corp", now=NOW, limit=9)) == ["act_2"]
            await moved(store, unknown, Again(LATER))
            assert ids(await store.actions(Wanted(state=State.WAITING))) == ["act_1"]

        self.run(place, scenario)

    def test_end_and_what_it_leads_to_are_one_commit(self, place: Path) -> None:
        """An action that somebody else moved leaves nothing of the batch behind."""

        async def scenario(store: Store, clock: TurnedClock) -> None:
            await keep(store, action("act_1"))
            (taken,) = await store.take_actions("corp", now=NOW, limit=9)
            await store.apply(msgspec.structs.replace(batch_of(delivery("dlv_1")), actions=[step(taken, Done(), NOW)]))
            before = len(await store.events())
            with pytest.raises(Stale):
                await store.apply(Batch(actions=[step(taken, Done(), NOW)], events=[event("evt_9")]))
            assert len(await store.events()) == before
            kept = (await store.known_actions(["act_1"]))["act_1"]
            assert (kept.state, kept.ended, kept.version) == (State.DONE, NOW, 3)

        self.run(place, scenario)

    def test_actions_are_listed_by_account_client_and_state_from_either_end(self, place: Path) -> None:
        """Page by page; late ones are those whose time is over and that nobody began."""

        async def scenario(store: Store, clock: TurnedClock) -> None:
            await keep(
                store, action("act_1"), action("act_2", account="shop"), action("act_3", client="cli_2", expires=NOW), action("act_4")
            )  # fmt: skip
            await moved(store, action("act_4"), Cancelled())
            assert ids(await store.actions(Wanted(account="corp"), limit=2)) == ["act_1", "act_3"]
            assert ids(await store.actions(Wanted(account="corp"), limit=2, after="act_3")) == ["act_4"]
            assert ids(await store.actions(Wanted(), newest=True, limit=3)) == ["act_4", "act_3", "act_2"]
            assert ids(await store.actions(Wanted(), newest=True, limit=3, after="act_2")) == ["act_1"]
            assert ids(await store.actions(Wanted(client="cli_1", state=State.WAITING))) == ["act_1", "act_2"]
            assert ids(await store.actions(Wanted(client="cli_1", account="corp", state=State.CANCELLED))) == ["act_4"]
            assert ids(await store.actions(Wanted(late=NOW))) == ["act_3"]
            assert await store.open_actions("cli_1", most=9) == 2
            assert await store.open_actions("cli_1", most=1) == 1

        self.run(place, scenario)

    def test_only_what_is_at_its_end_is_purged(self, place: Path) -> None:
        """After its keep; what waits or is unknown stays, however old."""

        async def scenario(store: Store, clock: TurnedClock) -> None:
            await keep(store, action("act_1"), action("act_2"))
            (one, _) = await store.take_actions("corp", now=NOW, limit=9)
            assert step(one, Taken(), NOW) is None
            await moved(store, one, Done())
            await store.purge(before=NOW)
            assert (await store.counts())["actions"] == 1
            assert len(await store.actions(Wanted())) == 2
            await store.purge(before=NOW + 1)
            assert ids(await store.actions(Wanted())) == ["act_2"]

        self.run(place, scenario)
