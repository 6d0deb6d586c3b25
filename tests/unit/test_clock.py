"""Instants, their text, and ids."""

import asyncio
from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway import clock

checked = settings(database=None, deadline=None)
moments = st.datetimes(
    timezones=st.sampled_from(
        [UTC, timezone(timedelta(0)), ZoneInfo("Asia/Shanghai"), timezone(timedelta(hours=-9, minutes=-30))]
    )
)


@checked
@given(moments.filter(lambda when: 2 < when.year < 9998))
def test_text_has_27_characters_and_means_the_same_instant(when: datetime) -> None:
    """In every zone, before and after 1970, with and without microseconds."""
    text = clock.text_of(when)
    assert len(text) == 27
    assert text.endswith("Z")
    assert clock.parse(text) == clock.instant(when)
    assert clock.text(clock.instant(when)) == text


@checked
@given(st.lists(st.integers(-60_000_000_000_000_000, 250_000_000_000_000_000), min_size=2))
def test_texts_sort_as_their_instants(instants: list[int]) -> None:
    """From the year 69 to the year 9892."""
    assert sorted(map(clock.text, instants)) == [clock.text(instant) for instant in sorted(instants)]


def test_whole_second_keeps_its_zeros() -> None:
    """Six digits always."""
    assert clock.text_of(datetime(2026, 11, 11, 0, 1, 23, tzinfo=UTC)) == "2026-11-11T00:01:23.000000Z"
    assert (
        clock.text_of(datetime(2026, 11, 11, 8, 1, 23, 5, tzinfo=ZoneInfo("Asia/Shanghai")))
        == "2026-11-11T00:01:23.000005Z"
    )


def test_naive_datetime_has_no_text() -> None:
    """It would be a guess."""
    with pytest.raises(ValueError, match="naive"):
        clock.text_of(datetime(2026, 11, 11))
    with pytest.raises(ValueError, match="naive"):
        clock.instant(datetime(2026, 11, 11))


def test_new_ids_sort_by_their_millisecond_and_are_version_seven() -> None:
    """RFC 9562 §5.7: version 7 and variant 10 stand where they should."""
    early, late = clock.new_id("ord", 1_760_000_000_000_000), clock.new_id("ord", 1_760_000_000_001_000)
    assert early < late
    assert len(early) == 36
    assert early[4 + 12] == "7"
    assert early[4 + 16] in "89ab"
    assert int(early[4:16], 16) == 1_760_000_000_000


def test_id_tells_when_it_was_made() -> None:
    """To the millisecond, fresh or derived; what is no id says so."""
    now = 1_760_000_000_123_456
    assert clock.made_at(clock.new_id("ent", now)) == clock.made_at(clock.derived_id("evt", now, "a")) == now - 456
    with pytest.raises(ValueError, match="base 16"):
        clock.made_at("ent_nothing")


def test_derived_id_depends_on_where_its_parts_end() -> None:
    """The same parts give the same id, and no other parts do."""
    now = 1_760_000_000_000_000
    assert clock.derived_id("evt", now, "a", b"bc") == clock.derived_id("evt", now, "a", "bc")
    assert (
        len({clock.derived_id("evt", now, *parts) for parts in (("a", "bc"), ("ab", "c"), ("abc",), ("abc", ""))}) == 4
    )


def test_waiting_for_an_event_ends_with_it_or_with_the_time() -> None:
    """And tells which of the two it was."""

    async def both() -> tuple[bool, bool]:
        event = asyncio.Event()
        late = await clock.at_most(0.01, event)
        asyncio.get_running_loop().call_soon(event.set)
        return late, await clock.at_most(30.0, event)

    assert asyncio.run(both()) == (False, True)
