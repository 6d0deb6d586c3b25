"""Customers who may be one: both sides as a viewer may see them, what speaks for it, and what a person decides."""

from typing import Any

import msgspec

from gateway import access, store
from gateway.desk.reading import Reading
from gateway.desk.resources import Desk
from gateway.errors import ConfigError

_COMPARED = (
    "name", "nickname", "gender", "birthday", "national_id", "tags", "marketing_consent", "created_at", "unit",
)  # fmt: skip
_COMPARER = access.Viewer(actor="gateway", scopes=frozenset(), grants=dict.fromkeys(access.LEAST, "clear"))


class Side(msgspec.Struct, frozen=True, kw_only=True):
    """One customer of a pair: the record and its identities, as the viewer may see them."""

    id: str
    record: dict[str, Any]
    identities: list[dict[str, Any]]


class Compared(msgspec.Struct, frozen=True, kw_only=True):
    """One field of both. ``same`` is of what is kept, not of what is shown: a mask must not make two people look alike."""

    field: str
    a: Any
    b: Any
    same: bool


class Pair(msgspec.Struct, frozen=True, kw_only=True):
    """A candidate with its evidence. A side is None when it is not there any more or not the viewer's to see."""

    candidate: store.Candidate
    a: Side | None
    b: Side | None
    fields: list[Compared]
    shared: list[str]


class Matching:
    """What the console's Matches page and the API's candidates stand on."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._reading = Reading(desk.records, desk.vault, desk.witness)

    async def pairs(self, viewer: access.Viewer, *, state: str = "open", limit: int = 50) -> list[Pair]:
        """Candidates of a state whose customers the viewer may both see."""
        found = [await self.pair(viewer, one) for one in await self._desk.records.candidates(state=state, limit=limit)]
        return [pair for pair in found if pair.a and pair.b]

    async def candidate(self, name: str, *, state: str = "open") -> store.Candidate:
        """A candidate by id. ConfigError when there is none in that state."""
        # Ids end in a hex digit: whatever follows all of it but the last is one of at most sixteen.
        for one in await self._desk.records.candidates(state=state, limit=16, after=name[:-1]):
            if one.id == name:
                return one
        raise ConfigError(f"no {state} match candidate {name[:60]}", remedy="somebody may have settled it; reload")

    async def pair(self, viewer: access.Viewer, one: store.Candidate) -> Pair:
        """Both sides beside each other."""
        a, b = [await self._side(viewer, name) for name in (one.a, one.b)]
        shared = await self._shared(one)
        fields: list[Compared] = []
        if a[0] and b[0] and a[1] and b[1]:
            # Opened to compare, and let go of: whether two names are equal is told, what they are is not.
            fields = _compared(a[0], b[0], *(self._reading.shown(row, _COMPARER) for row in (a[1], b[1])))
        return Pair(candidate=one, a=a[0], b=b[0], fields=fields, shared=shared)

    async def _side(self, viewer: access.Viewer, name: str) -> tuple[Side | None, store.Row | None]:
        row = await self._reading.row(viewer, "customer", name)
        # A survivor answering for a side that merged meanwhile would compare somebody with themselves.
        if row is None or row.id != name:
            return None, None
        identities = await self._reading.identities(viewer, row)
        return Side(id=row.id, record=self._reading.shown(row, viewer), identities=identities), row

    async def _shared(self, one: store.Candidate) -> list[str]:
        """Namespaces of identities that both carry, by their keyed hashes: nothing is opened."""
        edges = (await self._desk.records.look(store.Wants(edges_of=[one.a, one.b]))).edges_of
        keys = {edge.key for edge in edges.get(one.a, ())}
        return sorted({edge.namespace for edge in edges.get(one.b, ()) if edge.key in keys})

    async def merge(self, viewer: access.Viewer, name: str) -> str:
        """Make both one, on the trail. Returns the survivor."""
        one = await self._own(viewer, name)
        await self._desk.did(viewer, "merge", one.id, a=one.a, b=one.b)
        return await (await self._desk.settler()).merge(one)

    async def reject(self, viewer: access.Viewer, name: str) -> None:
        """Keep both apart for ever, on the trail."""
        one = await self._own(viewer, name)
        await self._desk.did(viewer, "reject", one.id, a=one.a, b=one.b)
        await (await self._desk.settler()).part(one)

    async def undo(self, viewer: access.Viewer, customer: str, merge: str) -> None:
        """Part two customers that were merged, on the trail."""
        row = await self._reading.row(viewer, "customer", customer)
        found = [one for one in await self._desk.records.merges(customer) if one.id == merge] if row else []
        found = [one for one in found if await self._both(viewer, one)]
        if not found:
            raise ConfigError(f"no merge {merge[:60]} of this customer", remedy="reload the page")
        await self._desk.did(viewer, "unmerge", merge, survivor=found[0].survivor, loser=found[0].loser)
        await (await self._desk.settler()).unmerge(found[0])

    async def _both(self, viewer: access.Viewer, merge: store.Merge) -> bool:
        """Whether both were the viewer's to see: what was lost in the other still belongs where it did."""
        names = (merge.survivor, merge.loser)
        rows = (await self._desk.records.look(store.Wants(ids=names))).by_id
        return all(name in rows and viewer.sees(rows[name].unit) for name in names)

    async def merges(self, customer: str) -> list[store.Merge]:
        """Merges of a customer, newest first."""
        return list(await self._desk.records.merges(customer))

    async def _own(self, viewer: access.Viewer, name: str) -> store.Candidate:
        one = await self.candidate(name)
        pair = await self.pair(viewer, one)
        if pair.a is None or pair.b is None:
            raise ConfigError(f"no open match candidate {name[:60]}", remedy="somebody may have settled it; reload")
        return one


def _compared(a: Side, b: Side, kept_a: dict[str, Any], kept_b: dict[str, Any]) -> list[Compared]:
    return [
        Compared(field=field, a=a.record.get(field), b=b.record.get(field), same=kept_a.get(field) == kept_b.get(field))
        for field in _COMPARED
        if a.record.get(field) is not None or b.record.get(field) is not None
    ]
