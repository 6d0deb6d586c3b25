"""From journal entries to records, events and deliveries: one batch, one commit, together with the cursor."""

import asyncio
from collections.abc import Callable, Sequence

import msgspec
import structlog

from gateway import identity, journal, store
from gateway.clock import SECOND, Clock, at_most
from gateway.connector import Fetch
from gateway.errors import GatewayError, JournalError, Stale, StoreError, Tampered, VaultDown
from gateway.meters import Meters
from gateway.model.lane import Lane
from gateway.model.values import Sensitivity
from gateway.pipeline.alarm import Alarm
from gateway.pipeline.read import Read, Reader
from gateway.pipeline.route import Router
from gateway.pipeline.world import Cause, World, record_key, unsettled
from gateway.vault import Vault

_log = structlog.get_logger()


class Projector:
    """Follows the journal. ``newborn`` is handed the deliveries that were leased to us, for ``lease`` seconds, as they were made."""

    def __init__(
        self,
        *,
        reader: Reader,
        log: journal.Journal,
        records: store.Store,
        vault: Vault,
        clock: Clock,
        meters: Meters,
        router: Router,
        room: Callable[[], int],
        newborn: Callable[[Sequence[store.Claimed]], None],
        claim: str,
        errands: Callable[[], None],
        lease: Callable[[], float] = lambda: 60.0,
        most: int = 256,
        alarm: Alarm | None = None,
        sealing: asyncio.Lock | None = None,
    ) -> None:
        self._alarm = alarm
        # See ``Vault.keep``: of two in one process the one would be told what the other sealed in vain.
        self._sealing = sealing or asyncio.Lock()
        self._errands = errands
        self._reader = reader
        self._journal = log
        self._store = records
        self._vault = vault
        self._clock = clock
        self._meters = meters
        self._router = router
        self._room = room
        self._newborn = newborn
        self._claim = claim
        self._lease = lease
        self._most = most
        self._cursors: dict[tuple[Lane, int], int] | None = None
        self._at = 0
        self._stopping = False
        self._stopped = asyncio.Event()
        self._wake = asyncio.Event()

    async def run(self, wake: asyncio.Event) -> None:
        """Project until cancelled: live before bulk, woken by hints, and once a second in case a hint was lost."""
        self._wake = wake
        while not self._stopping:
            wake.clear()
            try:
                busy = await self.round()
            except (JournalError, StoreError, VaultDown) as error:
                _log.error("project.unavailable", code=error.code, detail=error.detail)
                self._cursors = None
                await self._clock.sleep(1.0)
                continue
            if not busy and not self._stopping:
                await at_most(1.0, wake)
        self._stopped.set()

    async def stop(self) -> None:
        """Take no further batch, and return once the one under way is applied."""
        self._stopping = True
        self._wake.set()
        await self._stopped.wait()

    async def round(self) -> bool:
        """One batch of live entries, or when there are none one of bulk. False when the journal is read to its end."""
        for lane in (Lane.LIVE, Lane.BULK):
            for shard in self._journal.shards(lane):
                if await self.step(lane, shard):
                    return True
        return False

    async def step(self, lane: Lane, shard: int) -> int:
        """Project one batch; returns how many entries it had."""
        if self._cursors is None:
            await self._router.units.load(self._store)
            self._cursors = await self._store.cursors()
        at = self._cursors.get((lane, shard), 0)
        entries = await self._journal.read(lane, shard, at, self._most)
        if not entries:
            return 0
        before = store.Cursor(lane=lane, shard=shard, position=at)
        try:
            await self.project(entries, before)
        except Stale:
            self._cursors = None
            # Whoever was first goes on first; without a pause two that disagree would spin.
            await self._clock.sleep(0.05)
            return len(entries)
        self._cursors[(lane, shard)] = entries[-1].position
        return len(entries)

    async def project(self, entries: Sequence[journal.Entry], before: store.Cursor | None) -> None:
        """Apply ``entries`` in one commit. An erased one changes nothing. ``before`` None re-projects entries behind the cursor (a retried dead letter)."""
        reads = [self._reader.read(entry) for entry in entries]
        found = await self._look(reads)
        async with self._sealing:
            done = self._apply_all(reads, found)
            # Off the loop: it waits for the disk. What comes back as Stale is sealed again, with secrets that last.
            await asyncio.to_thread(self._vault.keep)
        after = None if before is None else msgspec.structs.replace(before, position=entries[-1].position)
        room = self._room()
        batch = msgspec.structs.replace(
            done.batch,
            before=before,
            after=after,
            claim=self._claim if room > 0 else None,
            lease=self._clock.now() + int(self._lease() * SECOND),
            claim_most=max(0, room),
        )
        claimed = await self._store.apply(batch)
        self._report(done)
        if claimed:
            self._hand_over(batch, claimed)
        if batch.errands:
            self._errands()
        if self._alarm is not None:
            for entry, error in done.altered:
                await self._alarm.altered(error, stage="project", where=entry)

    def _hand_over(self, batch: store.Batch, claimed: set[str]) -> None:
        events = {event.id: event for event in batch.events}
        leased = [
            store.Claimed(
                delivery=msgspec.structs.replace(
                    one, state=store.DeliveryState.LEASED, claim=batch.claim, lease=batch.lease
                ),
                event=events[one.event],
            )
            for one in batch.deliveries
            if one.id in claimed
        ]
        self._newborn(leased)

    # ------------------------------------------------------------------ what the batch must know
    async def _look(self, reads: Sequence[Read]) -> store.Found:
        wants = store.Wants(
            seen=[(read.entry.account, read.entry.dedupe) for read in reads],
            keys=list({claim.key for read in reads for claims in read.claims for claim in claims}),
            records=list({key for read in reads for key in self._record_keys(read)}),
        )
        found = await self._store.look(wants)
        people = {edge.customer for edges in found.edges.values() for edge in edges}
        people |= {row.customer for row in found.rows.values() if row.customer is not None}
        contested = {
            name for read in reads for claims in read.claims for name in identity.contested(claims, found.edges, {})
        }
        while people or contested:
            more = await self._store.look(store.Wants(ids=list(people), edges_of=list(contested)))
            found.by_id.update(more.by_id)
            found.edges_of.update(more.edges_of)
            survivors = unsettled(more.by_id.values())
            contested = survivors - found.edges_of.keys() if contested else set()
            people = survivors - found.by_id.keys()
        return found

    def _record_keys(self, read: Read) -> list[bytes]:
        return [
            record_key(self._vault, one.kind, read.entry.account, getattr(one.record, "external_id", ""))
            for one in read.said
            if one.kind != "customer"
        ]

    # ------------------------------------------------------------------ applying, in memory
    def _apply_all(self, reads: Sequence[Read], found: store.Found) -> "Done":
        """Like ``_apply``, but an entry that a fault of ours cannot take becomes a dead letter and the rest goes on without it."""
        reads = list(reads)
        while True:
            self._at = 0
            try:
                return self._apply(reads, found)
            except (StoreError, VaultDown):
                # The vault's file or its keys cannot be had: that is nothing an entry could die of.
                raise
            except Exception as error:  # see the docstring: one payload must not stop the others
                read = reads[self._at]
                _log.exception("project.apply_failed", entry=read.entry.id)
                detail = str(error) if isinstance(error, GatewayError) else "a fault of the gateway; see the log"
                cause = error.code if isinstance(error, GatewayError) else f"bug.{type(error).__name__}"
                letter = self._reader.dead(read.entry, "apply", cause, detail)
                reads[self._at] = read.failed(letter, error if isinstance(error, Tampered) else None)

    def _apply(self, reads: Sequence[Read], found: store.Found) -> "Done":
        world = World(found, self._vault)
        known = set(found.seen)
        done = Done()
        for self._at, read in enumerate(reads):
            mark = (read.entry.account, read.entry.dedupe)
            if mark in known:
                done.repeated.append(read)
            elif read.dead is not None:
                done.dead.append(read.dead)
                done.failed.append(read)
                if read.altered is not None:
                    done.altered.append((read.entry.id, read.altered))
            else:
                known.add(mark)
                self._apply_one(read, world)
                done.applied.append(read)
        now = self._clock.now()
        # Before routing: a store's first order may come in the batch that brings the store.
        world.flagged += self._router.units.learn(world.rows)
        done.world = world
        done.batch = msgspec.structs.replace(
            world.batch(),
            seen=[self._seen(read) for read in done.applied],
            deliveries=[one for event in world.events for one in self._router.deliveries(event, now=now)],
            dead=done.dead,
            errands=[self._errand(read, fetch) for read in done.applied for fetch in read.fetch],
        )
        return done

    def _apply_one(self, read: Read, world: World) -> None:
        opened = read.opened
        if opened is None or not read.said:
            return
        cause = Cause(
            entry=read.entry.id,
            account=read.entry.account,
            connector=opened.card.name,
            mapping=read.name,
            stem=read.stem,
            at=read.entry.received_at,
            unit=opened.account.unit,
        )
        for number, (one, claims) in enumerate(zip(read.said, read.claims, strict=True)):
            world.apply(one, claims, cause, number)

    def _seen(self, read: Read) -> store.Seen:
        entry = read.entry
        return store.Seen(account=entry.account, dedupe=entry.dedupe, entry=entry.id, at=entry.received_at)

    def _errand(self, read: Read, fetch: Fetch) -> store.Errand:
        return errand(self._vault, read.entry.account, fetch, now=self._clock.now(), entry=read.entry.id)

    def _report(self, done: "Done") -> None:
        meters = self._meters
        for read in done.applied:
            if read.opened is None:
                _log.info("project.erased", entry=read.entry.id)
            meters.projected.labels(read.entry.account, read.entry.topic).inc()
            self._reader.tell(read, meters)
        for read in done.repeated:
            meters.known.labels(read.entry.account, "store").inc()
        accounts = {read.entry.id: read.entry.account for read in done.applied}
        for late in done.batch.superseded:
            meters.superseded.labels(accounts[late.entry]).inc()
        for account, flag in done.world.flagged if done.world else ():
            meters.flagged.labels(account, flag).inc()
        for read in done.failed:
            self._reader.tell(read, meters)
        for letter in done.dead:
            meters.dead.labels(letter.account, letter.cause).inc()
        for event in done.batch.events:
            meters.events.labels(event.type).inc()


class Done(msgspec.Struct, kw_only=True):
    """What a batch came to."""

    applied: list[Read] = []
    repeated: list[Read] = []
    dead: list[store.DeadLetter] = []
    failed: list[Read] = []
    altered: list[tuple[str, Tampered]] = []
    world: World | None = None
    batch: store.Batch = store.Batch()


def errand(vault: Vault, account: str, fetch: Fetch, *, now: int, entry: str = "") -> store.Errand:
    """A fetch to keep: its key sealed, since partners' ids name people."""
    return store.Errand(
        account=account,
        topic=fetch.topic,
        hash=vault.blind("errand", account, fetch.topic, fetch.key),
        key=vault.seal_text(fetch.key, f"errand/{account}/{fetch.topic}", Sensitivity.CONTACT),
        due=now + int(fetch.after * SECOND),
        entry=entry,
    )
