"""Our own side: the tree of units (HQ → region → store) and the staff in it."""

from msgspec import UNSET, UnsetType

from gateway.model.record import Record
from gateway.model.values import ContactText, IdentityText

MAX_DEPTH = 15


class Unit(Record, frozen=True, kw_only=True):
    """One node of the tree, at most ``MAX_DEPTH`` deep, without cycles. Unique by (account, external_id)."""

    account: str = ""
    external_id: str = ""
    name: str | None | UnsetType = UNSET
    parent: str | None | UnsetType = UNSET
    order: int | None | UnsetType = UNSET
    deleted: bool | UnsetType = UNSET


class Staff(Record, frozen=True, kw_only=True):
    """One colleague. ``units`` are the partner's unit ids. Unique by (account, external_id)."""

    account: str = ""
    external_id: str = ""
    name: IdentityText | None | UnsetType = UNSET
    position: str | None | UnsetType = UNSET
    mobile: ContactText | None | UnsetType = UNSET
    email: ContactText | None | UnsetType = UNSET
    units: tuple[str, ...] | None | UnsetType = UNSET
    active: bool | None | UnsetType = UNSET
    renamed_to: str | None | UnsetType = UNSET
    deleted: bool | UnsetType = UNSET
