"""Our own side: org units and the staff in them."""

from datetime import datetime
from typing import Annotated, Any

from litestar import Request, Response, get
from litestar.di import NamedDependency
from litestar.params import FromPath, QueryParameter
from msgspec import UNSET, UnsetType

from gateway.access import Viewer
from gateway.api import answers, records
from gateway.api.answers import After, Fields, Limit, Page
from gateway.api.records import OfAccount, OfNumber, OfUnit, Since
from gateway.desk.reading import Reading, Sought
from gateway.model.organisation import Staff, Unit

_SCOPE = {"scope": "records:read"}


class UnitSeen(Unit, frozen=True, kw_only=True):
    """An org unit as this client may see it; see `CustomerSeen` for the last three."""

    sequence: int = 0
    seen_at: datetime | UnsetType = UNSET
    withheld: tuple[str, ...] | UnsetType = UNSET


@get("/units", opt=_SCOPE)
async def units(
    viewer: NamedDependency[Viewer],
    reading: NamedDependency[Reading],
    limit: Limit = 50,
    after: After = None,
    fields: Fields = None,
    account: OfAccount = None,
    external_id: OfNumber = None,
    updated_since: Since = None,
    parent: Annotated[str | None, records.only("directly below this unit, by the partner's own id")] = None,
) -> Page[UnitSeen]:
    """Org units (HQ, regions, stores), by when they were first seen. `parent` names the unit above by the partner's own id.

    400 for a cursor of another list or a time without its zone.
    """
    sought = Sought(
        account=account, updated_since=answers.since(updated_since),
        fields=records.conditions(external_id=external_id, parent=parent),
    )  # fmt: skip
    return await answers.listed(reading, viewer, "unit", sought, after=after, limit=limit, fields=fields)


@get("/units/{name:str}", opt=_SCOPE)
async def unit(
    request: Request[Any, Any, Any],
    viewer: NamedDependency[Viewer],
    reading: NamedDependency[Reading],
    name: FromPath[str],
) -> Response[UnitSeen]:
    """One org unit by our id (`unt_…`). 404 where it is not there or lies outside of your domain."""
    return await records.one(request, viewer, reading, kind="unit", name=name)


class StaffSeen(Staff, frozen=True, kw_only=True):
    """A colleague as this client may see it; see `CustomerSeen` for the last three."""

    sequence: int = 0
    seen_at: datetime | UnsetType = UNSET
    withheld: tuple[str, ...] | UnsetType = UNSET


@get("/staff", opt=_SCOPE)
async def staff(
    viewer: NamedDependency[Viewer],
    reading: NamedDependency[Reading],
    limit: Limit = 50,
    after: After = None,
    fields: Fields = None,
    account: OfAccount = None,
    external_id: OfNumber = None,
    unit: OfUnit = None,
    updated_since: Since = None,
    active: Annotated[bool | None, QueryParameter(description="Only who are active, or who are not.")] = None,
) -> Page[StaffSeen]:
    """Staff, by when they were first seen; those who left stay, with `active` false or `deleted` true.

    400 for a cursor of another list or a time without its zone.
    """
    sought = Sought(
        account=account, unit=unit, updated_since=answers.since(updated_since),
        fields=records.conditions(external_id=external_id, active=active),
    )  # fmt: skip
    return await answers.listed(reading, viewer, "staff", sought, after=after, limit=limit, fields=fields)


@get("/staff/{name:str}", opt=_SCOPE)
async def colleague(
    request: Request[Any, Any, Any],
    viewer: NamedDependency[Viewer],
    reading: NamedDependency[Reading],
    name: FromPath[str],
) -> Response[StaffSeen]:
    """One colleague by our id (`stf_…`). 404 where it is not there or lies outside of your domain."""
    return await records.one(request, viewer, reading, kind="staff", name=name)


ROUTES = (units, unit, staff, colleague)
"""Every handler of this resource."""
