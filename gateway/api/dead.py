"""Dead letters: entries that nobody could read and deliveries that nobody took, for a person to settle."""

from typing import Annotated, Literal

import msgspec
from litestar import get, post
from litestar.di import NamedDependency
from litestar.params import JSONBody, QueryParameter

from gateway.access import Viewer
from gateway.api import answers, records
from gateway.api.answers import After, Limit, Page
from gateway.desk import dead
from gateway.desk.dead import Outcome
from gateway.desk.resources import Desk

_READ = {"scope": "ops:read"}
_WRITE = {"scope": "ops:write"}
Ids = Annotated[
    tuple[Annotated[str, msgspec.Meta(min_length=1, max_length=100)], ...],
    msgspec.Meta(min_length=1, max_length=200, description="Of dead letters (`ded_…`) and of dead deliveries (`dlv_…`)."),
]  # fmt: skip


class LetterSeen(msgspec.Struct, frozen=True, kw_only=True):
    """An entry that could not be read. `stage` is where it failed (open, decode, map, apply, fetch), `cause` a stable word that groups; `detail`
    holds nothing of what was said."""

    id: str
    entry: str
    account: str
    topic: str
    stage: str
    cause: str
    detail: str
    at: str
    tries: int
    state: str


class Retrying(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which ones."""

    ids: Ids


class Dropping(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which ones, and why nobody needs them."""

    ids: Ids
    reason: Annotated[str, msgspec.Meta(min_length=3, max_length=500)]


@get("/dead-letters", opt=_READ)
async def letters(
    viewer: NamedDependency[Viewer],
    desk: NamedDependency[Desk],
    limit: Limit = 50,
    after: After = None,
    standing: Annotated[
        Literal["open", "retried", "dropped"], QueryParameter(name="state", description="In this state.")
    ] = "open",
    account: Annotated[str | None, records.only("of this account")] = None,
    cause: Annotated[str | None, records.only("with this cause")] = None,
) -> Page[LetterSeen]:
    """Entries that could not be read, of the accounts within your domain. Dead deliveries are `GET /deliveries?state=dead`.

    400 for a cursor of another list or a state that there is not.
    """
    place = answers.place(after, str)
    items, more = await dead.letters(
        desk, viewer, state=standing, account=account, cause=cause, after=place[0] if place else "", limit=limit
    )
    return answers.page(items, answers.cursor(more) if more else None)


@post("/dead-letters:retry", opt=_WRITE, status_code=200)
async def retry(
    viewer: NamedDependency[Viewer], desk: NamedDependency[Desk], data: JSONBody[Retrying]
) -> Page[Outcome]:
    """Try them again: entries are read with today's mappings, deliveries are due at once. One outcome for each, in their order; what cannot be
    tried again (purged, of a disabled endpoint, already settled) says why and hinders no other. It is on the audit trail."""
    return answers.page(await dead.retry(desk, viewer, data.ids), None)


@post("/dead-letters:drop", opt=_WRITE, status_code=200)
async def drop(viewer: NamedDependency[Viewer], desk: NamedDependency[Desk], data: JSONBody[Dropping]) -> Page[Outcome]:
    """Close them for good, with a reason that is kept. One outcome for each, in their order. It is on the audit trail."""
    return answers.page(await dead.drop(desk, viewer, data.ids, data.reason), None)


ROUTES = (letters, retry, drop)
"""Every handler of this resource."""
