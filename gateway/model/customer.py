"""Customers: people and organisations, whoever first told us of them."""

from datetime import datetime
from enum import Enum

from msgspec import UNSET, UnsetType

from gateway.model.record import Record
from gateway.model.values import ContactPoint, Gender, HealthText, IdentityText


class Kind(Enum):
    """A person or an organisation."""

    PERSON = "person"
    ORG = "org"


class State(Enum):
    """A merged customer keeps resolving to its survivor; an erased one keeps only its id."""

    ACTIVE = "active"
    MERGED = "merged"
    ERASED = "erased"


class Customer(Record, frozen=True, kw_only=True):
    """``birthday`` may be partial: ``1988-08-18``, ``1988-08``, ``1988`` or ``--08-18``.

    ``deceased`` stops all outreach. ``provenance`` says, per field, which account set it last and as of when. ``contacts`` is the union
    of what sources said; every other field is what the newest source time said, whatever order the sources arrived in.
    """

    kind: Kind | UnsetType = UNSET
    state: State = State.ACTIVE
    merged_into: str | None = None
    name: IdentityText | None | UnsetType = UNSET
    nickname: IdentityText | None | UnsetType = UNSET
    gender: Gender | None | UnsetType = UNSET
    birthday: IdentityText | None | UnsetType = UNSET
    national_id: IdentityText | None | UnsetType = UNSET
    contacts: tuple[ContactPoint, ...] | None | UnsetType = UNSET
    tags: tuple[str, ...] | None | UnsetType = UNSET
    attrs: dict[str, str] | None | UnsetType = UNSET
    marketing_consent: bool | None | UnsetType = UNSET
    deceased: HealthText | None | UnsetType = UNSET
    created_at: datetime | None | UnsetType = UNSET
    provenance: dict[str, str] | UnsetType = UNSET
