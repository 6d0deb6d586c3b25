"""Events: the canonical facts we publish."""

from typing import Any

import msgspec

SCHEMA = 1

TYPES = (
    "customer.created", "customer.updated", "customer.merged", "customer.unmerged", "customer.erased",
    "order.created", "order.paid", "order.shipped", "order.delivered", "order.completed", "order.cancelled",
    "order.refunded", "order.updated", "order.aftersale", "interaction.recorded", "relationship.started",
    "relationship.ended", "relationship.updated", "appointment.booked", "appointment.changed", "appointment.cancelled",
    "appointment.completed", "staff.updated", "unit.updated", "stock.updated", "action.completed", "action.failed",
)  # fmt: skip


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """Where a fact came from, down to the journal entry and the mapping's version."""

    account: str
    connector: str
    entry: str
    mapping: str


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """One applied change. ``sequence`` grows by one per ``subject``. ``data`` holds sealed fields until the sender opens them."""

    id: str
    type: str
    timestamp: str
    schema: int = SCHEMA
    subject: str
    sequence: int
    source: Source
    data: dict[str, Any]
