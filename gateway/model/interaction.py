"""Interactions: what happened between a customer and us, never changed afterwards."""

from datetime import datetime
from enum import Enum

from msgspec import UNSET, UnsetType

from gateway.model.record import Record
from gateway.model.values import ContactText, HealthText


class Type(Enum):
    """What kind of contact it was."""

    FOLLOW = "follow"
    UNFOLLOW = "unfollow"
    MESSAGE = "message"
    CALL = "call"
    VISIT = "visit"
    FORM = "form"
    REVIEW = "review"
    SCAN = "scan"
    NOTE = "note"
    REPORT = "report"
    MENU = "menu"
    GROUP = "group"
    PAYMENT = "payment"
    UNKNOWN = "unknown"


class Direction(Enum):
    """Seen from us."""

    IN = "in"
    OUT = "out"
    NONE = "none"


class Interaction(Record, frozen=True, kw_only=True):
    """Immutable. ``summary`` is safe to show; ``body`` is what was said, ``clinical`` what a hospital said."""

    account: str = ""
    external_id: str = ""
    type: Type = Type.UNKNOWN
    raw_type: str | None | UnsetType = UNSET
    direction: Direction = Direction.NONE
    channel: str | None | UnsetType = UNSET
    customer: str | None | UnsetType = UNSET
    staff: str | None | UnsetType = UNSET
    occurred_at: datetime | None | UnsetType = UNSET
    summary: str | None | UnsetType = UNSET
    body: ContactText | None | UnsetType = UNSET
    clinical: HealthText | None | UnsetType = UNSET
    attrs: dict[str, str] | None | UnsetType = UNSET
