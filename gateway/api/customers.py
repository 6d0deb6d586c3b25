"""Customers: list, read, look up, timeline, identities."""

import math
from datetime import datetime
from typing import Annotated, Any

import msgspec
from litestar import Request, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody, QueryParameter
from msgspec import UNSET, UnsetType

from gateway.access import Viewer
from gateway.api import answers
from gateway.api.answers import After, Fields, Limit, Page
from gateway.api.idempotency import SAFE
from gateway.api.problems import Problem, not_found
from gateway.desk import probes
from gateway.desk.people import People
from gateway.desk.reading import Reading, Sought
from gateway.desk.resources import Desk
from gateway.model.customer import Customer

_SCOPE = {"scope": "customers:read"}


class CustomerSeen(Customer, frozen=True, kw_only=True):
    """A customer as this client may see it. ``sequence`` is the last event's, ``seen_at`` when we learned of the last change, ``withheld`` the
    classes of which something was left out."""

    sequence: int = 0
    seen_at: datetime | UnsetType = UNSET
    withheld: tuple[str, ...] | UnsetType = UNSET


class IdentitySeen(msgspec.Struct, frozen=True, kw_only=True):
    """One identity. ``value`` is contact data and shown as that is granted."""

    namespace: str
    scope: str
    value: str | None
    strength: str
    verified: bool
    live: bool
    first_seen: datetime
    last_seen: datetime


class Moment(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that happened; ``event`` is what a webhook would have carried for this client."""

    id: str
    type: str
    at: datetime
    subject: str
    account: str
    event: dict[str, Any]


class Asked(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What somebody knows about a customer: exactly one of phone, email, or namespace and value (with scope where the namespace has one)."""

    phone: str | None = None
    email: str | None = None
    namespace: str | None = None
    scope: str = ""
    value: str | None = None


@get("/customers", opt=_SCOPE)
async def customers(
    viewer: NamedDependency[Viewer],
    reading: NamedDependency[Reading],
    limit: Limit = 50,
    after: After = None,
    fields: Fields = None,
    unit: Annotated[str | None, QueryParameter(description="Only of this org unit.", max_length=100)] = None,
    updated_since: Annotated[datetime | None, QueryParameter(description="Changed at or after.")] = None,
) -> Page[CustomerSeen]:
    """Customers, by when they were first seen. Merged ones are listed with `state` merged and `merged_into`."""
    sought = Sought(unit=unit, updated_since=answers.since(updated_since))
    return await answers.listed(reading, viewer, "customer", sought, after=after, limit=limit, fields=fields)


@get("/customers/{name:str}", opt=_SCOPE)
async def customer(
    request: Request[Any, Any, Any],
    viewer: NamedDependency[Viewer],
    reading: NamedDependency[Reading],
    name: FromPath[str],
) -> Response[CustomerSeen]:
    """One customer. The id of one that was merged answers with the survivor."""
    found = await reading.one(viewer, "customer", name)
    if found is None:
        raise not_found("customer")
    return answers.tagged(request, found)


@get("/customers/{name:str}/identities", opt=_SCOPE)
async def identities(
    viewer: NamedDependency[Viewer], reading: NamedDependency[Reading], name: FromPath[str]
) -> Page[IdentitySeen]:
    """Who the customer is in every system."""
    row = await reading.row(viewer, "customer", name)
    if row is None:
        raise not_found("customer")
    return answers.page(await reading.identities(viewer, row), None)


@get("/customers/{name:str}/timeline", opt=_SCOPE)
async def timeline(
    viewer: NamedDependency[Viewer],
    reading: NamedDependency[Reading],
    people: NamedDependency[People],
    name: FromPath[str],
    limit: Limit = 50,
    after: After = None,
) -> Page[Moment]:
    """What happened with the customer, newest first: their own events and those of every record of theirs."""
    row = await reading.row(viewer, "customer", name)
    if row is None:
        raise not_found("customer")
    place = answers.place(after, int)
    items, more = await people.timeline(viewer, row.id, before=place[0] if place else None, limit=limit)
    return answers.page(items, answers.cursor(more) if more else None)


@post("/customers:lookup", opt={**_SCOPE, SAFE: True}, status_code=200)
async def lookup(
    viewer: NamedDependency[Viewer],
    reading: NamedDependency[Reading],
    people: NamedDependency[People],
    desk: NamedDependency[Desk],
    data: JSONBody[Asked],
) -> Page[CustomerSeen]:
    """Customers who carry a phone, an e-mail or a system's own number now. Nothing is found where nobody does.

    By phone or e-mail as often as your pace allows where contact data is granted in the clear; 120 times and then three times a minute where it
    is masked or a pseudonym (429), and not at all where it is dropped (403).
    """
    known = _known(data)
    await _need_asking(desk, viewer, known[0])
    rows = await people.find(viewer, *known)
    return answers.page([await reading.listed(row, viewer) for row in rows], None)


async def _need_asking(desk: Desk, viewer: Viewer, namespace: str) -> None:
    wait = await probes.wait(desk, viewer, namespace)
    if not wait:
        return
    if math.isinf(wait):
        raise Problem(
            403, "lookup.withheld", f"contact data is withheld from this client, and so is finding anybody by {namespace}", place="body",
            remedy="ask the gateway's operator for a grant of contact, or look up by a system's own number",
        )  # fmt: skip
    seconds = str(math.ceil(wait))
    raise Problem(
        429, "lookup.pace", "finding people by what can be guessed is slow where contact data is not granted in the clear",
        remedy=f"wait {seconds} s, or ask the gateway's operator for contact in the clear", headers={"retry-after": seconds},
    )  # fmt: skip


def _known(asked: Asked) -> tuple[str, str, str]:
    given = [
        ("phone", "", asked.phone), ("email", "", asked.email), (asked.namespace or "", asked.scope, asked.value)
    ]  # fmt: skip
    said = [(namespace, scope, value) for namespace, scope, value in given if value]
    if len(said) != 1 or not said[0][0]:
        raise Problem(
            400,
            "request.invalid",
            "say exactly one of phone, email, or namespace and value",
            place="body",
            remedy='{"phone": "+86138…"}',
        )
    return said[0]


ROUTES = (customers, customer, identities, timeline, lookup)
"""Every handler of this resource."""
