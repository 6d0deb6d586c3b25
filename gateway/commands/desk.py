"""Commands for what a person settles: dead letters, match candidates, merges, disabled endpoints."""

from collections.abc import Sequence
from typing import Annotated

from cyclopts import App, Parameter

from gateway import store
from gateway.clock import moment
from gateway.commands.ground import on_ground, trace
from gateway.commands.terminal import DONE, Config, Json, out, show
from gateway.errors import ConfigError
from gateway.pipeline.route import Router
from gateway.pipeline.settle import Settler
from gateway.processes import Ground

dead_app = App(name="dead", help="Dead letters: what a person must look at. 死信。")
matches_app = App(name="matches", help="Customers who may be one. 疑似同一人。")
merges_app = App(name="merges", help="Customers who became one. 已合并。")
endpoints_app = App(name="endpoints", help="Subscribers. 订阅端。")

All = Annotated[bool, Parameter(name="--all", negative="")]


async def _settler(ground: Ground) -> Settler:
    return Settler(
        log=ground.log,
        records=ground.records,
        vault=ground.vault,
        clock=ground.clock,
        router=Router(await ground.book.endpoints()),
    )


def _when(instant: int) -> str:
    return moment(instant).isoformat(timespec="seconds")


# ------------------------------------------------------------------ dead letters
@dead_app.command(name="list")
def dead_list(*, config: Config = None, state: str = "open", limit: int = 100, json: Json = False) -> int:
    """Dead letters by state: open, retried, dropped. 死信列表。"""

    async def work(ground: Ground) -> Sequence[store.DeadLetter]:
        return await ground.records.dead_letters(state=state, limit=limit)

    letters = on_ground(config, work)
    rows = [
        {
            "id": one.id, "at": moment(one.at).isoformat(timespec="seconds"), "account": one.account, "topic": one.topic, "stage": one.stage,
            "cause": one.cause, "tries": one.tries, "detail": one.detail,
        }
        for one in letters
    ]  # fmt: skip
    show(rows, json=json, title=f"{state} dead letters", empty=f"no {state} dead letters")
    return DONE


@dead_app.command(name="retry")
def dead_retry(
    ids: tuple[str, ...] = (),
    *,
    all_: Annotated[bool, Parameter(name="--all", negative="")] = False,
    config: Config = None,
) -> int:
    """Project dead letters again with today's mappings. 重试死信。"""

    async def work(ground: Ground) -> int:
        letters = _chosen(await ground.records.dead_letters(limit=100_000), ids, all_=all_)
        await trace(ground, "retry", *(one.id for one in letters))
        return len(await (await _settler(ground)).retry(letters))

    out.print(f"{on_ground(config, work)} written down again; the worker takes them in order")
    return DONE


@dead_app.command(name="drop")
def dead_drop(
    ids: tuple[str, ...] = (),
    *,
    reason: str,
    all_: Annotated[bool, Parameter(name="--all", negative="")] = False,
    config: Config = None,
) -> int:
    """Close dead letters for good, with a reason that is kept. 丢弃死信。"""

    async def work(ground: Ground) -> int:
        letters = _chosen(await ground.records.dead_letters(limit=100_000), ids, all_=all_)
        await trace(ground, "drop", *(one.id for one in letters), reason=reason)
        await (await _settler(ground)).drop(letters, reason)
        return len(letters)

    out.print(f"{on_ground(config, work)} dropped")
    return DONE


def _chosen(letters: Sequence[store.DeadLetter], ids: Sequence[str], *, all_: bool) -> list[store.DeadLetter]:
    if not ids and not all_:
        raise ConfigError("which ones?", remedy="give ids, or --all")
    wanted = set(ids)
    found = [one for one in letters if all_ or one.id in wanted]
    missing = wanted - {one.id for one in found}
    if missing:
        raise ConfigError(f"no open dead letter {', '.join(sorted(missing))}", remedy="gateway dead list")
    return found


# ------------------------------------------------------------------ matches and merges
@matches_app.command(name="list")
def matches_list(*, config: Config = None, state: str = "open", limit: int = 100, json: Json = False) -> int:
    """Match candidates by state: open, merged, rejected. 疑似列表。"""

    async def work(ground: Ground) -> Sequence[store.Candidate]:
        return await ground.records.candidates(state=state, limit=limit)

    rows = [
        {"id": one.id, "at": _when(one.at), "a": one.a, "b": one.b, "reason": one.reason}
        for one in on_ground(config, work)
    ]
    show(rows, json=json, title=f"{state} match candidates", empty=f"no {state} match candidates")
    return DONE


@matches_app.command(name="merge")
def matches_merge(match: str, *, config: Config = None) -> int:
    """Make the two customers of a candidate one; `gateway merges undo` takes it back. 合并。"""

    async def work(ground: Ground) -> str:
        pair = await _candidate(ground, match)
        await trace(ground, "merge", pair.id, a=pair.a, b=pair.b)
        return await (await _settler(ground)).merge(pair)

    out.print(f"both are {on_ground(config, work)} now")
    return DONE


@matches_app.command(name="reject")
def matches_reject(match: str, *, config: Config = None) -> int:
    """Keep the two apart for ever. 永不合并。"""

    async def work(ground: Ground) -> None:
        pair = await _candidate(ground, match)
        await trace(ground, "part", pair.id, a=pair.a, b=pair.b)
        await (await _settler(ground)).part(pair)

    on_ground(config, work)
    out.print("they stay two, whatever they come to share")
    return DONE


async def _candidate(ground: Ground, match: str) -> store.Candidate:
    for one in await ground.records.candidates(limit=100_000):
        if one.id == match:
            return one
    raise ConfigError(f"no open match candidate {match}", remedy="gateway matches list")


@merges_app.command(name="list")
def merges_list(customer: str, *, config: Config = None, json: Json = False) -> int:
    """The merges that a customer came out of or went into, newest first. 合并记录。"""

    async def work(ground: Ground) -> Sequence[store.Merge]:
        return await ground.records.merges(customer)

    rows = [
        {
            "id": one.id, "at": _when(one.at), "survivor": one.survivor, "loser": one.loser, "reason": one.reason,
            "undone": _when(one.undone_at) if one.undone_at else "",
        }
        for one in on_ground(config, work)
    ]  # fmt: skip
    show(rows, json=json, title=f"merges of {customer}", empty=f"{customer} was never merged")
    return DONE


@merges_app.command(name="undo")
def merges_undo(customer: str, merge: str, *, config: Config = None) -> int:
    """Part two customers again: each gets back what was theirs, and they stay two. 撤销合并。"""

    async def work(ground: Ground) -> None:
        found = [one for one in await ground.records.merges(customer) if one.id == merge]
        if not found:
            raise ConfigError(f"no merge {merge} of {customer}", remedy=f"gateway merges list {customer}")
        await trace(ground, "unmerge", merge, survivor=found[0].survivor, loser=found[0].loser)
        await (await _settler(ground)).unmerge(found[0])

    on_ground(config, work)
    out.print("they are two again")
    return DONE


# ------------------------------------------------------------------ endpoints
@endpoints_app.command(name="list")
def endpoints_list(*, config: Config = None, json: Json = False) -> int:
    """Subscribers, their open deliveries, and which are disabled and why. 订阅端列表。"""

    async def work(ground: Ground) -> list[dict[str, object]]:
        disabled = await ground.records.disabled()
        rows: list[dict[str, object]] = []
        for name, one in ground.tree.endpoints.items():
            due = await ground.records.deliveries(state=store.DeliveryState.DUE, endpoint=name, limit=1000)
            dead = await ground.records.deliveries(state=store.DeliveryState.DEAD, endpoint=name, limit=1000)
            rows.append(
                {
                    "name": name,
                    "url": one.url,
                    "events": ", ".join(one.events),
                    "due": len(due),
                    "dead": len(dead),
                    "disabled": disabled.get(name, ""),
                }
            )
        return rows

    show(
        on_ground(config, work),
        json=json,
        title="endpoints",
        empty="no endpoint is configured: add [endpoints.…] to config.toml",
    )
    return DONE


@endpoints_app.command(name="enable")
def endpoints_enable(name: str, *, config: Config = None) -> int:
    """Let a disabled endpoint receive again, from now on. 恢复订阅端。"""

    async def work(ground: Ground) -> None:
        if name not in await ground.records.disabled():
            raise ConfigError(f"endpoint {name!r} is not disabled", remedy="gateway endpoints list")
        await trace(ground, "enable", f"endpoint/{name}")
        await ground.records.enable(name, now=ground.clock.now())

    on_ground(config, work)
    out.print(f"{name} receives again")
    return DONE
