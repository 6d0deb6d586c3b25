"""A gateway without sockets: what is said is projected at once, and its API is called in process."""

import asyncio
import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import httpx
import msgspec
import pytest

from gateway import access, app, book, inner, settings, store
from gateway.clock import Clock, SystemClock, new_id
from gateway.connector import Request
from gateway.desk.clients import Made
from gateway.desk.resources import Desk
from gateway.model.lane import Lane
from gateway.model.record import Record
from gateway.office import desk_of
from gateway.pipeline.project import Projector
from gateway.pipeline.read import Reader
from gateway.pipeline.receive import Gate, RejectLog
from gateway.pipeline.route import Router
from gateway.pipeline.world import PREFIXES, record_key
from gateway.processes import Ground, receiver_of
from gateway.snapshot import Part
from gateway.vault import body
from gateway.worker import rollout_of

T = TypeVar("T")
ALL = tuple(access.SCOPES)
CLEAR = {one.value: access.Lent(how="clear", reason="a test") for one in access.LEAST}


class House:
    """The opened gateway, what its doors and projector do, and the application that a door serves."""

    def __init__(self, ground: Ground) -> None:
        self.ground = ground
        self.parts: list[Part] = []
        self.desk: Desk = desk_of(ground, parts=lambda: self.parts)
        router = Router(book.configured(ground.tree, ground.vault))
        gate = Gate(bulk_most=99, live_most=99)
        self._receiver = receiver_of(ground, gate=gate, rejects=RejectLog(), wake=lambda: None)
        self.rollout = rollout_of(ground)
        self._projector = Projector(
            reader=Reader(accounts=ground.accounts, vault=ground.vault, clock=ground.clock, rollout=self.rollout),
            log=ground.log, records=ground.records, vault=ground.vault, clock=ground.clock, meters=ground.meters, router=router, room=lambda: 0, newborn=lambda _: None,
            claim="test", errands=lambda: None,
        )  # fmt: skip

    @functools.cached_property
    def app(self) -> inner.Inner:
        """What a door serves: made for who calls it, since that takes longer than most stories."""
        return inner.create_app(self.desk)

    async def say(self, account: str, row: Any) -> None:
        """A partner pushes; it is projected before this returns."""
        request = Request(
            body=msgspec.json.encode(row),
            headers={"content-type": "application/json"},
            peer="127.0.0.1",
            received_at=self.ground.clock.now(),
        )
        reply = await self._receiver.accept(account, request)
        assert reply.status == 202, reply.body
        while await self._projector.step(Lane.LIVE, 0):
            pass

    def outcome(self, one: store.Claimed, state: store.DeliveryState) -> store.Result:
        """What became of a delivery that was claimed, without an attempt."""
        held = one.delivery
        return store.Result(
            delivery=held.id, claim=held.claim or "", state=state, due=held.due, tries=held.tries + 1, attempt=None
        )

    async def work(self) -> None:
        """Jobs are done, and what they wrote down is projected."""
        while await self.desk.labour.runner.round():
            pass
        for lane in Lane:
            while await self._projector.step(lane, 0):
                pass

    def start(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Something that goes on beside the story."""
        return asyncio.get_running_loop().create_task(work)

    async def keep(self, kind: str, record: Record, *, account: str = "his", **fields: Any) -> str:
        """A record, written as the projector would have; its id."""
        now = self.ground.clock.now()
        name = new_id(PREFIXES[kind], now)
        key = record_key(self.ground.vault, kind, account, getattr(record, "external_id", name))
        row = store.Row(
            **{
                "id": name, "kind": kind, "key": key, "account": account, "customer": None, "unit": None, "at": now, "version": None,
                "sequence": 1, "created": now, "updated": now, "body": msgspec.json.encode(body(record, name, self.ground.vault)),
                **fields,
            }
        )  # fmt: skip
        self.ground.vault.keep()
        await self.ground.records.apply(store.Batch(rows=[row]))
        return name

    async def make(self, name: str = "erp", **fields: Any) -> Made:
        """A client; every scope and a wide pace unless said otherwise."""
        given = {"scopes": ALL, "rate": 1000.0, "burst": 1000.0, **fields}
        return await self.desk.clients.make(access.Client(id="", name=name, **given))

    @asynccontextmanager
    async def caller(self, **fields: Any) -> AsyncIterator[httpx.AsyncClient]:
        """Somebody with an API key of their own."""
        made = await self.make(**fields)
        async with self.anybody() as client:
            client.headers["authorization"] = f"Bearer {made.key}"
            yield client

    @asynccontextmanager
    async def anybody(self) -> AsyncIterator[httpx.AsyncClient]:
        """Somebody without."""
        transport = httpx.ASGITransport(app=self.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
            yield client


Story = Callable[[House], Awaitable[None]]


def told(tmp_path: Path, story: Story, *, clock: Clock | None = None, **given: Any) -> None:
    """Run a story on a gateway with a members and an orders feed of one system. ``clock`` is what it goes by instead of the machine's."""
    accounts = {
        name: {"connector": "feed", "auth": "none-on-loopback", "mapping": f"feed/{stem}", "system": "erp"}
        for name, stem in (("members", "customer"), ("orders", "order"))
    }
    accounts["east"] = {**accounts["members"], "unit": "east", "system": "east"}
    given.setdefault("endpoints", {"crm": settings.Endpoint(url="http://127.0.0.1:9/")})
    given.setdefault("accounts", accounts)
    tree = settings.Settings(gateway=settings.Gateway(data_dir=tmp_path), **given)

    async def run() -> None:
        ground = app.open_ground(tree)
        try:
            await story(House(ground))
        finally:
            await ground.close()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(app, "SystemClock", lambda: clock or SystemClock())
        asyncio.run(run())


async def until(holds: Callable[[], Any]) -> None:
    """Return when it holds; TimeoutError after twenty seconds."""
    async with asyncio.timeout(20.0):
        while not holds():
            await asyncio.sleep(0.005)


def member(code: str, **fields: Any) -> dict[str, Any]:
    """A member as an ERP says it."""
    return {
        "customer_code": code, "name": f"会员{code}", "phone": f"138001380{int(code[1:]) % 100:02d}",
        "updated_at": "2026-11-11 00:00:01", **fields,
    }  # fmt: skip


def order(number: str, code: str, **fields: Any) -> dict[str, Any]:
    """A paid order of a member."""
    return {
        "order_no": number, "customer_code": code, "status": "paid", "total": "10.00", "paid": "10.00",
        "updated_at": "2026-11-11 08:00:00", **fields,
    }  # fmt: skip
