"""Servers to measure against: the bare ASGI server, and a webhook receiver that counts. Run as ``python -m bench.targets bare|sink PORT``."""

import sys
import time

import uvloop
from granian.constants import Interfaces
from granian.server.embed import Server


async def bare(scope, receive, send):  # type: ignore[no-untyped-def]
    """Read the body, answer 200."""
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


class Sink:
    """Counts what arrives, and notes each webhook-id with the time it came; ``GET /`` tells, ``GET /ids`` lists."""

    def __init__(self) -> None:
        self.count = 0
        self.first = self.last = 0.0
        self.arrived: list[tuple[str, float]] = []

    async def __call__(self, scope, receive, send):  # type: ignore[no-untyped-def]
        if scope["method"] == "GET":
            body = f'{{"count":{self.count},"first":{self.first},"last":{self.last}}}'.encode()
            if scope["path"] == "/ids":
                body = "\n".join(f"{name} {at}" for name, at in self.arrived).encode()
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", str(len(body)).encode())]})
            await send({"type": "http.response.body", "body": body})
            return
        parts = []
        while True:
            message = await receive()
            parts.append(message.get("body", b""))
            if not message.get("more_body"):
                break
        self.last = time.time()
        self.first = self.first or self.last
        self.count += 1
        name = next(value for key, value in scope["headers"] if key == b"webhook-id").decode()
        self.arrived.append((name, self.last))
        await send({"type": "http.response.start", "status": 204, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})


async def _serve(kind: str, port: int) -> None:
    app = Sink() if kind == "sink" else bare
    await Server(app, address="127.0.0.1", port=port, interface=Interfaces.ASGINL, log_enabled=False, websockets=False, backlog=1024).serve()


if __name__ == "__main__":
    uvloop.run(_serve(sys.argv[1], int(sys.argv[2])))
