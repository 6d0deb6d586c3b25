"""The API over real sockets: bodies that are too large, methods that are there, and readers beside whoever pushes."""

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.api.served import Served, served
from tests.e2e import house as houses
from tests.e2e import wire

LOOKUP = "/api/v1/customers:lookup"
IMPORTS = "/api/v1/imports?account=crm"


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One for all."""
    with served(tmp_path_factory.mktemp("served")) as one:
        yield one
        assert one.gateway.facts("supervisor.died") == []


@pytest.fixture
def api(gateway: Served) -> Iterator[httpx.Client]:
    """Its client."""
    headers = {"authorization": f"Bearer {gateway.made['api_key']}", "content-type": "application/json"}
    with httpx.Client(base_url=gateway.url, headers=headers, trust_env=False, timeout=20.0) as one:
        yield one


@pytest.mark.parametrize("key", [{}, {"idempotency-key": "large"}])
def test_body_that_is_too_large_is_read_no_further(api: httpx.Client, key: dict[str, str]) -> None:
    """With its length said or in parts without end; the connection is not used again, and the next request is served."""
    path = "/api/v1/endpoints" if key else LOOKUP
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        while sent < 200:
            sent += 1
            # The door throws away what comes for two or three seconds, so that the answer can be heard, and then hangs up.
            time.sleep(0.05)
            yield b"x" * 65_536

    for body in (b"x" * 2_000_000, endless()):
        try:
            answer = api.post(path, content=body, headers=key)
        except httpx.WriteError:
            # The gateway hung up before everything was sent, as it may (RFC 9110 §15.5.14).
            continue
        assert (answer.status_code, answer.json()["code"]) == (413, "request.request_entity_too_large")
        assert answer.headers["connection"] == "close"
    assert sent < 200
    assert api.post(LOOKUP, content=b'{"phone": "13800138000"}').status_code == 200


def test_body_in_parts_is_read_as_one(api: httpx.Client) -> None:
    """A sender need not say how long it is."""
    parts = (bytes([one]) for one in b'{"phone": "13800138000"}')
    assert api.post(LOOKUP, content=parts).status_code == 200


@pytest.mark.parametrize("key", [{}, {"idempotency-key": "rows"}], ids=["no key", "key"])
def test_rows_are_imported_whole_or_not_at_all(gateway: Served, api: httpx.Client, key: dict[str, str]) -> None:
    """Cut off within a chunk, between two and before the last, or short of their length: no job of fewer rows, and no fault of ours. Then all of them."""
    rows = [b"customer_code,name\n", *(b",%0200d\n" % n for n in range(499)), b"C-%d,\xe6\x9d\x8e\n" % len(key)]
    # More than is held at the door: the application has taken some of it when the rest does not come.
    parts = [b"".join(rows[:400]), b"".join(rows[400:450]), b"".join(rows[450:])]
    head = {"authorization": api.headers["authorization"], "content-type": "text/csv", **key}
    chunked, sized = {**head, "transfer-encoding": "chunked"}, {**head, "content-length": str(sum(map(len, parts)))}
    before = len(api.get("/api/v1/jobs").json()["items"])
    for headers, sent in (
        (chunked, wire.chunks(parts[:2]) + b"%x\r\n" % len(parts[2]) + parts[2][:-9]),
        (chunked, wire.chunks(parts[:2])),
        (chunked, wire.chunks(parts)),
        (sized, b"".join(parts[:2])),
    ):
        assert b" 20" not in wire.post(gateway.gateway.port, IMPORTS, headers, sent).partition(b"\r\n")[0]
    for headers, sent, counts in (
        (chunked, wire.chunks(parts) + b"0\r\n\r\n", {"accepted": 1, "duplicate": 0, "refused": 499}),
        ({**sized, "idempotency-key": "again"} if key else sized, b"".join(parts), {"accepted": 0, "duplicate": 1, "refused": 499}),
    ):  # fmt: skip
        start, _, body = wire.post(gateway.gateway.port, IMPORTS, headers, sent).partition(b"\r\n\r\n")
        assert start.startswith(b"HTTP/1.1 202 ")
        assert done(api, json.loads(body)["id"])["result"] == counts
    assert len(api.get("/api/v1/jobs").json()["items"]) == before + 2
    houses.eventually(lambda: len(gateway.receiver.of("customer.created")) >= 5 + len(key))
    assert gateway.gateway.facts("api.fault") == []


def done(api: httpx.Client, job: str) -> dict[str, Any]:
    """The job at its end."""

    def look() -> dict[str, Any] | None:
        seen: dict[str, Any] = api.get(f"/api/v1/jobs/{job}").json()
        return seen if seen["state"] == "done" else None

    found: dict[str, Any] = houses.eventually(look)
    return found


def test_options_names_every_method_of_a_path(api: httpx.Client) -> None:
    """Whichever handler they belong to."""
    assert api.options("/api/v1/endpoints").headers["allow"] == "GET, OPTIONS, POST"
    assert api.options("/api/v1/endpoints/crm").headers["allow"] == "DELETE, GET, OPTIONS, PATCH, PUT"


def test_long_polls_keep_nobody_waiting(gateway: Served, api: httpx.Client) -> None:
    """Many more of them than have a turn at once: a reader and a push are answered while they wait, and each hears of what was pushed.

    Whoever had to wait for their end would find them done, or what was pushed too late for them.
    """
    after = api.get("/api/v1/events", params={"after": "now"}).json()["next"]

    def poll() -> httpx.Response:
        with httpx.Client(base_url=gateway.url, headers=api.headers, trust_env=False, timeout=30.0) as own:
            return own.get("/api/v1/events", params={"after": after, "wait": 20})

    with ThreadPoolExecutor(24) as pool:
        waiting = [pool.submit(poll) for _ in range(24)]
        time.sleep(1.0)
        assert api.get("/api/v1/customers").status_code == 200
        assert not any(one.done() for one in waiting)
        assert gateway.gateway.feed("erp", [houses.order("SO-9", customer_code="C1")]).status_code == 202
        for one in waiting:
            assert one.result().json()["items"]
