"""Both made-up sides against the real connector, over real sockets."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from connectors.wecom import CARD, simulate
from connectors.wecom.fake import Api, headers
from gateway.clock import SystemClock, TurnedClock
from gateway.connector import Accepted, Connector, Inbound, Request, Response, Secret, Token, Tools, Window
from gateway.errors import PartnerDenied, PartnerDown, PartnerQuota
from tests.connectors.wecom_kit import CORP, KEY, TOKEN, account, payloads

OPTIONS = {"corp_id": CORP, "token": TOKEN, "encoding_aes_key": KEY, "secret": "s3cret"}
CLOCK = SystemClock()
WINDOW = Window(since=0, until=1)


class Door:
    """A gateway's door with nothing behind it: hands requests to the connector and remembers what was accepted."""

    def __init__(self, connector: Connector, refuse: int = 0) -> None:
        self._connector = connector
        self._refuse = refuse
        self.events: list[Inbound] = []
        self.url = ""
        self.busy: set[Any] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.busy.add(asyncio.current_task())
        try:
            await self._one(reader, writer)
        except (OSError, EOFError, ValueError):
            pass
        writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        method, target, _ = (await reader.readline()).decode().split(" ", 2)
        length, _ = await headers(reader)
        body = await reader.readexactly(length)
        request = Request(method=method, query=target.partition("?")[2], body=body, received_at=CLOCK.now())
        status, answer = self._answer(request)
        writer.write(f"HTTP/1.1 {status} .\r\nContent-Length: {len(answer)}\r\n\r\n".encode() + answer)
        await writer.drain()
        await reader.read()

    def _answer(self, request: Request) -> tuple[int, bytes]:
        outcome = self._connector.receive(request)
        if isinstance(outcome, Accepted):
            if self._refuse:
                self._refuse -= 1
                return 503, b""
            self.events += outcome.events
        return outcome.reply.status, outcome.reply.body


@asynccontextmanager
async def door(connector: Connector, refuse: int = 0) -> AsyncIterator[Door]:
    found = Door(connector, refuse)
    async with await asyncio.start_server(found.serve, "127.0.0.1", 0) as server:
        found.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/in/corp"
        yield found
        await asyncio.gather(*found.busy)


class Tokens:
    """Single flight in one process."""

    def __init__(self) -> None:
        self._held: dict[str, str] = {}
        self._lock = asyncio.Lock()

    async def __call__(self, name: str, obtain: Callable[[], Awaitable[Token]], *, stale: str = "") -> str:
        async with self._lock:
            if self._held.get(name, stale) == stale:
                self._held[name] = (await obtain()).value
            return self._held[name]


@asynccontextmanager
async def linked(secret: str = "s3cret", **options: str) -> AsyncIterator[tuple[Api, Connector]]:
    """The fake API and a connector that calls it over HTTP."""
    api = await simulate.serve_api(host="127.0.0.1", port=0, options={**OPTIONS, **options}, seed=7)
    async with httpx.AsyncClient() as http:

        async def call(
            method: str, url: str, *, params: Mapping[str, str] | None = None, json: Any = None, **_: Any
        ) -> Response:
            answer = await http.request(method, url, params=params, json=json)
            return Response(status=answer.status_code, headers=answer.headers, body=answer.content)

        tools = Tools(clock=TurnedClock(CLOCK.now()), call=call, token=Tokens())
        try:
            yield (
                api,
                CARD.open(
                    account(api_base=api.url, secret=Secret(secret), agent_id=options.get("agent_id", "")), tools
                ),
            )
        finally:
            await api.close()


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """However slow the machine, WeCom waits for its answer here."""
    exchange = simulate._exchange
    monkeypatch.setattr(simulate, "_exchange", lambda *asked: exchange(*asked[:-1], 30.0))


async def send(
    url: str, seconds: float | None, *, rate: float = 500, seed: int = 7, told: list[str] | None = None
) -> int:
    """A run on a clock that passes as fast as it is answered."""
    tell, clock = (told if told is not None else []).append, TurnedClock(CLOCK.now())
    return await simulate.run(url=url, options=OPTIONS, rate=rate, seconds=seconds, seed=seed, tell=tell, clock=clock)


# ---------------------------------------------------------------------- callbacks
def test_a_run_passes_the_url_check_and_everything_it_sends_is_understood() -> None:
    """Retries collapse, what differs stays apart, and every message is decoded."""

    async def scenario() -> None:
        async with linked() as (_, connector), door(connector) as target:
            acknowledged = await send(target.url, 0.6)
            times = Counter(event.dedupe_key for event in target.events)
            assert len(times) == acknowledged > 50
            assert set(times.values()) == {1, 2}
            topics = {event.topic for event in target.events}
            assert {"external_contact", "message", "app_event", "contact_change", "external_chat", "other"} <= topics
            for event in target.events:
                assert connector.decode(event.topic, event.payload).data

    asyncio.run(scenario())


def test_a_run_holds_two_customers_of_one_second_and_edits_that_come_late() -> None:
    """What makes the fine key and the version rule necessary really occurs."""

    async def scenario() -> None:
        async with linked() as (_, connector), door(connector) as target:
            await send(target.url, 0.6)
        data = [connector.decode(event.topic, event.payload).data or {} for event in target.events]
        contacts = [one for one in data if one.get("Event") == "change_external_contact"]
        seconds: dict[tuple[str, str], set[str]] = {}
        latest: dict[str, int] = {}
        late = 0
        for one in contacts:
            if one["ChangeType"] == "add_external_contact":
                seconds.setdefault((one["CreateTime"], one["UserID"]), set()).add(one["ExternalUserID"])
            at = int(one["CreateTime"])
            late += at < latest.get(one["ExternalUserID"], 0)
            latest[one["ExternalUserID"]] = max(at, latest.get(one["ExternalUserID"], 0))
        assert max(len(customers) for customers in seconds.values()) > 1
        assert late

    asyncio.run(scenario())


def test_a_door_that_is_not_ready_is_tried_three_times() -> None:
    """As WeCom does; what is acknowledged in the end was kept once."""

    async def scenario() -> None:
        async with linked() as (_, connector), door(connector, refuse=2) as target:
            acknowledged = await send(target.url, 0.3)
            assert len({event.dedupe_key for event in target.events}) == acknowledged > 0

    asyncio.run(scenario())


def test_an_address_that_fails_the_check_is_sent_nothing() -> None:
    """Wrong token here, nobody there."""

    async def scenario() -> None:
        told: list[str] = []
        async with linked() as (_, _connector):
            other = CARD.open(account(token=Secret("other")), Tools(clock=CLOCK, call=None, token=None))  # type: ignore[arg-type]
            async with door(other) as target:
                assert await send(target.url, 1.0, told=told) == 0
                assert target.events == []
            assert await send(target.url, 1.0, told=told) == 0
        assert len(told) == 2
        assert all("did not pass the URL check" in line for line in told)

    asyncio.run(scenario())


def test_a_run_without_an_end_goes_on_until_it_is_cancelled() -> None:
    """``seconds`` None."""

    async def scenario() -> None:
        async with linked() as (_, connector), door(connector) as target:
            task = asyncio.create_task(send(target.url, None))
            while len(target.events) < 5:
                await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(scenario())


# ---------------------------------------------------------------------- the API
def test_what_a_callback_points_at_is_read_from_the_api() -> None:
    """From an added customer to who it is and whose, with the channel that the callback named."""

    async def scenario() -> None:
        async with linked() as (api, connector), door(connector) as target:
            await send(target.url, 0.5)
            added = next(e for e in target.events if b"add_external_contact" in e.payload)
            decoded = connector.decode(added.topic, added.payload)
            (fetch,) = decoded.fetch
            events = await connector.fetch(fetch.topic, fetch.key)
            assert payloads(events, "customer")[0]["external_contact"]["external_userid"] == fetch.key
            follows = {one["userid"]: one for one in payloads(events, "follow")}
            assert decoded.data is not None
            assert follows[decoded.data["UserID"]]["state"] == decoded.data["State"]
            assert api.asked["externalcontact/get"] == len(follows)

    asyncio.run(scenario())


def test_everything_there_is_can_be_pulled() -> None:
    """Customers with their relations, members, departments and groups."""

    async def scenario() -> None:
        async with linked() as (_, connector):
            kinds: Counter[str] = Counter()
            for topic in CARD.pulls:
                cursor = None
                while True:
                    page = await connector.pull(topic, WINDOW, cursor)
                    kinds.update(event.topic for event in page.events)
                    for fetch in page.fetch:
                        kinds.update(event.topic for event in await connector.fetch(fetch.topic, fetch.key))
                    if (cursor := page.cursor) is None:
                        break
            assert kinds == {"customer": 24, "follow": 24, "user": 4, "department": 4, "chat_member": 15}

    asyncio.run(scenario())


def test_one_token_serves_all_and_an_expired_one_is_replaced() -> None:
    """Single flight on a real socket."""

    async def scenario() -> None:
        async with linked() as (api, connector):
            await asyncio.gather(*(connector.fetch("user", "zhangsan") for _ in range(10)))
            assert api.asked["gettoken"] == 1
            api.expire()
            assert await connector.fetch("user", "zhangsan")
            assert api.asked["gettoken"] == 2
            assert "answers" in await connector.probe()

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("code", "times", "error"), [(60020, 1, PartnerDenied), (45009, 1, PartnerQuota), (-1, 4, PartnerDown)]
)
def test_an_errcode_on_demand_is_met_by_its_row_of_the_table(code: int, times: int, error: type[Exception]) -> None:
    """And afterwards all is well again."""

    async def scenario() -> None:
        async with linked() as (api, connector):
            api.fail("user/get", code, times)
            with pytest.raises(error):
                await connector.fetch("user", "zhangsan")
            assert await connector.fetch("user", "zhangsan")

    asyncio.run(scenario())


def test_a_wrong_secret_is_denied_and_repeating_it_is_banned() -> None:
    """The fake keeps the platform's own punishment."""

    async def scenario() -> None:
        async with linked(secret="wrong") as (api, connector):
            for _ in range(3):
                with pytest.raises(PartnerDenied):
                    await connector.fetch("user", "zhangsan")
            with pytest.raises(PartnerQuota):
                await connector.fetch("user", "zhangsan")
            assert api.asked["gettoken"] == 4

    asyncio.run(scenario())


def test_over_the_fakes_quota_is_45009() -> None:
    """Two calls a minute: the token and one reading."""

    async def scenario() -> None:
        async with linked(quota="2") as (_, connector):
            assert await connector.fetch("user", "zhangsan")
            with pytest.raises(PartnerQuota):
                await connector.fetch("user", "zhangsan")

    asyncio.run(scenario())
