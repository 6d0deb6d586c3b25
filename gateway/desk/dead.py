"""Dead letters and rejects as somebody may see them, by id; and trying single ones again or dropping them, each by itself.

By cause and in bulk, as the console shows them: ``causes`` and ``refused``.
"""

from collections.abc import Mapping, Sequence
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
    letters, deliveries = await _open(desk, viewer, "retry", ids)
    faults = {name: _told(error) for name, error in (await (await desk.settler()).retry(letters)).items()}
    off = await desk.records.disabled()
    faults.update((one.id, _HELD) for one in deliveries if one.endpoint in off)
    await desk.records.revive([one.id for one in deliveries if one.endpoint not in off], now=desk.clock.now())
    return _outcomes(ids, _names(letters, deliveries), faults)


async def drop(desk: Desk, viewer: access.Viewer, ids: Sequence[str], reason: str) -> list[Outcome]:
    """Close them for good: an outcome for each, in their order. On the trail, with the reason, before it is done."""
    letters, deliveries = await _open(desk, viewer, "drop", ids, reason=reason)
    await (await desk.settler()).drop(letters, reason)
    await desk.records.drop([one.id for one in deliveries], cause=f"dropped: {reason}")
    return _outcomes(ids, _names(letters, deliveries), {})


async def _open(
    desk: Desk, viewer: access.Viewer, verb: str, ids: Sequence[str], **detail: str
) -> tuple[list[store.DeadLetter], list[store.Delivery]]:
    """What of it is open and the viewer's, which is on the trail from here on."""
    letters: list[store.DeadLetter] = []
    deliveries: list[store.Delivery] = []
    for name in dict.fromkeys(ids):
        if not name.startswith("dlv_"):
            letter = await flow.letter_by_id(desk.records, name)
            if letter is not None and letter.state == "open" and flow.within(desk, viewer, letter.account):
                letters.append(letter)
            continue
        delivery = await outbox.one(desk, viewer, name)
        if delivery is not None and delivery.state is DeliveryState.DEAD:
            deliveries.append(delivery)
    if found := _names(letters, deliveries):
        await desk.trail.record(
            [desk.act(viewer.actor, verb, name, **detail) for name in dict.fromkeys(ids) if name in found]
        )
    return letters, deliveries


def _names(letters: Sequence[store.DeadLetter], deliveries: Sequence[store.Delivery]) -> set[str]:
    return {one.id for one in letters} | {one.id for one in deliveries}


def _outcomes(ids: Sequence[str], there: set[str], faults: Mapping[str, str]) -> list[Outcome]:
    whys = {name: faults.get(name, "") if name in there else _NONE for name in ids}
    return [Outcome(id=name, done=not whys[name], detail=whys[name]) for name in ids]


def _told(error: GatewayError) -> str:
    return f"{error.detail} ({error.remedy})" if error.remedy else error.detail
