"""Commands for what a person settles: match candidates, merges."""

from collections.abc import Sequence

from cyclopts import App

from gateway import store
from gateway.clock import moment
from gateway.commands.ground import on_ground, trace
from gateway.commands.terminal import DONE, Config, Json, out, show
from gateway.errors import ConfigError
from gateway.pipeline.route import Router
from gateway.pipeline.settle import Settler
from gateway.processes import Ground

matches_app = App(name="matches", help="Customers who may be one. 疑似同一人。")
merges_app = App(name="merges", help="Customers who became one. 已合并。")


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
