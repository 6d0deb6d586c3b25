"""The token bucket as a pure function."""

import math

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.limiter import Bucket, Granted, Rate, Refused, take

checked = settings(database=None, deadline=None, max_examples=200)
rates = st.builds(
    Rate,
    per_second=st.floats(0.001, 10_000, allow_subnormal=False),
    burst=st.floats(1, 10_000, allow_subnormal=False),
)
steps = st.lists(st.tuples(st.floats(0, 30), st.floats(0.01, 50)), max_size=40)
nows = st.sampled_from([0.0, 1000.0, 1_760_000_000.0])


@checked
@given(rates, steps, nows)
def test_no_stretch_of_time_grants_more_than_burst_and_rate(
    rate: Rate, steps: list[tuple[float, float]], now: float
) -> None:
    """What was granted stays below burst + rate × time, but for the one that overdraws a full bucket."""
    start, bucket, granted = now, None, 0.0
    for pause, amount in steps:
        now += pause
        bucket, answer = take(bucket, rate, amount, now)
        if isinstance(answer, Granted):
            overdraft = max(0.0, amount - rate.burst)
            assert granted + amount <= (rate.burst + overdraft + rate.per_second * (now - start + 1e-4)) * (1 + 1e-6)
            granted += amount


@checked
@given(rates, steps, nows, st.floats(0.01, 50))
def test_who_waits_as_told_is_granted(rate: Rate, steps: list[tuple[float, float]], now: float, amount: float) -> None:
    """Whatever happened before, unless somebody else was quicker."""
    bucket: Bucket | None = None
    for pause, some in steps:
        now += pause
        bucket, _ = take(bucket, rate, some, now)
    answer: Granted | Refused = Granted()
    while isinstance(answer, Granted):
        bucket, answer = take(bucket, rate, max(amount, rate.burst), now)
    _, second = take(bucket, rate, max(amount, rate.burst), now + answer.wait)
    assert isinstance(second, Granted)


@checked
@given(rates, st.floats(0, 10_000), st.floats(0, 100_000), st.floats(0.01, 50))
def test_clock_that_went_back_fills_nothing_and_costs_little(
    rate: Rate, level: float, back: float, amount: float
) -> None:
    """The level is at most what it was; and the wait is at most five seconds longer than the clock's own."""
    bucket = Bucket(min(level, rate.burst), 1_000_000.0)
    after, answer = take(bucket, rate, amount, 1_000_000.0 - back)
    assert after.level <= bucket.level
    if isinstance(answer, Refused):
        _, usual = take(bucket, rate, amount, 1_000_000.0)
        assert isinstance(usual, Refused)
        assert answer.wait <= usual.wait + 5.0 + 1e-6


def test_two_hosts_whose_clocks_differ_get_no_more_than_one() -> None:
    """Taking turns with two seconds between their clocks does not fill the bucket twice."""
    rate, bucket, granted = Rate(1.0, 1.0), None, 0
    for tick in range(200):
        skew = 2.0 if tick % 2 else 0.0
        bucket, answer = take(bucket, rate, 1.0, 1000.0 + tick * 0.05 + skew)
        granted += isinstance(answer, Granted)
    assert granted <= 1 + 10 + 2


def test_rate_of_nothing_refuses_for_ever_after_the_burst() -> None:
    """An account that is switched off by its rate is told so, without a division by zero."""
    bucket, first = take(None, Rate(0.0, 1.0), 1.0, 0.0)
    _, second = take(bucket, Rate(0.0, 1.0), 1.0, 1e9)
    assert isinstance(first, Granted)
    assert second == Refused(math.inf)
