"""From a source's raw value to a canonical one: what ``as: name`` in a mapping means. Pure functions.

Each takes a raw value (any JSON value but null and "") and returns a canonical one, or ``UNSET`` where the source is saying nothing
(a mask, a platform's null). What cannot be read raises ``Refusal``, whose text says what was expected and never what came.
"""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta, timezone
from datetime import date as day_of
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
from msgspec import UNSET

from gateway.clock import moment
from gateway.language import phone as numbers
from gateway.language.masks import is_masked
from gateway.model.values import Gender, Money, Quantity, Region


class Refusal(ValueError):
    """This raw value cannot be read. The text may be shown to anybody."""


_SECONDS_MOST = 100_000_000_000  # the year 5138; the same number of milliseconds is 1973
_YEAR_LEAST = 1900
_NULL_SECONDS = -62_135_596_800  # 0001-01-01, which .NET and Java send for "no time"
_INT_MOST = 2**63 - 1

_INT = re.compile(r"[+-]?[0-9]{1,19}")
_DECIMAL = re.compile(r"([+-]?)([0-9]{1,15}|(?=\.[0-9]))(?:\.([0-9]{1,18}))?")
_MEASURE = re.compile(r"([+-]?[0-9]{1,15}(?:\.[0-9]{1,18})?)\s*([^\s0-9.+-]\S{0,15})?")
_EMAIL = re.compile(r"[^@\s,;<>\"]{1,64}@(?:[^@\s,;<>\".]{1,63}\.)+[^@\s,;<>\".]{2,63}")
_CURRENCY = re.compile(r"[A-Z]{3}")
_ISO = re.compile(
    r"([0-9]{4})[-/]([0-9]{1,2})[-/]([0-9]{1,2})"
    r"(?:[T ]+([0-9]{1,2}):([0-9]{2})(?::([0-9]{2})(?:[.,]([0-9]{1,9}))?)? ?(Z|z|[+-][0-9]{2}(?::?[0-9]{2})?)?)?"
)
_HL7 = re.compile(
    r"([0-9]{4})([0-9]{2})([0-9]{2})(?:([0-9]{2})([0-9]{2})(?:([0-9]{2})(?:\.([0-9]{1,4}))?)?)?([+-][0-9]{4})?"
)
_NULL_TIME = re.compile(r"0|0000.*|0001-01-01.*|00010101.*|1970-01-01[T ]0[08]:00(?::00(?:\.0+)?)?(?:Z|\+0[08]:?00)?")
_DATE = re.compile(r"([0-9]{4})[-/.年](?:([0-9]{1,2})(?:[-/.月](?:([0-9]{1,2})日?)?|月)?)?(?:[T ].*)?")
_DATE_DENSE = re.compile(r"([0-9]{4})(?:([0-9]{2})(?:([0-9]{2})(?:[0-9]{2,6}(?:\.[0-9]+)?(?:[+-][0-9]{4})?)?)?)?年?")
_MONTH_DAY = re.compile(r"(?:--)?([0-9]{1,2})[-/.月]([0-9]{1,2})日?")

# Minor units of ISO 4217 where they are not two.
_MINOR: Mapping[str, int] = {
    **dict.fromkeys(("BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "VND", "VUV", "XAF", "XOF", "XPF"), 0),
    **dict.fromkeys(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"), 3),
}  # fmt: skip
_CURRENCY_NAMES = {"RMB": "CNY", "人民币": "CNY", "元": "CNY", "¥": "CNY", "￥": "CNY"}

_TRUE = frozenset({"true", "1", "yes", "y", "t", "on", "是", "有"})
_FALSE = frozenset({"false", "0", "no", "n", "f", "off", "否", "无"})

# GB/T 2261.1 (0 1 2 9), HL7 table 0001 (M F O A U N), and what people write.
GENDERS: Mapping[str, Gender] = {
    **dict.fromkeys(("1", "m", "male", "man", "男", "男性", "先生"), Gender.MALE),
    **dict.fromkeys(("2", "f", "female", "woman", "女", "女性", "女士"), Gender.FEMALE),
    **dict.fromkeys(("o", "a", "other", "其他"), Gender.OTHER),
    **dict.fromkeys(("0", "9", "u", "n", "unknown", "未知", "保密", "未说明"), Gender.UNKNOWN),
}


# ------------------------------------------------------------------ text
def text(raw: Any) -> str:
    """Text, or a whole number as text."""
    if type(raw) is str:
        return raw
    if raw is True or raw is False:
        return "true" if raw else "false"
    if isinstance(raw, int):
        return str(raw)
    raise Refusal(_not("a text", raw))


def strip(raw: Any) -> str:
    """Without white space at the ends, full-width included."""
    return text(raw).strip()


def lower(raw: Any) -> str:
    """In lower case."""
    return text(raw).lower()


def upper(raw: Any) -> str:
    """In upper case."""
    return text(raw).upper()


def unmasked(raw: Any) -> Any:
    """Text; ``UNSET`` when a platform has blanked (``张**``) or enciphered it."""
    value = text(raw).strip()
    return UNSET if is_masked(value) else value


def email(raw: Any) -> Any:
    """In lower case; ``UNSET`` when masked or no address. RFC 5321 in the shape people really have."""
    value = text(raw).strip().lower()
    return value if _EMAIL.fullmatch(value) and not is_masked(value) else UNSET


def texts(raw: Any) -> tuple[str, ...]:
    """A list of texts; one text counts as a list of one."""
    if isinstance(raw, list):
        return tuple(text(item) for item in raw if item is not None and item != "")
    return (text(raw),)


def split(raw: Any) -> tuple[str, ...]:
    """Comma-separated text (``,`` ``，`` ``、``) as a list, stripped, blanks left out; a list stays one."""
    if isinstance(raw, list):
        return texts(raw)
    parts = text(raw).replace("，", ",").replace("、", ",").split(",")
    return tuple(part for part in map(str.strip, parts) if part)


def pairs(raw: Any) -> dict[str, str]:
    """An object of texts; nulls are left out."""
    if not isinstance(raw, dict):
        raise Refusal(_not("an object of texts", raw))
    return {str(name): text(value) for name, value in raw.items() if value is not None}


def json(raw: Any) -> Any:
    """What a JSON text holds, decimals kept as text. What is already decoded stays as it is."""
    if not isinstance(raw, str):
        return raw
    try:
        return _JSON.decode(raw)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        raise Refusal("not a JSON text") from None


_JSON = msgspec.json.Decoder(float_hook=str)


# ------------------------------------------------------------------ numbers
def whole(raw: Any) -> int:
    """A whole number of at most 64 bits."""
    if type(raw) is int:
        value = raw
    elif isinstance(raw, str) and _INT.fullmatch(raw.strip()):
        value = int(raw)
    else:
        raise Refusal(_not("a whole number", raw))
    if not -_INT_MOST <= value <= _INT_MOST:
        raise Refusal("a whole number of more than 64 bits")
    return value


def truth(raw: Any) -> bool:
    """true/false, 1/0, yes/no, 是/否."""
    if raw is True or raw is False:
        return bool(raw)
    word = text(raw).strip().lower()
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    raise Refusal("not a yes or a no")


def decimal(raw: Any) -> str:
    """Plain decimal text in its one spelling: ``"1.50"`` and ``"+01.5"`` are ``"1.5"``. No exponents."""
    sign, units, fraction = _digits(raw)
    units = units.lstrip("0") or "0"
    fraction = fraction.rstrip("0")
    value = f"{units}.{fraction}" if fraction else units
    return f"-{value}" if sign == "-" and value != "0" else value


def quantity(raw: Any, unit: str = "") -> Quantity:
    """A number with an optional unit behind it (``1.5kg``, ``2 盒``); ``unit`` from elsewhere wins."""
    if type(raw) is int:
        return Quantity(value=str(raw), unit=unit)
    found = _MEASURE.fullmatch(raw.strip()) if isinstance(raw, str) else None
    if not found:
        raise Refusal(_not("a quantity", raw))
    return Quantity(value=decimal(found.group(1)), unit=unit or found.group(2) or "")


def yuan(raw: Any, currency: str = "CNY") -> Money:
    """Decimal text or a whole number in the main unit (yuan, dollar, yen) → minor units, exactly.

    A digit beyond the currency's smallest coin is refused unless it is zero. Negative amounts are kept.
    """
    places = _MINOR.get(currency, 2)
    if type(raw) is int:
        return Money(amount=whole(raw) * 10**places, currency=currency)
    # "12.50", nearly always: its digits without the point are the amount.
    if places == 2 and type(raw) is str and raw[-3:-2] == "." and len(raw) <= 16:
        digits = raw[:-3] + raw[-2:]
        if digits.isdigit() and digits.isascii() and len(digits) > 2:
            return Money(amount=int(digits), currency=currency)
    sign, units, fraction = _digits(raw)
    if fraction[places:].strip("0"):
        raise Refusal("an amount with more decimals than its currency has")
    return Money(amount=int(f"{sign}{units}{fraction[:places].ljust(places, '0')}" or "0"), currency=currency)


def fen(raw: Any, currency: str = "CNY") -> Money:
    """A whole number of minor units. Negative amounts are kept."""
    if type(raw) is not int and not (isinstance(raw, str) and _INT.fullmatch(raw.strip())):
        raise Refusal(_not("a whole number of fen", raw))
    return Money(amount=whole(raw), currency=currency)


def currency(raw: Any) -> str:
    """An ISO 4217 code in capitals; ``RMB`` and ``人民币`` are CNY."""
    code = text(raw).strip().upper()
    code = _CURRENCY_NAMES.get(code, code)
    if not _CURRENCY.fullmatch(code):
        raise Refusal("not a currency code of ISO 4217")
    return code


def _digits(raw: Any) -> tuple[str, str, str]:
    if type(raw) is int:
        raw = str(raw)
    found = _DECIMAL.fullmatch(raw.strip()) if isinstance(raw, str) else None
    if not found:
        raise Refusal(_not("a plain decimal number", raw))
    return found.group(1), found.group(2), found.group(3) or ""


# ------------------------------------------------------------------ time
def time(raw: Any, zone: str) -> Any:
    """An instant in UTC from text: ISO 8601, ``YYYY-MM-DD HH:MM:SS``, HL7 ``YYYYMMDD[HHMM[SS]][+ZZZZ]``; a date alone is its midnight.

    Without an offset it is read in ``zone`` (IANA); of an hour that happens twice the first is meant. Platform nulls are ``UNSET``.
    """
    if not isinstance(raw, str):
        if raw == 0 and raw is not False:
            return UNSET
        raise Refusal("a number where a text of time was expected: use time_s or time_ms")
    value = raw.strip()
    # Nearly every marketplace sends exactly this shape; the C parser reads it in a tenth of the time of a pattern.
    if len(value) == 19 and value[10] in " T" and value[4] == "-" and value[:4] >= "1971":
        try:
            wall = datetime.fromisoformat(value + "Z")
            return wall - (_ZONES.get(zone) or zone_of(zone)).utcoffset(wall)
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
    if _NULL_DATE.fullmatch(value):
        return UNSET
    found = _DATE.fullmatch(value) or _DATE_DENSE.fullmatch(value)
    if found:
        return _date(int(found.group(1)), int(found.group(2) or 0), int(found.group(3) or 0))
    found = _MONTH_DAY.fullmatch(value)
    if found:
        return _date(0, int(found.group(1)), int(found.group(2)))
    raise Refusal("not a date")


_NULL_DATE = re.compile(r"|0|0000[-/]?00[-/]?00.*|0001[-/]?01[-/]?01.*")


def _date(year: int, month: int, day: int) -> str:
    if year and year < _YEAR_LEAST - 50:
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


_ZONES: dict[str, ZoneInfo] = {}


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
    if count < 0 or count * unit > _LAST:
        raise Refusal("a time that is out of reach")
    return moment(count * unit)


_LAST = 253_402_300_799_999_999  # 9999-12-31T23:59:59.999999Z


# ------------------------------------------------------------------ people and places
def phone(raw: Any) -> Any:
    """E.164; ``UNSET`` for masks and junk. A lent number loses its extension: see ``privacy``."""
    found = numbers.e164(raw if type(raw) is str else text(raw))
    return UNSET if found is None else found


def own_phone(raw: Any) -> Any:
    """``phone`` of a number that a person owns; ``UNSET`` for a lent one, which would join strangers."""
    return UNSET if numbers.is_privacy(raw if type(raw) is str else text(raw)) else phone(raw)


def privacy(raw: Any) -> Any:
    """Whether a phone number is lent by a platform; ``UNSET`` where ``phone`` is."""
    value = raw if type(raw) is str else text(raw)
    return UNSET if numbers.e164(value) is None else numbers.is_privacy(value)


_SPLIT = re.compile(r"[\s,，/|>·-]+")
_CODE = re.compile(r"[1-9][0-9]{5}")
_MUNICIPAL = ("北京", "天津", "上海", "重庆")
_PROVINCE = re.compile(
    r"(北京市?|天津市?|上海市?|重庆市?|香港(?:特别行政区)?|澳门(?:特别行政区)?|(?:内蒙古|广西壮族|西藏|宁夏回族|新疆维吾尔)自治区|[^省市县区]{2,3}省)(.*)"
)
_CITY = re.compile(r"([^市州盟区]{1,8}(?:市|自治州|地区|盟))(.*)")
_DISTRICT = re.compile(r"([^区县市旗]{1,12}(?:区|县|市|旗))")


def region(raw: Any) -> Any:
    """A GB/T 2260 code, a list of names from province to district, or their text (``广东省 深圳市 南山区``, with or without gaps).

    An object may name ``code``, ``province``, ``city`` and ``district``. Names are kept as the source writes them; a text that begins with
    no province is ``UNSET``.
    """
    if isinstance(raw, dict):
        return _region({name: raw.get(name) for name in ("code", "province", "city", "district")})
    if isinstance(raw, list):
        return _region(dict(zip(("province", "city", "district"), raw, strict=False)))
    value = text(raw).strip()
    if _CODE.fullmatch(value):
        return Region(code=value)
    names = [name for name in _SPLIT.split(value) if name] if _SPLIT.search(value) else _names(value)
    return _region(dict(zip(("province", "city", "district"), names, strict=False)))


def _region(parts: Mapping[str, Any]) -> Any:
    kept = {name: text(part).strip() for name, part in parts.items() if part is not None and part != ""}
    kept = {name: part for name, part in kept.items() if part and not is_masked(part)}
    return Region(**kept) if kept else UNSET


def _names(value: str) -> list[str | None]:
    found = _PROVINCE.match(value)
    if not found:
        return []
    province, rest = found.groups()
    municipal = province.removesuffix("市") in _MUNICIPAL
    found = _CITY.match(rest)
    city, rest = found.groups() if found else ((province, rest) if municipal else (None, rest))
    found = _DISTRICT.match(rest)
    return [province, city, found.group(1) if found else None]


def _not(wanted: str, raw: Any) -> str:
    if isinstance(raw, float):
        return f"a float where {wanted} was expected: decode decimals as text"
    return f"not {wanted}"


Convert = Callable[..., Any]
