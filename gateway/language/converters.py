"""From a source's raw value to a canonical one: what ``as: name`` in a mapping means. Pure functions.

Each takes a raw value (any JSON value but null and "") and returns a canonical one, or ``UNSET`` where the source is saying nothing
(a mask, a platform's null). What cannot be read raises ``Refusal``, whose text says what was expected and never what came.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from msgspec import UNSET

from gateway.language import phone as numbers
from gateway.language.masks import is_masked
from gateway.model.values import Gender, Money, Quantity, Region


class Refusal(ValueError):
    """This raw value cannot be read. The text may be shown to anybody."""


_INT_MOST = 2**63 - 1
_DIGITS_MOST = 10**40

_INT = re.compile(r"[+-]?[0-9]{1,19}")
_DECIMAL = re.compile(r"([+-]?)([0-9]{1,15}|(?=\.[0-9]))(?:\.([0-9]{1,18}))?")
_MEASURE = re.compile(r"([+-]?[0-9]{1,15}(?:\.[0-9]{1,18})?)\s*([^\s0-9.+-]\S{0,15})?")
_EMAIL = re.compile(r"[^@\s,;<>\"]{1,64}@(?:[^@\s,;<>\".]{1,63}\.)+[^@\s,;<>\".]{2,63}")
_CURRENCY = re.compile(r"[A-Z]{3}")

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
    if isinstance(raw, int) and -_DIGITS_MOST < raw < _DIGITS_MOST:
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
        return Quantity(value=text(raw), unit=unit)
    # "2", nearly always.
    if type(raw) is str and raw.isdecimal() and raw.isascii() and len(raw) <= 15:
        return Quantity(value=raw.lstrip("0") or "0", unit=unit)
    found = _MEASURE.fullmatch(raw.strip()) if isinstance(raw, str) else None
    if not found:
        raise Refusal(_not("a quantity", raw))
    return Quantity(value=decimal(found.group(1)), unit=unit or found.group(2) or "")


def yuan(raw: Any, currency: str = "CNY") -> Money:
    """Decimal text or a whole number in the main unit (yuan, dollar, yen) → minor units, exactly.

    A digit beyond the currency's smallest coin is refused unless it is zero. Negative amounts are kept.
    """
    # "12.50", nearly always: its digits without the point are the amount.
    if type(raw) is str and raw[-3:-2] == "." and currency == "CNY" and len(raw) <= 16:
        digits = raw[:-3] + raw[-2:]
        if digits.isdigit() and digits.isascii() and len(digits) > 2:
            return Money(amount=int(digits))
    places = _MINOR.get(currency, 2)
    if type(raw) is int:
        return Money(amount=whole(raw) * 10**places, currency=currency)
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
        raw = text(raw)
    found = _DECIMAL.fullmatch(raw.strip()) if isinstance(raw, str) else None
    if not found:
        raise Refusal(_not("a plain decimal number", raw))
    return found.group(1), found.group(2), found.group(3) or ""


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


_DIVISIONS = ("province", "city", "district")
_PARTS = ("code", *_DIVISIONS)
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
        return _region([(name, raw.get(name)) for name in _PARTS])
    if isinstance(raw, list):
        return _region(zip(_DIVISIONS, raw, strict=False))
    value = text(raw).strip()
    if _CODE.fullmatch(value):
        return Region(code=value)
    names = [name for name in _SPLIT.split(value) if name] if _SPLIT.search(value) else _names(value)
    return _region(zip(_DIVISIONS, names, strict=False))


def _region(parts: Iterable[tuple[str, Any]]) -> Any:
    kept = {}
    for name, part in parts:
        if part is not None and part != "":
            said = text(part).strip()
            if said and not is_masked(said):
                kept[name] = said
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
