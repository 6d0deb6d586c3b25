"""Appointments: list, read by our id or by the partner's own number."""

from datetime import datetime
from typing import Annotated, Any

from litestar import Request, Response, get
from litestar.di import NamedDependency
from litestar.params import FromPath, QueryParameter
from msgspec import UNSET, UnsetType

from gateway.access import Viewer
from gateway.api import answers, records
from gateway.api.answers import After, Fields, Limit, Page
from gateway.api.records import OfAccount, OfCustomer, OfNumber, OfUnit, Since
from gateway.desk.reading import Reading, Sought
from gateway.model.appointment import Appointment, Status

_SCOPE = {"scope": "appointments:read"}


class AppointmentSeen(Appointment, frozen=True, kw_only=True):
    """An appointment as this client may see it; see `CustomerSeen` for the last three."""

    sequence: int = 0
    seen_at: datetime | UnsetType = UNSET
    withheld: tuple[str, ...] | UnsetType = UNSET


@get("/appointments", opt=_SCOPE)
async def appointments(
    viewer: NamedDependency[Viewer],
    reading: NamedDependency[Reading],
    limit: Limit = 50,
    after: After = None,
    fields: Fields = None,
    customer: OfCustomer = None,
    account: OfAccount = None,
    external_id: OfNumber = None,
    unit: OfUnit = None,
    updated_since: Since = None,
    status: Annotated[Status | None, QueryParameter(description="Only with this status.")] = None,
) -> Page[AppointmentSeen]:
    """Appointments, by when they were first seen. `service` and `reason` are clinical: without a grant for health data they are left out and
    `withheld` says so.

    400 for a cursor of another list or a time without its zone.
    """
    sought = Sought(
        customer=customer, account=account, unit=unit, updated_since=answers.since(updated_since),
        fields=records.conditions(external_id=external_id, status=status),
    )  # fmt: skip
    return await answers.listed(reading, viewer, "appointment", sought, after=after, limit=limit, fields=fields)


@get("/appointments/{name:str}", opt=_SCOPE)
async def appointment(
    request: Request[Any, Any, Any],
    viewer: NamedDependency[Viewer],
    reading: NamedDependency[Reading],
    name: FromPath[str],
) -> Response[AppointmentSeen]:
    """One appointment by our id (`apt_…`). 404 where it is not there or lies outside of your domain."""
    return await records.one(request, viewer, reading, kind="appointment", name=name)


ROUTES = (appointments, appointment)
"""Every handler of this resource."""
