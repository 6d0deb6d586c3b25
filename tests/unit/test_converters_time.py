"""Times and dates: every accepted form, every platform null, and what is refused rather than guessed."""

from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from gateway.language import times
from gateway.language.converters import Refusal

SHANGHAI = "Asia/Shanghai"
ZONES = st.sampled_from([SHANGHAI, "UTC", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe"])
WALLS = st.datetimes(min_value=datetime(1971, 1, 2), max_value=datetime(2200, 1, 1)).map(
    lambda wall: wall.replace(microsecond=0)
)
AT = datetime(2026, 11, 10, 16, 1, 23, tzinfo=UTC)


class TestTime:
    """Text of an instant."""

    @given(WALLS, ZONES)
    def test_a_naive_time_is_what_the_zone_database_says(self, wall: datetime, zone: str) -> None:
        """In gaps and repeated hours too: the offset before the change."""
        assert times.time(wall.strftime("%Y-%m-%d %H:%M:%S"), zone) == wall.replace(tzinfo=ZoneInfo(zone)).astimezone(
            UTC
        )

    @given(WALLS, ZONES)
    def test_every_form_of_one_naive_time_is_one_instant(self, wall: datetime, zone: str) -> None:
        """ISO, marketplace, HL7 and what people type."""
        forms = (
            "%Y-%m-%dT%H:%M:%S",
            "%Y-%m-%d %H:%M:%S.000",
            "%Y/%m/%d %H:%M:%S",
            "%Y%m%d%H%M%S",
            " %Y-%m-%d  %H:%M:%S ",
        )
        assert len({times.time(wall.strftime(form), zone) for form in forms}) == 1

    @given(WALLS, st.integers(-14 * 60, 14 * 60))
    def test_an_offset_is_obeyed_and_the_zone_is_not_asked(self, wall: datetime, minutes: int) -> None:
        """Also when the zone is not one."""
        aware = wall.replace(tzinfo=timezone(timedelta(minutes=minutes)))
        offset = f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02}{abs(minutes) % 60:02}"
        assert times.time(aware.isoformat(), "nowhere") == aware
        assert times.time(wall.strftime("%Y%m%d%H%M%S") + offset, "nowhere") == aware

    @given(WALLS, st.sampled_from(["Z", "+08:00"]))
    def test_the_two_commonest_offsets_are_read_as_any_other(self, wall: datetime, offset: str) -> None:
        """With either separator."""
        aware = datetime.fromisoformat(wall.isoformat() + offset)
        for mark in "T ":
            assert times.time(wall.isoformat(mark) + offset, "nowhere") == aware

    @given(st.text(max_size=30), ZONES)
    def test_any_text_is_an_instant_in_utc_or_nothing_or_refused(self, text: str, zone: str) -> None:
        """No other exception."""
        try:
            found = times.time(text, zone)
        except Refusal:
            return
        assert found is UNSET or found.tzinfo is UTC

    @pytest.mark.parametrize(
        "raw",
        ["2026-11-11 00:01:23", "2026-11-11T00:01:23+08:00", "2026-11-10T16:01:23Z", "2026-11-10t16:01:23z".upper(), "2026-11-11T00:01:23+08", "20261111000123", "20261111000123+0800", "20261110160123+0000", "2026/11/11 0:01:23"],
    )  # fmt: skip
    def test_the_accepted_forms_of_one_instant(self, raw: str) -> None:
        """One moment of the night of 11 November."""
        assert times.time(raw, SHANGHAI) == AT

    def test_coarser_and_finer_forms(self) -> None:
        """A date is its midnight; fractions are kept to the microsecond, the rest is cut."""
        assert times.time("2026-11-11", SHANGHAI) == times.time("20261111", SHANGHAI) == AT - timedelta(seconds=83)
        assert (
            times.time("202611110001", SHANGHAI)
            == times.time("2026-11-11 00:01", SHANGHAI)
            == AT - timedelta(seconds=23)
        )
        assert times.time("2026-11-10T16:01:23.123456789Z", SHANGHAI) == AT + timedelta(microseconds=123456)
        assert times.time("20261111000123.5+0800", SHANGHAI) == AT + timedelta(milliseconds=500)

    @pytest.mark.parametrize(
        "raw",
        [0, "0", " ", "0000-00-00 00:00:00", "0000-00-00", "00000000", "0001-01-01 00:00:00", "0001-01-01T00:00:00Z", "00010101000000", "19700101080000", "197001010000", "1970-01-01 08:00:00", "1970-01-01 00:00:00", "1970-01-01T00:00:00Z", "1970-01-01T08:00:00.000+08:00"],
    )  # fmt: skip
    def test_a_platform_null_is_not_there(self, raw: object) -> None:
        """What databases and languages print for no time."""
        assert times.time(raw, SHANGHAI) is UNSET

    @pytest.mark.parametrize(
        "raw",
        ["yesterday", "2026-13-01", "2026-02-29 00:00:00", "2026-11-11 24:00:00", "2026-11-11 00:60:00", "1712010112", "1762790483", "1762790483000", "11/11/2026", "1899-12-30 00:00:00", "２０２６-11-11 00:01:23", 1762790483, 1.5, True, False, [], {}, "9999-12-31T23:59:59-14:00", "2026-11-11T00:01:23+24:00"],
    )  # fmt: skip
    def test_what_is_no_time_is_refused(self, raw: object) -> None:
        """Impossible, ambiguous, or an epoch that should have been declared as one."""
        with pytest.raises(Refusal):
            times.time(raw, SHANGHAI)

    @pytest.mark.parametrize("zone", ["", "Mars/Olympus", "../../etc/passwd", "GMT+8 or so", "\x00"])
    def test_a_naive_time_without_a_zone_is_refused_and_not_guessed(self, zone: str) -> None:
        """The machine's own zone is never asked."""
        with pytest.raises(Refusal, match="zone"):
            times.time("2026-11-11 00:01:23", zone)


class TestEpoch:
    """Numbers since 1970."""

    @given(st.integers(min_value=1, max_value=10**11 - 1))
    def test_seconds_are_exact(self, seconds: int) -> None:
        """As a number and as text."""
        assert (
            times.time_s(seconds)
            == times.time_s(str(seconds))
            == datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
        )

    @given(st.integers(min_value=10**11, max_value=253_402_300_799_999))
    def test_milliseconds_are_exact(self, count: int) -> None:
        """To the last one of the year 9999."""
        assert times.time_ms(count) == datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=count)

    def test_the_unit_cannot_be_mistaken(self) -> None:
        """Seconds declared as milliseconds would be January 1970; the other way, the year 57,000."""
        with pytest.raises(Refusal, match="seconds"):
            times.time_ms(1_762_790_483)
        with pytest.raises(Refusal, match="milliseconds"):
            times.time_s(1_762_790_483_000)

    @pytest.mark.parametrize("raw", [0, "0", -62_135_596_800])
    def test_no_time_is_not_there(self, raw: object) -> None:
        """Zero, and the year 1 as .NET and Java count it."""
        assert times.time_s(raw) is UNSET

    @pytest.mark.parametrize("raw", [-1, "2026-11-11", 1.5, True, [], 10**18, 2**80])
    def test_what_is_no_epoch_is_refused(self, raw: object) -> None:
        """Nothing wraps around."""
        for convert in (times.time_s, times.time_ms):
            with pytest.raises(Refusal):
                convert(raw)


class TestDate:
    """Dates as far as they are known."""

    @pytest.mark.parametrize(
        ("raw", "date"),
        [
            ("1988-08-18", "1988-08-18"), ("1988/8/18", "1988-08-18"), ("1988.8.18", "1988-08-18"), ("19880818", "1988-08-18"), (19880818, "1988-08-18"),
            ("1988-08-18 00:00:00", "1988-08-18"), ("1988-08-18T12:00:00Z", "1988-08-18"), ("198808181230", "1988-08-18"), ("19880818123000+0800", "1988-08-18"),
            ("1988年8月18日", "1988-08-18"), ("1988-08", "1988-08"), ("198808", "1988-08"), ("1988年8月", "1988-08"), ("1988-08-00", "1988-08"),
            ("1988", "1988"), ("1988年", "1988"), ("1988-00-00", "1988"), ("--08-18", "--08-18"), ("08-18", "--08-18"), ("8月18日", "--08-18"),
            ("0000-08-18", "--08-18"), ("--02-29", "--02-29"),
        ],
    )  # fmt: skip
    def test_a_birthday_is_kept_as_far_as_it_is_known(self, raw: object, date: str) -> None:
        """Nothing is invented for what is missing."""
        assert times.date(raw) == date

    @pytest.mark.parametrize("raw", ["0000-00-00", "0001-01-01", "0001-01-01 00:00:00", "00000000", "0", " "])
    def test_a_platform_null_is_not_there(self, raw: str) -> None:
        """Nobody was born then."""
        assert times.date(raw) is UNSET

    @pytest.mark.parametrize(
        "raw",
        [
            "1988-02-30",
            "2023-02-29",
            "1988-13",
            "1988-00-18",
            "18/08/1988",
            "880818",
            "1066-10-14",
            "1990-W10-1",
            "1990W101",
            "１９９００３０７",
            "soon",
            1.5,
            [],
            True,
        ],
    )
    def test_what_is_no_date_is_refused(self, raw: object) -> None:
        """Impossible or ambiguous."""
        with pytest.raises(Refusal):
            times.date(raw)

    @given(st.dates(min_value=datetime(1850, 1, 1).date()))
    def test_every_calendar_day_is_read(self, day) -> None:  # type: ignore[no-untyped-def]
        """In its dashed and its dense form."""
        assert times.date(day.isoformat()) == times.date(day.strftime("%Y%m%d")) == day.isoformat()

    @given(st.text(max_size=20))
    def test_any_text_is_a_date_or_nothing_or_refused(self, text: str) -> None:
        """No other exception."""
        try:
            times.date(text)
        except Refusal:
            pass
