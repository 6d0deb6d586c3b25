"""Commands for accounts that are kept beside the data: what the console does, for whoever has a shell."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter

from connectors.registry import CARDS
from gateway import configure, settings
from gateway.clock import moment
from gateway.commands.ground import on_ground, trace
from gateway.commands.reloading import followed, say
from gateway.commands.terminal import DONE, FAULTS, Config, Json, err, out, show
from gateway.desk.keeping import FILE, Fault, Held, Keeper
from gateway.errors import ConfigError
from gateway.office import keeper_of
from gateway.processes import Ground
from gateway.reload import LIVE, NotRunning

accounts_app = App(name="accounts", help="Accounts: partners this gateway speaks to. 账号。")

Sets = Annotated[list[str] | None, Parameter(name="--set", negative="", help="An option: key=value.")]
Secrets = Annotated[
    list[str] | None,
    Parameter(name="--secret", negative="", help="A secret: key=env:NAME or key=file:/path; it is kept sealed."),
]


@accounts_app.command(name="list")
def accounts_list(*, config: Config = None, json: Json = False) -> int:
    """Accounts, from the config and from files. 账号列表。"""

    async def work(ground: Ground) -> list[dict[str, Any]]:
        return [_row(one) for one in keeper_of(ground).all()]

    show(on_ground(config, work), json=json, title="accounts", empty="no account yet: gateway accounts add")
    return DONE


def _row(one: Held) -> dict[str, Any]:
    return {
        "name": one.name,
        "connector": one.connector,
        "from": "accounts.d" if one.source == FILE else "config file",
        "state": "disabled" if one.disabled else "enabled",
        "version": one.version,
    }


@accounts_app.command(name="show")
def accounts_show(name: str, *, config: Config = None, json: Json = False) -> int:
    """One account with its options, secrets masked, and its earlier versions. 账号详情。"""

    async def work(ground: Ground) -> dict[str, Any]:
        keeper = keeper_of(ground)
        one = keeper.get(name)
        if one is None:
            raise ConfigError(f"there is no account {name!r}", remedy="gateway accounts list")
        options = configure.masked(ground.tree.accounts.get(name, {}), CARDS.get(one.connector))
        past = [f"{old.version} (until {moment(old.at).isoformat(timespec='seconds')})" for old in keeper.past(name)]
        return {**_row(one), "options": options, "earlier": past, "unread": await keeper.waiting(name)}

    facts = on_ground(config, work)
    if json:
        show([facts], json=True, title=name, empty="")
        return DONE
    flat = {**{key: value for key, value in facts.items() if key != "options"}, **facts["options"]}
    show([{"setting": key, "value": _text(value)} for key, value in flat.items()], json=False, title=name, empty="")
    return DONE


def _text(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


@accounts_app.command(name="add")
def accounts_add(
    name: str, *, connector: str, set: Sets = None, secret: Secrets = None, config: Config = None
) -> int:  # fmt: skip
    """Check an account, keep it, and let the running gateway take it up. 新增账号。"""
    raw = {**_pairs(set or ()), **_secrets(secret or ())}
    return _done(
        config, "account_save", name, lambda keeper: keeper.keep(name, connector, raw, version=""),
        connector=connector, options=_names(raw),
    )  # fmt: skip


@accounts_app.command(name="set")
def accounts_set(
    name: str, *, set: Sets = None, secret: Secrets = None, config: Config = None
) -> int:  # fmt: skip
    """Change options of an account; an empty value takes one away. 修改账号。"""
    given = {**_pairs(set or ()), **_secrets(secret or ())}

    def act(keeper: Keeper) -> None:
        has = dict(keeper.options(name))
        if keeper.get(name) is None:
            raise ConfigError(f"there is no account {name!r}", remedy="gateway accounts add makes one")
        raw = {key: value for key, value in {**has, **given}.items() if value != ""}
        keeper.keep(name, str(has.get("connector", "")), raw, version=_version(keeper, name))

    return _done(config, "account_save", name, act, options=_names(given))


@accounts_app.command(name="disable")
def accounts_disable(name: str, *, config: Config = None) -> int:
    """Let an account take nothing in; what it said is still read. 停用账号。"""
    return _done(
        config,
        "account_disable",
        name,
        lambda keeper: keeper.switch(name, disabled=True, version=_version(keeper, name)),
    )


@accounts_app.command(name="enable")
def accounts_enable(name: str, *, config: Config = None) -> int:
    """Let a disabled account take things in again. 启用账号。"""
    return _done(
        config,
        "account_enable",
        name,
        lambda keeper: keeper.switch(name, disabled=False, version=_version(keeper, name)),
    )


@accounts_app.command(name="rollback")
def accounts_rollback(name: str, *, to: str = "", config: Config = None) -> int:
    """Let an earlier version of an account be the present one: the latest, or that of --to. 回退账号。"""

    def act(keeper: Keeper) -> None:
        past = keeper.past(name)
        wanted = to or (past[0].version if past else "")
        keeper.restore(name, wanted, version=_version(keeper, name))

    return _done(config, "account_restore", name, act, past=to)


@accounts_app.command(name="remove")
def accounts_remove(name: str, *, config: Config = None) -> int:
    """Forget a disabled account of which nothing waits to be read. 删除账号。"""

    async def work(ground: Ground) -> None:
        await trace(ground, "account_remove", name)
        keeper = keeper_of(ground)
        await keeper.remove(name, version=_version(keeper, name))

    on_ground(config, work)
    return _taken_up(config)


# ------------------------------------------------------------------ shared
def _version(keeper: Keeper, name: str) -> str:
    one = keeper.get(name)
    return one.version if one is not None else ""


def _names(options: Mapping[str, Any]) -> str:
    """For the trail: which options, and never what they are."""
    return " ".join(options)[:400]


def _done(config: Path | None, verb: str, name: str, act: Callable[[Keeper], object], **detail: str) -> int:
    async def work(ground: Ground) -> list[str]:
        await trace(ground, verb, name, **{key: value for key, value in detail.items() if value})
        try:
            act(keeper_of(ground))
        except Fault as error:
            return [str(one) for one in error.faults]
        return []

    if faults := on_ground(config, work):
        for fault in faults:
            err.print(f"[red]not kept[/red] {fault}")
        return FAULTS
    return _taken_up(config)


def _taken_up(config: Path | None) -> int:
    async def work(ground: Ground) -> tuple[Keeper, str]:
        keeper = keeper_of(ground)
        return keeper, keeper.wish()

    keeper, wish = on_ground(config, work)
    if not wish:
        out.print("kept; no gateway runs on this data_dir: it takes effect with the next start")
        return DONE
    try:
        report = followed(keeper.reloads, wish)
    except NotRunning as error:
        out.print(f"kept; {error.detail}: it takes effect with the next start")
        return DONE
    say(report)
    return DONE if report.state == LIVE else FAULTS


def _pairs(said: Sequence[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for one in said:
        key, equals, value = one.partition("=")
        if not equals or not key:
            raise ConfigError(f"{one!r} is not key=value", place="--set")
        found[key.strip()] = value
    return found


def _secrets(said: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for one in said:
        key, equals, reference = one.partition("=")
        if not equals or not reference.startswith(("env:", "file:")):
            raise ConfigError(f"{key!r} needs env:NAME or file:/path", place="--secret", remedy="a secret on the command line is seen by others")  # fmt: skip
        try:
            found[key.strip()] = settings.secret(reference).reveal()
        except ValueError as error:
            raise ConfigError(str(error), place=f"--secret {key}") from error
    return found
