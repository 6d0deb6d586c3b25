"""Deliveries and their attempts as somebody may see them: those of the endpoints within their domain."""

from collections.abc import Sequence
from typing import Any

from gateway import access, store
from gateway.clock import text
from gateway.desk import subscribers
from gateway.desk.resources import Desk
from gateway.errors import VaultError
from gateway.store import Delivery, DeliveryState

_WALK = 500
_MOST = 4000


async def page(
    desk: Desk,
    viewer: access.Viewer,
    *,
    endpoint: str | None,
    state: DeliveryState | None,
    event: str | None,
    after: str,
    limit: int,
) -> tuple[list[dict[str, Any]], str | None]:
    """Deliveries by id, and the id to go on after, None at the end."""
    visible = await _visible(desk, viewer)
    found: list[Delivery] = []
    for _ in range(_MOST // _WALK):
        rows = await desk.records.deliveries(state=state, endpoint=endpoint, event=event, limit=_WALK, after=after)
        found += [row for row in rows if visible is None or row.endpoint in visible]
        if len(found) > limit:
            return [shown(one) for one in found[:limit]], found[limit - 1].id
        if len(rows) < _WALK:
            return [shown(one) for one in found], None
        after = rows[-1].id
    return [shown(one) for one in found], after


async def one(desk: Desk, viewer: access.Viewer, name: str) -> Delivery | None:
    """A delivery by id, of an endpoint within the domain."""
    found = (await desk.records.known([name])).get(name)
    visible = await _visible(desk, viewer)
    return found if found is not None and (visible is None or found.endpoint in visible) else None


def shown(one: Delivery) -> dict[str, Any]:
    """As plain data."""
    return {
        "id": one.id, "event": one.event, "endpoint": one.endpoint, "ordered": one.subject is not None, "state": one.state.value,
        "tries": one.tries, "due": text(one.due), "created": text(one.created), "cause": one.cause,
    }  # fmt: skip


async def attempts(desk: Desk, viewer: access.Viewer, delivery: Delivery) -> list[dict[str, Any]]:
    """Oldest first. What the endpoint answered is shown to operators only, and to those only who may see all that it was sent."""
    tried: Sequence[store.Attempt] = await desk.records.attempts(delivery.id)
    open_it = viewer.may("ops:read") and await readable(desk, viewer, delivery)
    return [_attempt(desk, one, open_it=open_it) for one in tried]


async def readable(desk: Desk, viewer: access.Viewer, delivery: Delivery) -> bool:
    """Whether what the endpoint answered holds nothing beyond the viewer's grants: it may repeat what it was sent. What an endpoint was granted
    that is no more, nobody knows."""
    entry = await subscribers.one(desk, viewer, delivery.endpoint)
    return entry is not None and not access.beyond(viewer.grants, entry.endpoint.grants)


def _attempt(desk: Desk, one: store.Attempt, *, open_it: bool) -> dict[str, Any]:
    said = {"id": one.id, "at": text(one.at), "took_ms": one.took / 1000, "status": one.status, "error": one.error}
    return {**said, "response": _response(desk, one)} if open_it else said


def _response(desk: Desk, one: store.Attempt) -> str | None:
    if not one.response:
        return None
    try:
        return desk.vault.open(one.response, one.id.encode()).decode("utf-8", "replace")
    except VaultError:
        return None


async def _visible(desk: Desk, viewer: access.Viewer) -> frozenset[str] | None:
    """None for whoever sees all: of endpoints that are no more too."""
    if viewer.domain is None:
        return None
    return frozenset(entry.endpoint.name for entry in await subscribers.seen(desk, viewer))
