"""How long an endpoint may only fail before operators hear of it."""

import pytest

from gateway.clock import SECOND
from gateway.pipeline.patience import step
from gateway.store import Health

DAY = 86_400
FIVE = 5.0 * DAY


def failing(days: float, *, warned: int = 0, silent: float = 0.0) -> tuple[Health, int]:
    """An endpoint that began to fail so long ago and failed last ``silent`` days ago."""
    now = 100 * DAY * SECOND
    since = now - int((days + silent) * DAY * SECOND)
    last = now - int(silent * DAY * SECOND)
    return Health(endpoint="crm", failing_since=since, last_failure=last, warned=warned), now


@pytest.mark.parametrize(
    ("days", "warned", "silent", "expected"),
    [
        (0.0, 0, 0.0, 0),
        (2.49, 0, 0.0, 0),
        (2.5, 0, 0.0, 50),
        (2.5, 50, 0.0, 0),
        (3.5, 50, 0.0, 70),
        (4.5, 70, 0.0, 90),
        (4.99, 90, 0.0, 0),
        (5.0, 90, 0.0, 100),
        (9.0, 100, 0.0, 0),
        # Several steps at once: away over the weekend.
        (4.6, 0, 0.0, 90),
        (50.0, 50, 0.0, 100),
        # One failure, and nothing to send since.
        (0.0, 0, 30.0, 0),
        (2.6, 0, 30.0, 50),
    ],
)
def test_a_step_is_told_once_when_the_failures_span_it(days: float, warned: int, silent: float, expected: int) -> None:
    """Percent of five days between first and last failure; the highest step that nobody was told of."""
    health, now = failing(days, warned=warned, silent=silent)
    assert step(health, now, disable_after=FIVE) == expected


def test_an_endpoint_that_is_never_to_be_disabled_has_no_steps() -> None:
    """``disable_after = 0``."""
    health, now = failing(500.0)
    assert step(health, now, disable_after=0.0) == 0


def test_a_clock_that_went_back_makes_nobody_impatient() -> None:
    """The last failure lies in the future then."""
    health, now = failing(4.6)
    assert step(health, now - 3 * DAY * SECOND, disable_after=FIVE) == 0


def test_an_endpoint_that_is_well_has_no_steps() -> None:
    """Nothing failed since something succeeded."""
    assert step(Health(endpoint="crm", last_failure=1, last_ok=2), 10**18, disable_after=FIVE) == 0
