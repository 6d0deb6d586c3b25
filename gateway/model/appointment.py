"""Appointments in hospitals, shops and schools."""

from datetime import datetime
from enum import Enum

from msgspec import UNSET, UnsetType

from gateway.model.record import Record
from gateway.model.values import HealthText


class Status(Enum):
    """Where the appointment stands."""

    BOOKED = "booked"
    RESCHEDULED = "rescheduled"
    CANCELLED = "cancelled"
    ARRIVED = "arrived"
    NO_SHOW = "no_show"
    COMPLETED = "completed"
    UNKNOWN = "unknown"


class Appointment(Record, frozen=True, kw_only=True):
    """Unique by (account, external_id): the filler's id, else the placer's. ``service`` and ``reason`` are clinical."""

    account: str = ""
    external_id: str = ""
    placer_id: str | None | UnsetType = UNSET
    filler_id: str | None | UnsetType = UNSET
    customer: str | None | UnsetType = UNSET
    service: HealthText | None | UnsetType = UNSET
    reason: HealthText | None | UnsetType = UNSET
    place: str | None | UnsetType = UNSET
    staff: str | None | UnsetType = UNSET
    start: datetime | None | UnsetType = UNSET
    end: datetime | None | UnsetType = UNSET
    status: Status | UnsetType = UNSET
    raw_status: str | None | UnsetType = UNSET
    attrs: dict[str, str] | None | UnsetType = UNSET
