"""Actions: what partners are asked to do through an account: tag, note, message, stock. Each client sees its own."""

from datetime import datetime
from typing import Annotated, Any

import msgspec
from litestar import Request, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody, QueryParameter

from gateway import access
from gateway.access import Viewer
from gateway.action import Action, State
from gateway.api import answers
from gateway.api.answers import After, Limit, Page
from gateway.api.problems import Problem, not_found
from gateway.desk import actions as desks
from gateway.desk.reading import Reading
from gateway.desk.resources import Desk

_SCOPE = {"scope": "actions:write"}
_STATUS = {
    "action.account": 403, "action.invalid": 422, "action.customer": 422, "request.idempotency_key": 422, "action.too_many": 429,
}  # fmt: skip
Text = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
Parameters = Annotated[
    dict[str, Any],
    msgspec.Meta(
        description="What the action takes, as its own schema says, such as `WecomTagParameters`; which one, the connector of the account and `action` say."
    ),
]


class ActionAsked(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to be done. `customer` (`cus_…`) may stand in place of the parameter that names a customer in the partner's words. It is given up at
    `expires`: a day from now, seven at most."""

    account: Text
    action: Text
    parameters: Parameters = {}
    customer: Text | None = None
    expires: datetime | None = None


class ActionSeen(msgspec.Struct, frozen=True, kw_only=True):
    """An action. `unknown`: the partner may have done it, and since it matters twice the gateway's operator decides whether it is repeated. `due` is
    when it is tried next; `cause` why it was not done, or not yet; `result` what the partner answered, as your client's grants allow."""

    id: str
    account: str
    action: str
    customer: str | None
    state: State
    created: str
    updated: str
    due: str | None
    expires: str
    ended: str | None
    tries: int
    cause: str | None
    result: dict[str, Any]


@post("/actions", opt=_SCOPE, status_code=202)
async def ask(
    request: Request[Any, Any, Any],
    viewer: NamedDependency[Viewer],
    client: NamedDependency[access.Client],
    desk: NamedDependency[Desk],
    reading: NamedDependency[Reading],
    data: JSONBody[ActionAsked],
) -> Response[ActionSeen]:
    """Have something done through an account. Once you have the 202 it is done, or you can read why not: it outlives restarts, is tried again while the
    partner is away or over its quota, and those about the same customer or thing keep their order. It is on the audit trail.

    What the partner bears twice is repeated after a crash; a message is not: it becomes `unknown`. Send an `Idempotency-Key`, or a
    request that you repeat is a second action.

    403 for an account that your client may not act through; 422 where the account does not offer it, for parameters that do not fit (`place` names the
    member), and for a customer who is not within your units or whom the partner does not know; 429 while 10,000 of yours are open.
    """
    asked = desks.Asked(
        account=data.account, action=data.action, parameters=data.parameters, customer=data.customer,
        expires=answers.since(data.expires), key=request.headers.get("idempotency-key", ""),
    )  # fmt: skip
    made = await desks.ask(desk, reading, client, viewer, asked)
    if isinstance(made, desks.Refusal):
        raise _problem(made)
    seen = desks.shown(made, viewer, reading, desk)
    return Response(seen, status_code=202, headers={"location": f"/api/v1/actions/{made.id}"})  # type: ignore[arg-type]


def _problem(refusal: desks.Refusal) -> Problem:
    return Problem(
        _STATUS[refusal.code], refusal.code, refusal.detail, place=refusal.place, remedy=refusal.remedy,
        headers={"retry-after": "60"} if refusal.code == "action.too_many" else None,
    )  # fmt: skip


@get("/actions", opt=_SCOPE)
async def actions(
    viewer: NamedDependency[Viewer],
    client: NamedDependency[access.Client],
    desk: NamedDependency[Desk],
    reading: NamedDependency[Reading],
    account: Annotated[
        str | None, QueryParameter(description="Only those through this account.", max_length=100)
    ] = None,
    standing: Annotated[State | None, QueryParameter(name="state", description="Only those in this state.")] = None,
    limit: Limit = 50,
    after: After = None,
) -> Page[ActionSeen]:
    """Your client's actions, in the order in which they were asked for. 400 for a cursor of another list."""
    place = answers.place(after, str)
    found = await desks.mine(
        desk, client, account=account, state=standing, after=place[0] if place else "", limit=limit + 1
    )
    more = answers.cursor(found[limit - 1].id) if len(found) > limit else None
    return answers.page([desks.shown(one, viewer, reading, desk) for one in found[:limit]], more)


@get("/actions/{name:str}", opt=_SCOPE)
async def action(
    request: Request[Any, Any, Any],
    viewer: NamedDependency[Viewer],
    client: NamedDependency[access.Client],
    desk: NamedDependency[Desk],
    reading: NamedDependency[Reading],
    name: FromPath[str],
) -> Response[ActionSeen]:
    """One action (`act_…`). `action.completed` and `action.failed` tell of its end, so that nobody has to ask again and again. 404 for one of another
    client."""
    return answers.tagged(request, desks.shown(await _need(desk, client, name), viewer, reading, desk))


@post("/actions/{name:str}/cancel", opt=_SCOPE, status_code=200)
async def cancel(
    viewer: NamedDependency[Viewer],
    client: NamedDependency[access.Client],
    desk: NamedDependency[Desk],
    reading: NamedDependency[Reading],
    name: FromPath[str],
) -> ActionSeen:
    """Take an action back while it waits. 404 for one of another client; 409 when it was begun, or is at its end: read how it stands."""
    one = await desks.cancel(desk, viewer, await _need(desk, client, name))
    if one is None:
        raise Problem(
            409, "action.not_waiting", "the partner is being asked, or it is at its end", remedy="read how it stands"
        )
    return msgspec.convert(desks.shown(one, viewer, reading, desk), ActionSeen)


async def _need(desk: Desk, client: access.Client, name: str) -> Action:
    found = await desks.own(desk, client, name)
    if found is None:
        raise not_found("action")
    return found


ROUTES = (ask, actions, action, cancel)
"""Every handler of this resource."""
