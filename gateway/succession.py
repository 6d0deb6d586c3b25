"""Runs the prepared gateway: ``door-N`` take things in, ``worker`` thinks and tells; and lets each generation of them follow the one before.

What is asked of a generation is asked of its config before anything is forked: what every process of a gateway shares, or cannot be handed over, is
changed by a restart only.
"""

import asyncio
import contextlib
import gc
import socket
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

import msgspec
import structlog
import uvloop

from connectors.registry import CARDS
from gateway import app, configure, settings
from gateway.clock import SystemClock
from gateway.connector import Account
from gateway.doors import mllp
from gateway.errors import ConfigError
from gateway.handover import Handover, Plan
from gateway.ingress import Door, listen_of, tls_of
from gateway.listeners import Listeners
from gateway.pipeline import versions
from gateway.reload import Changes, Reloads
from gateway.supervisor import Post, Role, Supervisor
from gateway.turn import Turn
from gateway.worker import Worker

_log = structlog.get_logger()

FIXED = (
    "gateway.data_dir", "gateway.log", "http.host", "http.port", "http.workers", "journal.url", "store.url", "shared.url", "vault.url",
)  # fmt: skip
"""What a reload does not change."""

Body = Callable[[Turn], Awaitable[None]]


def settle_memory() -> None:
    """What a process does before its work. What was imported lives for ever; short-lived records would otherwise trigger collections all the time
    (a sixth of the time)."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


def serve(tree: settings.Settings, programs: configure.Programs, again: Callable[[], settings.Settings]) -> int:
    """Run until SIGTERM: the exit code. ``again`` reads the settings anew, when a reload is wished. ConfigError when nobody can listen."""
    succession = Succession(tree, programs, again)
    reloads = Reloads(tree.gateway.data_dir)
    if not reloads.hold():
        _log.warning("reload.unavailable", detail="another gateway runs on this data_dir", remedy="stop one of them")
    attend = Handover(reloads, draw=succession.draw, close=succession.close, clock=SystemClock())
    return Supervisor(succession.roles(), attend).run()


class Succession:
    """The generation that is in force, and the plan of the one to come."""

    def __init__(
        self, tree: settings.Settings, programs: configure.Programs, again: Callable[[], settings.Settings]
    ) -> None:
        self._tree = tree
        self._programs = programs
        self._again = again
        self._texts = _texts(tree, programs)
        self._listeners = Listeners()
        self._inbox, self._outbox = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        for end in (self._inbox, self._outbox):
            end.setblocking(False)
        _ = self._listeners.open({**_http(tree), **_mllp(configure.accounts_of(tree, CARDS).values())})

    def roles(self) -> list[Role]:
        """Of the generation in force."""
        return [*self._doors(self._tree, self._programs), self._worker(self._tree, self._programs)]

    def close(self) -> None:
        """Nobody takes anything in any more."""
        self._listeners.close(self._listeners.others(()))

    def draw(self) -> Plan:
        """What the config is now. GatewayError says why it cannot be taken up."""
        tree = self._again()
        _need_same(self._tree, tree)
        accounts = configure.accounts_of(tree, CARDS)
        programs = configure.programs_of(tree, CARDS)
        texts = _texts(tree, programs)
        # Last: whatever is refused before leaves no queue behind in which partners would wait for nobody.
        fresh = self._listeners.open(_mllp(accounts.values()))

        def adopt() -> None:
            self._listeners.close(self._listeners.others([*_http(tree), *_mllp(accounts.values())]))
            self._tree, self._programs, self._texts = tree, programs, texts

        late = self._with_those_gone(tree)
        mappings = tuple("/".join(one) for one, text in texts.items() if self._texts.get(one, text) != text)
        return Plan(
            changes=msgspec.structs.replace(changes(self._tree, tree), mappings=mappings),
            doors=self._doors(tree, programs),
            worker=self._worker(late, {**self._programs, **programs}),
            check=lambda: _check(tree, programs, accounts),
            adopt=adopt,
            abandon=lambda: self._listeners.close(fresh),
        )

    def _with_those_gone(self, tree: settings.Settings) -> settings.Settings:
        """With the accounts that are in force and no more in ``tree``: the last of what they said is read by the new worker."""
        gone = {name: raw for name, raw in self._tree.accounts.items() if name not in tree.accounts}
        shut = {name: {**raw, "disabled": True} for name, raw in gone.items()}
        return msgspec.structs.replace(tree, accounts={**tree.accounts, **shut})

    def _doors(self, tree: settings.Settings, programs: configure.Programs) -> list[Role]:
        return [Role(f"door-{at}", self._door(tree, programs, at)) for at in range(tree.http.workers)]

    def _door(self, tree: settings.Settings, programs: configure.Programs, index: int) -> Callable[[Post], int]:
        hints = _Hints(self._outbox)
        own = [f"http/{index}", *([] if index else _mllp(configure.accounts_of(tree, CARDS).values()))]

        async def body(turn: Turn) -> None:
            ground = app.open_ground(tree, programs)
            try:
                await Door(ground, index=index, wake=hints.give).run(turn)
            finally:
                await ground.close()

        return self._run(body, own)

    def _worker(self, tree: settings.Settings, programs: configure.Programs) -> Role:
        async def body(turn: Turn) -> None:
            wake = asyncio.Event()
            asyncio.get_running_loop().add_reader(self._inbox, _hinted(self._inbox, wake))
            ground = app.open_ground(tree, programs)
            try:
                worker = Worker(ground, wake=wake, endpoints=await ground.book.endpoints())
                turn.ready()
                await worker.run(turn.stop)
            finally:
                await ground.close()

        return Role("worker", self._run(body, []))

    def _run(self, body: Body, own: Iterable[str]) -> Callable[[Post], int]:
        own = tuple(own)

        def run(post: Post) -> int:
            # A queue lives as long as anybody holds it.
            self._listeners.close(self._listeners.others(own))
            settle_memory()
            uvloop.run(_turned(post, self._listeners, body))
            return 0

        return run


async def _turned(post: Post, listeners: Listeners, body: Body) -> None:
    await body(Turn(post, listeners))


# ---------------------------------------------------------------------- what is asked of a config
def _need_same(old: settings.Settings, new: settings.Settings) -> None:
    for name in FIXED:
        section, _, key = name.partition(".")
        if getattr(getattr(old, section), key) != getattr(getattr(new, section), key):
            raise ConfigError(f"{name} cannot be changed by a reload", place=name, remedy="restart the gateway")


def _check(tree: settings.Settings, programs: configure.Programs, accounts: Mapping[str, Account]) -> None:
    """Open everything once, as each process will."""
    for name in app.make_ready(tree, programs):
        _log.warning(
            "endpoint.secret_made", endpoint=name, remedy=f"gateway endpoints rotate {name} makes one and shows it"
        )
    for name, account in accounts.items():
        if listen_of(account):
            _ = tls_of(account.options, name)


def _texts(tree: settings.Settings, programs: configure.Programs) -> dict[tuple[str, str], bytes]:
    own = tree.gateway.mappings
    try:
        return {
            (name, stem): (versions.folder_of(own, name, stem) / name / f"{stem}.yaml").read_bytes()
            for name, stem in programs
        }
    except OSError as error:
        # Somebody is changing them at this moment.
        raise ConfigError(
            f"cannot be read: {error.strerror}", place=str(error.filename), remedy="reload again"
        ) from error


def changes(old: settings.Settings, new: settings.Settings) -> Changes:
    """What differs between two configs."""
    before, after = old.accounts, new.accounts
    sections = [
        name for name in new.__struct_fields__ if name != "accounts" and getattr(old, name) != getattr(new, name)
    ]
    return Changes(
        added=tuple(name for name in after if name not in before),
        changed=tuple(name for name in after if name in before and after[name] != before[name]),
        removed=tuple(name for name in before if name not in after),
        sections=tuple(sections),
    )


def _http(tree: settings.Settings) -> dict[str, tuple[str, int, str]]:
    return {f"http/{at}": (tree.http.host, tree.http.port, "http.port") for at in range(tree.http.workers)}


def _mllp(accounts: Iterable[Account]) -> dict[str, tuple[str, int, str]]:
    found: dict[str, tuple[str, int, str]] = {}
    for account in accounts:
        listen, place = listen_of(account), f"accounts.{account.name}.listen"
        if not listen or account.disabled:
            continue
        if f"mllp/{listen}" in found:
            raise ConfigError(f"two accounts listen on {listen}", place=place, remedy="choose another port")
        try:
            found[f"mllp/{listen}"] = (*mllp.address(listen), place)
        except ValueError as error:
            raise ConfigError(str(error), place=place) from error
    return found


# ---------------------------------------------------------------------- hints
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
        # A full socket means that the worker has hints enough.
        with contextlib.suppress(OSError):
            self._outbox.send(b".")


def _hinted(inbox: socket.socket, wake: asyncio.Event) -> Callable[[], Any]:
    def hinted() -> None:
        with contextlib.suppress(BlockingIOError):
            while inbox.recv(4096):
                pass
        wake.set()

    return hinted
