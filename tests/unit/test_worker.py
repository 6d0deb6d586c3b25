"""The worker's parts together: what they share in one process."""

import asyncio
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from gateway import access, app, settings, store
from gateway.action import Action, Done, State
from gateway.clock import SECOND
from gateway.connector import Request, Result
from gateway.desk.reading import Reading
from gateway.errors import Stale, StoreError
from gateway.model.lane import Lane
from gateway.office import desk_of
from gateway.pipeline import act_body
from gateway.pipeline.receive import Gate, RejectLog
from gateway.processes import Ground, receiver_of
from gateway.worker import Worker
from tests.api.kit import member

FEED = {"connector": "feed", "auth": "none-on-loopback", "mapping": "feed/customer"}
CLEAR = access.Viewer(actor="test", scopes=frozenset(), grants=dict.fromkeys(access.LEAST, "clear"))


def test_who_seals_beside_the_projector_does_not_take_its_warning(tmp_path: Path) -> None:
    """A worker died between the secrets of a batch and its commit; the next one is told that its own are not those, whoever keeps at that moment."""
    tree = settings.Settings(gateway=settings.Gateway(data_dir=tmp_path), accounts={"members": FEED})

    async def story() -> None:
        ground = app.open_ground(tree)
        await _say(ground)
        await _die_before_the_commit(ground)
        await ground.close()
        ground = app.open_ground(tree)
        try:
            await _begun(ground)
            worker = await _worker(ground)
            entered, kept = _late(ground)
            projecting = asyncio.create_task(worker._projector.step(Lane.LIVE, 0))
            assert await asyncio.to_thread(entered.wait, 60)
            action = (await ground.records.known_actions(["act_1"]))["act_1"]
            with suppress(Stale):
                await worker._acting._keep(action, Done(), Result())
            await projecting
            assert kept.is_set()
            while await worker._projector.step(Lane.LIVE, 0):
                pass
            desk = desk_of(ground, parts=list)
            (row,) = await ground.records.rows("customer", limit=9)
            assert "会员M1" in str(Reading(desk.records, desk.vault, desk.witness).shown(row, CLEAR))
        finally:
            await ground.close()

    asyncio.run(story())


async def _say(ground: Ground) -> None:
    receiver = receiver_of(ground, gate=Gate(bulk_most=9, live_most=9), rejects=RejectLog(), wake=lambda: None)
    said = Request(
        body=msgspec.json.encode(member("M1")), headers={"content-type": "application/json"}, peer="127.0.0.1",
        received_at=ground.clock.now(),
    )  # fmt: skip
    assert (await receiver.accept("members", said)).status == 202


async def _worker(ground: Ground) -> Worker:
    worker = Worker(ground, wake=asyncio.Event(), endpoints=())
    await worker._open_mappings()
    return worker


async def _die_before_the_commit(ground: Ground) -> None:
    async def gone(_: store.Batch) -> Any:
        raise StoreError("killed")

    worker = await _worker(ground)
    ground.records.apply = gone  # type: ignore[method-assign]
    with suppress(StoreError):
        await worker._projector.step(Lane.LIVE, 0)


async def _begun(ground: Ground) -> None:
    """An action that the dead worker had begun."""
    now = ground.clock.now()
    body = act_body.asked({"to": "lisi"}, "act_1", None, ground.vault)
    one = Action(
        id="act_1", account="members", action="say", client="cli", customer=None, key=None, subject=b"s", harmless=False,
        state=State.RUNNING, due=now, expires=now + SECOND, created=now, updated=now, body=body,
    )  # fmt: skip
    await ground.records.commission(one)


def _late(ground: Ground) -> tuple[threading.Event, threading.Event]:
    """Whoever keeps secrets first gives another half a second to do so before; the events say that it came, and that another did."""
    keep, entered, kept = ground.vault.keep, threading.Event(), threading.Event()

    def late() -> None:
        if entered.is_set():
            try:
                keep()
            finally:
                kept.set()
            return
        entered.set()
        kept.wait(0.5)
        keep()

    ground.vault.keep = late  # type: ignore[method-assign]
    return entered, kept
