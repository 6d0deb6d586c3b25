"""Sockets that outlive a process, and what only one process may do."""

import asyncio
import socket
from pathlib import Path

import pytest

from gateway.clock import SystemClock
from gateway.errors import ConfigError
from gateway.listeners import Listeners, alone
from tests.e2e.house import free_ports


def test_who_connects_between_two_owners_waits_in_the_queue() -> None:
    """The first closes its own socket, somebody connects, and the second accepts it."""
    (port,) = free_ports(1)
    held = Listeners()
    assert held.open({"http/0": ("127.0.0.1", port, "http.port")}) == ["http/0"]
    assert held.open({"http/0": ("127.0.0.1", port, "http.port")}) == [], "it is there already"
    (first,) = held.take("http/0")
    first.close()
    with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
        (second,) = held.take("http/0")
        with second:
            second.setblocking(True)
            accepted, address = second.accept()
            accepted.close()
            assert address == client.getsockname()
    held.close(["http/0"])
    assert held.take("http/0") == []
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=5)


def test_when_one_is_taken_none_is_opened() -> None:
    """The fault names the place in the config; what was opened on the way is closed."""
    (free,) = free_ports(1)
    with socket.create_server(("127.0.0.1", 0)) as taking:
        taken = taking.getsockname()[1]
        held = Listeners()
        with pytest.raises(ConfigError) as caught:
            held.open(
                {
                    "mllp/a": ("127.0.0.1", free, "accounts.a.listen"),
                    "mllp/b": ("127.0.0.1", taken, "accounts.b.listen"),
                }
            )
    assert caught.value.place == "accounts.b.listen"
    assert held.others(()) == []
    with socket.create_server(("127.0.0.1", free)):
        pass


def test_the_second_begins_when_the_first_has_ended(tmp_path: Path) -> None:
    """Never two at once, however often they take turns."""
    inside: list[str] = []

    async def work(name: str) -> None:
        async with alone(tmp_path / "run" / "first.lock", SystemClock()):
            inside.append(f"{name} in")
            await asyncio.sleep(0.1)
            inside.append(f"{name} out")

    async def both() -> None:
        async with asyncio.TaskGroup() as group:
            for name in "ab":
                group.create_task(work(name))

    asyncio.run(both())
    assert sorted(inside[:2]) in (["a in", "a out"], ["b in", "b out"])
    assert len(inside) == 4
