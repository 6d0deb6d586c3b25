"""How a record changes: the version rule, the patching, and what the change is called. Pure functions over sealed bodies.

A stored body carries, beside the record's fields, ``$clocks``: per source (account and mapping) the instant and version it last spoke with. Two
mappings of one order (its trade, its refund) each have their own clock, so that neither can outdate what the other said.
"""

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any

import msgspec

CLOCKS = "$clocks"
# Customers that a person said are not this one: an undone or rejected merge is not made again.
APART = "$apart"
Body = dict[str, Any]

_LIFECYCLE = ("created", "confirmed", "processing", "completed", "cancelled", "closed")
_PAYMENT = ("unpaid", "voided", "partially_paid", "paid", "partially_refunded", "refunded")
_FULFILMENT = (
    "none",
    "not_required",
    "on_hold",
    "partially_shipped",
    "shipped",
    "delivered",
    "partially_returned",
    "returned",
)
_AFTERSALE = ("none", "open", "approved", "rejected", "withdrawn", "completed")
AXES: Mapping[str, Mapping[str, int]] = {
    name: {state: rank for rank, state in enumerate(states)}
    for name, states in (
        ("lifecycle", _LIFECYCLE),
        ("payment", _PAYMENT),
        ("fulfilment", _FULFILMENT),
        ("aftersale", _AFTERSALE),
    )
}
# Parts of a list that are the same thing said twice are told by this key.
_PART_KEYS = {"lines": "line_no", "payments": "external_id", "shipments": "external_id", "aftersales": "external_id"}
_BOOKKEEPING = frozenset(
    {
        "id",
        "account",
        "external_id",
        "updated_at",
        "source_time_raw",
        "source_version",
        "flags",
        "provenance",
        "created_at",
        CLOCKS,
        APART,
    }
)
_FLAGS_OF_ONE_CHANGE = frozenset({"regressed", "sum_mismatch", "refund_exceeds_paid", "unknown_status"})


class Verdict(Enum):
    """What the version rule says of an update."""

    NEW = "new"
    UPDATED = "updated"
    DUPLICATE = "duplicate"
    SUPERSEDED = "superseded"


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """``body`` is what the record is now; ``changed`` names the fields that moved, in alphabetical order."""

    verdict: Verdict
    body: Body
    changed: tuple[str, ...] = ()


def change(old: Body | None, patch: Body, *, source: str, at: int, version: int | None) -> Change:
    """Apply ``patch`` under the version rule: newer applies, older is superseded, equal and different goes by rank."""
    if old is None:
        body = _flagged(None, {**patch, CLOCKS: {source: [at, version]}})
        return Change(verdict=Verdict.NEW, body=body, changed=_moved({}, body))
    clocks = old.get(CLOCKS, {})
    order = _compare(clocks.get(source), at, version)
    merged = _merge(old, patch)
    changed = _moved(old, merged)
    if order < 0 or (order == 0 and changed and _rank(merged) < _rank(old)):
        return Change(verdict=Verdict.SUPERSEDED if changed else Verdict.DUPLICATE, body=old)
    merged[CLOCKS] = {**clocks, source: [at, version]}
    if not changed:
        return Change(verdict=Verdict.DUPLICATE, body=merged if order > 0 else old)
    return Change(verdict=Verdict.UPDATED, body=_flagged(old, merged), changed=changed)


def change_person(old: Body | None, patch: Body, *, account: str, at: str) -> Change:
    """Apply what ``account`` says of a customer as of ``at`` (27-character text): per field, the newest source time wins.

    So several systems may speak of one person in any order and the result is the same. A duplicate may carry a newer provenance, which has to
    be kept: without it something in between, arriving late, would win.
    """
    known: Body = old or {}
    body: Body = dict(known)
    provenance: dict[str, str] = dict(known.get("provenance", {}))
    stamp = f"{at} {account}"
    for field, value in patch.items():
        if field in _BOOKKEEPING or field in ("state", "merged_into", "kind" if "kind" in known else ""):
            continue
        if field == "contacts" and value:
            _reach(body, value, provenance, stamp)
        elif field == "attrs" and value:
            body["attrs"] = _newest(known.get("attrs") or {}, value, provenance, stamp)
        elif provenance.get(field, "") <= stamp:
            body[field] = value
            provenance[field] = stamp
    changed = _moved(known, body)
    if not changed and old is not None and provenance == old.get("provenance"):
        return Change(verdict=Verdict.DUPLICATE, body=old)
    body.setdefault("state", "active")
    body["provenance"] = provenance
    body["updated_at"] = max(at, known.get("updated_at") or "")
    verdict = Verdict.NEW if old is None else Verdict.UPDATED if changed else Verdict.DUPLICATE
    return Change(verdict=verdict, body=body, changed=changed)


def _reach(body: Body, points: Sequence[Body], provenance: dict[str, str], stamp: str) -> None:
    """Contact points add up, unless a newer word has erased them all."""
    known = body.get("contacts")
    if not known and provenance.get("contacts", "") > stamp:
        return
    joined = union(known or (), points)
    if joined != known:
        body["contacts"] = joined
        provenance["contacts"] = max(stamp, provenance.get("contacts", ""))


def _newest(known: Body, said: Body, provenance: dict[str, str], stamp: str) -> Body:
    attrs = dict(known)
    for name, value in said.items():
        if provenance.get(f"attrs.{name}", "") <= stamp:
            attrs[name] = value
            provenance[f"attrs.{name}"] = stamp
    return attrs


def event_type(kind: str, old: Body | None, new: Body) -> str:
    """The most specific type for this change of a record of ``kind``."""
    if kind == "order":
        return _order_type(old, new)
    if kind == "appointment":
        return _appointment_type(old, new)
    if kind == "relationship":
        return _relationship_type(old, new)
    if kind == "customer":
        return "customer.created" if old is None else "customer.updated"
    return {
        "interaction": "interaction.recorded",
        "staff": "staff.updated",
        "unit": "unit.updated",
        "stock": "stock.updated",
    }[kind]


def published(body: Body) -> Body:
    """What subscribers see of a stored body."""
    return {field: value for field, value in body.items() if field not in (CLOCKS, APART, "provenance")}


def _compare(clock: Sequence[int | None] | None, at: int, version: int | None) -> int:
    """1 newer, 0 equal, -1 older than what this source said last."""
    if clock is None:
        return 1
    last_at, last_version = clock[0] or 0, clock[1]
    if version is not None and last_version is not None:
        return (version > last_version) - (version < last_version)
    return (at > last_at) - (at < last_at)


def _merge(old: Body, patch: Body) -> Body:
    merged = dict(old)
    for field, value in patch.items():
        if field == "id":
            continue
        part = _PART_KEYS.get(field)
        if part and value and old.get(field):
            value = _merge_parts(old[field], value, part)
        elif isinstance(value, dict) and isinstance(old.get(field), dict) and field in ("money", "attrs"):
            value = {**old[field], **value}
        merged[field] = value
    return merged


def _merge_parts(old: Sequence[Body], new: Sequence[Body], key: str) -> list[Body]:
    parts = {part.get(key): part for part in old}
    for part in new:
        parts[part.get(key)] = {**parts.get(part.get(key), {}), **part}
    return list(parts.values())


def union(old: Sequence[Body], new: Sequence[Body]) -> list[Body]:
    """Contact points by kind and value. Sealing is deterministic, so equal tokens are equal values; verified stays verified."""
    points = {_point(point): point for point in old}
    for point in new:
        known = points.get(_point(point), {})
        joined = {**known, **point}
        if known.get("verified"):
            joined["verified"] = True
        points[_point(point)] = joined
    return list(points.values())


def _point(point: Body) -> bytes:
    return msgspec.json.encode(
        [point.get("kind"), point.get("value"), point.get("address") if point.get("value") is None else None]
    )


def _moved(old: Body, new: Body) -> tuple[str, ...]:
    fields = {field for field in (*old, *new) if field not in _BOOKKEEPING}
    return tuple(
        sorted(field for field in fields if old.get(field) != new.get(field) or (field in old) != (field in new))
    )


def _rank(body: Body) -> int:
    return sum(ranks.get(body.get(axis, ""), 0) for axis, ranks in AXES.items())


def _flagged(old: Body | None, new: Body) -> Body:
    """Mark what a person may want to look at: a step back inside an axis, sums that do not add up, unknown states."""
    flags = [flag for flag in new.get("flags") or () if flag not in _FLAGS_OF_ONE_CHANGE]
    if old is not None and any(_went_back(ranks, old.get(axis), new.get(axis)) for axis, ranks in AXES.items()):
        flags.append("regressed")
    if any(new.get(axis) == "unknown" for axis in AXES) or new.get("status") == "unknown":
        flags.append("unknown_status")
    flags += _money_flags(new.get("money") or {})
    if flags or "flags" in new:
        new["flags"] = flags
    return new


def _went_back(ranks: Mapping[str, int], old: str | None, new: str | None) -> bool:
    return ranks.get(new or "", len(ranks)) < ranks.get(old or "", -1)


def _money_flags(money: Body) -> list[str]:
    def fen(name: str) -> int:
        part = money.get(name)
        return int(part["amount"]) if part else 0

    flags = []
    if money.get("payable") and money.get("items"):
        due = fen("items") - fen("discounts") + fen("shipping") + fen("tax") + fen("adjust")
        if due != fen("payable"):
            flags.append("sum_mismatch")
    if money.get("refunded") and money.get("paid") and not 0 <= fen("refunded") <= fen("paid"):
        flags.append("refund_exceeds_paid")
    return flags


def _order_type(old: Body | None, new: Body) -> str:
    before: Body = old or {}

    def became(axis: str, *states: str) -> bool:
        return new.get(axis) in states and before.get(axis) != new.get(axis)

    if became("payment", "refunded", "partially_refunded"):
        return "order.refunded"
    if became("lifecycle", "cancelled"):
        return "order.cancelled"
    if became("lifecycle", "completed"):
        return "order.completed"
    if became("fulfilment", "delivered"):
        return "order.delivered"
    if became("fulfilment", "shipped", "partially_shipped"):
        return "order.shipped"
    if became("payment", "paid"):
        return "order.paid"
    if became("aftersale", "open", "approved", "completed", "rejected", "withdrawn") or (
        old and old.get("aftersales") != new.get("aftersales")
    ):
        return "order.aftersale"
    return "order.created" if old is None else "order.updated"


def _appointment_type(old: Body | None, new: Body) -> str:
    status = new.get("status")
    moved = old is None or old.get("status") != status
    if moved and status in ("cancelled", "completed"):
        return f"appointment.{status}"
    return "appointment.booked" if old is None else "appointment.changed"


def _relationship_type(old: Body | None, new: Body) -> str:
    live = new.get("state") in ("active", "pending", None)
    was_live = old is not None and old.get("state") in ("active", "pending", None)
    if live and not was_live:
        return "relationship.started"
    if not live and (was_live or old is None):
        return "relationship.ended"
    return "relationship.updated"
