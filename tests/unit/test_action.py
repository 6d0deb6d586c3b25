"""How an action goes on: a pure function of what is kept and what happened."""

import msgspec
from hypothesis import given
from hypothesis import strategies as some

from gateway.action import (
    DEATHS,
    OPEN,
    Action,
    Again,
    Cancelled,
    Died,
    Done,
    Dropped,
    Happening,
    Late,
    PutOff,
    Refused,
    Silent,
    State,
    Taken,
    step,
)
from gateway.clock import SECOND

NOW = 1_760_000_000 * SECOND
DAY = 86_400 * SECOND


def action(*, harmless: bool = False, **changes: object) -> Action:
    """One that was asked for just now."""
    one = Action(
        id="act_1", account="corp", action="message", client="cli_1", customer=None, key=None, subject=b"s", harmless=harmless, due=NOW,
        expires=NOW + DAY, created=NOW, updated=NOW, body=b"{}",
    )  # fmt: skip
    return msgspec.structs.replace(one, **changes)


_waits = some.floats(0, 7200)
_partner: some.SearchStrategy[Happening] = some.one_of(
    some.builds(Taken), some.builds(Done), some.builds(Refused, some.just("partner.failed")),
    some.builds(PutOff, some.just("partner.down"), _waits), some.builds(Silent, some.just("partner.down"), _waits),
    some.builds(Died), some.builds(Late), some.builds(Cancelled),
)  # fmt: skip
_person: some.SearchStrategy[Happening] = some.one_of(
    some.builds(Again, some.integers(NOW, NOW + 9 * DAY)), some.builds(Dropped, some.just("seen to"))
)
_passing = some.integers(0, DAY // 3)


@given(some.booleans(), some.lists(some.tuples(_partner, _passing)))
def test_what_matters_twice_is_asked_again_only_when_nothing_was_done(
    harmless: bool, story: list[tuple[Happening, int]]
) -> None:
    """Without a person, a second call of what is not harmless follows only on an answer that says so."""
    one, now, unheard = action(harmless=harmless), NOW, False
    for happened, passed in story:
        now += passed
        after = step(one, happened, now)
        if after is None:
            continue
        if isinstance(happened, Taken):
            assert harmless or not unheard
        unheard = unheard or isinstance(happened, (Silent, Died))
        one = after


@given(some.booleans(), some.lists(some.tuples(some.one_of(_partner, _person), _passing)))
def test_whatever_happens_an_action_stays_consistent(harmless: bool, story: list[tuple[Happening, int]]) -> None:
    """An end is final and dated, versions count one by one, tries count calls, and nothing is begun before it is due or after its time."""
    one, now = action(harmless=harmless), NOW
    for happened, passed in story:
        now += passed
        after = step(one, happened, now)
        if one.state not in OPEN:
            assert after is None
        if after is None:
            continue
        assert after.version == one.version + 1
        assert after.tries == one.tries + isinstance(happened, Taken)
        assert (after.ended is None) == (after.state in OPEN)
        assert (after.id, after.subject, after.body, after.created) == (one.id, one.subject, one.body, one.created)
        if after.state is State.RUNNING:
            assert one.state is State.WAITING
            assert one.due <= now < one.expires
        if after.state is State.EXPIRED:
            assert one.expires <= now
        one = after


def test_harmless_action_is_repeated_after_a_crash_but_not_for_ever() -> None:
    """Whatever kills the gateway every time is put before a person."""
    one: Action | None = action(harmless=True)
    for _ in range(DEATHS):
        assert one is not None
        assert one.state is State.WAITING
        taken = step(one, Taken(), NOW)
        assert taken is not None
        one = step(taken, Died(), NOW)
    assert one is not None
    assert (one.state, one.deaths, one.tries) == (State.UNKNOWN, DEATHS, DEATHS)
    again = step(one, Again(NOW + 2 * DAY), NOW + DAY)
    assert again is not None
    assert (again.state, again.due, again.expires, again.deaths) == (State.WAITING, NOW + DAY, NOW + 2 * DAY, 0)


def test_partner_who_asks_for_time_is_given_it() -> None:
    """The wait is in seconds, and the cause stays to be seen."""
    taken = step(action(), Taken(), NOW)
    assert taken is not None
    off = step(taken, PutOff("partner.quota: over the limit", 60.0), NOW)
    assert off is not None
    assert (off.state, off.due, off.cause) == (State.WAITING, NOW + 60 * SECOND, "partner.quota: over the limit")
    assert step(off, Taken(), off.due - 1) is None


def test_running_action_cannot_be_cancelled_or_dropped() -> None:
    """The partner may have done it already."""
    taken = step(action(), Taken(), NOW)
    assert taken is not None
    assert step(taken, Cancelled(), NOW) is None
    assert step(taken, Dropped("no"), NOW) is None
    assert step(taken, Again(NOW + DAY), NOW) is None
