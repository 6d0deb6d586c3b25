"""A served SCRM: real sockets, real signatures made by the independent library."""

import asyncio
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from granian.constants import Interfaces
from granian.server.embed import Server
from standardwebhooks import Webhook

from gateway.clock import SECOND, TurnedClock
from scrm.app import create_app
from tests.e2e.house import eventually
from tests.scrm import samples
from tests.servers.loops import closed
from tests.servers.process import answers, free_port


class Served:
    """The application behind a port of its own; ``post`` signs and delivers, ``clock`` is turned by hand."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.clock = TurnedClock(samples.NOW)
        self.port: int = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.client = httpx.Client(base_url=self.url, timeout=20, trust_env=False)
        app = create_app(path=path, secrets=[samples.SECRET, samples.OLD_SECRET], clock=self.clock)
        self._server = Server(app, port=self.port, interface=Interfaces.ASGI, log_enabled=False)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._server.serve(),))
        self._thread.start()
        self._wait()

    def _wait(self) -> None:
        eventually(lambda: answers(self.port), what="the port is open")
        assert self.client.get("/api/stats").status_code == 200

    def headers(self, name: str, body: bytes, secret: str = samples.SECRET) -> dict[str, str]:
        """What the gateway sends beside ``body``, signed now."""
        now = self.clock.now() // SECOND
        signature = Webhook(secret).sign(name, datetime.fromtimestamp(now, UTC), body.decode())
        return {
            "webhook-id": name,
            "webhook-timestamp": str(now),
            "webhook-signature": signature,
            "content-type": "application/json",
        }

    def post(self, told: dict[str, Any], **changed: str) -> httpx.Response:
        """Deliver an event."""
        body = samples.raw(told)
        return self.client.post("/hooks", content=body, headers=self.headers(told["id"], body) | changed)

    def get(self, path: str, **query: str | int) -> Any:
        """An answer of the API."""
        answer = self.client.get(path, params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def stop(self) -> None:
        """End the server; the file can be opened again afterwards."""
        self.client.close()
        self._loop.call_soon_threadsafe(self._server.stop)
        self._thread.join(30)
        closed(self._loop)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    """An empty SCRM."""
    running = Served(tmp_path / "scrm.db")
    yield running
    running.stop()


@pytest.fixture
def told(served: Served) -> Served:
    """An SCRM that has heard the whole story."""
    for event in samples.story():
        assert served.post(event).status_code == 204
    return served
