"""What every process stands on."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import Any

import msgspec
import structlog

from gateway import audit, breaker, journal, limiter, settings, shelf, store, vaults
from gateway.book import Book
from gateway.clock import Clock
from gateway.connector import Account, Card, Tools
from gateway.doors.bridge import App
from gateway.errors import GatewayError
from gateway.meters import Meters
from gateway.pipeline.accounts import Accounts
from gateway.pipeline.ledger import Ledgers
from gateway.pipeline.partner import Tokens
from gateway.pipeline.receive import Gate, Receiver, RejectLog
from gateway.pipeline.rollout import Rollout
from gateway.pipeline.versions import Versions
from gateway.snapshot import Board
from gateway.vault import Vault

_log = structlog.get_logger()


class Ground(msgspec.Struct, kw_only=True):
    """Opened resources of one process."""

    tree: settings.Settings
    clock: Clock
    vault: Vault
    log: journal.Journal
    records: store.Store
    trail: audit.Trail
    documents: shelf.Shelf
    jobs: shelf.Shelf
    book: Book
    accounts: Accounts
    meters: Meters
    limits: limiter.Limiter
    breakers: breaker.Breakers
    board: Board
    tokens: dict[str, Tokens]
    keys: vaults.Way
    cards: Mapping[str, Card]
    tools: Callable[[Account], Tools]
    closers: list[Callable[[], Awaitable[None]]]

    async def close(self) -> None:
        """In the opposite order of opening."""
        for closer in reversed(self.closers):
            await closer()


class Office(msgspec.Struct, frozen=True, kw_only=True):
    """What a door serves beside ``/in``, and what it does by itself: ``rounds`` are run for as long as the process lives, some of them by the
    first door only. ``close`` sends away whoever waits."""

    app: App
    rounds: Callable[[bool], Sequence[Coroutine[Any, Any, None]]]
    close: Callable[[], None]


async def follow_keys(ground: Ground) -> None:
    """Seal with the key that is current now, whichever process made it. What cannot be read leaves the keys as they were."""
    try:
        # Off the loop: a key service may have to be asked.
        await asyncio.to_thread(ground.vault.refresh)
    except (GatewayError, OSError) as error:
        _log.error("vault.refresh_failed", detail=str(error))


def receiver_of(ground: Ground, *, gate: Gate, rejects: RejectLog, wake: Callable[[], None]) -> Receiver:
    """The receiver of one process."""
    rate = ground.tree.http.rate_per_address
    return Receiver(
        accounts=ground.accounts, log=ground.log, vault=ground.vault, clock=ground.clock, limits=ground.limits, meters=ground.meters,
        pressure=gate, rejected=rejects.add, wake=wake, peer_rate=limiter.Rate(rate, rate) if rate > 0 else None,
    )  # fmt: skip


def rollout_of(ground: Ground) -> Rollout:
    """By which version each entry is read."""
    return Rollout(
        accounts=ground.accounts,
        versions=Versions(ground.documents, ground.clock),
        ledgers=Ledgers(ground.documents, ground.vault, ground.clock),
        clock=ground.clock,
        own=ground.tree.gateway.mappings,
    )
