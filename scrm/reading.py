"""What a delivered event tells us. A tolerant reader, pure: what it cannot read it names and leaves out, never guesses.

Unknown fields are ignored, an unknown value of a status becomes ``unknown``, an unknown type tells nothing; the raw event is kept
by the caller either way. Only an envelope that is none is refused.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from enum import Enum
from typing import Any, TypeVar, get_args

import msgspec
from msgspec import UNSET

from gateway import clock
from gateway.errors import PayloadError
from gateway.model.appointment import Appointment
from gateway.model.customer import Customer
from gateway.model.event import TYPES, Event
from gateway.model.identity import Assertion
from gateway.model.interaction import Interaction
from gateway.model.order import Order
from gateway.model.organisation import Staff, Unit
from gateway.model.record import Record
from gateway.model.relationship import Relationship

KINDS: Mapping[str, type[Record]] = {
    "customer": Customer, "order": Order, "interaction": Interaction, "appointment": Appointment,
    "relationship": Relationship, "staff": Staff, "unit": Unit,
}  # fmt: skip

SHOWN = frozenset(TYPES) - {
    "customer.updated",
    "order.updated",
    "staff.updated",
    "unit.updated",
    "stock.updated",
    "action.completed",
    "action.failed",
}
_WHEN = {
    "order.created": "placed_at", "order.paid": "paid_at", "order.shipped": "shipped_at", "order.completed": "completed_at",
    "interaction.recorded": "occurred_at", "relationship.started": "since", "relationship.ended": "until",
}  # fmt: skip

# Far below what SQLite can hold, so that sums of gaps still fit.
_MOST_SEQUENCE = 2**48
_R = TypeVar("_R", bound=msgspec.Struct)
_envelope = msgspec.json.Decoder(Event)


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """One event, read. ``at`` is when it was published, ``happened`` its place in a timeline (None: it has none), both microseconds.

    ``record`` is the noun the event is about and ``key`` its id; ``customer`` is what it says of a customer besides, ``whose`` that
    one's id. ``joined`` and ``parted`` are ids that merged into, or came loose from, ``whose``. ``unread`` names fields left out.
    """

    event: Event
    noun: str
    at: int
    happened: int | None
    key: str
    record: Record | None
    customer: Customer | None
    whose: str | None
    joined: str | None
    parted: str | None
    assertions: tuple[Assertion, ...]
    unread: tuple[str, ...]


def read(body: bytes) -> Told:
    """PayloadError when this is no event of ours, with a sentence that holds nothing of it."""
    try:
        event = _envelope.decode(body)
        at = clock.parse(event.timestamp)
    except (msgspec.MsgspecError, UnicodeDecodeError, ValueError, OverflowError) as exc:
        raise PayloadError("the body is not an event", remedy="send the event of model.md as JSON") from exc
    if not 0 <= event.sequence <= _MOST_SEQUENCE or not event.subject:
        raise PayloadError("the event has no usable subject and sequence")
    return _told(event, at)


def _told(event: Event, at: int) -> Told:
    noun = event.type.partition(".")[0]
    record, unread = lenient(KINDS[noun], event.data.get(noun)) if noun in KINDS else (None, ())
    customer, also = lenient(Customer, event.data.get("customer"))
    whose = (customer.id if customer else "") or getattr(record, "customer", None) or None
    if noun == "customer" and whose is None:
        whose = event.subject
    return Told(
        event=event,
        noun=noun,
        at=at,
        happened=_happened(event.type, record, at) if event.type in SHOWN else None,
        key=(record.id if record else "") or event.subject,
        record=record,
        customer=customer,
        whose=whose if isinstance(whose, str) else None,
        joined=_id(event.data.get("merged")) if event.type == "customer.merged" else None,
        parted=_parted(event, whose) if event.type == "customer.unmerged" else None,
        assertions=tuple(_assertions(event.data.get("customer"))),
        unread=unread if noun == "customer" else unread + also,
    )


def lenient(kind: type[_R], raw: object) -> tuple[_R | None, tuple[str, ...]]:
    """``raw`` as a ``kind`` and the names of fields that could not be read; None when it is not an object at all."""
    if not isinstance(raw, dict):
        return None, ()
    try:
        return msgspec.convert(raw, kind), ()
    except msgspec.ValidationError:
        return _field_by_field(kind, _opened(raw))


def _opened(raw: Any) -> Any:
    """``raw`` without what is still sealed: to us, a field we may not open is a field that was not sent."""
    if isinstance(raw, dict):
        return {name: _opened(value) for name, value in raw.items() if not _sealed(value)}
    if isinstance(raw, list):
        return [_opened(item) for item in raw if not _sealed(item)]
    return raw


def _sealed(value: object) -> bool:
    return isinstance(value, dict) and "$sealed" in value


def _field_by_field(kind: type[_R], raw: Mapping[str, Any]) -> tuple[_R, tuple[str, ...]]:
    good: dict[str, Any] = {}
    unread: list[str] = []
    for field in msgspec.structs.fields(kind):
        if field.encode_name not in raw:
            continue
        try:
            good[field.name] = msgspec.convert(raw[field.encode_name], field.type)
        except msgspec.ValidationError:
            unread.append(f"{kind.__name__.lower()}.{field.name}")
            if unknown := _unknown(field.type):
                good[field.name] = unknown
    return kind(**good), tuple(unread)


def _unknown(annotation: object) -> Enum | None:
    for option in get_args(annotation) or (annotation,):
        if isinstance(option, type) and issubclass(option, Enum):
            return option.__members__.get("UNKNOWN")
    return None


def _happened(kind: str, record: Record | None, at: int) -> int:
    named = instant(getattr(record, _WHEN.get(kind, "updated_at"), None))
    return at if named is None else named


def instant(when: object) -> int | None:
    """Microseconds of an aware datetime; None for one without a zone, out of range, or nothing at all."""
    if not isinstance(when, datetime) or when.tzinfo is None:
        return None
    try:
        return clock.instant(when.astimezone(UTC))
    except OverflowError:
        return None


def _id(raw: object) -> str | None:
    found = raw.get("id") if isinstance(raw, dict) else raw
    return found if isinstance(found, str) and found else None


def _parted(event: Event, whose: str | None) -> str | None:
    return _id(event.data.get("unmerged")) or _id(event.data.get("merged")) or whose


def _assertions(customer: object) -> Iterable[Assertion]:
    """The keys that name a customer, as its own events carry them: with ``live`` false one is retired, without a grant it has no value."""
    found = _opened(customer.get("identities")) if isinstance(customer, dict) else None
    for item in found if isinstance(found, list) else ():
        try:
            yield msgspec.convert({"value": "", **item, "retired": item.get("live") is False}, Assertion)
        except (msgspec.ValidationError, TypeError, AttributeError):
            continue


def patch(kind: type[Record], old: Mapping[str, Any], record: Record) -> dict[str, Any]:
    """``old`` as plain data with what ``record`` says on top: absent keeps, None erases, a value sets.

    A field whose default is a value (``state``) is told by leaving it out, so it falls back to that.
    """
    plain = {field.encode_name for field in msgspec.structs.fields(kind) if field.default is UNSET}
    return {**{name: value for name, value in old.items() if name in plain}, **msgspec.to_builtins(record)}
