"""The API over real sockets: bodies that are too large, methods that are there, and readers beside whoever pushes."""

import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.api.served import Served, served
from tests.e2e import house as houses

LOOKUP = "/api/v1/customers:lookup"


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


@pytest.mark.parametrize(
    ("said", "size", "status"),
    [("content-length: 9000", 900, b""), ("content-length: 200000", 90_000, b""), ("transfer-encoding: chunked", 0, b" 411 ")],
)  # fmt: skip
def test_rows_that_are_cut_off_are_no_import(
    gateway: Served, api: httpx.Client, said: str, size: int, status: bytes
) -> None:
    """The sender died after some of them: no job is begun with fewer rows than were sent, and the next request is served."""
    before = api.get("/api/v1/jobs").json()["items"]
    with socket.create_connection((api.base_url.host, api.base_url.port)) as line:
        head = f"POST /api/v1/imports?account=erp HTTP/1.1\r\nhost: x\r\nauthorization: {api.headers['authorization']}\r\ncontent-type: text/csv\r\n{said}\r\n\r\n"
        line.sendall(head.encode() + (b"order_no,customer_code\n" + b"A1,C1\n" * size)[:size])
        line.shutdown(socket.SHUT_WR)
        answer = line.recv(4096)
    assert b" 202 " not in answer and status in answer
    assert api.get("/api/v1/jobs").json()["items"] == before


def test_options_names_every_method_of_a_path(api: httpx.Client) -> None:
    """Whichever handler they belong to."""
    assert api.options("/api/v1/endpoints").headers["allow"] == "GET, OPTIONS, POST"
    assert api.options("/api/v1/endpoints/crm").headers["allow"] == "DELETE, GET, OPTIONS, PATCH, PUT"


def test_long_polls_keep_nobody_waiting(gateway: Served, api: httpx.Client) -> None:
    """Many more of them than have a turn at once: a reader and a push are answered while they wait, and each hears of what was pushed."""
    after = api.get("/api/v1/events", params={"after": "now"}).json()["next"]

    def poll() -> httpx.Response:
        with httpx.Client(base_url=gateway.url, headers=api.headers, trust_env=False, timeout=30.0) as own:
            return own.get("/api/v1/events", params={"after": after, "wait": 20})

    with ThreadPoolExecutor(24) as pool:
        waiting = [pool.submit(poll) for _ in range(24)]
        time.sleep(1.0)
        assert not any(one.done() for one in waiting)
        began = time.monotonic()
        assert api.get("/api/v1/customers").status_code == 200
        assert gateway.gateway.feed("erp", [houses.order("SO-9", customer_code="C1")]).status_code == 202
        assert time.monotonic() - began < 5.0
        for one in waiting:
            assert one.result().json()["items"]
