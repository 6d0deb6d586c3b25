"""Actions in a gateway as it is really run: killed between a platform's yes and its own record, nothing is lost and no message is sent twice."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from typing import Any

import httpx
import pytest

from connectors.wecom.fake import Api, Corp
from gateway.clock import SystemClock
from tests.e2e.house import Gateway, House, endpoint, eventually

WECOM = {
    "corp_id": "ww0123456789abcdef", "agent_id": "1000002", "token": "testtoken", "secret": "corp-secret",
    "encoding_aes_key": "kWxPEV2UEDyxWpmPdKC3F4dgPDmOvfKX1HGnEUDS1aR",
}  # fmt: skip
STAFF = ("zhangsan", "lisi", "wangwu", "zhaoliu")
MARK = "您有新客户-5512"
_NEVER = 3600.0


class Slow(Api):
    """The platform, which thinks for a while between doing something and saying so. Whoever sends a message in ``unanswered`` never hears of it."""

    def __init__(self) -> None:
        super().__init__(Corp(7), WECOM, SystemClock())
        self.unanswered: set[str] = set()
        self._pause = 0.0

    def _route(self, target: str, body: bytes) -> tuple[int, bytes]:
        before = len(self.deeds.messages)
        answer = super()._route(target, body)
        sent = {content for _, content in self.deeds.messages[before:]}
        self._pause = _NEVER if sent & self.unanswered else 0.15 if "gettoken" not in target else 0.0
        return answer

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await super()._talk(reader, _Late(self, reader, writer))  # type: ignore[arg-type]

    def did(self, content: str) -> bool:
        """Whether a message reached somebody."""
        return any(content == one for _, one in self.deeds.messages)

    async def think(self, reader: asyncio.StreamReader) -> None:
        """Until it is time to answer what came last, or the caller is gone."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._pause):
                await reader.read(1)
                raise ConnectionResetError("nobody is left to be told")


class _Late:
    """Writes what it is given after a pause."""

    def __init__(self, api: Slow, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._api = api
        self._reader = reader
        self._writer = writer
        self._held = b""

    def write(self, data: bytes) -> None:
        self._held += data

    async def drain(self) -> None:
        await self._api.think(self._reader)
        held, self._held = self._held, b""
        self._writer.write(held)
        await self._writer.drain()


def platform(house: House) -> Slow:
    """The made-up corp, on a loop of its own."""
    loop = house.loop()
    api = Slow()
    loop.run(api.listen("127.0.0.1", 0))
    house.beside(lambda: loop.run(api.close()))
    return api


def partner(house: House, gateway: Gateway) -> httpx.Client:
    """A program that may act through the corp."""
    said = gateway.command(
        "clients", "make", "crm", "--scope", "actions:write", "--scope", "events:read", "--account", "corp", "--rate", "1000", "--json"
    )  # fmt: skip
    assert said[0] == 0, said[1]
    client = house.client(gateway)
    client.headers["authorization"] = f"Bearer {json.loads(said[1])['api_key']}"
    return client


def asked(client: httpx.Client, number: int, body: Mapping[str, Any]) -> str:
    """The id of what was asked for, however often the door dies meanwhile."""
    while True:
        try:
            answer = client.post("/api/v1/actions", json=body, headers={"idempotency-key": f"k{number}"})
        except httpx.HTTPError:
            time.sleep(0.2)
            continue
        if answer.status_code == 202:
            return str(answer.json()["id"])
        assert answer.status_code in (409, 503), answer.text
        time.sleep(0.5)


def listed(gateway: Gateway, *words: str) -> list[dict[str, Any]]:
    """What the command line says."""
    code, said = gateway.command("actions", "list", "--limit", "500", "--json", *words)
    assert code == 0, said
    found: list[dict[str, Any]] = json.loads(said)
    return found


@pytest.mark.slow
def test_worker_and_door_are_killed_and_nothing_is_lost_or_sent_twice(house: House) -> None:
    """Tags are all there; each message came once or a person is asked, decides, and then it came once; the end of each is told."""
    api, receiver = platform(house), house.receiver()
    gateway = house.gateway(
        {
            "accounts": {"corp": {"connector": "wecom", "api_base": api.url, **WECOM}},
            "endpoints": {"main": endpoint(receiver, events=["action.*"])},
        }
    )
    client = partner(house, gateway)
    made: dict[str, str] = {}
    known = [(one, api._corp.member_of(one)) for one in api._corp.known[:20]]
    for number in range(40):
        if number == 24:
            gateway.kill("door-0")
        if number % 2:
            content = f"{MARK}-{number}"
            if number in (9, 19, 29, 37):
                api.unanswered.add(content)
            message = {"userid": STAFF[number // 2 % 4], "content": content}
            made[asked(client, number, {"account": "corp", "action": "message", "parameters": message})] = content
            if content in api.unanswered:
                eventually(partial(api.did, content), within=30.0, what="the platform did what it will not answer")
                gateway.kill("worker")
        else:
            customer, member = known[number // 2]
            tag = {"userid": member, "external_userid": customer, "add_tag": ["etVIP"]}
            made[asked(client, number, {"account": "corp", "action": "tag", "parameters": tag})] = ""
        time.sleep(0.1)
    eventually(
        lambda: {one["state"] for one in listed(gateway)} <= {"done", "unknown"}, within=60.0, what="all are at rest"
    )
    rows = {one["id"]: one for one in listed(gateway)}
    assert rows.keys() == made.keys()
    assert len(api.deeds.tags) == 20
    assert all(rows[name]["state"] == "done" for name, content in made.items() if not content)
    sent = Counter(content for _, content in api.deeds.messages)
    assert max(sent.values()) == 1
    assert all(sent[content] == 1 for name, content in made.items() if content and rows[name]["state"] == "done")
    unknown = [name for name, row in rows.items() if row["state"] == "unknown"]
    assert api.unanswered <= {made[name] for name in unknown}
    eventually(lambda: gateway.metric("gateway_actions_unknown") == len(unknown), what="they are counted")
    for name in unknown:
        decided = ("drop", name, "--reason", "it arrived") if sent[made[name]] else ("retry", name)
        assert gateway.command("actions", *decided)[0] == 0
    eventually(
        lambda: not listed(gateway, "--state", "waiting") and not listed(gateway, "--state", "running"), within=30.0
    )
    assert Counter(content for _, content in api.deeds.messages) == Counter(
        content for content in made.values() if content
    )
    eventually(lambda: len({one.event["subject"] for one in receiver.got}) == 40, within=30.0, what="every end is told")
    assert {one.event["type"] for one in receiver.got} <= {"action.completed", "action.failed"}
    audited = gateway.command("audit", "list", "--limit", "500", "--json")[1]
    assert all(name in audited for name in made)
    gateway.stop()
    held = b"".join(path.read_bytes() for path in gateway.folder.rglob("*") if path.is_file())
    assert MARK.encode() not in held
