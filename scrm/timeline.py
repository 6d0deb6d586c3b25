"""A customer's events as a story: one entry each, grouped by the day they happened on in Shanghai. Pure."""

from collections.abc import Mapping, Sequence
from itertools import groupby

import msgspec

from gateway.model.appointment import Appointment
from gateway.model.interaction import Direction, Interaction, Type
from gateway.model.order import Line, Order
from gateway.model.relationship import Relationship
from gateway.model.values import Money
from scrm import show, words
from scrm.lookup import Moment
from scrm.show import Shown, When

_ICONS = {
    "order": "bag",
    "interaction": "chat",
    "appointment": "calendar",
    "relationship": "link",
    "customer": "person",
}
_TONES = {
    "order.paid": "good", "order.completed": "good", "order.delivered": "good", "appointment.completed": "good",
    "relationship.started": "good", "order.cancelled": "bad", "order.refunded": "bad", "relationship.ended": "bad",
    "appointment.cancelled": "bad", "order.aftersale": "warn", "appointment.changed": "warn", "order.shipped": "busy",
    "order.created": "busy", "appointment.booked": "busy",
}  # fmt: skip


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the story. ``lines`` are what it says, ``facts`` small remarks, ``order`` the id of the order it is about."""

    icon: str
    tone: str
    title: str
    when: When
    source: str
    amount: str = ""
    number: str = ""
    order: str = ""
    lines: tuple[Shown, ...] = ()
    facts: tuple[str, ...] = ()
    late: bool = False


class Day(msgspec.Struct, frozen=True):
    """What happened on one day, newest first."""

    title: str
    entries: tuple[Entry, ...]


def days(moments: Sequence[Moment], lang: str, now: int, staff: Mapping[str, str]) -> tuple[Day, ...]:
    """``staff`` says what colleagues are called, by id."""
    grouped = groupby(moments, lambda moment: show.day(lang, moment.at, now))
    return tuple(Day(title, tuple(entry(moment, lang, staff) for moment in group)) for title, group in grouped)


def entry(moment: Moment, lang: str, staff: Mapping[str, str]) -> Entry:
    """One event told in a few words."""
    noun, _, verb = moment.type.partition(".")
    base = Entry(
        icon="merge" if verb in ("merged", "unmerged") else _ICONS.get(noun, "dot"),
        tone=_TONES.get(moment.type, "calm"),
        title=title(moment, lang),
        when=show.when(moment.at, "%H:%M"),
        source=source(moment, lang),
        late=moment.fate == "late",
    )
    return _detailed(base, moment, lang, staff)


def title(moment: Moment, lang: str) -> str:
    """What kind of thing happened."""
    record = moment.told.record if moment.told else None
    if isinstance(record, Interaction):
        return words.name(lang, "type", record.type.value)
    return words.WORDS[moment.type][words.LANGUAGES.index(lang)] if moment.type in words.WORDS else moment.type


def source(moment: Moment, lang: str) -> str:
    """Which partner said so, through which account."""
    return f"{words.name(lang, 'connector', moment.connector)} · {moment.account}"


def colleagues(moments: Sequence[Moment]) -> list[str]:
    """The ids of staff these events name."""
    records = [moment.told.record for moment in moments if moment.told]
    found = [getattr(record, "staff", None) for record in records]
    return sorted({name for name in found if isinstance(name, str) and name})


def _detailed(base: Entry, moment: Moment, lang: str, staff: Mapping[str, str]) -> Entry:
    told = moment.told
    record = told.record if told else None
    if isinstance(record, Order):
        return _of_order(base, record, moment.type, moment.subject)
    if isinstance(record, Interaction):
        return _of_interaction(base, record, lang, staff)
    if isinstance(record, Appointment):
        return _of_appointment(base, record, staff)
    if isinstance(record, Relationship):
        return _of_relationship(base, record, lang, staff)
    if told and told.joined:
        return msgspec.structs.replace(base, facts=(words.word(lang, "merged_from", id=show.short(told.joined)),))
    return base


def _of_order(base: Entry, order: Order, kind: str, subject: str) -> Entry:
    bought = [found for found in map(item, (order.lines or ())[:3]) if found]
    line = Shown("，".join(each.text for each in bought), any(each.masked for each in bought))
    return msgspec.structs.replace(
        base,
        amount=show.money(_sum(order, kind)),
        number=order.external_id,
        order=order.id or subject,
        lines=(line,) if bought else (),
    )


def _sum(order: Order, kind: str) -> Money | None:
    if not order.money:
        return None
    if kind == "order.refunded":
        return order.money.refunded
    paid = order.money.paid
    return paid if paid and paid.amount else order.money.payable


def item(line: Line) -> Shown | None:
    """``羊绒围巾 × 2``; None for a line without a name."""
    quantity = line.quantity.value if line.quantity else "1"
    name = line.title or line.service or line.sku
    many = quantity not in ("1", "1.0", "1.00")
    return show.shown(f"{name} × {quantity}" if name and many else name)


def _of_interaction(base: Entry, said: Interaction, lang: str, staff: Mapping[str, str]) -> Entry:
    summary = words.name(lang, "summary", said.summary) if said.summary else None
    lines = [show.shown(text) for text in (summary, said.body, said.clinical)]
    spoken = said.type in (Type.MESSAGE, Type.CALL) and said.direction is not Direction.NONE
    way = words.word(lang, f"direction.{said.direction.value}") if spoken else ""
    return msgspec.structs.replace(
        base,
        lines=tuple(line for line in lines if line),
        facts=tuple(fact for fact in (way, _called(said.staff, staff)) if fact),
    )


def _of_appointment(base: Entry, booked: Appointment, staff: Mapping[str, str]) -> Entry:
    start = show.moment(booked.start, "%m-%d %H:%M")
    place = booked.place if isinstance(booked.place, str) else ""
    service = show.shown(booked.service)
    facts = (start.text if start else "", place, _called(booked.staff, staff))
    return msgspec.structs.replace(
        base, lines=(service,) if service else (), facts=tuple(fact for fact in facts if fact)
    )


def _of_relationship(base: Entry, tie: Relationship, lang: str, staff: Mapping[str, str]) -> Entry:
    state = words.name(lang, "state", tie.state.value) if tie.state else ""
    way = words.name(lang, "way", tie.add_way) if tie.add_way else ""
    facts = (_called(tie.staff, staff), state, way)
    return msgspec.structs.replace(base, facts=tuple(fact for fact in facts if fact))


def _called(who: object, staff: Mapping[str, str]) -> str:
    return staff.get(who, who) if isinstance(who, str) else ""
