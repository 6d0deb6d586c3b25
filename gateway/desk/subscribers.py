"""Endpoints as somebody may see and decide about them: within their domain, never with more than they have themselves; and how each one is."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from gateway import access, settings, store
from gateway.book import Entry
from gateway.clock import moment
from gateway.desk.resources import Desk
from gateway.destination import Endpoint
from gateway.snapshot import STALE
from gateway.store import DeliveryState

MOST = 1000
"""Deliveries are counted no further."""


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """How an endpoint is. ``state`` is active, paused or disabled; ``backlog`` what waits and ``dead`` what needs a person, counted to 1000.

    ``failing_since`` is the first failure after which nothing succeeded; ``cause`` the last one's. ``circuit`` is closed, half_open or open, and
    with ``held`` and ``under_way`` what the worker said within the last seconds; null when it said nothing.
    """

    name: str
    state: str
    disabled_because: str | None = None
    failing_since: datetime | None = None
    last_ok: datetime | None = None
    last_failure: datetime | None = None
    cause: str | None = None
    backlog: int = 0
    dead: int = 0
    circuit: str | None = None
    held: int | None = None
    under_way: int | None = None


async def seen(desk: Desk, viewer: access.Viewer) -> list[Entry]:
    """Every endpoint within the viewer's domain, by name."""
    return sorted(
        (entry for entry in await desk.book.entries() if viewer.sees(entry.endpoint.unit)),
        key=lambda entry: entry.endpoint.name,
    )


async def one(desk: Desk, viewer: access.Viewer, name: str) -> Entry | None:
    """One of ``seen``."""
    return next((entry for entry in await seen(desk, viewer) if entry.endpoint.name == name), None)


def overreach(client: access.Client, viewer: access.Viewer, one: settings.Endpoint, now: int) -> str:
    """Why this client must not have or touch such an endpoint, in a sentence; empty when it may.

    Whoever can turn an endpoint on, move it or learn its secret has what it is sent: the rule is the same for making and for changing.
    """
    if not viewer.sees(one.unit):
        return "its unit is not within this client's domain"
    if not viewer.may("events:read"):
        return "whoever has events sent needs the scope events:read"
    if any(pattern.startswith("operator.") for pattern in one.events) and not viewer.may("ops:read"):
        return "operator events need the scope ops:read"
    how = {sensitivity: getattr(one.grants, sensitivity.value) for sensitivity in access.LEAST}
    if classes := access.unlendable(client, how, now):
        return f"this client does not have, for good, what is granted of {', '.join(kind.value for kind in classes)}"
    return ""


async def standing(desk: Desk, end: Endpoint) -> Standing:
    """How it is at this moment."""
    return (await standings(desk, [end]))[0]


async def standings(desk: Desk, ends: Sequence[Endpoint]) -> list[Standing]:
    """How each of them is, in their order."""
    disabled, health = await desk.records.disabled(), await desk.records.health()
    worker = _worker(desk)
    return [
        Standing(
            name=end.name,
            state="disabled" if end.name in disabled else "paused" if end.paused else "active",
            disabled_because=disabled.get(end.name),
            backlog=await _count(desk, end.name, store.OPEN),
            dead=await _count(desk, end.name, (DeliveryState.DEAD,)),
            **_been(health.get(end.name)),
            **{key: worker.get(end.name, {}).get(key) for key in ("circuit", "held", "under_way")},
        )
        for end in ends
    ]


def _been(health: store.Health | None) -> dict[str, Any]:
    if health is None:
        return {}
    said = {name: getattr(health, name) for name in ("failing_since", "last_ok", "last_failure")}
    return {**{name: moment(at) if at else None for name, at in said.items()}, "cause": health.cause}


def _worker(desk: Desk) -> Mapping[str, Mapping[str, Any]]:
    fresh = [one for one in desk.board.all() if one.role == "worker" and desk.clock.now() - one.at < STALE]
    ends: Mapping[str, Mapping[str, Any]] = fresh[0].parts.get("endpoints", {}) if fresh else {}
    return ends


async def _count(desk: Desk, name: str, states: Sequence[DeliveryState]) -> int:
    found = 0
    for state in states:
        if found < MOST:
            found += len(await desk.records.deliveries(state=state, endpoint=name, limit=MOST - found))
    return found
