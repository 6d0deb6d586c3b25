"""Accounts: the partners that the gateway is connected to, what each can do, and how it has been."""

from typing import Any

import msgspec
from litestar import Request, Response, get
from litestar.di import NamedDependency
from litestar.params import FromPath

from gateway.access import Viewer
from gateway.api import answers
from gateway.api.answers import Page
from gateway.api.problems import not_found
from gateway.desk import accounts as desks
from gateway.desk.resources import Desk

_SCOPE = {"scope": "ops:read"}


class AccountSeen(msgspec.Struct, frozen=True, kw_only=True):
    """A configured connector. `can` are receive, serve, pull, fetch and probe; `topics` what it tells of; `mappings` the versions that read it.

    The figures count since the gateway was started: `accepted` entries, `refused` requests by reason, `dead` letters by cause, `partner_calls` by
    outcome. `last_seen` is when something was accepted last, to about a minute; null when nothing ever was.
    """

    name: str
    connector: str
    title: str
    can: tuple[str, ...]
    unit: str | None
    lane: str | None
    topics: tuple[str, ...]
    mappings: tuple[str, ...]
    last_seen: str | None
    accepted: int
    refused: dict[str, int]
    dead: dict[str, int]
    partner_calls: dict[str, int]


@get("/accounts", opt=_SCOPE)
async def accounts(viewer: NamedDependency[Viewer], desk: NamedDependency[Desk]) -> Page[AccountSeen]:
    """Accounts within your domain, in the order of the config. Their options and secrets are never part of an answer."""
    return answers.page(await desks.accounts(desk, viewer), None)


@get("/accounts/{name:str}", opt=_SCOPE)
async def account(
    request: Request[Any, Any, Any], viewer: NamedDependency[Viewer], desk: NamedDependency[Desk], name: FromPath[str]
) -> Response[AccountSeen]:
    """One account. 404 where it is not there or lies outside of your domain."""
    found = next((one for one in await desks.accounts(desk, viewer) if one["name"] == name), None)
    if found is None:
        raise not_found("account")
    return answers.tagged(request, found)


ROUTES = (accounts, account)
"""Every handler of this resource."""
