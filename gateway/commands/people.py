"""Commands for people at the console."""

import getpass
import secrets
import sys
from typing import Annotated, Any, Literal

from cyclopts import App, Parameter

from gateway.commands.ground import on_ground, trace
from gateway.commands.terminal import DONE, Config, Json, out, show, tree_of
from gateway.desk.users import Role, User, Users
from gateway.office import desk_of
from gateway.processes import Ground

users_app = App(name="users", help="People at the console. 控制台用户。")


def _users(ground: Ground) -> Users:
    return desk_of(ground, parts=list).users


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
