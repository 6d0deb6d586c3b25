"""Commands for what partners are asked to do: how it stands, and deciding where nobody knows whether it was done."""

from collections.abc import Awaitable, Callable
from typing import Annotated

import msgspec
from cyclopts import App, Parameter

from gateway.action import LIVES, Action, State, Wanted
from gateway.clock import moment
from gateway.commands.ground import on_ground, trace
from gateway.commands.terminal import DONE, Config, Json, out, show
from gateway.errors import ConfigError
from gateway.pipeline import act_body
from gateway.pipeline.act_end import ActSettler, Ends
from gateway.pipeline.route import Router
from gateway.processes import Ground

actions_app = App(name="actions", help="What partners are asked to do. 对平台的操作。")

Open = Annotated[
    bool, Parameter(name="--open", negative="", help="Show what is sealed; the audit log will say who looked.")
]


@actions_app.command(name="list")
def actions_list(
    *,
    config: Config = None,
    account: str | None = None,
    state: State | None = None,
    before: str = "",
    limit: int = 100,
    json: Json = False,
) -> int:
    """Actions, newest first. 操作列表。

    Args:
        account: Through this account.
        state: In this state; unknown are those that a person has to decide.
        before: Only those with a lower id.
    """

    async def work(ground: Ground) -> list[Action]:
        wanted = Wanted(account=account, state=state)
        return list(await ground.records.actions(wanted, limit=limit, after=before, newest=True))

    rows = [_row(one) for one in on_ground(config, work)]
    show(rows, json=json, title="actions", empty="no such action")
    return DONE


def _row(one: Action) -> dict[str, object]:
    return {
        "id": one.id, "account": one.account, "action": one.action, "state": one.state.value, "client": one.client,
        "customer": one.customer or "", "created": _when(one.created), "due": _when(one.due) if one.state is State.WAITING else "",
        "expires": _when(one.expires), "tries": one.tries, "cause": one.cause or "",
    }  # fmt: skip


@actions_app.command(name="show")
def actions_show(action: str, *, open_: Open = False, config: Config = None, json: Json = False) -> int:
    """One action, with what it was asked with while it is open, and what the partner answered. 操作详情。"""

    async def work(ground: Ground) -> dict[str, object]:
        one = await _need(ground, action)
        if not open_:
            return {**_row(one), "result": _closed(act_body.results(one)["actions"][one.id]["result"])}
        await trace(ground, "read", action, what="parameters")
        asked = act_body.parameters(one, ground.vault) if one.ended is None else None
        return {**_row(one), "parameters": asked, "result": act_body.opened(one, ground.vault)}

    found = on_ground(config, work)
    if json:
        show([found], json=True, title="", empty="")
        return DONE
    for name, value in found.items():
        if value not in ("", None):
            out.print(f"{name}: {value if isinstance(value, (str, int)) else msgspec.json.encode(value).decode()}")
    return DONE


def _closed(result: dict[str, object]) -> dict[str, object]:
    """Numbers and public text as they are; of what is sealed only that it is there."""
    return {name: value if isinstance(value, (str, int)) else "•••" for name, value in result.items()}


@actions_app.command(name="retry")
def actions_retry(action: str, *, config: Config = None) -> int:
    """Ask the partner again though it may have been done: of an action that is unknown, for a day. 再次执行。"""

    async def work(ground: Ground) -> None:
        await _settled(ground, action, "act_retry", (State.UNKNOWN,), lambda hand, one: hand.retry(one, lives=LIVES))

    on_ground(config, work)
    out.print("it waits again; the worker asks the partner within a second")
    return DONE


@actions_app.command(name="drop")
def actions_drop(action: str, *, reason: str, config: Config = None) -> int:
    """Close an action that is unknown or waits, with a reason that is kept. 放弃操作。

    Args:
        reason: Why it need not be done, or how it is known to be done.
    """

    async def work(ground: Ground) -> None:
        states = (State.UNKNOWN, State.WAITING)
        await _settled(ground, action, "act_drop", states, lambda hand, one: hand.drop(one, reason), reason=reason)

    on_ground(config, work)
    out.print("closed")
    return DONE


async def _settled(
    ground: Ground,
    name: str,
    verb: str,
    states: tuple[State, ...],
    act: Callable[[ActSettler, Action], Awaitable[Action | None]],
    **detail: str,
) -> None:
    one = await _need(ground, name)
    if one.state not in states:
        said = " or ".join(state.value for state in states)
        raise ConfigError(f"it is {one.state.value}, not {said}", place=name, remedy=f"gateway actions show {name}")
    await trace(ground, verb, name, account=one.account, action=one.action, **detail)
    router = Router(await ground.book.endpoints())
    await router.units.load(ground.records)
    hand = ActSettler(records=ground.records, clock=ground.clock, ends=Ends(ground.accounts, router))
    if await act(hand, one) is None:
        raise ConfigError("it moved at this moment", place=name, remedy=f"gateway actions show {name}")


async def _need(ground: Ground, name: str) -> Action:
    found = (await ground.records.known_actions([name])).get(name)
    if found is None:
        raise ConfigError(f"no action {name}", remedy="gateway actions list")
    return found


def _when(instant: int) -> str:
    return moment(instant).isoformat(timespec="seconds")
