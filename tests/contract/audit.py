"""What every trail keeps. A way inherits ``TrailContract`` and says how to open one and how somebody would tamper with it behind our back."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import pytest

from gateway.audit import Act, Link, Trail

Scenario = Callable[[Trail], Awaitable[None]]
ACTORS = ("cli:wang", "console:li", "client:bi")


def act(number: int, **more: object) -> Act:
    """An act that differs from every other number's."""
    told = {
        "at": 1_760_000_000_000_000 + number,
        "actor": ACTORS[number % 3],
        "verb": ("read", "erase")[number % 2],
        "object": f"cus_{number:032x}",
        "detail": {"reason": f"工单 {number}", "records": number},
    }
    return Act(**{**told, **more})  # type: ignore[arg-type]


class TrailContract:
    """The promise of ``gateway.audit.Trail``."""

    def open(self, place: Path) -> Trail:
        """Open the trail that lives in ``place``."""
        raise NotImplementedError

    def edit(self, place: Path, number: int) -> None:
        """Make act ``number`` say that somebody else did it."""
        raise NotImplementedError

    def remove(self, place: Path, numbers: Sequence[int]) -> None:
        """Take acts out."""
        raise NotImplementedError

    def swap(self, place: Path, first: int, second: int) -> None:
        """Exchange two acts, hashes and all."""
        raise NotImplementedError

    def forge(self, place: Path, like: int) -> None:
        """Append an act after the last one with the hash of act ``like``."""
        raise NotImplementedError

    @pytest.fixture
    def place(self, tmp_path: Path) -> Path:
        return tmp_path

    def run(self, place: Path, scenario: Scenario) -> None:
        """One opening of the trail."""

        async def main() -> None:
            trail = self.open(place)
            try:
                await scenario(trail)
            finally:
                await trail.close()

        asyncio.run(main())

    def write(self, place: Path, *numbers: int) -> None:
        """Record these acts, one call each."""

        async def scenario(trail: Trail) -> None:
            for number in numbers:
                await trail.record([act(number)])

        self.run(place, scenario)

    def all(self, place: Path) -> list[Link]:
        """Every link, as a fresh trail reads them."""
        found: list[Link] = []

        async def scenario(trail: Trail) -> None:
            found.extend(await trail.acts(limit=1_000_000))

        self.run(place, scenario)
        return found

    def faults(self, place: Path) -> list[tuple[int, str]]:
        """What a fresh trail says is wrong."""
        found: list[tuple[int, str]] = []

        async def scenario(trail: Trail) -> None:
            found.extend((fault.number, fault.kind) for fault in await trail.verify())

        self.run(place, scenario)
        return found

    def test_recorded_acts_come_back_in_order_and_number(self, place: Path) -> None:
        """Numbers count from 1 without gaps, and an act is what it was, whatever closed in between."""
        self.write(place, 1, 2)
        self.write(place, 3)
        assert [(link.number, link.act) for link in self.all(place)] == [(n, act(n)) for n in (1, 2, 3)]
        assert self.faults(place) == []

    def test_empty_trail_is_whole_and_has_no_head(self, place: Path) -> None:
        """Before the first act there is nothing to be missed."""

        async def scenario(trail: Trail) -> None:
            assert await trail.head() is None
            await trail.record([])
            assert list(await trail.verify()) == []
            assert list(await trail.acts()) == []

        self.run(place, scenario)

    def test_head_is_the_newest_link(self, place: Path) -> None:
        """What an operator notes elsewhere."""

        async def scenario(trail: Trail) -> None:
            await trail.record([act(1), act(2)])
            assert await trail.head() == list(await trail.acts())[-1]

        self.run(place, scenario)

    def test_acts_are_filtered_by_every_condition(self, place: Path) -> None:
        """Who, what, to what, and from which number on."""
        self.write(place, *range(1, 13))

        async def scenario(trail: Trail) -> None:
            def numbers(links: Sequence[Link]) -> list[int]:
                return [link.number for link in links]

            assert numbers(await trail.acts(actor="console:li")) == [1, 4, 7, 10]
            assert numbers(await trail.acts(actor="console:li", verb="read")) == [4, 10]
            assert numbers(await trail.acts(object=act(5).object)) == [5]
            assert numbers(await trail.acts(after=4, limit=3)) == [5, 6, 7]
            assert numbers(await trail.acts(verb="nothing")) == []

        self.run(place, scenario)

    def test_concurrent_callers_get_dense_numbers(self, place: Path) -> None:
        """A hundred callers at once leave one chain."""

        async def scenario(trail: Trail) -> None:
            await asyncio.gather(*(trail.record([act(n)]) for n in range(100)))
            assert [link.number for link in await trail.acts(limit=1000)] == list(range(1, 101))
            assert list(await trail.verify()) == []

        self.run(place, scenario)

    def test_equal_acts_carry_different_hashes(self, place: Path) -> None:
        """Doing the same twice is two acts; none can stand in for the other."""

        async def scenario(trail: Trail) -> None:
            await trail.record([act(1), act(1)])
            first, second = await trail.acts()
            assert first.mac != second.mac

        self.run(place, scenario)

    def test_edited_act_is_told_with_its_number(self, place: Path) -> None:
        """Blaming somebody else shows, and only where it was done."""
        self.write(place, 1, 2, 3, 4)
        self.edit(place, 2)
        assert self.faults(place) == [(2, "edited")]

    def test_edited_last_act_is_told(self, place: Path) -> None:
        """Nothing after it has to give it away."""
        self.write(place, 1, 2, 3)
        self.edit(place, 3)
        assert self.faults(place) == [(3, "edited")]

    def test_act_taken_out_is_told_as_missing(self, place: Path) -> None:
        """From the first number that is gone."""
        self.write(place, 1, 2, 3, 4, 5)
        self.remove(place, [2, 3])
        assert self.faults(place) == [(2, "missing")]

    def test_first_act_taken_out_is_told(self, place: Path) -> None:
        """The chain begins at 1."""
        self.write(place, 1, 2)
        self.remove(place, [1])
        assert self.faults(place) == [(1, "missing")]

    def test_exchanged_acts_are_told(self, place: Path) -> None:
        """An act belongs to its number."""
        self.write(place, 1, 2, 3, 4)
        self.swap(place, 2, 3)
        assert {number for number, kind in self.faults(place) if kind == "edited"} >= {2, 3}

    def test_appended_act_without_the_key_is_told(self, place: Path) -> None:
        """A hash that stands elsewhere in the chain does not fit here."""
        self.write(place, 1, 2, 3)
        self.forge(place, 3)
        assert self.faults(place) == [(4, "edited")]

    def test_acts_cut_off_at_the_end_are_told(self, place: Path) -> None:
        """What a chain alone cannot tell, its anchor does."""
        self.write(place, 1, 2, 3, 4)
        self.remove(place, [3, 4])
        assert self.faults(place) == [(3, "truncated")]

    def test_everything_cut_off_is_told(self, place: Path) -> None:
        """An empty trail with an anchor that knows better is not new."""
        self.write(place, 1, 2)
        self.remove(place, [1, 2])
        assert self.faults(place) == [(1, "truncated")]

    def test_what_was_cut_off_stays_told_after_more_acts(self, place: Path) -> None:
        """Its numbers are not given again, so that going on does not cover it."""
        self.write(place, 1, 2, 3, 4)
        self.remove(place, [3, 4])
        self.write(place, 5, 6)
        assert [link.number for link in self.all(place)] == [1, 2, 5, 6]
        assert self.faults(place) == [(3, "missing")]
