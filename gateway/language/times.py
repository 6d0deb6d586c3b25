"""Times and dates of partners: instants in UTC, dates as far as they are known. Pure functions.

The same promise as ``converters``: a raw value in, a canonical one, ``UNSET`` or a ``Refusal`` out.
"""

import re
from datetime import UTC, datetime, timedelta, timezone
from datetime import date as day_of
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from msgspec import UNSET

from gateway.clock import moment
from gateway.language.converters import Refusal, text, whole

_SECONDS_MOST = 100_000_000_000  # the year 5138; the same number of milliseconds is 1973
_YEAR_LEAST = 1900
_BIRTH_LEAST = 1850
_BIRTH_LEAST_TEXT = str(_BIRTH_LEAST)
_NULL_SECONDS = -62_135_596_800  # 0001-01-01, which .NET and Java send for "no time"
_MICROS_MOST = 253_402_300_799_999_999  # 9999-12-31T23:59:59.999999Z

_ISO = re.compile(
    r"([0-9]{4})[-/]([0-9]{1,2})[-/]([0-9]{1,2})"
    r"(?:[T ]+([0-9]{1,2}):([0-9]{2})(?::([0-9]{2})(?:[.,]([0-9]{1,9}))?)? ?(Z|z|[+-][0-9]{2}(?::?[0-9]{2})?)?)?"
)
_HL7 = re.compile(
    r"([0-9]{4})([0-9]{2})([0-9]{2})(?:([0-9]{2})([0-9]{2})(?:([0-9]{2})(?:\.([0-9]{1,4}))?)?)?([+-][0-9]{4})?"
)
_NULL_TIME = re.compile(
    r"0|0000.*|0001-01-01.*|00010101.*|197001010[08]00(?:00)?|1970-01-01[T ]0[08]:00(?::00(?:\.0+)?)?(?:Z|\+0[08]:?00)?"
)
_DATE = re.compile(r"([0-9]{4})[-/.年](?:([0-9]{1,2})(?:[-/.月](?:([0-9]{1,2})日?)?|月)?)?(?:[T ].*)?")
_DATE_DENSE = re.compile(r"([0-9]{4})(?:([0-9]{2})(?:([0-9]{2})(?:[0-9]{2,6}(?:\.[0-9]+)?(?:[+-][0-9]{4})?)?)?)?年?")
_MONTH_DAY = re.compile(r"(?:--)?([0-9]{1,2})[-/.月]([0-9]{1,2})日?")
_NULL_DATE = re.compile(r"|0|0000[-/]?00[-/]?00.*|0001[-/]?01[-/]?01.*")

_DENSE = (14, 12)
_OFFSETS = frozenset({"Z", "+08:00"})
_ZONES: dict[str, ZoneInfo] = {}
_NO_TIME = timedelta(0)


def time(raw: Any, zone: str) -> Any:
    """An instant in UTC from text: ISO 8601, ``YYYY-MM-DD HH:MM:SS``, HL7 ``YYYYMMDD[HHMM[SS]][+ZZZZ]``; a date alone is its midnight.

    Without an offset it is read in ``zone`` (IANA); of an hour that happens twice the first is meant. Platform nulls are ``UNSET``.
    """
    if not isinstance(raw, str):
        if raw == 0 and raw is not False:
            return UNSET
        raise Refusal("a number where a text of time was expected: use time_s or time_ms")
    value = raw.strip()
    # Nearly everybody sends one of three shapes; the C parser reads them in a tenth of the time of a pattern.
    wall = ""
    if len(value) == 19 and value[10] in " T" and value[4] == "-":
        wall = value
    elif len(value) in _DENSE and value.isdigit():
        wall = f"{value[:8]}T{value[8:]}"
    if wall and value[:4] >= "1971":
        try:
            local = datetime.fromisoformat(wall + "Z")
            return local - ((_ZONES.get(zone) or zone_of(zone)).utcoffset(local) or _NO_TIME)
        except (ValueError, OverflowError):
            pass
    if value[19:] in _OFFSETS and value[10] in " T" and value[:4] >= "1971":
        try:
            return datetime.fromisoformat(value).astimezone(UTC)
        except (ValueError, OverflowError):
            pass
    return _time(value, zone)


def _time(value: str, zone: str) -> Any:
    if not value or _NULL_TIME.fullmatch(value):
        return UNSET
    found = _ISO.fullmatch(value) or _HL7.fullmatch(value)
    if not found:
        raise Refusal("not a time")
    year, month, day, hour, minute, second, fraction, offset = found.groups()
    if int(year) < _YEAR_LEAST:
        raise Refusal("a time before 1900")
    micro = int((fraction or "0").ljust(6, "0")[:6])
    place = _offset(offset) if offset else zone_of(zone)
    try:
        local = datetime(
            int(year), int(month), int(day), int(hour or 0), int(minute or 0), int(second or 0), micro, place
        )
        return local.astimezone(UTC)
    except (ValueError, OverflowError):
        raise Refusal("a time that the calendar does not have") from None


def time_s(raw: Any) -> Any:
    """An instant from seconds since 1970. 0 is ``UNSET``; a number too large for seconds is refused as milliseconds."""
    return _epoch(raw, 1_000_000)


def time_ms(raw: Any) -> Any:
    """An instant from milliseconds since 1970. 0 is ``UNSET``; a number too small for milliseconds is refused as seconds."""
    return _epoch(raw, 1_000)


def date(raw: Any) -> Any:
    """A date as far as it is known: ``1988-08-18``, ``1988-08``, ``1988`` or ``--08-18``. A year of zeros is an unknown year."""
    value = text(raw).strip()
    # Nearly everybody sends one of two shapes, and a whole date.
    if value[:4] >= _BIRTH_LEAST_TEXT and (
        (len(value) == 8 and value.isdigit()) or (len(value) == 10 and value[4] == value[7] == "-")
    ):
        try:
            return day_of.fromisoformat(value).isoformat()
        except ValueError:
            pass
    if _NULL_DATE.fullmatch(value):
        return UNSET
    found = _DATE.fullmatch(value) or _DATE_DENSE.fullmatch(value)
    if found:
        return _date(int(found.group(1)), int(found.group(2) or 0), int(found.group(3) or 0))
    found = _MONTH_DAY.fullmatch(value)
    if found:
        return _date(0, int(found.group(1)), int(found.group(2)))
    raise Refusal("not a date")


def _date(year: int, month: int, day: int) -> str:
    if year and year < _BIRTH_LEAST:
        raise Refusal("a date before 1850")
    try:
        # A leap year stands in for a year that is not known.
        day_of(year or 2000, month or 1, day or 1)
    except ValueError:
        raise Refusal("a date that the calendar does not have") from None
    if not month and (day or not year):
        raise Refusal("a date without a month")
    if not year:
        return f"--{month:02}-{day:02}" if day else f"--{month:02}"
    return "-".join((f"{year:04}", *(f"{part:02}" for part in (month, day) if part)))


def zone_of(name: str) -> ZoneInfo:
    """The zone of an IANA name. Refusal when there is none of that name: a naive time without a zone is not guessed."""
    try:
        return _ZONES[name]
    except KeyError:
        pass
    try:
        zone = ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise Refusal("a time without an offset, and the account's zone is not an IANA name") from None
    _ZONES[name] = zone
    return zone


def _offset(offset: str) -> timezone:
    if offset in "Zz":
        return UTC
    minutes = int(offset[1:3]) * 60 + int(offset[3:].lstrip(":") or 0)
    if minutes >= 24 * 60:
        raise Refusal("a time with an offset of a day or more")
    return timezone(timedelta(minutes=-minutes if offset[0] == "-" else minutes))


def _epoch(raw: Any, unit: int) -> Any:
    count = whole(raw)
    if count in (0, _NULL_SECONDS, _NULL_SECONDS * 1000):
        return UNSET
    if unit == 1_000 and 0 < count < _SECONDS_MOST:
        raise Refusal("too small for milliseconds: seconds?")
    if unit == 1_000_000 and count >= _SECONDS_MOST:
        raise Refusal("too large for seconds: milliseconds?")
    if count < 0 or count * unit > _MICROS_MOST:
        raise Refusal("a time that is out of reach")
    return moment(count * unit)
