"""How values look on a page: times, money, phones, masks, tones. Pure; all in Asia/Shanghai."""

import re
from datetime import datetime
from zoneinfo import ZoneInfo

import msgspec

from gateway import clock
from gateway.model.customer import Customer
from gateway.model.values import ContactKind, ContactPoint, Money
from scrm import reading, words

ZONE = ZoneInfo("Asia/Shanghai")
_SIGNS = {"CNY": "¥", "USD": "$", "EUR": "€", "GBP": "£", "HKD": "HK$", "JPY": "¥"}
_NO_MINOR = frozenset({"JPY", "KRW", "VND"})
# 138****8000, z***@x.com, 张*, •••; but not the 200*70cm of a title.
_MASKS = re.compile(r"[*＊]{3,}|•{3,}|^.{1,3}[*＊]{1,2}.?$")
_TONES = {
    "good": "paid completed delivered arrived active approved",
    "busy": "confirmed processing shipped partially_shipped booked rescheduled partially_paid pending",
    "warn": "on_hold open unpaid partially_refunded partially_returned unknown no_show transferred",
    "bad": "cancelled refunded returned voided rejected removed_by_customer removed_by_staff blocked",
}
_TONE = {code: tone for tone, codes in _TONES.items() for code in codes.split()}
_WEEKDAYS = {"zh": "一二三四五六日", "en": ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")}


class When(msgspec.Struct, frozen=True):
    """An instant to show: ``text`` in Shanghai, ``utc`` for the title and the machine."""

    text: str
    utc: str
    machine: str


class Shown(msgspec.Struct, frozen=True):
    """A text and whether it arrived masked."""

    text: str
    masked: bool


def when(instant: int, form: str = "%Y-%m-%d %H:%M") -> When:
    """``instant`` in microseconds, as ``form`` says."""
    utc = clock.moment(instant)
    return When(
        utc.astimezone(ZONE).strftime(form), utc.strftime("%Y-%m-%d %H:%M:%S UTC"), utc.strftime("%Y-%m-%dT%H:%M:%SZ")
    )


def moment(value: object, form: str = "%Y-%m-%d %H:%M") -> When | None:
    """The same for a model's datetime; None for none, and for one without a zone."""
    instant = reading.instant(value)
    return None if instant is None else when(instant, form)


def recent(instant: int, now: int) -> When:
    """Short: the time today, the day and time this year, the date otherwise."""
    here, today = _local(instant), _local(now)
    if here.date() == today.date():
        return when(instant, "%H:%M")
    return when(instant, "%m-%d %H:%M" if here.year == today.year else "%Y-%m-%d")


def day(lang: str, instant: int, now: int) -> str:
    """The heading of a day in a timeline."""
    here, today = _local(instant).date(), _local(now).date()
    weekday = _WEEKDAYS[lang][here.weekday()]
    date = (
        f"{here.year}年{here.month}月{here.day}日 周{weekday}" if lang == "zh" else f"{weekday} {here.day} {here:%b %Y}"
    )
    near = {0: "today", 1: "yesterday"}.get((today - here).days)
    return f"{words.word(lang, near)} · {date}" if near else date


def _local(instant: int) -> datetime:
    return clock.moment(instant).astimezone(ZONE)


def money(value: Money | None) -> str:
    """``¥1,234.50``; nothing for none."""
    return "" if value is None else amount(value.amount, value.currency)


def amount(minor: int, currency: str) -> str:
    """Minor units with the currency's sign, or its code where it has none here."""
    places = 0 if currency in _NO_MINOR else 2
    whole, rest = divmod(abs(minor), 10**places)
    number = f"{whole:,}.{rest:0{places}d}" if places else f"{whole:,}"
    return f"{'−' if minor < 0 else ''}{_SIGNS.get(currency, currency + ' ')}{number}"


def shown(text: object) -> Shown | None:
    """A text of a record as it arrived; None when there is none."""
    return Shown(text, bool(_MASKS.search(text))) if isinstance(text, str) and text else None


def contact(point: ContactPoint) -> Shown | None:
    """A contact point in one line. A mainland mobile number is grouped 3-4-4."""
    if point.kind is ContactKind.ADDRESS and point.address:
        region = point.address.region
        names = (region.province, region.city, region.district) if region else ()
        return shown(" ".join(dict.fromkeys(part for part in (*names, point.address.line) if part)))
    text = point.value
    if text and point.kind is ContactKind.PHONE and re.fullmatch(r"\+861\d{10}", text):
        text = f"+86 {text[3:6]} {text[6:10]} {text[10:]}"
    return shown(text)


def first_contact(customer: Customer) -> Shown | None:
    """The one to show in a list: a phone before anything else."""
    points = sorted(customer.contacts or (), key=lambda point: point.kind is not ContactKind.PHONE)
    return next((found for found in map(contact, points) if found), None)


def tone(code: str) -> str:
    """How a state should feel: good, busy, warn, bad or calm. Never the only sign of it: the label says it too."""
    return _TONE.get(code, "calm")


def initial(name: str | None) -> str:
    """One mark for a round picture: the first letter or character that is not a mask."""
    return next((mark.upper() for mark in name or "" if mark.isalnum()), "·")


def short(identifier: str) -> str:
    """An id's recognisable end."""
    return "…" + identifier[-6:] if len(identifier) > 14 else identifier
