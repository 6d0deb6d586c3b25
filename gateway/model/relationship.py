"""Relationships: who of our staff looks after which customer, on which channel."""

from datetime import datetime
from enum import Enum

from msgspec import UNSET, UnsetType

from gateway.model.record import Record
from gateway.model.values import ContactText


class State(Enum):
    """Who ended it, if it ended."""

    ACTIVE = "active"
    PENDING = "pending"
    REMOVED_BY_CUSTOMER = "removed_by_customer"
    REMOVED_BY_STAFF = "removed_by_staff"
    BLOCKED = "blocked"
    TRANSFERRED = "transferred"
    UNKNOWN = "unknown"


class Relationship(Record, frozen=True, kw_only=True):
    """Unique by (account, external_id); its past is kept. ``add_way`` and ``channel_state`` say how it began."""

    account: str = ""
    external_id: str = ""
    customer: str | None | UnsetType = UNSET
    staff: str | None | UnsetType = UNSET
    channel: str | None | UnsetType = UNSET
    state: State | UnsetType = UNSET
    raw_state: str | None | UnsetType = UNSET
    add_way: str | None | UnsetType = UNSET
    channel_state: str | None | UnsetType = UNSET
    remark: ContactText | None | UnsetType = UNSET
    tags: tuple[str, ...] | None | UnsetType = UNSET
    since: datetime | None | UnsetType = UNSET
    until: datetime | None | UnsetType = UNSET
