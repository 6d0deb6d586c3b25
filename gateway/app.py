"""Picks the ways, and opens resources."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx
from pyreqwest.client import ClientBuilder
from pyreqwest.compatibility.httpx import HttpxTransport

from connectors.registry import CARDS
from gateway import audit, breaker, configure, limiter, settings, vaults
from gateway.audits.sqlite import open_trail
from gateway.book import Book
from gateway.breakers.memory import MemoryBreakers
from gateway.clock import Clock, SystemClock
from gateway.connector import Account, Tools
from gateway.desk import declared
from gateway.errors import ConfigError
from gateway.journals.sqlite import open_journal
from gateway.limiters.memory import MemoryLimiter
from gateway.meters import Meters
from gateway.pipeline.accounts import Accounts
from gateway.pipeline.partner import Caller, Tokens
from gateway.processes import Ground
from gateway.shelves.sqlite import SqliteShelf
from gateway.snapshot import Board
from gateway.stores.sqlite import open_store
from gateway.vault import Vault


def paths_of(tree: settings.Settings) -> dict[str, Path]:
    """Where journal, store and keys lie."""
    data = tree.gateway.data_dir
    return {
        "journal": settings.path_of(tree.journal.url, data / "journal.db"),
        "store": settings.path_of(tree.store.url, data / "store.db"),
        "vault": keys_of(tree).path,
    }


def keys_of(tree: settings.Settings) -> vaults.Way:
    """How keys are kept. Wrapped ones lie in ``keys.json`` too."""
    one, file = tree.vault, tree.gateway.data_dir / "keys.json"
    wrapped = one.url != "" and not one.url.startswith("file:")
    return vaults.Way(
        path=file if wrapped else settings.path_of(one.url, file),
        url=one.url if wrapped else "",
        suite=one.suite,
        classes=one.classes,
        authority=one.authority,
        token=one.token,
    )


def trail_of(tree: settings.Settings, vault: Vault) -> audit.Trail:
    """The audit trail. Nothing of it is opened before it is first used."""
    return open_trail(tree.gateway.data_dir / "audit.db", keyed=vault.blind, clock=SystemClock())


def open_ground(tree: settings.Settings, programs: configure.Programs | None = None) -> Ground:
    """Open everything a process needs. ConfigError, VaultError, JournalError or StoreError name what is wrong."""
    compiled = configure.programs_of(tree, CARDS) if programs is None else programs
    clock = SystemClock()
    paths = paths_of(tree)
    for path in paths.values():
        path.parent.mkdir(parents=True, exist_ok=True)
    vault = vaults.open_vault(keys_of(tree))
    meters, limits, breakers = Meters(), MemoryLimiter(clock), MemoryBreakers(clock)
    closers: list[Callable[[], Awaitable[None]]] = []
    tokens: dict[str, Tokens] = {}
    log = open_journal(paths["journal"], clock=clock)
    closers.append(log.close)
    records = open_store(paths["store"], clock=clock)
    closers.append(records.close)
    trail = trail_of(tree, vault)
    closers.append(trail.close)
    documents = SqliteShelf(tree.gateway.data_dir / "desk.db", clock=clock)
    closers.append(documents.close)
    jobs = SqliteShelf(tree.gateway.data_dir / "jobs.db", clock=clock)
    closers.append(jobs.close)
    partners = _Partners(limits, breakers, clock, meters, tokens)
    closers.append(partners.close)
    opened = {
        name: configure.open_account(
            configure.with_secrets(account, vault),
            CARDS[account.connector],
            partners.tools(account),
            tree.accounts[name],
            compiled,
        )
        for name, account in configure.accounts_of(tree, CARDS).items()
    }
    return Ground(
        tree=tree, clock=clock, vault=vault, log=log, records=records, trail=trail, documents=documents, jobs=jobs,
        book=Book(records, vault, clock, tree), accounts=Accounts(opened), meters=meters, limits=limits, breakers=breakers,
        board=Board(tree.gateway.data_dir / "run"), tokens=tokens, keys=keys_of(tree), cards=CARDS, tools=partners.tools,
        closers=closers,
    )  # fmt: skip


class _Partners:
    """Tools for accounts; the HTTP client is made when the first partner is called, since most processes never call one."""

    def __init__(
        self,
        limits: limiter.Limiter,
        breakers: breaker.Breakers,
        clock: Clock,
        meters: Meters,
        tokens: dict[str, Tokens],
    ) -> None:
        self._limits, self._breakers, self._clock, self._meters, self._tokens = limits, breakers, clock, meters, tokens
        self._client: httpx.AsyncClient | None = None

    def client(self) -> httpx.AsyncClient:
        if self._client is None:
            inner = ClientBuilder().follow_redirects(False).user_agent("scrm-gateway").build()
            self._client = httpx.AsyncClient(transport=HttpxTransport(inner), trust_env=False)
        return self._client

    def tools(self, account: Account) -> Tools:
        published = CARDS[account.connector].limits
        rate = (
            limiter.Rate(published[0].calls / published[0].seconds, max(1.0, published[0].calls / published[0].seconds))
            if published
            else None
        )
        tokens = self._tokens[account.name] = Tokens(self._clock, account.name)
        caller = Caller(
            account=account.name,
            client=self.client,
            rate=rate,
            limits=self._limits,
            breakers=self._breakers,
            clock=self._clock,
            meters=self._meters,
        )
        return Tools(clock=self._clock, call=caller, token=tokens)

    async def close(self) -> None:
        if self._client is not None:
            await self._client.aclose()


def prepare(tree: settings.Settings) -> tuple[configure.Programs, dict[str, str]]:
    """Check the config, compile mappings, make keys, migrate, and make missing endpoint secrets, before any process starts.

    Returns the mappings for all processes to share, and the secrets that were made.
    """
    _need_port(tree.http.host, tree.http.port)
    programs = configure.programs_of(tree, CARDS)
    return programs, make_ready(tree, programs)


def make_ready(tree: settings.Settings, programs: configure.Programs) -> dict[str, str]:
    """Open everything once, making what is missing: the endpoint secrets that were made. GatewayError says what cannot be opened."""
    for name, raw in tree.accounts.items():
        if name != name.strip("/") or "/" in name:
            raise ConfigError("an account name is part of its address and holds no slash", place=f"accounts.{name}")
        configure.rate_of(raw)
    tree.gateway.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    return asyncio.run(_secrets(open_ground(tree, programs)))


async def _secrets(ground: Ground) -> dict[str, str]:
    try:
        await declared.record(ground.tree.endpoints, documents=ground.documents, trail=ground.trail, clock=ground.clock)
        return await ground.book.prepare(ground.tree.gateway.data_dir / "endpoints.json")
    finally:
        await ground.close()


def _need_port(host: str, port: int) -> None:
    """ConfigError when somebody else listens there: several doors share the port among themselves, so they would not notice."""
    try:
        with socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET):
            return
    except OSError as error:
        raise ConfigError(
            f"cannot listen on {host}:{port}: {error.strerror}",
            place="http.port",
            remedy="stop who holds it, or choose another port",
        ) from error
