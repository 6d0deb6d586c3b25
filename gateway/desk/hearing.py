"""When an account is too quiet: learned from how long it used to be silent, or as somebody decided.

Learned means: of the last seven days on which it spoke, the longest silence, twice; never less than half an hour, and nothing at all before
it has been known for two days and a hundred entries. A feed that rests at night has a long silence every night, and is given twice that.
"""

import msgspec

from gateway.clock import SECOND

_DAY = 86_400
_DAYS = 7
_LEAST = 1800.0
_KNOWN_FOR = 2 * _DAY * SECOND
_KNOWN_BY = 100


class Heard(msgspec.Struct, frozen=True, kw_only=True):
    """An account's habits: first and last heard, how many entries since, and the longest silence (seconds) that ended on each of the last days."""

    since: int
    last: int
    count: int = 0
    gaps: dict[str, float] = {}


def hear(before: Heard | None, count: int, now: int) -> Heard:
    """``count`` entries came until now."""
    if before is None:
        return Heard(since=now, last=now, count=count)
    today = now // SECOND // _DAY
    gap = max(0.0, (now - before.last) / SECOND)
    gaps = {day: longest for day, longest in before.gaps.items() if today - int(day) < _DAYS}
    gaps[str(today)] = max(gap, gaps.get(str(today), 0.0))
    return msgspec.structs.replace(before, last=now, count=before.count + count, gaps=gaps)


def patience(heard: Heard, now: int, decided: float | None) -> float | None:
    """Seconds of silence that are nothing unusual; None when nobody can say. ``decided`` 0 is: never mind."""
    if decided is not None:
        return decided or None
    if now - heard.since < _KNOWN_FOR or heard.count < _KNOWN_BY or not heard.gaps:
        return None
    return max(_LEAST, 2 * max(heard.gaps.values()))
