"""The process that thinks and tells: one worker, whatever the number of doors."""

import asyncio
from collections.abc import Sequence
from functools import partial

import structlog

from gateway import audit, destinations
from gateway.clock import SECOND, new_id
from gateway.connector import Can, Inbound
from gateway.crew import crewed
from gateway.destination import Endpoint
from gateway.destinations.address import Vetter
from gateway.errors import GatewayError, JournalError, StoreError
from gateway.pipeline.accounts import Opened
from gateway.pipeline.act import Acting
from gateway.pipeline.act_end import Ends
from gateway.pipeline.alarm import Alarm
from gateway.pipeline.attempt import Ways
from gateway.pipeline.contrast import Kind
from gateway.pipeline.deliver import Deliverer
from gateway.pipeline.operators import Operators
from gateway.pipeline.partner import breaker_of
from gateway.pipeline.project import Projector
from gateway.pipeline.pull import Errands, Pulls
from gateway.pipeline.read import Reader
from gateway.pipeline.receive import Gate, RejectLog
from gateway.pipeline.rollout import ACTOR, Broken
from gateway.pipeline.route import Router
from gateway.processes import Ground, follow_keys, receiver_of, rollout_of

_log = structlog.get_logger()
_DRAIN = 8.0


def ways_of(ground: Ground, operators: Operators) -> Ways:
    """What deliveries are attempted with."""
    opened = partial(destinations.open_destination, clock=ground.clock, vetter=Vetter(ground.clock))
    return Ways(
        open_destination=opened, vault=ground.vault, clock=ground.clock, meters=ground.meters, limits=ground.limits,
        breakers=ground.breakers, operators=operators,
    )  # fmt: skip


class Worker:
    """The process that projects, delivers, runs errands and pulls, and keeps long connections to partners."""

    def __init__(self, ground: Ground, *, wake: asyncio.Event, endpoints: Sequence[Endpoint]) -> None:
        self._ground = ground
        self._wake = wake
        self._errand_wake = asyncio.Event()
        tree = ground.tree
        claim = new_id("clm", ground.clock.now())
        self._endpoints = endpoints
        self._router = Router(endpoints, meters=ground.meters)
        operators = Operators(records=ground.records, router=self._router, clock=ground.clock, wake=self._due)
        self._deliverer = Deliverer(
            endpoints=endpoints, records=ground.records, ways=ways_of(ground, operators), claim=claim
        )
        self._rollout = rollout_of(ground)
        sealing = asyncio.Lock()
        self._projector = Projector(
            reader=Reader(accounts=ground.accounts, vault=ground.vault, clock=ground.clock, rollout=self._rollout),
            log=ground.log, records=ground.records, vault=ground.vault, clock=ground.clock, meters=ground.meters,
            router=self._router, room=self._deliverer.room, newborn=self._deliverer.offer, claim=claim,
            errands=self._errand_wake.set, lease=self._lease, alarm=Alarm(operators, ground.meters), sealing=sealing,
        )  # fmt: skip
        self._acting = Acting(
            accounts=ground.accounts, records=ground.records, vault=ground.vault, clock=ground.clock, meters=ground.meters,
            ends=Ends(ground.accounts, self._router), told=self._due, alarm=Alarm(operators, ground.meters), sealing=sealing,
        )  # fmt: skip
        gate = Gate(bulk_most=tree.journal.bulk_most, live_most=tree.journal.live_most)
        self._receiver = receiver_of(ground, gate=gate, rejects=RejectLog(), wake=wake.set)

    async def run(self, stop: asyncio.Event) -> None:
        """Until ``stop``; then let attempts under way end and record them."""
        ground = self._ground
        # Leases of a worker that died cannot be finished any more: this process is the only one that claims.
        await ground.records.release(now=ground.clock.now() + 3600 * SECOND)
        errands = Errands(
            accounts=ground.accounts,
            records=ground.records,
            vault=ground.vault,
            clock=ground.clock,
            meters=ground.meters,
            write=self._receiver.write,
        )
        pulls = Pulls(
            accounts=ground.accounts,
            records=ground.records,
            vault=ground.vault,
            clock=ground.clock,
            meters=ground.meters,
            write=self._receiver.write,
        )
        async with crewed() as crew:
            # No entry is read before it is known by which mapping.
            await self._open_mappings()
            _ = crew.start(self._projector.run(self._wake))
            _ = crew.start(self._following_mappings())
            _ = crew.start(self._deliverer.run())
            _ = crew.start(errands.run(self._errand_wake))
            _ = crew.start(pulls.run())
            _ = crew.start(self._acting.run(asyncio.Event()))
            _ = crew.start(self._following())
            _ = crew.start(self._minding())
            _ = crew.start(self._housekeeping())
            _ = crew.start(self._witness())
            for opened in ground.accounts.all():
                if Can.SERVE in opened.card.can and not opened.account.disabled:
                    _ = crew.start(self._serve(opened))
            await stop.wait()
            await self._projector.stop()
            await asyncio.gather(self._acting.drain(_DRAIN), self._deliverer.drain(_DRAIN))
        await self._deliverer.close()

    def _due(self) -> None:
        self._deliverer.wake()

    def _lease(self) -> float:
        return self._deliverer.lease

    async def _following(self) -> None:
        """Once a second: what was decided about endpoints since, by a command or a partner, takes effect."""
        ground = self._ground
        while True:
            await ground.clock.sleep(1.0)
            try:
                self._follow(await ground.book.endpoints())
            except GatewayError as error:
                _log.error("worker.endpoints_failed", code=error.code, detail=str(error))

    def _follow(self, endpoints: Sequence[Endpoint]) -> None:
        if endpoints == self._endpoints:
            return
        # The router first: where it refuses them, nothing has changed. Nobody else runs in between.
        self._router.replace(endpoints)
        self._deliverer.replace(endpoints)
        self._endpoints = endpoints
        _log.info("worker.endpoints_changed", endpoints=len(endpoints))

    async def _open_mappings(self) -> None:
        while True:
            try:
                return await self._rollout.open()
            except StoreError as error:
                _log.error("worker.mappings_failed", detail=error.detail)
                await self._ground.clock.sleep(1.0)

    async def _following_mappings(self) -> None:
        """Once a second: versions that were decided on read from now on, canaries that broke are ended, what was counted is kept."""
        rollout = self._rollout
        while True:
            await self._ground.clock.sleep(1.0)
            try:
                for one in list(rollout.broken):
                    await self._end(one)
                await rollout.follow()
                await rollout.save()
            except StoreError as error:
                _log.error("worker.mappings_failed", detail=error.detail)

    async def _end(self, one: Broken) -> None:
        ground, about = self._ground, f"{'/'.join(one.line)}/{one.number}"
        detail: dict[str, str | int] = {"errors": one.tally.of(Kind.NEW_ERROR), "entries": one.tally.entries}
        act = audit.Act(at=ground.clock.now(), actor=ACTOR, verb="mapping_broke", object=about, detail=detail)
        await ground.trail.record([act])
        await self._rollout.end(one)
        _log.error("mapping.rolled_back", mapping=about, **detail)

    async def _serve(self, opened: Opened) -> None:
        """Keep a long connection going; the connector reconnects by itself, this only survives what it cannot mend."""

        async def accept(events: Sequence[Inbound]) -> None:
            await self._receiver.write(opened, events)

        while True:
            try:
                await opened.connector.serve(accept)
            except GatewayError as error:
                _log.warning("worker.serve_failed", account=opened.account.name, code=error.code, detail=error.detail)
            await self._ground.clock.sleep(15.0)

    async def _minding(self) -> None:
        ground = self._ground
        while True:
            await follow_keys(ground)
            try:
                counts = await ground.records.counts()
                for state in ("due", "leased", "waiting"):
                    ground.meters.deliveries.labels(state).set(counts.get(f"deliveries.{state}", 0))
                ground.meters.actions_unknown.set(counts["actions_unknown"])
                parts = {"counts": counts, "endpoints": self._deliverer.parts(), "accounts": await self._partners()}
                ground.board.put("worker", ground.clock.now(), parts, ground.meters.registry)
            except (StoreError, OSError) as error:
                _log.error("worker.counts_failed", detail=str(error))
            await ground.clock.sleep(1.0)

    async def _partners(self) -> dict[str, dict[str, str | int | None]]:
        """How calls to each account's platform are: the circuit, and the credential."""
        return {
            name: {
                "breaker": (await self._ground.breakers.look(breaker_of(name))).value,
                "token_expires": tokens.expires_at(),
                "token_fault": tokens.fault(),
            }
            for name, tokens in self._ground.tokens.items()
        }

    async def _witness(self) -> None:
        """Daily: say how far the audit trail has come, so that whoever collects the log can tell if an old trail is put back in its place."""
        ground = self._ground
        while True:
            try:
                head = await ground.trail.head()
                _log.info("audit.head", number=head.number if head else 0, mac=head.mac.hex() if head else "")
            except StoreError as error:
                _log.error("audit.unavailable", detail=error.detail)
            await ground.clock.sleep(86_400.0)

    async def _housekeeping(self) -> None:
        """Every ten minutes: forget what is older than its keep."""
        ground = self._ground
        while True:
            await ground.clock.sleep(600.0)
            try:
                now = ground.clock.now()
                await ground.log.purge(now - int(ground.tree.journal.keep * SECOND), await ground.records.cursors())
                await ground.records.purge(before=now - int(ground.tree.store.keep * SECOND))
                await ground.documents.sweep()
                await ground.jobs.sweep()
            except (JournalError, StoreError) as error:
                _log.error("worker.housekeeping_failed", detail=error.detail)
