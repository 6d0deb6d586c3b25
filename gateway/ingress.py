"""The process that takes things in: over HTTP, and the first of several also over MLLP and from watched directories."""

import asyncio
import functools
import importlib
import ssl
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import structlog

from gateway.clock import SECOND, at_most
from gateway.connector import Account
from gateway.crew import crewed
from gateway.doors.bridge import App, Later
from gateway.doors.files import FilesDoor, Watched
from gateway.doors.http import HttpDoor
from gateway.doors.mllp import Server, serve_mllp
from gateway.doors.server import HttpServer
from gateway.errors import ConfigError, JournalError, StoreError
from gateway.listeners import Listeners, alone
from gateway.model.lane import Lane
from gateway.pipeline import units
from gateway.pipeline.accounts import Opened
from gateway.pipeline.receive import Gate, RejectLog
from gateway.processes import Ground, Office, follow_keys, receiver_of
from gateway.snapshot import STALE, Part
from gateway.turn import Turn

_log = structlog.get_logger()
_DRAIN = 8.0
_TREE = 10.0
_HEADSTART = 0.2
# How long a door that is succeeded still answers: pages that keep themselves up to date leave within two seconds.
_FAREWELL = 2.0


class Door:
    """See the module. Also counts how far projecting is behind, and keeps what was refused."""

    def __init__(self, ground: Ground, *, index: int, wake: Callable[[], None]) -> None:
        self._ground = ground
        self._index = index
        self._rejects = RejectLog()
        self._gate = Gate(bulk_most=ground.tree.journal.bulk_most, live_most=ground.tree.journal.live_most)
        self._receiver = receiver_of(ground, gate=self._gate, rejects=self._rejects, wake=wake)
        self._journal_fault = ""
        self._tree, self._tree_due = units.Units(), 0.0
        self._office: Office | None = None
        self._mllp: dict[str, Server] = {}

    async def run(self, turn: Turn) -> None:
        """For its turn; then finish what was begun."""
        ground, http = self._ground, self._ground.tree.http
        office = Later(self._open_office)
        door = HttpDoor(
            accept=self._receiver.accept,
            oversized=self._receiver.oversized,
            inner=office,
            clock=ground.clock,
            meters=ground.meters,
            max_body=http.max_body,
        )
        sockets = turn.listeners.take(f"http/{self._index}")
        server = HttpServer(door, clock=ground.clock, host=http.host, port=http.port, sockets=sockets)
        async with crewed() as crew:
            if turn.waits:
                await office.begin()
                if not await turn.begin():
                    return
            rounds = [crew.start(self._minding())]
            if self._index == 0:
                rounds.append(crew.start(self._alone(turn.listeners)))
            serving = crew.start(server.run())
            if not turn.waits:
                # What comes first is taken in before the interpreter is shared with loading.
                await ground.clock.sleep(_HEADSTART)
                await office.begin()
            assert self._office is not None
            rounds += [crew.start(one) for one in self._office.rounds(self._index == 0)]
            await turn.over()
            self._office.close()
            # MLLP and watched directories end beside HTTP, not after it.
            for one in rounds:
                _ = one.cancel()
            if not turn.stop.is_set():
                server.step_aside()
                await at_most(_FAREWELL, turn.stop)
            server.stop()
            await asyncio.wait([serving], timeout=_DRAIN)
        await self._flush_rejects()

    def _open_office(self) -> App:
        # By name: it costs as much to load as everything else, and a door takes things in meanwhile.
        self._office = made = importlib.import_module("gateway.office").open_office(
            self._ground, parts=self.parts, tree=self._tree, receiver=self._receiver
        )
        return cast(App, made.app)

    async def _alone(self, listeners: Listeners) -> None:
        """What only one process may do: until cancelled, after whoever does it now."""
        ground = self._ground
        async with alone(ground.tree.gateway.data_dir / "run" / "first.lock", ground.clock):
            open_accounts = [one for one in ground.accounts.all() if not one.account.disabled]
            servers = [await self._listen(one, listeners) for one in open_accounts if listen_of(one.account)]
            watched = [one for opened in open_accounts if (one := _watched(opened))]
            files = FilesDoor(
                watched, accept=self._receiver.accept, clock=ground.clock, max_body=ground.tree.http.max_body
            )
            try:
                await files.run()
                await asyncio.Event().wait()
            finally:
                await asyncio.gather(*(server.close() for server in servers))

    async def _listen(self, opened: Opened, listeners: Listeners) -> Server:
        options, name = opened.account.options, opened.account.name

        server = await serve_mllp(
            listen=options.listen,
            sockets=listeners.take(f"mllp/{options.listen}"),
            tls=tls_of(options, name),
            accept=functools.partial(self._receiver.accept, name),
            peers=options.peers,
            max_frame=options.max_frame,
            clock=self._ground.clock,
        )
        self._mllp[name] = server
        _log.info("door.mllp_listening", account=name, port=server.port)
        return server

    # ------------------------------------------------------------------ minding
    async def _minding(self) -> None:
        """Once a second: measure the backlog, keep rejects, say how we are."""
        while True:
            try:
                await follow_keys(self._ground)
                await self._measure()
                self._count_mllp()
                await self._flush_rejects()
                await self._read_tree()
                self._ground.board.put(
                    f"door-{self._index}", self._ground.clock.now(), {}, self._ground.meters.registry
                )
                self._journal_fault = ""
            # A full disk must not end the door: it answers 503 until there is room again.
            except (JournalError, StoreError, OSError) as error:
                self._journal_fault = str(error)
            await self._ground.clock.sleep(1.0)

    async def _read_tree(self) -> None:
        # The worker writes it; what a partner may see follows within this.
        now = self._ground.clock.monotonic()
        if now >= self._tree_due:
            await self._tree.load(self._ground.records)
            self._tree_due = now + _TREE

    async def _measure(self) -> None:
        ground = self._ground
        cursors = await ground.records.cursors()
        total = 0
        for lane in Lane:
            depth, oldest = 0, None
            for shard in ground.log.shards(lane):
                behind, since = await ground.log.depth(lane, shard, cursors.get((lane, shard), 0))
                depth += behind
                oldest = min(filter(None, (oldest, since)), default=None)
            total += depth
            if self._index == 0:
                ground.meters.backlog.labels(lane.value).set(depth)
                ground.meters.backlog_age.labels(lane.value).set(
                    (ground.clock.now() - oldest) / SECOND if oldest else 0
                )
        self._gate.depth = total

    def _count_mllp(self) -> None:
        meters = self._ground.meters
        for name, server in self._mllp.items():
            meters.mllp_open.labels(name).set(server.open)
            for met, amount in server.met().items():
                meters.mllp.labels(name, met).inc(amount)

    async def _flush_rejects(self) -> None:
        held = self._rejects.take()
        if not held:
            return
        try:
            await self._ground.records.reject(held, keep=self._ground.tree.store.rejects)
        except (StoreError, asyncio.CancelledError):
            # A door that hands over is cancelled here, and flushes once more before it ends; what is written already stays as it is.
            for reject in held:
                self._rejects.add(reject)
            raise

    def parts(self) -> list[Part]:
        """How each part is."""
        now = self._ground.clock.now()
        said = {one.role: one for one in self._ground.board.all()}
        worker = said.get("worker")
        fresh = worker is not None and now - worker.at < STALE
        return [
            Part(name="journal and store", ok=not self._journal_fault, reason=self._journal_fault),
            Part(name="backlog", ok=not self._gate.wait(Lane.LIVE), facts={"entries": self._gate.depth}),
            Part(
                name="worker",
                ok=fresh,
                reason="" if fresh else "the worker has not reported for ten seconds; see the log for why it stops",
                facts=worker.parts if worker else {},
            ),
        ]


def listen_of(account: Account) -> str:
    """Where the account's partner connects to, ``host:port``; empty for those that have no listener of their own."""
    return getattr(account.options, "listen", None) or ""


def _watched(opened: Opened) -> Watched | None:
    options = opened.account.options
    folder = getattr(options, "watch", None)
    return Watched(account=opened.account.name, directory=Path(folder), format=options.format or "") if folder else None


def tls_of(options: Any, name: str) -> ssl.SSLContext | None:
    """The TLS side of a listener from its ``tls_cert`` (a file) and ``tls_key`` (PEM text); None without a certificate."""
    if not options.tls_cert:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        with tempfile.NamedTemporaryFile("w", suffix=".pem") as key:
            # The library reads keys from files only; this one is ours alone (0600) and gone at once.
            key.write(
                options.tls_key.reveal() if options.tls_key else Path(options.tls_cert).read_text(encoding="ascii")
            )
            key.flush()
            context.load_cert_chain(options.tls_cert, key.name)
    except (OSError, ValueError) as error:
        raise ConfigError(f"certificate or key cannot be used: {error}", place=f"accounts.{name}.tls_cert") from error
    return context
