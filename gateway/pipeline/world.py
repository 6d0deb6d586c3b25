"""What a batch knows and changes, in memory: the stored rows it touches, and what it will write.

Every id made here is derived from the entry that caused it, so that a batch repeated after a crash makes the very same records and events.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from gateway import clock, identity, mapping
from gateway.clock import SECOND, derived_id
from gateway.model.customer import Customer
from gateway.model.identity import Strength
from gateway.model.values import Sensitivity
from gateway.pipeline import change, joining
from gateway.pipeline.change import Body, Verdict
from gateway.pipeline.rebind import rebind
from gateway.pipeline.renew import Renewal
from gateway.store import Batch, Candidate, Edge, EventRow, Found, Merge, Row, Superseded
from gateway.vault import Vault, body

PREFIXES = {
    "customer": "cus",
    "order": "ord",
    "interaction": "int",
    "appointment": "apt",
    "relationship": "rel",
    "staff": "stf",
    "unit": "unt",
    "stock": "stk",
}
_REFRESH = 86_400 * SECOND
_json = msgspec.json.Encoder()
_bodies = msgspec.json.Decoder(dict[str, Any])


class Cause(msgspec.Struct, frozen=True, kw_only=True):
    """Why something is written: the entry, and whose mapping read it. ``at`` is when the entry was received."""

    entry: str
    account: str
    connector: str
    mapping: str
    stem: str
    at: int
    unit: str | None


class World:
    """See the module. One per batch; ``rows`` … ``candidates`` are the batch's output."""

    def __init__(self, found: Found, vault: Vault) -> None:
        self._vault = vault
        self._rows = dict(found.rows)
        self._by_id = dict(found.by_id)
        self._by_id.update({row.id: row for row in found.rows.values()})
        self._held: dict[bytes, list[Edge]] = {key: list(edges) for key, edges in found.edges.items()}
        self._owned: dict[str, list[Edge]] = {name: list(edges) for name, edges in found.edges_of.items()}
        vault.meet(self._by_id)
        self._bodies: dict[str, Body] = {}
        self._stored = Renewal(self._by_id.values(), (one for some in self._held.values() for one in some), vault)
        self._alias: dict[str, str] = {}
        self._apart: set[tuple[str, str]] = set()
        self._dirty: dict[str, Row] = {}
        self._stamps: dict[str, tuple[int, int]] = {}
        self._dirty_edges: dict[tuple[bytes, str], Edge] = {}
        self.gone: list[tuple[bytes, str]] = []
        self.events: list[EventRow] = []
        self.merges: list[Merge] = []
        self.moves: list[tuple[str, str]] = []
        self.candidates: list[Candidate] = []
        self.superseded: list[Superseded] = []
        self.flagged: list[tuple[str, str]] = []
        for row in self._by_id.values():
            self._note_alias(row)

    @property
    def rows(self) -> Sequence[Row]:
        """Records to write."""
        return list(self._dirty.values())

    @property
    def read(self) -> Sequence[tuple[str, int, int]]:
        """Those of them that existed, and customers that others are about, as they were when they were looked up."""
        return [(name, sequence, updated) for name, (sequence, updated) in self._stamps.items()]

    @property
    def edges(self) -> Sequence[Edge]:
        """Identities to write."""
        return list(self._dirty_edges.values())

    def batch(self) -> Batch:
        """All of it, for the store; whoever asks adds what else belongs into the same commit."""
        return Batch(
            rows=self.rows,
            read=self.read,
            edges=self.edges,
            gone=self.gone,
            merges=self.merges,
            moves=self.moves,
            candidates=self.candidates,
            superseded=self.superseded,
            events=self.events,
        )

    def _note_alias(self, row: Row) -> None:
        if row.kind == "customer":
            known = self._body(row)
            if into := known.get("merged_into"):
                self._alias[row.id] = into
            for other in known.get(change.APART, ()):
                self._apart.add((min(row.id, other), max(row.id, other)))

    def alias_of(self, name: str) -> str:
        """The customer that ``name`` is now."""
        while name in self._alias:
            name = self._alias[name]
        return name

    def _body(self, row: Row) -> Body:
        known = self._bodies.get(row.id)
        if known is None:
            known = self._bodies[row.id] = self._stored.body(row)
        return known

    # ------------------------------------------------------------------ one mapped record
    def apply(self, said: mapping.Mapped, claims: Sequence[identity.Claim], cause: Cause, number: int) -> None:
        """Take one record in: find its customer, apply the version rule, publish what changed. ``number`` tells an entry's records apart."""
        who = self._person(said, claims, cause, number)
        if said.kind != "customer":
            self._record(said, who, cause, number)

    # ------------------------------------------------------------------ people
    def _person(self, said: mapping.Mapped, claims: Sequence[identity.Claim], cause: Cause, number: int) -> str | None:
        if not claims:
            return None
        resolved = identity.resolve(claims, self._held, self._owned, _Aliases(self), self._apart)
        for merge in resolved.merges:
            self.merge(merge, cause)
        if resolved.customer is None and not resolved.new:
            return None
        name = resolved.customer or self._named("cus", cause, number)
        # Whom this is about may be erased meanwhile: then it is about somebody new.
        self._rely(name)
        fresh = self._attach(name, resolved, cause)
        patch = said.record if said.kind == "customer" else said.customer
        self._customer(name, patch, said, cause, fresh)
        for pair in resolved.pairs:
            self._candidate(pair, name, cause)
        return name

    def _attach(self, name: str, resolved: identity.Resolution, cause: Cause) -> list[Edge]:
        """Write the edges that are new or worth refreshing; returns those that are news to subscribers."""
        fresh = []
        for claim in resolved.attach:
            known = next((edge for edge in self._held.get(claim.key, ()) if self.alias_of(edge.customer) == name), None)
            live = claim.key not in resolved.retire
            verified = claim.assertion.verified or (known is not None and known.verified)
            if known and known.live == live and known.verified == verified and cause.at - known.last_seen < _REFRESH:
                continue
            edge = self._edge(name, claim, cause, known=known, live=live, verified=verified)
            self._put_edge(edge)
            if known is None or known.live != live or known.verified != verified:
                fresh.append(edge)
        return fresh

    def _edge(
        self, name: str, claim: identity.Claim, cause: Cause, *, known: Edge | None, live: bool, verified: bool
    ) -> Edge:
        said = claim.assertion
        return Edge(
            key=claim.key,
            customer=name,
            namespace=said.namespace,
            scope=said.scope,
            strength=Strength.MEDIUM if verified and claim.strength is Strength.WEAK else claim.strength,
            verified=verified,
            live=live,
            value=self._vault.seal_text(said.value, f"{name}/identities.value", Sensitivity.CONTACT),
            first_seen=known.first_seen if known else cause.at,
            last_seen=cause.at,
        )

    def _put_edge(self, edge: Edge) -> None:
        for edges in (self._held.setdefault(edge.key, []), self._owned.setdefault(edge.customer, [])):
            edges[:] = [other for other in edges if (other.key, other.customer) != (edge.key, edge.customer)]
            edges.append(edge)
        self._dirty_edges[(edge.key, edge.customer)] = edge

    def _drop_edge(self, edge: Edge) -> None:
        for edges in (self._held.get(edge.key, []), self._owned.get(edge.customer, [])):
            edges[:] = [other for other in edges if (other.key, other.customer) != (edge.key, edge.customer)]
        self._dirty_edges.pop((edge.key, edge.customer), None)
        self.gone.append((edge.key, edge.customer))

    def _customer(self, name: str, patch: Any, said: mapping.Mapped, cause: Cause, fresh: Sequence[Edge]) -> None:
        row = self._by_id.get(name)
        old = self._body(row) if row else None
        asserted = body(patch, name, self._vault) if isinstance(patch, Customer) else {}
        if cause.unit is not None and old is None:
            asserted.setdefault("unit", cause.unit)
        at = said.source_time if said.source_time is not None else cause.at
        done = change.change_person(old, {"id": name, **asserted}, account=cause.account, at=clock.text(at))
        changed = sorted({*done.changed, *(["identities"] if fresh else [])} - {"state"})
        if done.verdict is Verdict.DUPLICATE and not fresh:
            if row is not None and done.body is not old:
                self._keep(msgspec.structs.replace(row, updated=cause.at, body=_json.encode(done.body)), done.body)
            return
        new = {"id": name, **done.body}
        if old is None:
            new["created_at"] = clock.text(cause.at)
        extra = {"identities": [_identity(edge) for edge in fresh]} if fresh else {}
        self._publish(
            "customer", name, old, new, changed, cause, at=max(at, row.at if row else 0), version=None, more=extra
        )

    def _candidate(self, pair: identity.Pair, name: str, cause: Cause) -> None:
        first, second = sorted((pair.a or name, pair.b))
        if first != second:
            self.candidates.append(
                Candidate(
                    id=derived_id("mtc", cause.at, first, second, pair.reason),
                    a=first,
                    b=second,
                    reason=pair.reason,
                    at=cause.at,
                )
            )

    # ------------------------------------------------------------------ merging
    def merge(self, merge: identity.Merge, cause: Cause) -> None:
        """Make two customers one, keeping what is needed to part them again. Both must have been looked up, with their edges."""
        survivor, loser = self._by_id[merge.survivor], self._by_id[merge.loser]
        kept, lost = self._body(survivor), self._body(loser)
        edges = [edge for edge in self._owned.get(loser.id, ()) if edge.customer == loser.id]
        joined = joining.join(kept, rebind(lost, loser.id, survivor.id, self._vault))
        before = {"survivor": kept, "loser": lost, "joined": joined, "edges": [edge.key.hex() for edge in edges]}
        self.merges.append(
            Merge(
                id=derived_id("mrg", cause.at, cause.entry, survivor.id, loser.id),
                survivor=survivor.id,
                loser=loser.id,
                at=cause.at,
                reason=merge.reason,
                before=_json.encode(before),
            )
        )
        self.moves.append((loser.id, survivor.id))
        self._alias[loser.id] = survivor.id
        for edge in edges:
            self._move_edge(edge, survivor.id)
        self._tombstone(loser, survivor.id, cause)
        changed = [
            field
            for field in joined
            if joined.get(field) != kept.get(field) and field not in ("provenance", "updated_at")
        ]
        self._publish(
            "customer", survivor.id, kept, joined, sorted(changed), cause, at=survivor.at, version=None, kind_of="customer.merged",
            beside={"merged": {"id": loser.id}},
        )  # fmt: skip
        # Whom the loser was kept apart from, the survivor is from now on.
        self._note_alias(self._by_id[survivor.id])

    def _move_edge(self, edge: Edge, survivor: str) -> None:
        self._drop_edge(edge)
        value = self._vault.open_text(edge.value, f"{edge.customer}/identities.value")
        moved = msgspec.structs.replace(
            edge,
            customer=survivor,
            value=self._vault.seal_text(value, f"{survivor}/identities.value", Sensitivity.CONTACT),
        )
        self._put_edge(moved)

    def _tombstone(self, loser: Row, survivor: str, cause: Cause) -> None:
        stone = {"id": loser.id, "state": "merged", "merged_into": survivor, "updated_at": clock.text(cause.at)}
        self._keep(msgspec.structs.replace(loser, updated=cause.at, body=_json.encode(stone)), stone)

    # ------------------------------------------------------------------ other records
    def _record(self, said: mapping.Mapped, who: str | None, cause: Cause, number: int) -> None:
        kind = said.kind
        external = getattr(said.record, "external_id", "")
        key = record_key(self._vault, kind, cause.account, external)
        row = self._rows.get(key)
        name = row.id if row else self._named(PREFIXES[kind], cause, number, kind)
        patch = self._patch(said, name, who, row, cause)
        old = self._body(row) if row else None
        if old is not None and kind == "interaction":
            return
        at = said.source_time if said.source_time is not None else cause.at
        done = change.change(old, patch, source=f"{cause.account}/{cause.stem}", at=at, version=said.source_version)
        if done.verdict is Verdict.SUPERSEDED:
            self.superseded.append(
                Superseded(record=name, entry=cause.entry, at=at, received=cause.at, body=_json.encode(patch))
            )
        elif done.verdict is Verdict.DUPLICATE:
            if row is not None and done.body is not old:
                self._keep(
                    msgspec.structs.replace(row, at=max(at, row.at), updated=cause.at, body=_json.encode(done.body)),
                    done.body,
                )
        else:
            self.flagged += [(cause.account, flag) for flag in done.body.get("flags") or ()]
            self._publish(kind, name, old, done.body, done.changed, cause, at=at, version=said.source_version, key=key)

    def _patch(self, said: mapping.Mapped, name: str, who: str | None, row: Row | None, cause: Cause) -> Body:
        patch = body(said.record, name, self._vault)
        patch["id"] = name
        patch["account"] = cause.account
        if who is None and row is not None and row.customer is not None:
            who = self.alias_of(row.customer)
        if who is not None:
            patch["customer"] = who
        if cause.unit is not None:
            patch.setdefault("unit", cause.unit)
        return patch

    def _named(self, prefix: str, cause: Cause, number: int, *more: str) -> str:
        """The id of a record that is made."""
        name = derived_id(prefix, cause.at, cause.entry, str(number), *more)
        self._vault.expect(name)
        return name

    # ------------------------------------------------------------------ writing
    def _publish(
        self,
        kind: str,
        name: str,
        old: Body | None,
        new: Body,
        changed: Sequence[str],
        cause: Cause,
        *,
        at: int,
        version: int | None,
        key: bytes | None = None,
        kind_of: str | None = None,
        more: Body | None = None,
        beside: Body | None = None,
    ) -> None:
        row = self._by_id.get(name)
        sequence = (row.sequence if row else 0) + 1
        customer = new.get("customer") if kind != "customer" else None
        self._keep(
            Row(
                id=name,
                kind=kind,
                key=key or (row.key if row else name.encode()),
                account=cause.account if row is None else row.account,
                customer=customer,
                unit=new.get("unit"),
                at=max(at, row.at if row else 0),
                version=version,
                sequence=sequence,
                created=row.created if row else cause.at,
                updated=cause.at,
                body=_json.encode(new),
            ),
            new,
        )
        data: Body = {kind: {**change.published(new), **(more or {})}, **(beside or {})}
        if customer is not None:
            data["customer"] = self._card_of(customer)
        data["changed"] = list(changed)
        self._event(kind_of or change.event_type(kind, old, new), name, sequence, data, new.get("unit"), cause)

    def _event(self, type_: str, subject: str, sequence: int, data: Body, unit: str | None, cause: Cause) -> None:
        event = derived_id("evt", cause.at, cause.entry, subject, str(sequence))
        document = {
            "id": event,
            "type": type_,
            "timestamp": clock.text(cause.at),
            "schema": 1,
            "subject": subject,
            "sequence": sequence,
            "source": {
                "account": cause.account,
                "connector": cause.connector,
                "entry": cause.entry,
                "mapping": cause.mapping,
            },
            "data": data,
        }
        self.events.append(
            EventRow(
                id=event, type=type_, subject=subject, sequence=sequence, at=cause.at, account=cause.account, entry=cause.entry,
                unit=unit, body=_json.encode(document),
            )
        )  # fmt: skip

    def _card_of(self, customer: str) -> Body:
        """The customer as other records' events show it."""
        row = self._by_id.get(customer)
        if row is None:
            return {"id": customer}
        known = self._body(row)
        return {
            field: known[field] for field in ("id", "name", "nickname", "contacts", "tags", "unit") if field in known
        }

    def _keep(self, row: Row, new: Body) -> None:
        self._rely(row.id)
        self._dirty[row.id] = row
        self._by_id[row.id] = row
        self._rows[row.key] = row
        self._bodies[row.id] = new

    def _rely(self, name: str) -> None:
        """What the batch says holds only while this record is as it was looked up."""
        known = self._by_id.get(name)
        if known is not None and name not in self._dirty:
            self._stamps[name] = (known.sequence, known.updated)


class _Aliases(dict[str, str]):
    """Looks merged customers up to the end of the chain."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self._world = world

    def get(self, name: str, default: Any = None) -> Any:
        """The survivor, or ``default`` when ``name`` was never merged."""
        found = self._world.alias_of(name)
        return found if found != name else default


def record_key(vault: Vault, kind: str, account: str, external: str) -> bytes:
    """The keyed hash that a record is unique by."""
    return vault.blind("record", kind, account, external)


def claims_of(vault: Vault, said: mapping.Mapped) -> tuple[identity.Claim, ...]:
    """The record's assertions with their blind indexes."""
    keys = [vault.blind("identity", who.namespace, who.scope, who.value) for who in said.identities]
    return identity.claims_of(said.identities, keys)


def _identity(edge: Edge) -> Body:
    return {
        "namespace": edge.namespace,
        "scope": edge.scope,
        "value": {"$sealed": edge.value},
        "strength": edge.strength.value,
        "verified": edge.verified,
        "live": edge.live,
    }


def unsettled(rows: Iterable[Row]) -> set[str]:
    """Survivors that merged rows point at: they have to be looked up too."""
    return {into for row in rows if row.kind == "customer" and (into := _bodies.decode(row.body).get("merged_into"))}
