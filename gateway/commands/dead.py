"""Commands for dead letters: entries that could not be projected, and deliveries that could not be made."""

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from typing import Annotated

from cyclopts import App, Parameter

from gateway import store
from gateway.clock import moment
from gateway.commands.ground import on_ground, trace
from gateway.commands.terminal import DONE, Config, Json, out, show
from gateway.errors import ConfigError
from gateway.pipeline.settle import Settler
from gateway.processes import Ground
from gateway.store import DeliveryState

dead_app = App(name="dead", help="Dead letters: what a person must look at. 死信。")

All = Annotated[bool, Parameter(name="--all", negative="", help="Every one that is open.")]
Endpoint = Annotated[str | None, Parameter(help="Only deliveries to this endpoint.")]

_PAGE = 1000
_STEP = 250


# ------------------------------------------------------------------ listing
@dead_app.command(name="list")
def dead_list(
    *,
    config: Config = None,
    state: str = "open",
    endpoint: Endpoint = None,
    group: Annotated[bool, Parameter(name="--group", negative="")] = False,
    limit: int = 100,
    json: Json = False,
) -> int:
    """Dead letters by state: open, retried, dropped; those of deliveries are open. 死信列表。

    Args:
        group: How many of each cause, and when the first and the last of them began.
        limit: At most so many of each kind.
    """

    async def work(ground: Ground) -> list[dict[str, object]]:
        if group:
            return await _groups(ground, state, endpoint)
        rows = [] if endpoint else [_letter(one) for one in await ground.records.dead_letters(state=state, limit=limit)]
        if state == "open":
            dead = await ground.records.deliveries(state=DeliveryState.DEAD, endpoint=endpoint, limit=limit)
            rows += [_delivery(one, await _status(ground, one)) for one in dead]
        return rows

    show(on_ground(config, work), json=json, title=f"{state} dead letters", empty=f"no {state} dead letters")
    return DONE


def _letter(one: store.DeadLetter) -> dict[str, object]:
    return {
        "id": one.id, "at": _when(one.at), "stage": one.stage, "of": f"{one.account}/{one.topic}", "what": one.entry, "cause": one.cause,
        "tries": one.tries, "status": "", "detail": one.detail,
    }  # fmt: skip


def _delivery(one: store.Delivery, status: str) -> dict[str, object]:
    return {
        "id": one.id, "at": _when(one.created), "stage": "delivery", "of": one.endpoint, "what": one.event, "cause": one.cause or "",
        "tries": one.tries, "status": status, "detail": "",
    }  # fmt: skip


async def _status(ground: Ground, one: store.Delivery) -> str:
    """What the last attempt came to."""
    tried = await ground.records.attempts(one.id)
    if not tried:
        return ""
    return str(tried[-1].status) if tried[-1].status is not None else tried[-1].error or ""


async def _groups(ground: Ground, state: str, endpoint: str | None) -> list[dict[str, object]]:
    found: dict[tuple[str, str, str], list[int]] = {}
    if endpoint is None:
        async for letter in _letters(ground, state):
            _add(found, (letter.stage, f"{letter.account}/{letter.topic}", letter.cause), letter.at)
    if state == "open":
        async for one in _dead(ground, endpoint):
            _add(found, ("delivery", one.endpoint, one.cause or ""), one.created)
    return [
        {"stage": stage, "of": of, "cause": cause, "count": count, "first": _when(first), "last": _when(last)}
        for (stage, of, cause), (count, first, last) in sorted(found.items(), key=lambda item: -item[1][0])
    ]


def _add(found: dict[tuple[str, str, str], list[int]], name: tuple[str, str, str], at: int) -> None:
    known = found.setdefault(name, [0, at, at])
    known[:] = [known[0] + 1, min(known[1], at), max(known[2], at)]


async def _letters(ground: Ground, state: str = "open") -> AsyncIterator[store.DeadLetter]:
    after = ""
    while page := await ground.records.dead_letters(state=state, limit=_PAGE, after=after):
        after = page[-1].id
        for one in page:
            yield one


async def _dead(ground: Ground, endpoint: str | None) -> AsyncIterator[store.Delivery]:
    after = ""
    while page := await ground.records.deliveries(state=DeliveryState.DEAD, endpoint=endpoint, limit=_PAGE, after=after):  # fmt: skip
        after = page[-1].id
        for one in page:
            yield one


# ------------------------------------------------------------------ settling
@dead_app.command(name="retry")
def dead_retry(
    ids: tuple[str, ...] = (), *, all_: All = False, endpoint: Endpoint = None, config: Config = None
) -> int:
    """Project dead entries again with today's mappings, and try dead deliveries again. 重试死信。"""

    async def work(ground: Ground) -> None:
        letters, deliveries = await _chosen(ground, ids, all_=all_, endpoint=endpoint)
        await trace(ground, "retry", *_objects(ids, endpoint), letters=len(letters), deliveries=len(deliveries))
        if letters:
            settler = Settler(log=ground.log, records=ground.records, vault=ground.vault, clock=ground.clock)
            faults = await settler.retry(letters)
            out.print(f"{len(letters) - len(faults)} written down again; the worker takes them in order")
            for cause, count in Counter(str(one.detail) for one in faults.values()).items():
                out.print(f"{count} stay: {cause}")
            if len(faults) == len(letters) and not deliveries:
                raise next(iter(faults.values()))
        if deliveries:
            due = await _in_steps(deliveries, lambda some: ground.records.revive(some, now=ground.clock.now()))
            out.print(f"{due} deliveries are due again{_staying(len(deliveries) - due)}")

    on_ground(config, work)
    return DONE


@dead_app.command(name="drop")
def dead_drop(
    ids: tuple[str, ...] = (), *, reason: str, all_: All = False, endpoint: Endpoint = None, config: Config = None
) -> int:
    """Close dead letters for good, with a reason that is kept. 丢弃死信。

    Args:
        reason: Why nobody needs them.
    """

    async def work(ground: Ground) -> None:
        letters, deliveries = await _chosen(ground, ids, all_=all_, endpoint=endpoint)
        counted: dict[str, str | int] = {"reason": reason, "letters": len(letters), "deliveries": len(deliveries)}
        await trace(ground, "drop", *_objects(ids, endpoint), **counted)
        if letters:
            settler = Settler(log=ground.log, records=ground.records, vault=ground.vault, clock=ground.clock)
            await settler.drop(letters, reason)
        dropped = await _in_steps(deliveries, lambda some: ground.records.drop(some, cause=f"dropped: {reason}"))
        out.print(f"{len(letters) + dropped} dropped")

    on_ground(config, work)
    return DONE


async def _chosen(
    ground: Ground, ids: Sequence[str], *, all_: bool, endpoint: str | None
) -> tuple[list[store.DeadLetter], list[str]]:
    """The open letters and the dead deliveries that are meant. ConfigError names one that is neither."""
    if not ids and not all_:
        raise ConfigError("which ones?", remedy="give ids, or --all")
    if not ids:
        letters = [] if endpoint else [one async for one in _letters(ground)]
        return letters, [one.id async for one in _dead(ground, endpoint)]
    wanted = set(ids)
    known = await ground.records.known(list(wanted))
    deliveries = [one.id for one in known.values() if one.state is DeliveryState.DEAD]
    rest = wanted.difference(deliveries)
    letters = [one async for one in _letters(ground) if one.id in rest] if rest else []
    missing = rest - {one.id for one in letters}
    if missing:
        raise ConfigError(f"no open dead letter {', '.join(sorted(missing))}", remedy="gateway dead list")
    return letters, deliveries


async def _in_steps(deliveries: Sequence[str], act: Callable[[Sequence[str]], Awaitable[int]]) -> int:
    return sum([await act(deliveries[start : start + _STEP]) for start in range(0, len(deliveries), _STEP)])


def _objects(ids: Iterable[str], endpoint: str | None) -> list[str]:
    return list(ids) or [endpoint or "*"]


def _staying(count: int) -> str:
    return f"; {count} stay dead: their endpoint is disabled (gateway endpoints list)" if count else ""


def _when(instant: int) -> str:
    return moment(instant).isoformat(timespec="seconds")
