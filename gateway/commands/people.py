"""Commands for who may come in: partners' clients, and people at the console."""

import getpass
import secrets
import sys
from typing import Annotated, Any, Literal

import msgspec
from cyclopts import App, Parameter

from gateway import access, settings
from gateway.clock import moment, parse
from gateway.commands.ground import on_ground, trace
from gateway.commands.terminal import DONE, Config, Json, out, show, tree_of
from gateway.desk.clients import Clients, Made
from gateway.desk.users import Role, User, Users
from gateway.errors import ConfigError
from gateway.processes import Ground, desk_of

clients_app = App(name="clients", help="Partners' programs that read the API. 接口调用方。")
users_app = App(name="users", help="People at the console. 控制台用户。")


def _clients(ground: Ground) -> Clients:
    return desk_of(ground, parts=list).clients


def _users(ground: Ground) -> Users:
    return desk_of(ground, parts=list).users


# ------------------------------------------------------------------ clients
@clients_app.command(name="list")
def clients_list(*, config: Config = None, json: Json = False) -> int:
    """Clients, what they may do and see, and until when. 调用方列表。"""

    async def work(ground: Ground) -> list[dict[str, Any]]:
        return [_client(client, ground.clock.now()) for client, _ in await _clients(ground).all()]

    show(
        on_ground(config, work),
        json=json,
        title="clients",
        empty="no clients yet: gateway clients make NAME --scope customers:read",
    )
    return DONE


def _client(client: access.Client, now: int) -> dict[str, Any]:
    grants = access.grants_of(client.grants, now)
    return {
        "id": client.id,
        "name": client.name,
        "scopes": " ".join(client.scopes),
        "unit": client.unit or "",
        "grants": " ".join(f"{one.value}={how}" for one, how in grants.items()),
        "rate": f"{client.rate:g}/s",
        "until": moment(client.until).isoformat(timespec="seconds") if client.until else "",
        "state": "active" if access.in_force(client, now) else "ended",
    }


@clients_app.command(name="make")
def clients_make(
    name: str,
    *,
    scope: Annotated[tuple[str, ...], Parameter(name="--scope", consume_multiple=False, negative="")],
    grant: Annotated[tuple[str, ...], Parameter(name="--grant", consume_multiple=False, negative="")] = (),
    account: Annotated[tuple[str, ...], Parameter(name="--account", consume_multiple=False, negative="")] = (),
    reason: str = "",
    unit: str | None = None,
    until: str | None = None,
    rate: float = 20.0,
    burst: float = 100.0,
    json: Json = False,
    config: Config = None,
) -> int:
    """A client with --scope customers:read …, --grant contact=clear[@2026-12-31T00:00:00Z] …; its secret is shown once. 新建调用方。

    Args:
        account: A feed account that it may bring records into; with the scope imports:write.
    """
    client = access.Client(
        id="",
        name=name,
        scopes=scope,
        unit=unit,
        grants=dict(_grant(one, reason) for one in grant),
        accounts=account,
        rate=rate,
        burst=burst,
        until=_instant(until) if until else None,
    )

    async def work(ground: Ground) -> Made:
        await trace(ground, "client_make", name, scopes=" ".join(scope), grants=" ".join(grant), reason=reason)
        return await _clients(ground).make(client)

    _show_made(on_ground(config, work), json=json)
    return DONE


@clients_app.command(name="rotate")
def clients_rotate(client: str, *, overlap: str = "24h", json: Json = False, config: Config = None) -> int:
    """A new secret; the present one is taken for --overlap more. 轮换调用方密钥。"""
    seconds = _duration(overlap)

    async def work(ground: Ground) -> Made:
        await trace(ground, "client_rotate", client, overlap=overlap)
        return await _clients(ground).rotate(client, overlap=seconds)

    _show_made(on_ground(config, work), json=json)
    return DONE


@clients_app.command(name="revoke")
def clients_revoke(client: str, *, config: Config = None) -> int:
    """End a client: its secrets and tokens stop within two seconds. 停用调用方。"""

    async def work(ground: Ground) -> None:
        await trace(ground, "client_revoke", client)
        await _clients(ground).revoke(client)

    on_ground(config, work)
    out.print(f"{client} has ended")
    return DONE


def _show_made(made: Made, *, json: bool) -> None:
    if json:
        said = {"client_id": made.client.id, "client_secret": made.secret, "api_key": made.key}
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(said), indent=2).decode() + "\n")
        return
    out.print(f"client_id      {made.client.id}")
    out.print(f"client_secret  {made.secret}")
    out.print(f"API key        {made.key}")
    out.print("These are shown once. Use the secret at POST /oauth/token, or the key itself as a bearer token.")


def _grant(text: str, reason: str) -> tuple[str, access.Lent]:
    name, found, rest = text.partition("=")
    how, _, until = rest.partition("@")
    if not found:
        raise ConfigError(f"{text!r} is no grant", remedy="--grant contact=mask, or contact=clear@2026-12-31T00:00:00Z")
    return name, access.Lent(how=how, until=_instant(until) if until else None, reason=reason)


def _instant(text: str) -> int:
    try:
        return parse(text)
    except ValueError as error:
        raise ConfigError(f"{text!r} is no time", remedy="for example 2026-12-31T00:00:00Z") from error


def _duration(text: str) -> float:
    try:
        return settings.duration(text)
    except ValueError as error:
        raise ConfigError(str(error)) from error


# ------------------------------------------------------------------ users
@users_app.command(name="list")
def users_list(*, config: Config = None, json: Json = False) -> int:
    """Users of the console, their roles, and whether they have a second factor. 用户列表。"""

    async def work(ground: Ground) -> list[dict[str, Any]]:
        return [_user(user, ground.clock.now()) for user in await _users(ground).all()]

    show(
        on_ground(config, work),
        json=json,
        title="users",
        empty="no users yet: gateway users add NAME --role admin",
    )
    return DONE


def _user(user: User, now: int) -> dict[str, Any]:
    state = "disabled" if user.disabled else "locked" if now < user.held_until else "active"
    return {
        "name": user.name,
        "role": user.role.value,
        "unit": user.unit or "",
        "second_factor": "yes" if user.totp else "at next sign-in",
        "state": state,
    }


@users_app.command(name="add")
def users_add(
    name: str,
    *,
    role: Literal["viewer", "operator", "admin"] = "viewer",
    unit: str | None = None,
    generate: Annotated[bool, Parameter(negative="", help="Make a password and show it once.")] = False,
    config: Config = None,
) -> int:
    """A user; the password is asked for, read from standard input, or made with --generate. 新建用户。"""
    password = _password(generate=generate)

    async def work(ground: Ground) -> None:
        await trace(ground, "user_add", name, role=role)
        await _users(ground).make(name, Role(role), password, unit=unit)

    on_ground(config, work)
    _show_password(password, generate=generate)
    out.print(f"{name} can sign in at /console, and sets up an authenticator there the first time")
    return DONE


@users_app.command(name="reset")
def users_reset(
    name: str,
    *,
    generate: Annotated[bool, Parameter(negative="", help="Make a password and show it once.")] = False,
    config: Config = None,
) -> int:
    """A new password, and a second factor to set up anew; every session ends. 重置用户。"""
    password = _password(generate=generate)

    async def work(ground: Ground) -> None:
        await trace(ground, "user_reset", name)
        await _users(ground).reset(name, password)

    on_ground(config, work)
    _show_password(password, generate=generate)
    out.print(f"{name} signs in anew")
    return DONE


@users_app.command(name="ticket")
def users_ticket(name: str, *, config: Config = None) -> int:
    """A link that signs a user in once, within ten minutes, without password or authenticator: for when one is lost. 一次性登录链接。"""

    async def work(ground: Ground) -> str:
        await trace(ground, "user_ticket", name)
        return await _users(ground).ticket(name)

    text = on_ground(config, work)
    tree = tree_of(config)
    base = tree.gateway.public_url.rstrip("/") or f"http://{tree.http.host}:{tree.http.port}"
    sys.stdout.write(f"{base}/console/ticket/{text}\n")
    return DONE


@users_app.command(name="disable")
def users_disable(name: str, *, config: Config = None) -> int:
    """Nobody comes in by this name any more, sessions included. 停用用户。"""
    _switch(name, disabled=True, config=config)
    out.print(f"{name} is disabled")
    return DONE


@users_app.command(name="enable")
def users_enable(name: str, *, config: Config = None) -> int:
    """Let a disabled or locked user in again. 启用用户。"""
    _switch(name, disabled=False, config=config)
    out.print(f"{name} can sign in")
    return DONE


def _switch(name: str, *, disabled: bool, config: Config) -> None:
    async def work(ground: Ground) -> None:
        await trace(ground, "user_disable" if disabled else "user_enable", name)
        users = _users(ground)
        await (users.change(name, disabled=True) if disabled else users.enable(name))

    on_ground(config, work)


def _password(*, generate: bool) -> str:
    if generate:
        return secrets.token_urlsafe(15)
    if sys.stdin.isatty():
        return getpass.getpass("password (at least 12 characters): ")
    return sys.stdin.readline().rstrip("\n")


def _show_password(password: str, *, generate: bool) -> None:
    if generate:
        out.print(f"password  {password}   (shown once)")
