"""Keys, users, API clients, and the settings in force: what an admin decides on."""

from datetime import datetime
from typing import Any

import msgspec
from litestar import Request, Response, get, post
from litestar.di import NamedDependency
from litestar.response import Redirect

from gateway import access
from gateway.clock import instant, parse
from gateway.connector import Can
from gateway.console import frame, words
from gateway.desk import stewards
from gateway.desk.resources import Desk
from gateway.desk.users import Role
from gateway.errors import ConfigError

_OPERATOR = {frame.ROLE: "operator", frame.WHOLE: True}
_ADMIN = {frame.ROLE: "admin", frame.WHOLE: True}
_HOWS = ("mask", "clear", "token", "drop")
_OVERLAP = 24 * 3600.0
_NEEDS = "keys"


# ---------------------------------------------------------------------- keys
async def key_parts(seat: frame.Seat, desk: Desk) -> dict[str, str]:
    """The keys, and what needs each."""
    if not seat.may("operator"):
        return {}
    check = await desk.checks.last(_NEEDS)
    listed = [{**msgspec.structs.asdict(one), "created": parse(one.created)} for one in await stewards.keys(desk)]
    return {"keys": frame.fragment("parts/keys.html", seat, desk.clock.now(), listed=listed, check=check)}


@get("/settings", opt=_OPERATOR)
async def keys(request: Request[Any, Any, Any], desk: NamedDependency[Desk]) -> Response[Any]:
    """The page."""
    seat = frame.seat_of(request)
    return frame.page(
        request, "keys.html", now=desk.clock.now(), here="settings", parts=await key_parts(seat, desk), way=desk.premises.keys,
        made=seat.query.get("made", ""),
    )  # fmt: skip


@post("/settings/count", opt=_OPERATOR, status_code=200)
async def count(request: Request[Any, Any, Any], desk: NamedDependency[Desk]) -> Response[Any]:
    """Count what needs each key, beside everything else."""
    await frame.form(request)
    viewer = frame.seat_of(request).viewer
    await desk.did(viewer, "count", "vault")
    await desk.checks.begin(_NEEDS, viewer.actor, stewards.needs(desk))
    return Redirect("/console/settings", status_code=303)


@post("/settings/rotate", opt=_ADMIN, status_code=200)
async def rotate(request: Request[Any, Any, Any], desk: NamedDependency[Desk]) -> Response[Any]:
    """Seal with a new key from now on."""
    await frame.form(request)
    await desk.did(frame.seat_of(request).viewer, "rotate", "vault")
    made = await stewards.rotate(desk)
    return Redirect(f"/console/settings?made={made}", status_code=303)


@get("/settings/effective", opt=_OPERATOR)
async def effective(request: Request[Any, Any, Any], desk: NamedDependency[Desk]) -> Response[Any]:
    """The settings in force, secrets masked, one table a section."""
    tables = [(name, _flat(part)) for name, part in desk.premises.effective.items()]
    return frame.page(request, "effective.html", now=desk.clock.now(), here="settings", tables=tables)


def _flat(part: Any, prefix: str = "") -> list[tuple[str, str]]:
    if isinstance(part, dict):
        return [row for name, value in part.items() for row in _flat(value, f"{prefix}.{name}" if prefix else name)]
    return [(prefix, part if isinstance(part, str) else msgspec.json.encode(part).decode())]


# ---------------------------------------------------------------------- users
@get("/users", opt=_ADMIN)
async def users(request: Request[Any, Any, Any], desk: NamedDependency[Desk]) -> Response[Any]:
    """Who may sit here."""
    return await _users(request, desk)


async def _users(request: Request[Any, Any, Any], desk: Desk, *, fresh: str = "", password: str = "") -> Response[Any]:
    return frame.page(
        request, "users.html", now=desk.clock.now(), here="settings", users=await desk.users.all(), roles=[one.value for one in Role],
        fresh=fresh, password=password,
    )  # fmt: skip


@post("/users", opt=_ADMIN, status_code=200)
async def decide_user(request: Request[Any, Any, Any], desk: NamedDependency[Desk]) -> Response[Any]:
    """``act``: add, role, reset, disable, enable. A password is told in the answer and nowhere else."""
    fields = await frame.form(request)
    viewer, act, name = frame.seat_of(request).viewer, fields.get("act", ""), fields.get("name", "").strip()
    if act in ("add", "reset"):
        fresh = stewards.password()
        if act == "add":
            role = _role(fields)
            await desk.did(viewer, "user_add", name[:40], role=role.value)
            await desk.users.make(name, role, fresh, unit=fields.get("unit", "").strip() or None)
        else:
            await desk.did(viewer, "user_reset", name[:40])
            await desk.users.reset(name, fresh)
        return await _users(request, desk, fresh=name, password=fresh)
    await _change(desk, viewer, act, name, fields)
    return Redirect("/console/users", status_code=303)


async def _change(desk: Desk, viewer: access.Viewer, act: str, name: str, fields: dict[str, str]) -> None:
    if act == "role":
        role = _role(fields)
        if role is not Role.ADMIN:
            await stewards.need_another_admin(desk, name)
        await desk.did(viewer, "user_role", name[:40], role=role.value)
        await desk.users.change(name, role=role)
    elif act == "disable":
        await stewards.need_another_admin(desk, name)
        await desk.did(viewer, "user_disable", name[:40])
        await desk.users.change(name, disabled=True)
    elif act == "enable":
        await desk.did(viewer, "user_enable", name[:40])
        await desk.users.enable(name)
    else:
        raise ConfigError("this is nothing that can be done to a user", remedy="reload the page")


def _role(fields: dict[str, str]) -> Role:
    try:
        return Role(fields.get("role", ""))
    except ValueError as error:
        raise ConfigError("there is no such role", remedy="viewer, operator or admin") from error


# ---------------------------------------------------------------------- API clients
@get("/clients", opt=_ADMIN)
async def clients(request: Request[Any, Any, Any], desk: NamedDependency[Desk]) -> Response[Any]:
    """Partners' programs."""
    return await _clients(request, desk, None)


async def _clients(request: Request[Any, Any, Any], desk: Desk, made: Any) -> Response[Any]:
    now = desk.clock.now()
    theirs = await desk.belongings.of_all()
    listed = [
        {
            "client": one,
            "endpoints": theirs.get(one.id, []),
            "grants": access.grants_of(one.grants, now),
            "in_force": access.in_force(one, now),
        }
        for one, _ in await desk.clients.all()
    ]
    classes = [one.value for one in access.LEAST]
    least = {one.value: how for one, how in access.LEAST.items()}
    return frame.page(
        request, "clients.html", now=now, here="settings", listed=listed, made=made, scopes=access.SCOPES, classes=classes, hows=_HOWS, least=least,
        usable=[one.account.name for one in desk.accounts.all() if one.card.can & {Can.IMPORT, Can.ACT}],
    )  # fmt: skip


@post("/clients", opt=_ADMIN, status_code=200)
async def decide_client(request: Request[Any, Any, Any], desk: NamedDependency[Desk]) -> Response[Any]:
    """``act``: make, rotate, revoke. A secret is told in the answer and nowhere else."""
    fields = await frame.form(request)
    seat, act, name = frame.seat_of(request), fields.get("act", ""), fields.get("id", "")
    if act == "make":
        client = _wanted(fields, seat, desk)
        detail = {
            "scopes": " ".join(client.scopes),
            "grants": " ".join(f"{key}={one.how}" for key, one in client.grants.items()),
            "reason": "; ".join(sorted({one.reason for one in client.grants.values() if one.reason})),
        }
        if client.accounts:
            detail["accounts"] = " ".join(client.accounts)
        await desk.did(seat.viewer, "client_make", client.name, **detail)
        return await _clients(request, desk, await desk.clients.make(client))
    if act == "rotate":
        await desk.did(seat.viewer, "client_rotate", name[:80], overlap="24h")
        return await _clients(request, desk, await desk.clients.rotate(name, overlap=_OVERLAP))
    if act != "revoke":
        raise ConfigError("this is nothing that can be done to a client", remedy="reload the page")
    await desk.did(seat.viewer, "client_revoke", name[:80])
    await desk.clients.revoke(name)
    await desk.belongings.round()
    return Redirect("/console/clients", status_code=303)


def _wanted(fields: dict[str, str], seat: frame.Seat, desk: Desk) -> access.Client:
    """What the form says. ConfigError for a name, a scope or a time that is none."""
    name = fields.get("name", "").strip()[:80]
    scopes = tuple(scope for scope in access.SCOPES if fields.get(f"scope.{scope}"))
    if not name or not scopes:
        raise ConfigError("a client needs a name and at least one scope", remedy="fill in both")
    until = _instant(fields.get("grants_until", ""), seat)
    reason = fields.get("reason", "").strip()[:400]
    hows = {one.value: fields.get(f"grant.{one.value}", least) for one, least in access.LEAST.items()}
    least = {one.value: how for one, how in access.LEAST.items()}
    grants = {key: access.Lent(how=how, until=until, reason=reason) for key, how in hows.items() if how != least[key]}
    return access.Client(
        id="", name=name, scopes=scopes, unit=fields.get("unit", "").strip() or None, grants=grants, accounts=_uses(fields, scopes, desk),
        until=_instant(fields.get("until", ""), seat),
    )  # fmt: skip


def _uses(fields: dict[str, str], scopes: tuple[str, ...], desk: Desk) -> tuple[str, ...]:
    """The accounts that records may be brought into, and partners acted through. ConfigError without a scope that needs them."""
    chosen = tuple(one.account.name for one in desk.accounts.all() if fields.get(f"account.{one.account.name}"))
    if chosen and not {"imports:write", "actions:write"} & set(scopes):
        raise ConfigError(
            "accounts to use need the scope imports:write or actions:write", remedy="choose both, or neither"
        )
    return chosen


def _instant(said: str, seat: frame.Seat) -> int | None:
    """A local time of a form; None for none."""
    if not said:
        return None
    try:
        return instant(datetime.fromisoformat(said).replace(tzinfo=words.zone(seat.zone)))
    except ValueError as error:
        raise ConfigError(f"{said[:30]!r} is no time", remedy="choose a day and an hour") from error


PAGES = (keys, count, rotate, effective, users, decide_user, clients, decide_client)
"""Every handler."""
