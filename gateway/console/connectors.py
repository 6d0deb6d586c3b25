"""How each account is and what to do about it; an account's form from its connector's card, checked and tried before anything is changed."""

from collections.abc import Sequence
from typing import Any

import msgspec
from litestar import Request, Response, get, post
from litestar.di import NamedDependency
from litestar.exceptions import NotFoundException, PermissionDeniedException
from litestar.params import FromPath
from litestar.response import Redirect

from gateway.connector import Can
from gateway.console import accounts, actions, export, frame
from gateway.desk import doctor, drafts
from gateway.desk.checks import Line, Told
from gateway.desk.connectors import CLASSES, Condition, conditions
from gateway.desk.keeping import FILE, Fault
from gateway.desk.resources import Desk
from gateway.errors import GatewayError
from gateway.pipeline.accounts import Opened
from gateway.sealing import PREFIX, seal

_OPERATOR = {frame.ROLE: "operator"}
_ADMIN = {frame.ROLE: "admin"}
_COLUMNS = ("account", "connector", "state", "last_heard", "lag_seconds", "token_expires", "breaker", *CLASSES)
_KEPT = "kept."


# ---------------------------------------------------------------------- the grid
async def parts(seat: frame.Seat, desk: Desk) -> dict[str, str]:
    """Every account."""
    found = await conditions(desk, seat.viewer)
    now = desk.clock.now()
    grid = frame.fragment("parts/connectors.html", seat, now, conditions=found, classes=CLASSES)
    return {"grid": grid, "unsettled": accounts.unsettled(seat, desk)}


@get("/connectors")
async def connectors(request: Request[Any, Any, Any], desk: NamedDependency[Desk]) -> Response[Any]:
    """The page."""
    seat = frame.seat_of(request)
    if seat.query.get("format") == "csv":
        rows = [_row(one) for one in await conditions(desk, seat.viewer)]
        await desk.did(seat.viewer, "export", "connectors", rows=len(rows))
        return export.csv("connectors", _COLUMNS, rows)
    return frame.page(
        request,
        "connectors.html",
        now=desk.clock.now(),
        here="connectors",
        parts=await parts(seat, desk),
        cards=list(desk.premises.cards.values()),
    )


def _row(one: Condition) -> dict[str, Any]:
    return {
        "account": one.opened.account.name, "connector": one.opened.card.name, "state": one.level, "last_heard": one.heard,
        "lag_seconds": one.lag, "token_expires": one.token_expires, "breaker": one.breaker, **one.errors,
    }  # fmt: skip


# ---------------------------------------------------------------------- one account
async def account_parts(seat: frame.Seat, desk: Desk) -> dict[str, str]:
    """How it is, and what the doctor says."""
    name = seat.path.rpartition("/")[2]
    one = await _condition(seat, desk, name)
    now = desk.clock.now()
    check = await desk.checks.last(f"doctor/{name}")
    return {
        "state": frame.fragment("parts/connector_state.html", seat, now, one=one, classes=CLASSES),
        "doctor": frame.fragment("parts/check.html", seat, now, check=check),
        **await actions.parts(seat, desk, one.opened),
    }


async def _condition(seat: frame.Seat, desk: Desk, name: str) -> Condition:
    for one in await conditions(desk, seat.viewer):
        if one.opened.account.name == name:
            return one
    raise NotFoundException(seat.t("cn_nobody"))


@get("/connectors/{name:str}")
async def account(request: Request[Any, Any, Any], desk: NamedDependency[Desk], name: FromPath[str]) -> Response[Any]:
    """One account."""
    seat = frame.seat_of(request)
    one = await _condition(seat, desk, name)
    placed = await account_parts(msgspec.structs.replace(seat, path=f"/console/connectors/{name}"), desk)
    return frame.page(
        request,
        "connector.html",
        now=desk.clock.now(),
        here="connectors",
        parts=placed,
        one=one,
        options=desk.premises.options.get(name, {}),
        held=desk.keeper.get(name),
        readme=f"connectors/{one.opened.card.name}/README.md",
    )


@post("/connectors/{name:str}/doctor", opt=_OPERATOR, status_code=200)
async def examine(request: Request[Any, Any, Any], desk: NamedDependency[Desk], name: FromPath[str]) -> Response[Any]:
    """Reach the platform beside everything else; the page tells what came of it by itself."""
    await frame.form(request)
    seat = frame.seat_of(request)
    one = await _condition(seat, desk, name)
    await desk.did(seat.viewer, "doctor", name)
    await desk.checks.begin(f"doctor/{name}", seat.viewer.actor, _examined(one.opened, desk.premises.home))
    return Redirect(f"/console/connectors/{name}", status_code=303)


async def _examined(opened: Opened, home: str) -> Told:
    return Told(lines=(await doctor.examine(opened, home),))


# ---------------------------------------------------------------------- the form
@get("/connectors/{name:str}/form", opt=_ADMIN)
async def form(request: Request[Any, Any, Any], desk: NamedDependency[Desk], name: FromPath[str]) -> Response[Any]:
    """An account's own, filled with what it has."""
    connector = await _connector(frame.seat_of(request), desk, name)
    given = desk.keeper.options(name) or desk.premises.options.get(name, {})
    return _form(request, desk, name=name, connector=connector, given=given)


@post("/connectors/{name:str}/form", opt=_ADMIN, status_code=200)
async def trying(request: Request[Any, Any, Any], desk: NamedDependency[Desk], name: FromPath[str]) -> Response[Any]:
    """Check and try, which changes nothing; or save (``act``)."""
    fields = await frame.form(request)
    connector = await _connector(frame.seat_of(request), desk, name)
    return await _tried(request, desk, fields, name=name, connector=connector)


async def _connector(seat: frame.Seat, desk: Desk, name: str) -> str:
    """Of an account that runs, or is about to."""
    held = desk.keeper.get(name) if frame.allowed(accounts.ADMIN, seat.viewer) else None
    return held.connector if held else (await _condition(seat, desk, name)).opened.card.name


@get("/new-connector", opt=_ADMIN)
async def new(request: Request[Any, Any, Any], desk: NamedDependency[Desk]) -> Response[Any]:
    """An empty form of ``?connector=``."""
    connector = request.query_params.get("connector", "")
    if connector not in desk.premises.cards:
        raise NotFoundException(frame.seat_of(request).t("cn_no_card"))
    return _form(request, desk, name="", connector=connector, given={})


@post("/new-connector", opt=_ADMIN, status_code=200)
async def trying_new(request: Request[Any, Any, Any], desk: NamedDependency[Desk]) -> Response[Any]:
    """Check and try, which changes nothing; or save (``act``)."""
    fields = await frame.form(request)
    connector = fields.get("connector", "")
    if connector not in desk.premises.cards:
        raise NotFoundException(frame.seat_of(request).t("cn_no_card"))
    return await _tried(request, desk, fields, name=fields.get("account", "").strip(), connector=connector)


def _form(
    request: Request[Any, Any, Any], desk: Desk, *, name: str, connector: str, given: dict[str, Any] | Any, **more: Any
) -> Response[Any]:
    card = desk.premises.cards[connector]
    own, shared = drafts.fields_of(card, desk.premises.common, given)
    held = desk.keeper.get(name) if more.get("known", True) else None
    context = {
        "lines": [], "toml": "", "kept": {}, "held": held, "version": held.version if held else "",
        "keeps": frame.allowed(accounts.ADMIN, frame.seat_of(request).viewer) and (held is None or held.source == FILE), **more, "known": held is not None,
    }  # fmt: skip
    return frame.page(
        request, "connector_form.html", now=desk.clock.now(), here="connectors", card=card, own=own, shared=shared, account=name,
        has={one.name for one in own if one.secret and _current(desk, name, one.name)}, home=desk.premises.home, **context,
    )  # fmt: skip


def _current(desk: Desk, name: str, option: str) -> Any:
    """What an account has for an option now: as its file says, which may run in a moment, or as the config does."""
    filed = desk.keeper.options(name)
    return filed.get(option) if filed else desk.premises.current(name, option)


async def _tried(
    request: Request[Any, Any, Any], desk: Desk, said: dict[str, str], *, name: str, connector: str
) -> Response[Any]:
    card, seat = desk.premises.cards[connector], frame.seat_of(request)
    own, shared = drafts.fields_of(card, desk.premises.common, {})
    secrets = [one.name for one in own if one.secret]
    # A new account's form is not a way to the secrets of one that is there.
    fresh = request.url.path.endswith("/new-connector")
    # What was typed once is not typed again, and never goes back to the browser but sealed.
    sealed = {key: said[_KEPT + key] for key in secrets if said.get(_KEPT + key, "").startswith(PREFIX)}
    sealed |= {key: seal(said[key].strip(), desk.vault) for key in secrets if said.get(key, "").strip()}
    now_has = {key: None if fresh else _current(desk, name, key) for key in secrets}
    entered = drafts.read([*own, *shared], {**said, **dict.fromkeys(secrets, "")}, {**now_has, **sealed})
    raw = drafts.without_defaults(card, desk.premises.common, entered)
    unsaid = [key for key in secrets if now_has[key] and key not in sealed]
    before = desk.keeper.options(name) or desk.premises.options.get(name, {})
    moved = drafts.moved([*own, *shared], raw, before) if unsaid else ()
    saving = said.get("act") == "save"
    await desk.did(
        seat.viewer,
        "account_save" if saving else "account_try",
        name or "?",
        connector=connector,
        **_changed(before, raw),
    )
    wrong = _elsewhere(moved, unsaid) if moved else _placed(drafts.placed(own, said))
    lines = [wrong] if wrong else await _lines(desk, name, connector, raw, reach=not saving)
    right = not any(line.state == "fault" and line.part == "config" for line in lines)
    if saving and right:
        if not frame.allowed(accounts.ADMIN, seat.viewer):
            raise PermissionDeniedException("your role does not allow this")
        try:
            desk.keeper.keep(name, connector, raw, version=said.get("version", ""))
            _ = desk.keeper.wish()
            return Redirect(accounts.address(name, did="save"), status_code=303)
        except Fault as error:
            lines = [Line(state="fault", part="config", detail=str(one)) for one in error.faults]
    text = drafts.toml(name, connector, raw, [*own, *shared], desk.vault) if right else ""
    return _form(
        request, desk, name=name, connector=connector, given={**raw, **said}, lines=lines, toml=text, kept=sealed, known=not fresh,
        version=said.get("version", ""),
    )  # fmt: skip


def _changed(before: Any, raw: dict[str, Any]) -> dict[str, str]:
    """For the trail: which options, and never what they are."""
    names = [
        key for key in {**before, **raw} if before.get(key) != raw.get(key) and key not in ("connector", "disabled")
    ]
    return {"options": " ".join(names)[:400]}


def _elsewhere(moved: Sequence[str], unsaid: Sequence[str]) -> Line:
    """Secrets that nobody can read are for the address they were given for: trying another one must not be a way to have them."""
    detail = f"{', '.join(moved)} is another than the account has: enter {', '.join(unsaid)} anew"
    return Line(state="fault", part="config", detail=detail)


def _placed(names: Sequence[str]) -> Line | None:
    detail = f"{', '.join(names)} names a place on this machine: enter the secret itself, which is kept sealed"
    return Line(state="fault", part="config", detail=detail) if names else None


async def _lines(desk: Desk, name: str, connector: str, raw: dict[str, Any], *, reach: bool = True) -> list[Line]:
    """Faults of the config first; without any, what the platform's test says, if it is to be reached."""
    if not name or "/" in name or len(name) > 60:
        return [
            Line(
                state="fault",
                part="config",
                detail="an account name is part of its address: 1 to 60 characters, no slash",
            )
        ]
    given = {"connector": connector, **raw}
    if faults := desk.premises.faults(name, given):
        return [Line(state="fault", part="config", detail=str(one)) for one in faults]
    try:
        opened = desk.premises.draft(name, given)
        return [Line(state="ok", part="config", detail=""), *(await _platform(desk, opened) if reach else ())]
    except GatewayError as error:
        return [Line(state="fault", part="config", detail=str(error))]


async def _platform(desk: Desk, opened: Opened) -> list[Line]:
    name = opened.account.name
    found: list[Line] = []
    if opened.card.rehearse is not None:
        rehearsal = opened.card.rehearse(opened.account, desk.clock.now())
        line = await doctor.rehearse(rehearsal, host=desk.premises.host, port=desk.premises.port, account=name)
        found.append(msgspec.structs.replace(line, part="url"))
    if Can.PROBE in opened.card.can:
        try:
            line = await doctor.probed(opened.connector)
        except GatewayError as error:
            line = doctor.of_error(error)
        found.append(msgspec.structs.replace(line, part="platform"))
    return found
