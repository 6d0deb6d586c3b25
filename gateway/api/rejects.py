"""Rejects: requests that were refused at a door, and why; never what they held."""

from datetime import datetime
from typing import Annotated

import msgspec
from litestar import get
from litestar.di import NamedDependency
from litestar.params import QueryParameter

from gateway.access import Viewer
from gateway.api import answers, records
from gateway.api.answers import After, Limit, Page
from gateway.clock import id_from
from gateway.desk import dead
from gateway.desk.resources import Desk


class RejectSeen(msgspec.Struct, frozen=True, kw_only=True):
    """A refused request. `reason` is a stable word (signature, stale, decrypt, receiver, malformed, too_large …); `size` in bytes."""

    id: str
    at: str
    account: str
    reason: str
    detail: str
    peer: str
    size: int


@get("/rejects", opt={"scope": "ops:read"})
async def rejects(
    viewer: NamedDependency[Viewer],
    desk: NamedDependency[Desk],
    limit: Limit = 50,
    after: After = None,
    account: Annotated[str | None, records.only("of this account")] = None,
    since: Annotated[datetime | None, QueryParameter(description="At or after; an instant with its zone.")] = None,
) -> Page[RejectSeen]:
    """Requests that were refused, of the accounts within your domain, oldest first; the newest few thousand are kept.

    400 for a cursor of another list or an instant without its zone.
    """
    place = answers.place(after, str)
    begin = answers.since(since)
    start = place[0] if place else id_from("rej", begin) if begin is not None else ""
    items, more = await dead.rejects(desk, viewer, account=account, after=start, limit=limit)
    return answers.page(items, answers.cursor(more) if more else None)


ROUTES = (rejects,)
"""Every handler of this resource."""
