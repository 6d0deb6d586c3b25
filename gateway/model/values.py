"""Sensitivity classes and the small values records are made of.

Every field is public unless its type says otherwise: ``Annotated[str, IDENTITY]`` is sealed at rest, masked in the
console and granted per endpoint as class ``identity``. The annotation sits on text; a number that must be sealed is text.
An optional field has three states: ``UNSET`` (the source did not say: keep), ``None`` (erase), a value (set).
"""

from enum import Enum
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

__all__ = [
    "CONTACT", "FINANCE", "HEALTH", "IDENTITY", "UNSET", "Address", "ContactKind", "ContactPoint", "ContactText",
    "FinanceText", "Gender", "HealthText", "IdentityText", "Money", "Quantity", "Region", "Sensitivity", "UnsetType",
]  # fmt: skip


class Sensitivity(Enum):
    """What kind of harm a field can do in the wrong hands."""

    PUBLIC = "public"
    IDENTITY = "identity"
    CONTACT = "contact"
    HEALTH = "health"
    FINANCE = "finance"


IDENTITY = Meta(extra={"sensitivity": Sensitivity.IDENTITY})
CONTACT = Meta(extra={"sensitivity": Sensitivity.CONTACT})
HEALTH = Meta(extra={"sensitivity": Sensitivity.HEALTH})
FINANCE = Meta(extra={"sensitivity": Sensitivity.FINANCE})

IdentityText = Annotated[str, IDENTITY]
ContactText = Annotated[str, CONTACT]
HealthText = Annotated[str, HEALTH]
FinanceText = Annotated[str, FINANCE]


class Value(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A small immutable part of a record."""


class Money(Value, frozen=True, kw_only=True, omit_defaults=False):
    """``amount`` in minor units (fen for CNY); ``currency`` ISO 4217."""

    amount: int
    currency: str = "CNY"


class Quantity(Value, frozen=True, kw_only=True, omit_defaults=False):
    """``value`` is decimal text such as ``"1.5"``; ``unit`` as the source names it, ``""`` for pieces."""

    value: str
    unit: str = ""


class Region(Value, frozen=True, kw_only=True):
    """An administrative division: GB/T 2260 ``code`` when known, names as the source gives them."""

    code: str | None = None
    province: str | None = None
    city: str | None = None
    district: str | None = None


class Address(Value, frozen=True, kw_only=True):
    """``region`` is public down to the district; ``line`` is street and door."""

    region: Region | None = None
    line: ContactText | None = None
    postcode: ContactText | None = None


class Gender(Enum):
    """As the source states it."""

    MALE = "male"
    FEMALE = "female"
    OTHER = "other"
    UNKNOWN = "unknown"


class ContactKind(Enum):
    """What a contact point is."""

    PHONE = "phone"
    EMAIL = "email"
    ADDRESS = "address"
    IM = "im"


class ContactPoint(Value, frozen=True, kw_only=True):
    """A way to reach a customer. A phone is E.164; a privacy number is one a platform lends for a while."""

    kind: ContactKind
    value: ContactText | None = None
    use: str | None = None
    verified: bool = False
    is_privacy_number: bool = False
    address: Address | None = None
    raw: ContactText | None = None
