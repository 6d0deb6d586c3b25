"""Versions of a mapping at run time: what may become of them, who reads which entry, and what a canary may never do."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

import mappings
from gateway.clock import TurnedClock
from gateway.errors import ConfigError, MappingError, Stale
from gateway.pipeline import versions
from gateway.pipeline.contrast import Kind
from gateway.pipeline.ledger import Tally, broken
from gateway.pipeline.rollout import slot
from gateway.pipeline.versions import Standing, State, Version, Versions
from gateway.shelves.sqlite import SqliteShelf
from gateway.store import EventRow
from tests.api.kit import House, order, told

ORDER = (mappings.FOLDER / "feed" / "order.yaml").read_text(encoding="utf-8")
# The shop says "packed", which no table knows.
MENDED = ORDER.replace("    shipped: processing\n", "    shipped: processing\n    packed: processing\n", 1)
# Reads what it reads, and refuses every order of a customer whose code is longer than two characters.
BROKEN = ORDER.replace("external_id: {path: order_no,", "external_id: {path: nowhere,")
BASE = Standing(connector="feed", stem="order")


# ---------------------------------------------------------------------- decisions
class TestStanding:
    """Pure changes of mind."""

    def test_promoting_remembers_the_last_three_that_were_live(self) -> None:
        """The shipped file counts as one of them; what is older is retired."""
        standing = BASE
        for number in (1, 2, 3, 4):
            standing = versions.promoted(standing, number)
        assert (standing.live, standing.past, standing.retired) == (4, (3, 2, 1), (0,))
        assert [standing.state(number) for number in (4, 3, 9)] == [State.LIVE, State.RETIRED, State.DRAFT]

    def test_rolling_back_brings_back_the_last_one_or_a_named_one(self) -> None:
        """And what was rolled back from is remembered, so that the way back is one click too."""
        standing = versions.promoted(versions.promoted(BASE, 1), 2)
        assert versions.rolled_back(standing).live == 1
        back = versions.rolled_back(standing, 0)
        assert (back.live, back.past) == (0, (2, 1))
        with pytest.raises(ConfigError, match="one of the last three"):
            versions.rolled_back(standing, 7)
        with pytest.raises(ConfigError, match="nothing was live before"):
            versions.rolled_back(BASE)

    def test_canary_gets_one_to_fifty_percent_and_ends_when_another_is_chosen(self) -> None:
        """A new share of the same one goes on counting."""
        standing = versions.trying(BASE, 3, 10, now=5)
        wider = versions.trying(standing, 3, 25, now=9)
        assert (wider.canary, wider.share, wider.since) == (3, 25, 5)
        other = versions.trying(wider, 4, 10, now=9)
        assert (other.canary, other.since, other.state(3)) == (4, 9, State.RETIRED)
        for share in (0, 51):
            with pytest.raises(ConfigError, match="1 to 50"):
                versions.trying(BASE, 3, share, now=5)
        with pytest.raises(ConfigError, match="live"):
            versions.trying(versions.promoted(BASE, 3), 3, 10, now=5)

    def test_promoting_the_canary_ends_it_without_retiring_it(self) -> None:
        """And withdrawing it retires it."""
        standing = versions.trying(BASE, 3, 10, now=5)
        done = versions.promoted(standing, 3)
        assert (done.live, done.canary, done.retired, done.past) == (3, 0, (), (0,))
        assert versions.withdrawn(standing).state(3) is State.RETIRED

    def test_live_version_cannot_be_retired(self) -> None:
        """Nor the shipped file."""
        with pytest.raises(ConfigError, match="cannot be retired"):
            versions.given_up(versions.promoted(BASE, 3), 3)
        assert versions.given_up(BASE, 4).state(4) is State.RETIRED

    @pytest.mark.parametrize(
        ("name", "parts"),
        [
            ("feed/order", ("feed", "order", None)),
            ("feed/order@1", ("feed", "order", 0)),
            ("feed/order@1.7", ("feed", "order", 7)),
            ("feed/order/7", ("feed", "order", 7)),
        ],
    )
    def test_version_is_named_as_events_name_it(self, name: str, parts: tuple[str, str, int | None]) -> None:
        """Or by its key."""
        assert versions.named(name) == parts

    def test_name_of_nothing_is_refused_with_examples(self) -> None:
        """Never guessed."""
        for bad in ("order", "feed/order@x.y", "feed/order/seven", ""):
            with pytest.raises(ConfigError, match="names no mapping"):
                versions.named(bad)


def test_canary_is_broken_by_three_errors_that_are_more_than_one_in_a_hundred() -> None:
    """Errors that the live version makes too do not count."""

    def tally(entries: int, **kinds: int) -> Tally:
        return Tally(entries=entries, kinds=kinds)

    assert not broken(tally(2, new_error=2))
    assert broken(tally(3, new_error=3))
    assert not broken(tally(300, new_error=3))
    assert broken(tally(299, new_error=3))
    assert not broken(tally(50, both_fail=50, fixed_error=9))


def test_share_is_kept_within_a_percent_and_raising_it_takes_nobody_away() -> None:
    """Over ten thousand partition keys; another canary has other keys."""
    keys = [number.to_bytes(16, "big") for number in range(10_000)]
    ten = {key for key in keys if slot(key, 3) < 1000}
    twenty = {key for key in keys if slot(key, 3) < 2000}
    other = {key for key in keys if slot(key, 4) < 1000}
    assert 900 < len(ten) < 1100
    assert ten < twenty
    assert len(ten & other) < 300


# ---------------------------------------------------------------------- keeping
def shelved(tmp_path: Path) -> tuple[SqliteShelf, Versions]:
    """Versions on a shelf of their own."""
    clock = TurnedClock()
    shelf = SqliteShelf(tmp_path / "desk.db", clock=clock)
    return shelf, Versions(shelf, clock)


def run(work: Callable[[], Any]) -> Any:
    """A coroutine to its end."""
    return asyncio.run(work())


def version(**given: Any) -> Version:
    """A stored version of the order feed."""
    return Version(
        **{"connector": "feed", "stem": "order", "number": 0, "text": "x", "declared": 1, "by": "t", "at": 0, **given}
    )


def test_numbers_grow_for_each_mapping_and_old_ones_are_forgotten_but_for_those_that_matter(tmp_path: Path) -> None:
    """Fifty are kept; the live one and those that were live stay however old."""
    shelf, kept = shelved(tmp_path)

    async def story() -> None:
        for _ in range(3):
            await kept.add(version())
        assert (await kept.add(version(stem="unit"))).number == 1
        await kept.decide("feed", "order", lambda now, _: versions.promoted(now, 1), by="t")
        for _ in range(60):
            await kept.add(version())
        found = [one.number for one in await kept.all("feed", "order")]
        assert found[0] == 63
        assert found[-1] == 1
        assert len(found) == versions.KEPT
        assert [one.number for one in await kept.all("feed", "unit")] == [1]
        await shelf.close()

    run(story)


def test_two_who_decide_at_once_do_not_half_promote(tmp_path: Path) -> None:
    """The second is told."""
    shelf, kept = shelved(tmp_path)

    async def story() -> None:
        other = Versions(shelf, TurnedClock())

        async def meanwhile() -> None:
            await other.decide("feed", "order", lambda now, _: versions.promoted(now, 2), by="b")

        decided: list[Any] = []

        def change(now: Standing, _: int) -> Standing:
            decided.append(now)
            return versions.promoted(now, 1)

        before = await kept.standing("feed", "order")
        await meanwhile()
        assert before.live == 0
        await kept.decide("feed", "order", change, by="a")
        assert decided[0].live == 2
        with pytest.raises(Stale):
            await shelf.file(msgspec.structs.replace((await shelf.documents(versions.STANDINGS))[0]), before=1)
        await shelf.close()

    run(story)


# ---------------------------------------------------------------------- reading
async def _store(house: House, text: str) -> Version:
    return await house.desk.mappings.add("feed", "order", text, by="test")


async def _said(house: House, number: str, status: str) -> tuple[str, str]:
    """Which mapping the newest event of an order names, and its lifecycle."""
    await house.say("orders", order(number, "C1", status=status))
    row = await _event(house)
    body = msgspec.json.decode(row.body)
    return body["source"]["mapping"], body["data"]["order"]["lifecycle"]


async def _event(house: House) -> EventRow:
    found: Sequence[EventRow] = await house.ground.records.events(limit=1000)
    return [one for one in found if one.subject.startswith("ord_")][-1]


def test_promoted_version_reads_the_next_entry_and_is_named_by_its_event(tmp_path: Path) -> None:
    """What was projected before stays as it is; rolling back is as quick."""

    async def story(house: House) -> None:
        await house.rollout.open()
        assert await _said(house, "S1", "packed") == ("feed/order@1", "unknown")
        stored = await _store(house, MENDED)
        assert (stored.faults, stored.number) == ((), 1)
        await house.desk.mappings.promote("feed", "order", 1, by="test")
        assert await house.rollout.follow()
        assert await _said(house, "S2", "packed") == ("feed/order@1.1", "processing")
        first = next(one for one in await house.ground.records.rows("order", limit=9) if b"unknown" in one.body)
        assert b'"S1"' in first.body
        await house.desk.mappings.roll_back("feed", "order", None, by="test")
        assert await house.rollout.follow()
        assert await _said(house, "S3", "packed") == ("feed/order@1", "unknown")

    told(tmp_path, story)


def test_canary_reads_its_share_and_what_it_comes_to_is_counted_on_the_same_entries(tmp_path: Path) -> None:
    """Half of the keys; every difference is one that both versions answered for."""

    async def story(house: House) -> None:
        await house.rollout.open()
        await _store(house, MENDED)
        await house.desk.mappings.canary("feed", "order", 1, 50, by="test")
        await house.rollout.follow()
        named = [(await _said(house, f"S{n}", "packed" if n % 2 else "paid"))[0] for n in range(60)]
        mine = named.count("feed/order@1.1")
        assert 15 < mine < 45
        await house.rollout.save()
        ledger = await house.desk.mappings.ledgers.get("feed", "order")
        tally = ledger.trial
        assert tally.entries == mine
        assert tally.of(Kind.FIXED_UNKNOWN) + tally.of(Kind.SAME) == mine
        assert tally.fields["order.lifecycle"] == tally.of(Kind.FIXED_UNKNOWN) > 0
        assert tally.moves == {"order.lifecycle unknown processing": tally.of(Kind.FIXED_UNKNOWN)}
        assert {one.raw for one in ledger.unknowns} == {"packed"}
        # The same key is read by the same version however often it comes.
        again = [(await _said(house, f"S{n}", "shipped"))[0] for n in range(60)]
        assert again == named

    told(tmp_path, story)


def test_canary_that_fails_makes_no_dead_letter_and_is_rolled_back(tmp_path: Path) -> None:
    """The live version's answer stands; after the third error nothing is read by it, and the standing says why."""

    async def story(house: House) -> None:
        await house.rollout.open()
        # Its golden cases would not let it through: what breaks in production is what no case knew.
        stored = await house.desk.mappings.versions.add(version(text=BROKEN))
        await house.desk.mappings.versions.decide(
            "feed", "order", lambda now, at: versions.trying(now, stored.number, 50, at), by="test"
        )
        await house.rollout.follow()
        for n in range(40):
            assert (await _said(house, f"S{n}", "paid"))[0] == "feed/order@1"
        assert await house.ground.records.dead_letters() == []
        (one,) = house.rollout.broken
        assert one.tally.of(Kind.NEW_ERROR) == one.tally.entries == 3
        await house.rollout.end(one)
        standing = await house.desk.mappings.versions.standing("feed", "order")
        assert (standing.canary, standing.why, standing.by) == (0, "broke", "gateway")
        assert standing.state(stored.number) is State.RETIRED

    told(tmp_path, story)


def test_version_that_cannot_be_compiled_any_more_changes_nothing(tmp_path: Path) -> None:
    """What was read with goes on; the ledger says why, for the console."""

    async def story(house: House) -> None:
        await house.rollout.open()
        stored = await house.desk.mappings.versions.add(version(text="version: 1\nconnector: feed\nemit: nonsense\n"))
        await house.desk.mappings.versions.decide(
            "feed", "order", lambda now, _: versions.promoted(now, stored.number), by="test"
        )
        await house.rollout.follow()
        assert await _said(house, "S1", "paid") == ("feed/order@1", "confirmed")
        await house.rollout.save()
        refused = (await house.desk.mappings.ledgers.get("feed", "order")).refused
        assert "stored/1/feed/order.yaml:3:emit" in refused

    told(tmp_path, story)


def test_draft_with_a_fault_or_a_failing_case_can_be_stored_and_nothing_else(tmp_path: Path) -> None:
    """The fault names line and field; the cases are the shipped ones."""

    async def story(house: House) -> None:
        maps = house.desk.mappings
        torn = await _store(house, ORDER.replace("as: yuan", "as: dollars", 1))
        assert "19:emit[0].fields.money.payable.as" in torn.faults[0] or "dollars" in torn.faults[0]
        wrong = await _store(house, ORDER.replace("paid: confirmed", "paid: completed"))
        assert wrong.cases > 5
        assert "expected" in wrong.faults[0]
        for number in (torn.number, wrong.number):
            with pytest.raises(MappingError):
                await maps.promote("feed", "order", number, by="test")
            with pytest.raises(MappingError):
                await maps.canary("feed", "order", number, 10, by="test")
        assert (await maps.versions.standing("feed", "order")).live == 0

    told(tmp_path, story)


def test_restart_goes_on_with_what_was_decided_and_counted(tmp_path: Path) -> None:
    """Before the first entry is read."""

    async def story(house: House) -> None:
        await house.rollout.open()
        await _said(house, "S1", "weighed")
        await _store(house, MENDED)
        await house.desk.mappings.promote("feed", "order", 1, by="test")
        await house.rollout.save()

    async def later(house: House) -> None:
        await house.rollout.open()
        assert (await _said(house, "S2", "packed"))[0] == "feed/order@1.1"

    told(tmp_path, story)
    told(tmp_path, later)
