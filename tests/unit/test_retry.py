"""When to try again."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.clock import SECOND, instant
from gateway.pipeline import retry

NOW = instant(datetime(2026, 11, 11, tzinfo=UTC))
dice = st.floats(0, 1, exclude_max=True)


def waited(tries: int, *, wait: float = 0.0, roll: float = 0.5) -> float | None:
    """Seconds until the next attempt on the standard schedule."""
    due = retry.next_attempt(retry.SCHEDULE, tries, wait=wait, now=NOW, dice=roll)
    return None if due is None else (due - NOW) / SECOND


def test_the_schedule_is_the_one_of_standard_webhooks() -> None:
    """0, 5 s, 5 min, 30 min, 2 h, 5 h, 10 h, 14 h, 20 h, 24 h; then it is given up."""
    hours = [2, 5, 10, 14, 20, 24]
    assert [waited(tries) for tries in range(10)] == [0, 5, 300, 1800, *(3600 * hour for hour in hours)]
    assert waited(10) is None


@given(st.integers(1, 9), dice)
def test_each_wait_is_spread_over_a_fifth_to_either_side(tries: int, roll: float) -> None:
    """So that a receiver that comes back is not met by everybody at once."""
    planned = retry.SCHEDULE[tries]
    wait = waited(tries, roll=roll)
    assert wait is not None
    assert 0.8 * planned <= wait <= 1.2 * planned


@given(st.integers(0, 9), dice, st.floats(0, 1e9))
def test_what_the_endpoint_asks_for_can_only_extend(tries: int, roll: float, asked: float) -> None:
    """And no further than a week."""
    plain, extended = waited(tries, roll=roll), waited(tries, wait=asked, roll=roll)
    assert plain is not None
    assert extended is not None
    assert extended >= plain
    assert extended == pytest.approx(max(plain, min(asked, 7 * 86_400)), abs=1e-5)


def later(seconds: int) -> str:
    """An HTTP date."""
    return format_datetime(datetime(2026, 11, 11, tzinfo=UTC) + timedelta(seconds=seconds), usegmt=True)


@pytest.mark.parametrize(
    ("status", "header", "seconds"),
    [
        (503, "120", 120),
        (503, " 120 ", 120),
        (503, later(90), 90),
        (503, later(-90), 0),
        (503, None, 0),
        (503, "", 0),
        (503, "soon", 0),
        (503, "-5", 0),
        (503, "1.5", 0),
        (503, "99999999999999999999", 7 * 86_400),
        (503, "٣", 0),
        (503, "²", 0),
        (503, "Wed, 11 Nov 99999 00:00:00 GMT", 0),
        (503, "Wed, 11 Nov 2026 00:02:00 -0000", 120),
        (429, None, 60),
        (502, None, 60),
        (504, "5", 60),
        (429, "300", 300),
        (500, None, 0),
        (None, None, 0),
    ],
)
def test_retry_after_is_read_in_both_forms(status: int | None, header: str | None, seconds: float) -> None:
    """Seconds or a date; nonsense asks for nothing; 429, 502 and 504 slow down anyway."""
    assert retry.asked_to_wait(status, header, now=NOW) == seconds
