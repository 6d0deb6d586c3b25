"""A door as a process: what it holds when it is told to leave."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from gateway import app, settings
from gateway.connector import Request
from gateway.ingress import Door
from gateway.store import Reject


def test_rejects_on_their_way_to_the_store_outlive_a_handover(tmp_path: Path) -> None:
    """The round that keeps them is cancelled before the store had them; the last flush has them still, and once."""
    feed = {"connector": "feed", "mapping": "feed/order", "secret": "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"}
    tree = settings.Settings(gateway=settings.Gateway(data_dir=tmp_path), accounts={"erp": feed})

    async def story() -> None:
        ground = app.open_ground(tree)
        door = Door(ground, index=0, wake=lambda: None)
        keep, reached = ground.records.reject, asyncio.Event()

        async def stuck(_: Sequence[Reject], **__: Any) -> None:
            reached.set()
            await asyncio.Event().wait()

        try:
            await door._receiver.accept("erp", Request(body=b"[]", headers={}, received_at=ground.clock.now()))
            ground.records.reject = stuck  # type: ignore[method-assign]
            minding = asyncio.create_task(door._minding())
            await reached.wait()
            minding.cancel()
            with suppress(asyncio.CancelledError):
                await minding
            ground.records.reject = keep  # type: ignore[method-assign]
            await door._flush_rejects()
            assert len(await ground.records.rejects(account="erp")) == 1
        finally:
            await ground.close()

    asyncio.run(story())
