"""One kept account: where it stands, whether it is live, its earlier versions, and switching it off and on, going back and removing it."""

from typing import Any
from urllib.parse import quote

import msgspec
from litestar import Request, Response, get, post
from litestar.di import NamedDependency
from litestar.exceptions import HTTPException, NotFoundException
from litestar.params import FromPath
from litestar.response import Redirect

from gateway.clock import SECOND
from gateway.connector import Card
from gateway.console import frame
from gateway.desk import doctor, drafts
from gateway.desk.checks import Line
from gateway.desk.keeping import FILE, Fault, Held
from gateway.desk.resources import Desk
from gateway.errors import ConfigError, GatewayError
from gateway.model.secret import MASK
from gateway.reload import LIVE, REFUSED, STEPS, Report

ADMIN = {frame.ROLE: "admin", frame.WHOLE: True}
_LOOK = {frame.ROLE: "operator", frame.WHOLE: True}
# For so long after a reload the platform's own test is played once more with each look.
_FRESH = 120 * SECOND


def address(name: str, **query: str) -> str:
    """Of an account's page here."""
    asked = "&".join(f"{key}={quote(value)}" for key, value in query.items() if value)
    return f"/console/accounts/{quote(name)}" + (f"?{asked}" if asked else "")


async def parts(seat: frame.Seat, desk: Desk) -> dict[str, str]:
    """How far it is from what was saved to what runs."""
    name = seat.path.rpartition("/")[2]
    held = desk.keeper.get(name)
    state, report = _state(desk, held)
    line = await _answers(desk, name, report) if state == LIVE and report else None
    shown = frame.fragment(
        "parts/account_progress.html", seat, desk.clock.now(), state=state, report=report, steps=STEPS, held=held, line=line, name=name
    )  # fmt: skip
    return {"progress": shown}


def _state(desk: Desk, held: Held | None) -> tuple[str, Report | None]:
    """One of STEPS, live, refused, off (no gateway to ask: in tests, or beside a stopped one), or gone; with the reload that tells."""
    report = next(iter(desk.keeper.reloads.reports()), None)
    if held is None:
        return "gone", report
    if held.live and not held.going and (held.source != FILE or desk.keeper.settled(held.name)):
        return LIVE, report
    if not desk.keeper.reloads.running():
        return "off", None
    if report is None or (report.over and report.state == LIVE):
        return STEPS[0], None
    return report.state, report


async def _answers(desk: Desk, name: str, report: Report) -> Line | None:
    opened = desk.accounts.get(name)
    fresh = report.ended is not None and desk.clock.now() - report.ended < _FRESH
    if opened is None or opened.card.rehearse is None or opened.account.disabled or not fresh:
        return None
    rehearsal = opened.card.rehearse(opened.account, desk.clock.now())
    return await doctor.rehearse(rehearsal, host=desk.premises.host, port=desk.premises.port, account=name)


@get("/accounts/{name:str}", opt=_LOOK)
async def account(request: Request[Any, Any, Any], desk: NamedDependency[Desk], name: FromPath[str]) -> Response[Any]:
    """The page. It stays for a while after the account is gone, to tell that it is."""
    return await _page(request, desk, name)


async def _page(
    request: Request[Any, Any, Any], desk: Desk, name: str, *, faults: tuple[str, ...] = (), status: int = 200
) -> Response[Any]:
    seat = frame.seat_of(request)
    held = desk.keeper.get(name)
    if held is None and seat.query.get("did") != "remove":
        raise NotFoundException(seat.t("cn_nobody"))
    card = desk.premises.cards.get(held.connector) if held else None
    filed = held is not None and held.source == FILE and not held.going
    return frame.page(
        request, "account.html", now=desk.clock.now(), here="connectors", status=status, held=held, name=name, card=card, faults=faults,
        parts=await parts(msgspec.structs.replace(seat, path=f"/console/accounts/{name}"), desk), filed=filed,
        options=masked(desk, name, card) if filed else {}, waiting=await _waiting(desk, held) if filed and held and seat.may("admin") else 0,
        past=[(one, _differs(desk, name, one.options, card)) for one in desk.keeper.past(name)] if filed else [],
        did=seat.query.get("did", ""),
    )  # fmt: skip


async def _waiting(desk: Desk, held: Held) -> int:
    """What keeps it from being removed. Only then: a deep backlog is read to say it."""
    return await desk.keeper.waiting(held.name) if held.disabled else 0


def masked(desk: Desk, name: str, card: Card | None) -> dict[str, Any]:
    """What the file says, its secrets as nothing but there, also where a hand put them in plain; all of it when nobody knows which they are."""
    own = drafts.fields_of(card, desk.premises.common, {})[0] if card else []
    hidden = {one.name for one in own if one.secret}
    return {
        key: MASK if card is None or key in hidden else value
        for key, value in desk.keeper.options(name).items()
        if key != "disabled"
    }


def _differs(desk: Desk, name: str, past: Any, card: Card | None) -> tuple[str, ...]:
    """The options in which an earlier version differs from the present one."""
    now = desk.keeper.options(name)
    return tuple(key for key in {**past, **now} if past.get(key) != now.get(key)) if card else ()


@post("/accounts/{name:str}", opt=ADMIN, status_code=200)
async def decide(request: Request[Any, Any, Any], desk: NamedDependency[Desk], name: FromPath[str]) -> Response[Any]:
    """``act``: disable, enable, restore, remove, reload. ``version`` is that which the page showed."""
    fields = await frame.form(request)
    seat, act, version = frame.seat_of(request), fields.get("act", ""), fields.get("version", "")
    if act not in ("disable", "enable", "restore", "remove", "reload"):
        raise HTTPException(seat.t("ac_no_act"), status_code=400)
    if act == "remove" and fields.get("typed", "").strip() != name:
        return await _page(request, desk, name, faults=(seat.t("ac_typed_wrong", name=name),), status=409)
    about = fields.get("past", "")[:16]
    await desk.did(seat.viewer, f"account_{act}", name, **({"past": about} if about else {}))
    try:
        await _carry_out(desk, act, name, version, about)
    except Fault as error:
        return await _page(request, desk, name, faults=tuple(str(one) for one in error.faults), status=409)
    except ConfigError as error:
        return await _page(request, desk, name, faults=(str(error),), status=409)
    _ = desk.keeper.wish()
    return Redirect(address(name, did=act), status_code=303)


async def _carry_out(desk: Desk, act: str, name: str, version: str, past: str) -> None:
    keeper = desk.keeper
    if act == "remove":
        await keeper.remove(name, version=version)
    elif act == "restore":
        keeper.restore(name, past, version=version)
    elif act != "reload":
        keeper.switch(name, disabled=act == "disable", version=version)


def unsettled(seat: frame.Seat, desk: Desk) -> str:
    """What stands in files and does not run so, for those who look after the whole house; and a file that cannot be read."""
    if not frame.allowed(_LOOK, seat.viewer):
        return ""
    try:
        found, fault = [one for one in desk.keeper.all() if not one.live or one.going], ""
    except GatewayError as error:
        found, fault = [], str(error)
    states = {one.name: _state(desk, one)[0] for one in found}
    return frame.fragment(
        "parts/accounts_unsettled.html", seat, desk.clock.now(), held=found, states=states, fault=fault, refused=REFUSED
    )


PAGES = (account, decide)
LIVES = (("/console/accounts/[^/]+", parts),)
