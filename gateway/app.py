"""Picks the ways, opens resources, and starts the processes: ``door-N`` take things in, ``worker`` thinks and tells."""

import asyncio
import gc
import signal
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx
import structlog
import uvloop
from pyreqwest.client import ClientBuilder
from pyreqwest.compatibility.httpx import HttpxTransport

from connectors.registry import CARDS
from gateway import audit, breaker, configure, limiter, settings, supervisor, vaults
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
from gateway.processes import Door, Ground
from gateway.shelves.sqlite import SqliteShelf
from gateway.snapshot import Board
from gateway.stores.sqlite import open_store
from gateway.vault import Vault
from gateway.worker import Worker

_log = structlog.get_logger()


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


def serve(tree: settings.Settings, programs: configure.Programs) -> int:
    """Run the prepared gateway until SIGTERM: the exit code."""
    inbox, outbox = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    for end in (inbox, outbox):
        end.setblocking(False)
    roles = [
        supervisor.Role(f"door-{index}", _role(_door(tree, programs, index, outbox)))
        for index in range(tree.http.workers)
    ]
    roles.append(supervisor.Role("worker", _role(_worker(tree, programs, inbox))))
    return supervisor.Supervisor(roles).run()


def prepare(tree: settings.Settings) -> tuple[configure.Programs, dict[str, str]]:
    """Check the config, compile mappings, make keys, migrate, and make missing endpoint secrets, before any process starts.

    Returns the mappings for all processes to share, and the secrets that were made.
    """
    for name, raw in tree.accounts.items():
        if name != name.strip("/") or "/" in name:
            raise ConfigError("an account name is part of its address and holds no slash", place=f"accounts.{name}")
        configure.rate_of(raw)
    _need_port(tree.http.host, tree.http.port)
    data = tree.gateway.data_dir
    data.mkdir(parents=True, exist_ok=True, mode=0o700)
    programs = configure.programs_of(tree, CARDS)
    ground = open_ground(tree, programs)
    return programs, asyncio.run(_secrets(ground))


async def _secrets(ground: Ground) -> dict[str, str]:
    try:
        await declared.record(
            ground.tree.endpoints, documents=ground.documents, trail=ground.trail, clock=ground.clock
        )
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


Body = Callable[[asyncio.Event], Awaitable[None]]


def _role(body: Body) -> Callable[[int], int]:
    def run(pipe: int) -> int:
        # What was imported lives for ever; short-lived records would otherwise trigger collections all the time (a sixth of the time).
        gc.freeze()
        gc.set_threshold(50_000, 20, 50)
        uvloop.run(_until_stopped(pipe, body))
        return 0

    return run


async def _until_stopped(pipe: int, body: Body) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)

    def orphaned() -> None:
        loop.remove_reader(pipe)
        stop.set()

    loop.add_reader(pipe, orphaned)
    await body(stop)


class _Hints:
    """Tells the worker that there is something to read: once for everything that became durable in one turn of the loop."""

    def __init__(self, outbox: socket.socket) -> None:
        self._outbox = outbox
        self._given = False

    def give(self) -> None:
        if not self._given:
            self._given = True
            asyncio.get_running_loop().call_soon(self._send)

    def _send(self) -> None:
        self._given = False
        try:
            self._outbox.send(b".")
        except OSError:
            # A full socket means that the worker has hints enough.
            return


def _door(tree: settings.Settings, programs: configure.Programs, index: int, outbox: socket.socket) -> Body:
    hints = _Hints(outbox)

    async def body(stop: asyncio.Event) -> None:
        ground = open_ground(tree, programs)
        try:
            await Door(ground, index=index, wake=hints.give).run(stop)
        finally:
            await ground.close()

    return body


def _worker(tree: settings.Settings, programs: configure.Programs, inbox: socket.socket) -> Body:
    async def body(stop: asyncio.Event) -> None:
        wake = asyncio.Event()

        def hinted() -> None:
            try:
                while inbox.recv(4096):
                    pass
            except BlockingIOError:
                pass
            wake.set()

        asyncio.get_running_loop().add_reader(inbox, hinted)
        ground = open_ground(tree, programs)
        try:
            await Worker(ground, wake=wake, endpoints=await ground.book.endpoints()).run(stop)
        finally:
            await ground.close()

    return body
