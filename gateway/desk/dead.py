"""Dead letters and rejects as somebody may see them, by id; and trying single ones again or dropping them, each by itself.

By cause and in bulk, as the console shows them: ``causes`` and ``refused``.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec

from gateway import access, store
from gateway.clock import text
from gateway.desk import flow, outbox
from gateway.desk.resources import Desk
from gateway.errors import GatewayError
from gateway.store import DeliveryState

_WALK = 500
# How many rows one page looks through at most: a filter that matches little answers short pages with a next, never slowly.
_MOST = 4000
_NONE = "there is no open dead letter of this id"
_HELD = "its endpoint is disabled"


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one: `done`, or `detail` says why not."""

    id: str
    done: bool
    detail: str = ""


# ---------------------------------------------------------------------- looking
async def letters(
    desk: Desk,
    viewer: access.Viewer,
    *,
    state: str,
    account: str | None,
    cause: str | None,
    after: str,
    limit: int,
) -> tuple[list[dict[str, Any]], str | None]:
    """Dead letters by id, and the id to go on after, None at the end."""
    found: list[store.DeadLetter] = []
    for _ in range(_MOST // _WALK):
        rows = await desk.records.dead_letters(state=state, limit=_WALK, after=after)
        found += [
            one
            for one in rows
            if account in (None, one.account) and cause in (None, one.cause) and flow.within(desk, viewer, one.account)
        ]
        if len(found) > limit:
            return [_letter(one) for one in found[:limit]], found[limit - 1].id
        if len(rows) < _WALK:
            return [_letter(one) for one in found], None
        after = rows[-1].id
    return [_letter(one) for one in found], after


def _letter(one: store.DeadLetter) -> dict[str, Any]:
    return {
        "id": one.id, "entry": one.entry, "account": one.account, "topic": one.topic, "stage": one.stage, "cause": one.cause,
        "detail": one.detail, "at": text(one.at), "tries": one.tries, "state": one.state,
    }  # fmt: skip


async def rejects(
    desk: Desk, viewer: access.Viewer, *, account: str | None, after: str, limit: int
) -> tuple[list[dict[str, Any]], str | None]:
    """Refused requests by id, without what they held, and the id to go on after, None at the end."""
    found: list[store.Reject] = []
    for _ in range(_MOST // _WALK):
        rows = await desk.records.rejects(account=account, limit=_WALK, after=after)
        found += [one for one in rows if flow.within(desk, viewer, one.account)]
        if len(found) > limit:
            return [_reject(one) for one in found[:limit]], found[limit - 1].id
        if len(rows) < _WALK:
            return [_reject(one) for one in found], None
        after = rows[-1].id
    return [_reject(one) for one in found], after


def _reject(one: store.Reject) -> dict[str, Any]:
    return {
        "id": one.id, "at": text(one.at), "account": one.account, "reason": one.reason, "detail": one.detail, "peer": one.peer,
        "size": one.size,
    }  # fmt: skip


# ---------------------------------------------------------------------- settling
async def retry(desk: Desk, viewer: access.Viewer, ids: Sequence[str]) -> list[Outcome]:
    """Project entries again, make deliveries due again: an outcome for each, in their order. On the trail before it is done."""

    async def deliver(one: store.Delivery) -> str:
        return "" if await desk.records.revive([one.id], now=desk.clock.now()) else _HELD

    async def project(one: store.DeadLetter) -> str:
        await (await desk.settler()).retry([one])
        return ""

    return await _each(desk, viewer, "retry", ids, project, deliver)


async def drop(desk: Desk, viewer: access.Viewer, ids: Sequence[str], reason: str) -> list[Outcome]:
    """Close them for good: an outcome for each, in their order. On the trail, with the reason, before it is done."""

    async def cancel(one: store.Delivery) -> str:
        return "" if await desk.records.drop([one.id], cause=f"dropped: {reason}") else _NONE

    async def close(one: store.DeadLetter) -> str:
        await (await desk.settler()).drop([one], reason)
        return ""

    return await _each(desk, viewer, "drop", ids, close, cancel, reason=reason)


async def _each(
    desk: Desk,
    viewer: access.Viewer,
    verb: str,
    ids: Sequence[str],
    entry: Callable[[store.DeadLetter], Awaitable[str]],
    delivery: Callable[[store.Delivery], Awaitable[str]],
    **detail: str,
) -> list[Outcome]:
    found = {name: await _open(desk, viewer, name) for name in dict.fromkeys(ids)}
    acts = [desk.act(viewer.actor, verb, name, **detail) for name, one in found.items() if one is not None]
    if acts:
        await desk.trail.record(acts)
    done = {name: await _outcome(name, one, entry, delivery) for name, one in found.items()}
    return [done[name] for name in ids]


async def _outcome(
    name: str,
    one: store.DeadLetter | store.Delivery | None,
    entry: Callable[[store.DeadLetter], Awaitable[str]],
    delivery: Callable[[store.Delivery], Awaitable[str]],
) -> Outcome:
    if one is None:
        return Outcome(id=name, done=False, detail=_NONE)
    try:
        why = await (entry(one) if isinstance(one, store.DeadLetter) else delivery(one))
    except GatewayError as error:
        why = f"{error.detail} ({error.remedy})" if error.remedy else error.detail
    return Outcome(id=name, done=not why, detail=why)


async def _open(desk: Desk, viewer: access.Viewer, name: str) -> store.DeadLetter | store.Delivery | None:
    if name.startswith("dlv_"):
        delivery = await outbox.one(desk, viewer, name)
        return delivery if delivery is not None and delivery.state is DeliveryState.DEAD else None
    letter = await flow.letter_by_id(desk.records, name)
    return (
        letter if letter is not None and letter.state == "open" and flow.within(desk, viewer, letter.account) else None
    )
