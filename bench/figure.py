"""What a measurement comes to, and how one file of this folder is run by itself."""

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Sequence

import msgspec


class Spread(msgspec.Struct, frozen=True):
    """The same thing measured in several rounds."""

    rounds: tuple[float, ...]

    @property
    def median(self) -> float:
        """The figure."""
        return statistics.median(self.rounds)

    @property
    def low(self) -> float:
        """The smallest round."""
        return min(self.rounds)

    @property
    def high(self) -> float:
        """The largest round."""
        return max(self.rounds)


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the table. ``judged`` is what ``floor`` and ``aim`` are about: ``ours`` itself, or its ratio to ``baseline``.

    ``best`` says which way is good. Without a floor the figure only informs.
    """

    name: str
    says: str
    unit: str
    ours: Spread
    judged: Spread
    judged_unit: str
    against: str = ""
    baseline: Spread | None = None
    floor: float | None = None
    aim: float | None = None
    best: str = "high"
    notes: tuple[str, ...] = ()

    @property
    def holds(self) -> bool | None:
        """Whether the median reaches the floor; None without one."""
        return None if self.floor is None else self._reaches(self.floor)

    @property
    def aimed(self) -> bool:
        """Whether the median reaches the aim."""
        return self.aim is not None and self._reaches(self.aim)

    def _reaches(self, mark: float) -> bool:
        return self.judged.median >= mark if self.best == "high" else self.judged.median <= mark


class Scale(msgspec.Struct, frozen=True, kw_only=True):
    """How much to measure: ``rounds`` of each, ``size`` times the usual numbers."""

    rounds: int = 3
    size: float = 1.0

    def count(self, usual: int, least: int = 256) -> int:
        """``usual`` at this size."""
        return max(least, int(usual * self.size))

    def seconds(self, usual: float, least: float = 1.0) -> float:
        """A duration at this size."""
        return max(least, usual * self.size)


Measure = Callable[[Scale], Sequence[Figure]]


def plain(
    name: str,
    says: str,
    unit: str,
    rounds: Sequence[float],
    *,
    floor: float | None = None,
    aim: float | None = None,
    best: str = "high",
    notes: Sequence[str] = (),
) -> Figure:
    """A figure judged by itself."""
    spread = Spread(tuple(rounds))
    return Figure(
        name=name, says=says, unit=unit, ours=spread, judged=spread, judged_unit=unit, floor=floor, aim=aim, best=best,
        notes=tuple(notes),
    )  # fmt: skip


def ratio(
    name: str,
    says: str,
    unit: str,
    pairs: Sequence[tuple[float, float]],
    *,
    against: str,
    floor: float | None = None,
    aim: float | None = None,
    best: str = "high",
    over: bool = False,
    notes: Sequence[str] = (),
) -> Figure:
    """A figure judged by ours ÷ baseline, round by round; ``over`` is baseline ÷ ours, for times where ours is the shorter."""
    return Figure(
        name=name, says=says, unit=unit, against=against,
        ours=Spread(tuple(ours for ours, _ in pairs)), baseline=Spread(tuple(theirs for _, theirs in pairs)),
        judged=Spread(tuple(theirs / ours if over else ours / theirs for ours, theirs in pairs)), judged_unit="×",
        floor=floor, aim=aim, best=best, notes=tuple(notes),
    )  # fmt: skip


def say(text: str) -> None:
    """Progress, beside the result."""
    sys.stderr.write(f"  {time.strftime('%H:%M:%S')} {text}\n")


def scale_of(words: Sequence[str]) -> tuple[Scale, bool]:
    """The scale that the command line asks for, and whether it wants JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3, help="how often each side is measured")
    parser.add_argument("--size", type=float, default=1.0, help="times the usual numbers; 0.1 for a glance")
    parser.add_argument("--json", action="store_true", help="JSON on standard output")
    given = parser.parse_args(words)
    return Scale(rounds=given.rounds, size=given.size), given.json
