"""The partner API under 500 callers who never pause: customers and orders read by one door process, each request with a token, beside the same server and
framework answering a page of JSON that was made long before.

And what that does to whoever pushes at the same door: the p99 of signed webhooks at a steady rate, with and without those callers.
"""

import asyncio
import itertools
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import httpx
import uvloop

from bench import figure, load, made, report, running
from bench.figure import Figure, Scale

_CALLERS = 500
_PEOPLE = 400
_ORDERS = 1200
_PUSHES = 100.0
_SCOPES = ("customers:read", "orders:read")


def measure(scale: Scale) -> Sequence[Figure]:
    """Requests a second, their p99, and the pushes' p99."""
    count = scale.count(6000, least=1000)
    with (
        running.folder() as data,
        running.target("page") as (page, _),
        running.gateway(running.config(data, port=running.free_port()), data) as house,
    ):
        requests = _Requests(house, data)
        plain = [_get("/page", "")] * count
        rounds = []
        for number in range(scale.rounds):
            figure.say(f"api: round {number + 1}")
            sides = [(house.port, requests.some(count)), (page, plain)]
            tallies = [
                load.drive(port, asked, connections=_CALLERS) for port, asked in (sides[::-1] if number % 2 else sides)
            ]
            rounds.append(tuple(tallies[::-1] if number % 2 else tallies))
        pushes = []
        for number in range(scale.rounds):
            figure.say(f"api: pushes beside it, round {number + 1}")
            pushes.append(uvloop.run(_pushes(house.port, requests, scale.seconds(4.0))))
    return _figures(rounds, pushes)


def _get(path: str, token: str) -> bytes:
    return (
        f"GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {token}\r\nuser-agent: bench\r\n\r\n".encode()
    )


class _Requests:
    """What callers ask for: single customers and orders, and pages of twenty, in turn."""

    def __init__(self, house: running.Gateway, data: Path) -> None:
        orders = made.Orders(_PEOPLE)
        load.drive(house.port, orders.requests(_ORDERS))
        self.orders = orders
        made_ = _client(data / "config.toml")
        with httpx.Client(base_url=f"http://127.0.0.1:{house.port}", trust_env=False, timeout=30.0) as http:
            auth = (made_["client_id"], made_["client_secret"])
            said = http.post("/oauth/token", data={"grant_type": "client_credentials"}, auth=auth)
            self._token = said.raise_for_status().json()["access_token"]
            http.headers["authorization"] = f"Bearer {self._token}"
            _until(lambda: len(_ids(http, "orders")) >= _ORDERS)
            people, sold = _ids(http, "customers"), _ids(http, "orders")
        paths = itertools.chain.from_iterable(
            (
                f"/api/v1/customers/{person}",
                f"/api/v1/orders/{order}",
                "/api/v1/customers?limit=20",
                f"/api/v1/orders/{order}",
            )
            for person, order in zip(itertools.cycle(people), sold, strict=False)
        )
        self._each = [_get(path, self._token) for path in paths]

    def some(self, count: int) -> list[bytes]:
        """``count`` requests."""
        return list(itertools.islice(itertools.cycle(self._each), count))


def _client(file: Path) -> dict[str, str]:
    words = [word for scope in _SCOPES for word in ("--scope", scope)]
    done = subprocess.run(
        [sys.executable, "-m", "gateway", "clients", "make", "bench", *words, "--rate", "1000000", "--burst", "1000000", "--json", "--config", str(file)],
        cwd=Path(__file__).parent.parent, capture_output=True, check=True,
    )  # fmt: skip
    found: dict[str, str] = json.loads(done.stdout)
    return found


def _ids(http: httpx.Client, what: str) -> list[str]:
    found: list[str] = []
    asked: dict[str, str | int] = {"limit": 200, "fields": "id"}
    while True:
        page = http.get(f"/api/v1/{what}", params=asked).raise_for_status().json()
        found += [one["id"] for one in page["items"]]
        if page["next"] is None:
            return found
        asked["after"] = page["next"]


def _until(look) -> None:  # type: ignore[no-untyped-def]
    for _ in range(300):
        if look():
            return
        asyncio.run(asyncio.sleep(0.1))
    raise RuntimeError("the orders were not projected within 30 s")


async def _pushes(port: int, requests: _Requests, seconds: float) -> tuple[load.Tally, load.Tally, load.Tally]:
    """Pushes alone, pushes while everybody reads, and those reads."""
    count = int(_PUSHES * seconds)
    alone = await load.Paced(requests.orders.requests(count), rate=_PUSHES).run("127.0.0.1", port, 16)
    over = False
    endless = itertools.takewhile(lambda _: not over, itertools.cycle(requests.some(4000)))
    reads = asyncio.create_task(load.Closed(endless).run("127.0.0.1", port, _CALLERS))
    await asyncio.sleep(0.5)
    beside = await load.Paced(requests.orders.requests(count), rate=_PUSHES).run("127.0.0.1", port, 16)
    over = True
    return alone, beside, await reads


def _figures(
    rounds: Sequence[tuple[load.Tally, load.Tally]], pushes: Sequence[tuple[load.Tally, load.Tally, load.Tally]]
) -> list[Figure]:
    failed = sum(ours.failed for ours, _ in rounds) + sum(reads.failed for _, _, reads in pushes)
    return [
        figure.ratio(
            "api", f"Customers and orders read by {_CALLERS} callers at once, each with a token; one door process.", "/s",
            [(ours.rate, theirs.rate) for ours, theirs in rounds],
            against="the same server and framework answering a ready page of JSON", floor=0.05, aim=0.10,
            notes=[f"{failed} of {sum(ours.done for ours, _ in rounds)} failed"],
        ),
        figure.plain(
            "api p99", f"Of the same rounds: from asking to the answer, with {_CALLERS} waiting at all times.", "ms",
            [ours.percentile(0.99) for ours, _ in rounds], floor=3000, aim=1000, best="low",
        ),
        figure.plain(
            "accept p99 beside readers", f"Signed webhooks, {_PUSHES:.0f} a second, at the door that those callers read from.", "ms",
            [beside.percentile(0.99) for _, beside, _ in pushes], floor=100, aim=50, best="low",
            notes=[f"without the callers it is {figure.Spread(tuple(alone.percentile(0.99) for alone, _, _ in pushes)).median:.1f} ms"],
        ),
    ]  # fmt: skip


if __name__ == "__main__":
    report.main(measure)
