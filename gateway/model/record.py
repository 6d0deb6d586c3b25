"""What all records share."""

from datetime import datetime

import msgspec
from msgspec import UNSET, UnsetType


class Record(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A canonical thing that lives in the store under ``id`` and changes over time.

    As a partner's assertion most fields are ``UNSET`` and ``id`` is empty; as stored, ``id`` is set and nothing is ``UNSET`` that
    was ever said. ``source_time_raw`` keeps the source's own text of the time that ``updated_at`` was read from.
    """

    id: str = ""
    unit: str | None | UnsetType = UNSET
    updated_at: datetime | None | UnsetType = UNSET
    source_time_raw: str | None | UnsetType = UNSET
    source_version: int | None | UnsetType = UNSET
    flags: tuple[str, ...] | UnsetType = UNSET


class Coded(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An enum value as we read it, with the source's own. An unknown one is ``value="unknown"``, never a default."""

    value: str
    raw: str | None = None
