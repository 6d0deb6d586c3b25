"""When to try again: pure functions of the schedule and what the endpoint said."""

from collections.abc import Sequence
from datetime import UTC
from email.utils import parsedate_to_datetime

from gateway.clock import SECOND, instant

# Standard Webhooks' suggestion; each wait in seconds, the first before the first attempt.
SCHEDULE = (0.0, 5.0, 300.0, 1_800.0, 7_200.0, 18_000.0, 36_000.0, 50_400.0, 72_000.0, 86_400.0)
# Between tries at a partner, in seconds: of what a push led to, and of what it is asked to do.
_PAUSES = (5.0, 30.0, 120.0, 600.0, 1_800.0, 7_200.0)
_SLOW_DOWN = 60.0
_LONGEST = 7 * 86_400.0


def next_attempt(schedule: Sequence[float], tries: int, *, wait: float, now: int, dice: float) -> int | None:
    """When attempt ``tries + 1`` is due, or None when there is none left.

    ``wait`` (seconds) is what the endpoint asked for and can only extend. ``dice`` in [0, 1) spreads each wait over ±20 %.
    """
    if tries >= len(schedule):
        return None
    planned = schedule[tries] * (0.8 + 0.4 * dice)
    return now + int(max(planned, min(wait, _LONGEST)) * SECOND)


def pause(tries: int, wait: float) -> float:
    """Seconds to leave a partner alone after ``tries`` tries of one thing have failed; ``wait`` is what it asked for, and can only extend."""
    return max(wait, _PAUSES[min(max(tries, 1), len(_PAUSES)) - 1])


def asked_to_wait(status: int | None, retry_after: str | None, *, now: int) -> float:
    """Seconds the endpoint wants to be left alone: ``Retry-After`` in seconds or as a date; 429, 502 and 504 slow down anyway."""
    floor = _SLOW_DOWN if status in (429, 502, 504) else 0.0
    return max(floor, _retry_after(retry_after, now))


def _retry_after(value: str | None, now: int) -> float:
    if not value:
        return 0.0
    text = value.strip()
    # Without the first, a superscript two would be a digit to one and no number to the other.
    if text.isascii() and text.isdigit():
        return float(min(int(text[:12]), int(_LONGEST)))
    try:
        when = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return 0.0
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    return max(0.0, (instant(when) - now) / SECOND)
