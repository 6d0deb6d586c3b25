"""Requests that were refused at a door: by reason and account, from whom, how large. Never what was in them."""

from collections import Counter
from collections.abc import Sequence

import msgspec

from gateway import access, store
from gateway.clock import SECOND, id_from
from gateway.desk import flow
from gateway.desk.resources import Desk

DAY = 86_400 * SECOND
_MOST = 5000
_PAGE = 500
_PEERS = 5


class Group(msgspec.Struct, kw_only=True):
    """Refusals of one account for one reason. ``peers`` with how often, the most first; sizes in bytes."""

    account: str
    reason: str
    count: int = 0
    first: int = 0
    last: int = 0
    smallest: int = 0
    largest: int = 0
    detail: str = ""
    seen: Counter[str] = msgspec.field(default_factory=Counter)

    @property
    def peers(self) -> Sequence[tuple[str, int]]:
        """The five that sent most."""
        return self.seen.most_common(_PEERS)

    @property
    def others(self) -> int:
        """How many more addresses there are."""
        return max(0, len(self.seen) - _PEERS)

    def add(self, one: store.Reject) -> None:
        """One more."""
        if not self.count:
            self.first, self.smallest = one.at, one.size
        self.count += 1
        self.first, self.last = min(self.first, one.at), max(self.last, one.at)
        self.smallest, self.largest = min(self.smallest, one.size), max(self.largest, one.size)
        self.detail = one.detail or self.detail
        self.seen[one.peer] += 1


async def since(desk: Desk, viewer: access.Viewer, *, at: int) -> tuple[list[store.Reject], bool]:
    """What was refused since, oldest first, five thousand at most; and whether that is all. Bodies are left out."""
    # Ids begin with their instant: what was refused before need not be read.
    after = id_from("rej", at)
    found: list[store.Reject] = []
    while len(found) < _MOST and (page := await desk.records.rejects(limit=_PAGE, after=after)):
        after = page[-1].id
        found += [msgspec.structs.replace(one, body=None) for one in page if flow.within(desk, viewer, one.account)]
    return found[:_MOST], len(found) < _MOST


def grouped(rejects: Sequence[store.Reject]) -> list[Group]:
    """By account and reason, the most first."""
    found: dict[tuple[str, str], Group] = {}
    for one in rejects:
        found.setdefault((one.account, one.reason), Group(account=one.account, reason=one.reason)).add(one)
    return sorted(found.values(), key=lambda one: -one.count)


async def one(desk: Desk, viewer: access.Viewer, name: str) -> store.Reject | None:
    """One refusal, with its sealed body; None when it is not there or not the viewer's."""
    found = await desk.records.rejects(limit=1, after=flow.before(name)) if name.startswith("rej_") else ()
    if not found or found[0].id != name or not flow.within(desk, viewer, found[0].account):
        return None
    return found[0]
