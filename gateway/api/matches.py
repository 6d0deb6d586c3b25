"""Match candidates: pairs of customers who may be one, for a person to decide; and merges, which can be undone."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any, Literal

import msgspec
from litestar import get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, QueryParameter

from gateway import store
from gateway.access import Viewer
from gateway.api import answers
from gateway.api.answers import After, Limit, Page
from gateway.api.customers import CustomerSeen, IdentitySeen
from gateway.api.problems import Problem, not_found
from gateway.api.signature import ALSO
from gateway.clock import text
from gateway.desk.matching import Matching, Pair, Side
from gateway.desk.reading import Reading
from gateway.desk.resources import Desk
from gateway.errors import ConfigError, GatewayError, Verdict

_READ = {"scope": "ops:read"}
_WRITE = {"scope": "ops:write"}
_WALK = 50
_MOST = 400


class SideSeen(msgspec.Struct, frozen=True, kw_only=True):
    """One customer of a pair, with what is known of who they are."""

    id: str
    record: CustomerSeen
    identities: tuple[IdentitySeen, ...]


class PairSeen(msgspec.Struct, frozen=True, kw_only=True):
    """Two customers who may be one. `reason` is the rule that thought so; `shared` are the namespaces of identities that both carry."""

    id: str
    reason: str
    at: str
    state: str
    a: SideSeen
    b: SideSeen
    shared: tuple[str, ...]


class MergeSeen(msgspec.Struct, frozen=True, kw_only=True):
    """Two customers that became one. `survivor` is the id that stays; `undone_at` when they were parted again."""

    id: str
    survivor: str
    loser: str
    at: str
    reason: str
    undone_at: str | None


class Merged(msgspec.Struct, frozen=True, kw_only=True):
    """The id that stays."""

    survivor: str


@get("/match-candidates", opt={**_READ, ALSO: ("customers:read",)})
async def pairs(
    viewer: NamedDependency[Viewer],
    desk: NamedDependency[Desk],
    limit: Limit = 20,
    after: After = None,
    standing: Annotated[
        Literal["open", "merged", "rejected"], QueryParameter(name="state", description="In this state.")
    ] = "open",
) -> Page[PairSeen]:
    """Pairs whose customers are both within your domain, each side as your grants show it; needs customers:read too. 400 for a cursor of another list."""
    matching, place = Matching(desk), answers.place(after, str)
    start, found = place[0] if place else "", list[Pair]()
    for _ in range(_MOST // _WALK):
        rows = await desk.records.candidates(state=standing, limit=_WALK, after=start)
        for row in rows:
            pair = await matching.pair(viewer, row)
            if pair.a and pair.b and len(found) == limit:
                return answers.page([_pair(one) for one in found], answers.cursor(start))
            found += [pair] if pair.a and pair.b else []
            start = row.id
        if len(rows) < _WALK:
            return answers.page([_pair(one) for one in found], None)
    return answers.page([_pair(one) for one in found], answers.cursor(start))


@post("/match-candidates/{name:str}/merge", opt=_WRITE, status_code=200)
async def merge(viewer: NamedDependency[Viewer], desk: NamedDependency[Desk], name: FromPath[str]) -> Merged:
    """Make both one: the older id stays, the other answers with it from now on, and `customer.merged` is published. It is on the audit trail and
    can be undone.

    404 for a pair that is not open or not within your domain; 409 when one of the two is no customer of its own any more.
    """
    with _settling("match candidate"):
        return Merged(survivor=await Matching(desk).merge(viewer, name))


@post("/match-candidates/{name:str}/reject", opt=_WRITE, status_code=204)
async def reject(viewer: NamedDependency[Viewer], desk: NamedDependency[Desk], name: FromPath[str]) -> None:
    """Keep both apart for ever: no rule merges them any more, whatever they come to share. It is on the audit trail. 404 and 409 as for merging."""
    with _settling("match candidate"):
        await Matching(desk).reject(viewer, name)


@get("/customers/{name:str}/merges", opt={"scope": "customers:read"})
async def merges(
    viewer: NamedDependency[Viewer], reading: NamedDependency[Reading], desk: NamedDependency[Desk], name: FromPath[str]
) -> Page[MergeSeen]:
    """Merges that a customer survived or was lost in, newest first. 404 where the customer is not there or not yours to see."""
    row = await reading.row(viewer, "customer", name)
    if row is None:
        raise not_found("customer")
    return answers.page([_merge(one) for one in await Matching(desk).merges(row.id)], None)


@post("/customers/{name:str}/merges/{merged:str}/undo", opt=_WRITE, status_code=204)
async def undo(
    viewer: NamedDependency[Viewer], desk: NamedDependency[Desk], name: FromPath[str], merged: FromPath[str]
) -> None:
    """Give both customers back what was theirs when they were merged, records included; what was said since stays with the survivor, and
    `customer.unmerged` is published for both. It is on the audit trail.

    404 for a merge that there is not, or of a customer outside of your domain; 409 when it is undone already or one of the two was erased.
    """
    with _settling("merge"):
        await Matching(desk).undo(viewer, name, merged)


@contextmanager
def _settling(what: str) -> Iterator[None]:
    """What a person's decision may meet, as a refusal: what there is not, and what cannot be done any more."""
    try:
        yield
    except ConfigError as error:
        raise not_found(what) from error
    except GatewayError as error:
        if error.verdict is not Verdict.NEVER:
            raise
        raise Problem(409, "match.settled", error.detail, place=error.place, remedy=error.remedy) from error


def _pair(pair: Pair) -> dict[str, Any]:
    one = pair.candidate
    return {
        "id": one.id, "reason": one.reason, "at": text(one.at), "state": one.state, "a": _side(pair.a), "b": _side(pair.b), "shared": pair.shared,
    }  # fmt: skip


def _side(side: Side | None) -> dict[str, Any] | None:
    return msgspec.structs.asdict(side) if side else None


def _merge(one: store.Merge) -> dict[str, Any]:
    return {
        "id": one.id, "survivor": one.survivor, "loser": one.loser, "at": text(one.at), "reason": one.reason,
        "undone_at": text(one.undone_at) if one.undone_at else None,
    }  # fmt: skip


ROUTES = (pairs, merge, reject, merges, undo)
"""Every handler of this resource."""
