"""Mappings: which version of each is live, and which accounts read with it."""

import msgspec
from litestar import get
from litestar.di import NamedDependency

from gateway.access import Viewer
from gateway.api import answers
from gateway.api.answers import Page
from gateway.desk import accounts
from gateway.desk.resources import Desk


class MappingSeen(msgspec.Struct, frozen=True, kw_only=True):
    """One mapping. `live` is the version that reads, as events name it in `source.mapping`; `canary` the one that reads `share` percent beside it."""

    id: str
    connector: str
    stem: str
    live: str
    canary: str | None
    share: int
    accounts: tuple[str, ...]


@get("/mappings", opt={"scope": "ops:read"})
async def mappings(viewer: NamedDependency[Viewer], desk: NamedDependency[Desk]) -> Page[MappingSeen]:
    """Every mapping that an account within your domain reads with."""
    return answers.page(await accounts.mappings(desk, viewer), None)


ROUTES = (mappings,)
"""Every handler of this resource."""
