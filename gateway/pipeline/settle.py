"""What a person decides: try a dead letter again, or drop it with a reason; undo a merge; settle a pair."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

import msgspec

from gateway import identity, journal, store
from gateway.clock import Clock, derived_id, text
from gateway.connector import Fetch
from gateway.errors import Erased, GatewayError, Stale
from gateway.model.identity import Strength
from gateway.model.values import Sensitivity
from gateway.pipeline import change, joining, rewrite
from gateway.pipeline.project import errand
from gateway.pipeline.renew import renewed
from gateway.pipeline.route import Router
from gateway.pipeline.world import Cause, World
from gateway.vault import Vault

_json = msgspec.json.Encoder()
_TRIES = 5
_STEP = 250
_T = TypeVar("_T")


class Purged(GatewayError):
    """The journal no longer holds the entry."""

    code = "journal.purged"


class Settler:
    """Acts on stored things. Works beside a running gateway: what it writes is found by the sweep. ``router`` tells who hears of it."""

    def __init__(
        self,
        *,
        log: journal.Journal,
        records: store.Store,
        vault: Vault,
        clock: Clock,
        router: Router | None = None,
        sealing: asyncio.Lock | None = None,
    ) -> None:
        self._journal = log
        self._store = records
        self._vault = vault
        self._clock = clock
        self._router = router or Router(())
        # See ``Vault.keep``: of two in one process the one would be told what the other sealed in vain.
        self._sealing = sealing or asyncio.Lock()

    async def retry(self, letters: Sequence[store.DeadLetter]) -> dict[str, GatewayError]:
        """Write the entries down once more, in the order given, so that they are projected with today's mappings. Those that cannot be stay as they
        are, and are returned by id with why; all others are done."""
        faults: dict[str, GatewayError] = {}
        for start in range(0, len(letters), _STEP):
            some = letters[start : start + _STEP]
            faults |= await self._repeated(some)
            settled = [one for one in some if one.id not in faults]
            await self._store.bury(
                [msgspec.structs.replace(one, state="retried", tries=one.tries + 1) for one in settled]
            )
        return faults

    async def _repeated(self, letters: Sequence[store.DeadLetter]) -> dict[str, GatewayError]:
        """What is sealed anew meanwhile is copied again, as it is then; what is erased meanwhile is not."""
        faults: dict[str, GatewayError] = {}
        for _ in range(_TRIES):
            copies: dict[str, journal.Copy] = {}
            for letter in letters:
                try:
                    copies[letter.id] = await self._copy(letter)
                except GatewayError as error:
                    faults[letter.id] = error
            written = await self._journal.repeat(list(copies.values())) if copies else set()
            letters = [one for one in letters if one.id in copies and copies[one.id].draft.id not in written]
            if not letters:
                return faults
        busy = GatewayError("the entry kept changing while it was repeated", remedy="try again")
        return faults | dict.fromkeys((one.id for one in letters), busy)

    async def _copy(self, letter: store.DeadLetter) -> journal.Copy:
        if letter.stage == "fetch":
            raise GatewayError(
                "this is a re-read that the partner refused",
                place=letter.id,
                remedy="mend the account; the next push or pull asks again",
            )
        entry = await self._journal.find(letter.entry)
        if entry is None:
            raise Purged(
                "the entry is older than journal.keep and gone", place=letter.entry, remedy="drop the dead letter"
            )
        draft = rewrite.copy(entry, self._vault, now=self._clock.now())
        return journal.Copy(of=entry.id, payload=entry.payload, draft=draft)

    async def drop(self, letters: Sequence[store.DeadLetter], reason: str) -> None:
        """Close them for good; the reason is kept with them."""
        for start in range(0, len(letters), _STEP):
            await self._store.bury(
                [
                    msgspec.structs.replace(one, state="dropped", detail=f"{one.detail} | dropped: {reason}")
                    for one in letters[start : start + _STEP]
                ]
            )

    async def ask_again(self, account: str, fetch: Fetch) -> None:
        """Put an errand: re-read one object from its partner."""
        job = errand(self._vault, account, fetch, now=self._clock.now())
        await self._store.apply(store.Batch(errands=[job]))

    async def merge(self, pair: store.Candidate) -> str:
        """Make the two customers one, because a person says so. Returns the survivor: the older id."""
        return await _until_fresh(lambda: self._merge(pair))

    async def _merge(self, pair: store.Candidate) -> str:
        found = await self._store.look(store.Wants(ids=[pair.a, pair.b], edges_of=[pair.a, pair.b]))
        _need_both(pair, found)
        now = self._clock.now()
        survivor, loser = sorted((pair.a, pair.b))
        cause = Cause(
            entry=pair.id, account=found.by_id[survivor].account, connector="", mapping="", stem="", at=now, unit=None
        )
        world = World(found, self._vault)
        async with self._sealing:
            world.merge(identity.Merge(survivor, loser, f"settled by a person: {pair.reason}"), cause)
            await asyncio.to_thread(self._vault.keep)
        await self._router.units.load(self._store)
        await self._store.apply(
            msgspec.structs.replace(
                world.batch(),
                candidates=[msgspec.structs.replace(pair, state="merged")],
                deliveries=[one for event in world.events for one in self._router.deliveries(event, now=now)],
            )
        )
        return survivor

    async def part(self, pair: store.Candidate) -> None:
        """Keep the two apart for ever: no rule merges them any more, whatever they come to share."""
        await _until_fresh(lambda: self._part(pair))

    async def _part(self, pair: store.Candidate) -> None:
        found = await self._store.look(store.Wants(ids=[pair.a, pair.b]))
        _need_both(pair, found)
        now = self._clock.now()
        rows = [
            msgspec.structs.replace(
                row, body=_json.encode(_apart(msgspec.json.decode(row.body), other, now)), updated=now
            )
            for row, other in ((found.by_id[pair.a], pair.b), (found.by_id[pair.b], pair.a))
        ]
        await self._store.apply(
            store.Batch(rows=rows, read=_stamps(found), candidates=[msgspec.structs.replace(pair, state="rejected")])
        )

    async def unmerge(self, merge: store.Merge) -> None:
        """Give both customers back what was theirs when they were merged, records included; what was said since stays with the survivor.

        The identities that the loser brought point at it again, so that what they bring next is the loser's. ``customer.unmerged`` is published
        for both.
        """
        await _until_fresh(lambda: self._unmerge(merge))

    async def _unmerge(self, merge: store.Merge) -> None:
        async with self._sealing:
            batch = await self._parted(merge)
            await asyncio.to_thread(self._vault.keep)
        await self._store.unmerge(merge, batch)

    async def _parted(self, merge: store.Merge) -> store.Batch:
        before: dict[str, Any] = msgspec.json.decode(merge.before)
        if "loser" not in before:
            raise Erased(
                "one of the two was erased", place=merge.id, remedy="leave it: there is nothing to give back to anybody"
            )
        found = await self._store.look(store.Wants(ids=[merge.survivor, merge.loser], edges_of=[merge.survivor]))
        survivor, loser = found.by_id[merge.survivor], found.by_id[merge.loser]
        now = self._clock.now()
        moved = {bytes.fromhex(key) for key in before["edges"]}
        edges = [edge for edge in found.edges_of.get(survivor.id, ()) if edge.key in moved]
        lost = _apart(before["loser"], survivor.id, now)
        # Three states of one body are compared, which keys may have rotated between.
        current, joined, mine = (
            renewed(one, survivor.id, self._vault)
            for one in (msgspec.json.decode(survivor.body), before["joined"], before["survivor"])
        )
        kept = _apart(joining.parted(current, joined, mine), loser.id, now)
        given = await self._store.moved(merge.id)
        events = [self._event(survivor, kept, loser.id, now), self._event(loser, lost, survivor.id, now, list(given))]
        await self._router.units.load(self._store)
        return store.Batch(
            gone=[(edge.key, survivor.id) for edge in edges],
            edges=[self._back(edge, loser.id) for edge in edges],
            rows=[self._row(survivor, kept, now), self._row(loser, lost, now)],
            read=_stamps(found),
            events=events,
            deliveries=[one for event in events for one in self._router.deliveries(event, now=now)],
        )

    def _back(self, edge: store.Edge, owner: str) -> store.Edge:
        value = self._vault.open_text(edge.value, f"{edge.customer}/identities.value")
        sealed = self._vault.seal_text(value, f"{owner}/identities.value", Sensitivity.CONTACT)
        return msgspec.structs.replace(
            edge, customer=owner, value=sealed, live=edge.live or edge.strength is Strength.STRONG
        )

    def _row(self, row: store.Row, body: dict[str, Any], now: int) -> store.Row:
        return msgspec.structs.replace(row, body=_json.encode(body), sequence=row.sequence + 1, updated=now)

    def _event(
        self, row: store.Row, body: dict[str, Any], other: str, now: int, given: Sequence[str] = ()
    ) -> store.EventRow:
        name = derived_id("evt", now, row.id, "unmerged", str(row.sequence + 1))
        document = {
            "id": name,
            "type": "customer.unmerged",
            "timestamp": text(now),
            "schema": 1,
            "subject": row.id,
            "sequence": row.sequence + 1,
            "source": {"account": row.account, "connector": "", "entry": "", "mapping": ""},
            "data": {"customer": change.published(body), "other": {"id": other}, "records": list(given), "changed": []},
        }
        return store.EventRow(
            id=name, type="customer.unmerged", subject=row.id, sequence=row.sequence + 1, at=now, account=row.account, entry="",
            unit=row.unit, body=_json.encode(document),
        )  # fmt: skip


async def _until_fresh(work: Callable[[], Awaitable[_T]]) -> _T:
    """Do it over when a worker wrote one of the customers meanwhile; the last Stale is the caller's."""
    for _ in range(_TRIES):
        try:
            return await work()
        except Stale:
            continue
    return await work()


def _stamps(found: store.Found) -> list[tuple[str, int, int]]:
    """What the store compares before it writes: a worker may be busy with the same customers."""
    return [(row.id, row.sequence, row.updated) for row in found.by_id.values()]


def _need_both(pair: store.Candidate, found: store.Found) -> None:
    for name in (pair.a, pair.b):
        row = found.by_id.get(name)
        if row is None or msgspec.json.decode(row.body).get("state") in ("merged", "erased"):
            raise GatewayError(
                f"{name} is no customer of its own any more", place=pair.id, remedy="part the pair, it is settled"
            )


def _apart(body: dict[str, Any], other: str, now: int) -> dict[str, Any]:
    return {**body, change.APART: sorted({*body.get(change.APART, ()), other}), "updated_at": text(now)}
