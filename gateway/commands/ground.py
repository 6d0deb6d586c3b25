"""What the commands share that act on an opened gateway: opening it, and leaving a trace before anything is done."""

import asyncio
import getpass
import os
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TypeVar

from gateway import app, audit, settings
from gateway.clock import SystemClock
from gateway.commands.terminal import tree_of
from gateway.pipeline.alarm import Alarm
from gateway.pipeline.operators import Operators
from gateway.pipeline.route import Router
from gateway.processes import Ground
from gateway.vault import Vault

T = TypeVar("T")


def on_ground(config: Path | None, work: Callable[[Ground], Awaitable[T]]) -> T:
    """What ``work`` returns on the opened gateway of that config, beside whatever else runs on it."""
    tree = tree_of(config)

    async def run() -> T:
        ground = app.open_ground(tree)
        try:
            return await work(ground)
        finally:
            await ground.close()

    return asyncio.run(run())


async def alarm_of(ground: Ground) -> Alarm:
    """Tells operators of altered values, by the endpoints there are now."""
    router = Router(await ground.book.endpoints())
    return Alarm(Operators(records=ground.records, router=router, clock=ground.clock), ground.meters)


def actor() -> str:
    """Who types: ``cli:`` and the name of the operating system's user, its number where it has no name."""
    try:
        return f"cli:{getpass.getuser()}"
    except (OSError, KeyError):
        return f"cli:{os.getuid()}"


async def trace(ground: Ground, verb: str, *objects: str, **detail: str | int) -> None:
    """Record that ``verb`` is about to be done to each of ``objects``. StoreError when it cannot be recorded: then it must not be done."""
    await ground.trail.record(_acts(verb, objects, detail))


def trace_alone(tree: settings.Settings, vault: Vault, verb: str, *objects: str, **detail: str | int) -> None:
    """As ``trace``, for a command that needs nothing else of the gateway."""

    async def run() -> None:
        trail = app.trail_of(tree, vault)
        try:
            await trail.record(_acts(verb, objects, detail))
        finally:
            await trail.close()

    asyncio.run(run())


def _acts(verb: str, objects: Sequence[str], detail: dict[str, str | int]) -> list[audit.Act]:
    now, who = SystemClock().now(), actor()
    return [audit.Act(at=now, actor=who, verb=verb, object=one, detail=detail) for one in objects]
