"""Records as somebody may see them: within their domain, each field as its class was granted."""

import asyncio
from collections.abc import Mapping
from typing import Any

import msgspec

from gateway import access, grant, store
from gateway.clock import text
from gateway.desk.witness import Witness
from gateway.errors import Tampered
from gateway.pipeline import change
from gateway.pipeline.world import record_key
from gateway.vault import Vault

KINDS = ("customer", "order", "appointment", "interaction", "relationship", "unit", "staff", "stock")
_WALK = 500
# How many rows one page looks through at most: a filter that matches little answers short pages with a next, never slowly.
_MOST = 4000
_HOPS = 16
_BREATH = 10
_READERS = 2000
_NOTHING = dict.fromkeys(access.LEAST, "drop")
_decode = msgspec.json.Decoder(dict[str, Any])


class Sought(msgspec.Struct, frozen=True, kw_only=True):
    """Which records of a kind: all conditions that are set. ``fields`` are public fields of the body and the value each must have."""

    customer: str | None = None
    account: str | None = None
    unit: str | None = None
    updated_since: int | None = None
    fields: Mapping[str, str | bool] = {}


class Cut(msgspec.Struct, frozen=True, kw_only=True):
    """One page: what may be shown, and the id to go on after, None at the end."""

    items: list[dict[str, Any]]
    next: str | None


class Reading:
    """Reads the store under a viewer's grants. What lies outside of the domain is as if it were not there.

    One thing in which a sealed value was altered is Tampered. Among others it is shown as to who may see nothing sealed, so that it does not hide
    the rest; operators are told.
    """

    def __init__(self, records: store.Store, vault: Vault, witness: Witness) -> None:
        self._store = records
        self._vault = vault
        self._witness = witness
        self._readers: dict[tuple[str, ...], grant.Reader] = {}

    async def one(self, viewer: access.Viewer, kind: str, name: str) -> dict[str, Any] | None:
        """A record by id; a merged customer's id answers with the survivor."""
        row = await self.row(viewer, kind, name)
        return self.shown(row, viewer) if row else None

    async def row(self, viewer: access.Viewer, kind: str, name: str) -> store.Row | None:
        """The row behind ``one``."""
        for _ in range(_HOPS):
            found = (await self._store.look(store.Wants(ids=[name]))).by_id.get(name)
            if found is None or found.kind != kind or not viewer.sees(found.unit):
                return None
            into = _decode.decode(found.body).get("merged_into") if kind == "customer" else None
            if not into:
                return found
            name = into
        return None

    async def by_number(self, viewer: access.Viewer, kind: str, account: str, external: str) -> store.Row | None:
        """A record by its account and the partner's own number."""
        key = record_key(self._vault, kind, account, external)
        found = (await self._store.look(store.Wants(records=[key]))).rows.get(key)
        return found if found and found.kind == kind and viewer.sees(found.unit) else None

    async def page(
        self, viewer: access.Viewer, kind: str, sought: Sought, *, after: str, limit: int, newest: bool = False
    ) -> Cut:
        """Records by id, that is, by when they were first seen; ``newest`` first on request. Writing while somebody pages neither repeats nor skips one.

        One that is named by its account and ``external_id`` is found at once.
        """
        number = sought.fields.get("external_id")
        if sought.account is not None and isinstance(number, str):
            row = await self.by_number(viewer, kind, sought.account, number)
            meant = row is not None and self._meant(row, sought) and sought.customer in (None, row.customer)
            return Cut(items=[await self.listed(row, viewer)] if row and meant else [], next=None)
        items: list[dict[str, Any]] = []
        walked, step = 0, min(limit + 1, _WALK)
        while walked < _MOST:
            rows = await self._store.rows(kind, limit=step, after=after, customer=sought.customer, newest=newest)
            for row in rows:
                after = row.id
                if viewer.sees(row.unit) and self._meant(row, sought):
                    # One more than was asked for tells whether the page is the last.
                    if len(items) == limit:
                        return Cut(items=items, next=items[-1]["id"])
                    items.append(await self.listed(row, viewer))
                    if len(items) % _BREATH == 0:
                        # Opening a page takes milliseconds, and somebody may be pushing at this door.
                        await asyncio.sleep(0)
            walked += len(rows)
            if len(rows) < step:
                return Cut(items=items, next=None)
            # Where little of what is there was meant, more is looked at in one go.
            step = min(step * 4, _WALK)
        return Cut(items=items, next=after)

    def _meant(self, row: store.Row, sought: Sought) -> bool:
        if sought.account is not None and row.account != sought.account:
            return False
        if sought.unit is not None and row.unit != sought.unit:
            return False
        if sought.updated_since is not None and row.updated < sought.updated_since:
            return False
        if not sought.fields:
            return True
        body = _decode.decode(row.body)
        return all(body.get(name) == wanted for name, wanted in sought.fields.items())

    def shown(self, row: store.Row, viewer: access.Viewer) -> dict[str, Any]:
        """A record under the viewer's grants, with ``sequence`` (the last event's), ``seen_at`` and, where something was held back, ``withheld``."""
        body = change.published(_decode.decode(row.body))
        shown = grant.show(body, self.reader(viewer), self._vault, row.id)
        shown.update(id=row.id, sequence=row.sequence, seen_at=text(row.updated))
        return shown

    async def listed(self, row: store.Row, viewer: access.Viewer) -> dict[str, Any]:
        """A record as one of many."""
        try:
            return self.shown(row, viewer)
        except Tampered as error:
            await self._witness.altered(error, stage="read", where=row.id)
            return self.shown(row, _closed(viewer))

    async def told(self, row: store.EventRow, viewer: access.Viewer) -> dict[str, Any]:
        """An event as one of many."""
        try:
            return self.event(row, viewer)
        except Tampered as error:
            await self._witness.altered(error, stage="read", where=row.id, subject=row.subject)
            return self.event(row, _closed(viewer))

    def reader(self, viewer: access.Viewer) -> grant.Reader:
        """The viewer's grant made ready; the same for the same actor and grants."""
        key = (viewer.actor, *viewer.grants.values())
        known = self._readers.get(key)
        if known is None:
            if len(self._readers) > _READERS:
                self._readers.clear()
            known = grant.Reader(grant.Grant(who=viewer.actor, treatments=viewer.grants), self._vault)
            self._readers[key] = known
        return known

    async def identities(self, viewer: access.Viewer, row: store.Row) -> list[dict[str, Any]]:
        """Who a customer is, by every system: namespace, strength, and the value as contact data is granted."""
        edges = (await self._store.look(store.Wants(edges_of=[row.id]))).edges_of.get(row.id, [])
        return [self._identity(edge, viewer) for edge in sorted(edges, key=lambda one: (one.namespace, one.first_seen))]

    def _identity(self, edge: store.Edge, viewer: access.Viewer) -> dict[str, Any]:
        body = {"identities": {"value": {"$sealed": edge.value}}}
        shown = grant.show(body, self.reader(viewer), self._vault, edge.customer)
        return {
            "namespace": edge.namespace,
            "scope": edge.scope,
            "value": shown["identities"].get("value"),
            "strength": edge.strength.value,
            "verified": edge.verified,
            "live": edge.live,
            "first_seen": text(edge.first_seen),
            "last_seen": text(edge.last_seen),
        }

    def event(self, row: store.EventRow, viewer: access.Viewer) -> dict[str, Any]:
        """An event as this viewer may see it, as a webhook would carry it."""
        return grant.show(_decode.decode(row.body), self.reader(viewer), self._vault)


def _closed(viewer: access.Viewer) -> access.Viewer:
    """The same person, who may see nothing that is sealed."""
    return msgspec.structs.replace(viewer, grants=_NOTHING)
