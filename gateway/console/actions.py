"""What an account's partner can be asked to do, what it was asked lately, and deciding where nobody knows whether it was done."""

from typing import Any

from litestar import Request, Response, post
from litestar.di import NamedDependency
from litestar.exceptions import HTTPException, NotFoundException
from litestar.params import FromPath
from litestar.response import Redirect

from gateway.action import Action, State, Wanted
from gateway.connector import Can
from gateway.console import frame
from gateway.desk import actions as desks
from gateway.desk.resources import Desk
from gateway.pipeline.accounts import Opened

_OPERATOR = {frame.ROLE: "operator"}
_NEWEST = 20
_LOOKS = {
    State.WAITING: "", State.RUNNING: "", State.UNKNOWN: "warn", State.DONE: "good", State.REFUSED: "bad", State.EXPIRED: "bad",
    State.CANCELLED: "",
}  # fmt: skip


async def parts(seat: frame.Seat, desk: Desk, opened: Opened) -> dict[str, str]:
    """The part of an account's page; nothing for an account that cannot act."""
    if Can.ACT not in opened.card.can:
        return {}
    name = opened.account.name
    unknown = await desk.records.actions(Wanted(account=name, state=State.UNKNOWN), limit=_NEWEST)
    newest = await desk.records.actions(Wanted(account=name), limit=_NEWEST, newest=True)
    # Those that wait for a person stand first, however old.
    rows = [*unknown, *(one for one in newest if one.state is not State.UNKNOWN)]
    clients = {client.id: client.name for client, _ in await desk.clients.all()} if rows else {}
    html = frame.fragment(
        "parts/actions.html", seat, desk.clock.now(), opened=opened, rows=rows, looks=_LOOKS, unknown=State.UNKNOWN, name=name,
        clients=clients,
    )  # fmt: skip
    return {"actions": html}


@post("/connectors/{name:str}/actions/{action:str}/retry", opt=_OPERATOR, status_code=200)
async def retry(
    request: Request[Any, Any, Any], desk: NamedDependency[Desk], name: FromPath[str], action: FromPath[str]
) -> Response[Any]:
    """Ask the partner again, though it may have been done."""
    await frame.form(request)
    seat = frame.seat_of(request)
    done = await desks.retry(desk, seat.viewer, await _one(seat, desk, name, action))
    return _back(seat, name, done)


@post("/connectors/{name:str}/actions/{action:str}/drop", opt=_OPERATOR, status_code=200)
async def drop(
    request: Request[Any, Any, Any], desk: NamedDependency[Desk], name: FromPath[str], action: FromPath[str]
) -> Response[Any]:
    """Close it, with a reason that is kept."""
    said = await frame.form(request)
    seat = frame.seat_of(request)
    reason = said.get("reason", "").strip()[:200]
    if not reason:
        raise HTTPException(seat.t("an_reason_needed"), status_code=400)
    done = await desks.drop(desk, seat.viewer, await _one(seat, desk, name, action), reason)
    return _back(seat, name, done)


async def _one(seat: frame.Seat, desk: Desk, name: str, action: str) -> Action:
    found = await desks.seen(desk, seat.viewer, action)
    if found is None or found.account != name:
        raise NotFoundException(seat.t("an_nobody"))
    return found


def _back(seat: frame.Seat, name: str, done: Action | None) -> Response[Any]:
    if done is None:
        raise HTTPException(seat.t("an_moved"), status_code=409)
    return Redirect(f"/console/connectors/{name}#actions", status_code=303)


PAGES = (retry, drop)
"""Every handler of this part."""
