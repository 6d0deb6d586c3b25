"""Everything that the partner API and the console act with, in one place."""

import asyncio
from collections.abc import Callable

import msgspec

from gateway import access, audit, journal, limiter, snapshot, store
from gateway.book import Book
from gateway.clock import Clock
from gateway.desk.alarms import Alarms
from gateway.desk.belongings import Belongings
from gateway.desk.checks import Checks
from gateway.desk.clients import Clients
from gateway.desk.figures import Figures
from gateway.desk.keeping import Keeper
from gateway.desk.labour import Labour
from gateway.desk.mappings import Mappings
from gateway.desk.premises import Premises
from gateway.desk.shadow import Shadows
from gateway.desk.users import Users
from gateway.desk.watch import Watch
from gateway.desk.witness import Witness
from gateway.meters import Meters
from gateway.pipeline.accounts import Accounts
from gateway.pipeline.route import Router
from gateway.pipeline.settle import Settler
from gateway.shelf import Shelf
from gateway.snapshot import Part
from gateway.vault import Vault


class Desk(msgspec.Struct, kw_only=True):
    """``guesses`` is how many unknown keys one address may try. ``parts`` looks at every part of the house and must be quick. ``below`` is an org unit with all units under it.
    ``sealing`` is held by who seals texts of records until their secrets are kept."""

    clock: Clock
    records: store.Store
    log: journal.Journal
    shelf: Shelf
    vault: Vault
    limits: limiter.Limiter
    guesses: limiter.Rate
    meters: Meters
    accounts: Accounts
    board: snapshot.Board
    trail: audit.Trail
    book: Book
    clients: Clients
    belongings: Belongings
    users: Users
    figures: Figures
    watch: Watch
    labour: Labour
    mappings: Mappings
    shadows: Shadows
    alarms: Alarms
    checks: Checks
    premises: Premises
    keeper: Keeper
    witness: Witness
    parts: Callable[[], list[Part]]
    below: Callable[[str], frozenset[str]]
    sealing: asyncio.Lock = msgspec.field(default_factory=asyncio.Lock)

    async def settler(self) -> Settler:
        """Acts on what a person decides; whoever subscribes now hears of it."""
        return Settler(
            log=self.log, records=self.records, vault=self.vault, clock=self.clock, router=await self.router(), sealing=self.sealing
        )  # fmt: skip

    async def router(self) -> Router:
        """Who is sent what, as of now."""
        return Router(await self.book.endpoints())

    def act(self, actor: str, verb: str, about: str, **detail: str | int) -> audit.Act:
        """An act of now, for the trail. ``detail`` holds no personal data."""
        return audit.Act(at=self.clock.now(), actor=actor, verb=verb, object=about, detail=detail)

    async def did(self, viewer: access.Viewer, verb: str, about: str, **detail: str | int) -> None:
        """Record an act before it is carried out. StoreError when it cannot be recorded: then it must not be."""
        await self.trail.record([self.act(viewer.actor, verb, about, **detail)])
