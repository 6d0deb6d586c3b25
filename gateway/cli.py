"""The command line. Exit codes: 0 done, 1 faults found, 2 wrong use, 3 cannot reach."""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec
import structlog
from cyclopts import App, Parameter
from rich.console import Console
from rich.table import Table

import mappings
from connectors.registry import CARDS
from connectors.simulators import SIMULATORS
from gateway import VERSION, app, cases, configure, demonstration, diagnosis, logs, settings, store
from gateway.clock import moment
from gateway.errors import ConfigError, GatewayError, PayloadError
from gateway.pipeline.settle import Settler
from gateway.processes import Ground
from gateway.stores.migrations import migrate
from gateway.vaults import file as keyfile

DONE, FAULTS, WRONG_USE, UNREACHABLE = 0, 1, 2, 3

Config = Annotated[
    Path | None, Parameter(name=["--config", "-c"], help="Config file; config.toml in this folder when there is one.")
]
Json = Annotated[bool, Parameter(name="--json", negative="", help="One JSON document instead of a table.")]

# A pipe has no width of its own; 80 columns would fold every table.
_out = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else 160)
_err = Console(stderr=True, highlight=False, soft_wrap=True)

main_app = App(
    name="gateway", version=VERSION, help="The SCRM integration gateway. 集成网关。", version_flags=["--version"]
)
mapping_app = App(name="mapping", help="Test and try mappings.")
dead_app = App(name="dead", help="Dead letters: what a person must look at.")
keys_app = App(name="keys", help="The vault's keys.")
db_app = App(name="db", help="The store's database.")
config_app = App(name="config", help="The effective configuration.")
for part in (mapping_app, dead_app, keys_app, db_app, config_app):
    main_app.command(part)


def main() -> None:
    """Entry point of the ``gateway`` command."""
    logs.configure("console")
    try:
        result = main_app(sys.argv[1:], exit_on_error=False, print_error=True, result_action="return_value")
    except GatewayError as error:
        _err.print(f"[red]{error.code}[/red] {error}", markup=True)
        sys.exit(WRONG_USE if isinstance(error, ConfigError) else FAULTS)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:  # cyclopts has printed what was wrong with the words; anything else is a fault of ours
        if type(error).__module__.startswith("cyclopts"):
            sys.exit(WRONG_USE)
        raise
    sys.exit(result if isinstance(result, int) else DONE)


def _tree(config: Path | None, **flags: Any) -> settings.Settings:
    found = config or (Path("config.toml") if Path("config.toml").exists() else None)
    return settings.load(found, flags=flags)


def _show(rows: Sequence[dict[str, Any]], *, json: bool, title: str, empty: str) -> None:
    """Rows as one JSON array, or as a table with its empty state in words."""
    if json:
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(list(rows)), indent=2).decode() + "\n")
        return
    if not rows:
        _out.print(empty)
        return
    table = Table(title=title, title_justify="left", header_style="bold")
    for column in rows[0]:
        table.add_column(column.replace("_", " "), overflow="fold")
    for row in rows:
        table.add_row(*[str(value) for value in row.values()])
    _out.print(table)


# ------------------------------------------------------------------ running
@main_app.command
def serve(
    *, config: Config = None, host: str | None = None, port: int | None = None, workers: int | None = None
) -> int:
    """Run the gateway until SIGTERM. 运行网关。"""
    tree = _tree(config, **{"http.host": host, "http.port": port, "http.workers": workers})
    logs.configure(tree.gateway.log)
    _warn_of_plain_secrets(tree)
    fresh = app.prepare(tree)
    for name, secret in fresh.items():
        _err.print(f"endpoint [bold]{name}[/bold] had no secret; this one was made and is shown only now: {secret}")
    structlog.get_logger().info(
        "gateway.starting", version=VERSION, host=tree.http.host, port=tree.http.port, accounts=len(tree.accounts)
    )
    return app.serve(tree)


def _warn_of_plain_secrets(tree: settings.Settings) -> None:
    for name, raw in tree.accounts.items():
        card = CARDS.get(raw.get("connector", ""))
        secret_fields = configure.secret_fields(card) if card else ()
        plain = [field for field in secret_fields if settings.is_plain(raw.get(field))]
        if plain:
            _err.print(
                f"[yellow]accounts.{name}[/yellow]: {', '.join(plain)} stands in the config as plain text; use env:NAME or file:/path"
            )


@main_app.command
def demo(*, rate: float = 20.0, seconds: float | None = None, port: int = 8000, data: Path | None = None) -> int:
    """The gateway, the SCRM core and simulated partners, over real sockets. 演示。

    Parameters
    ----------
    rate: About how many partner messages a second, all partners together.
    seconds: Stop after so many seconds; until Ctrl-C when absent.
    port: The gateway's port; the SCRM core takes the next one. Taken ports are stepped over.
    data: Keep the demo's data here; a temporary folder, removed at the end, when absent.
    """
    return demonstration.run(rate=rate, seconds=seconds, port=port, data=data, out=_out)


@main_app.command
def simulate(
    connector: str,
    *,
    account: str,
    rate: float = 10.0,
    seconds: float | None = None,
    config: Config = None,
    seed: int = 1,
) -> int:
    """Play the partner of one configured account over real sockets. 模拟伙伴。"""
    tree = _tree(config)
    run = SIMULATORS.get(connector)
    if run is None or connector != tree.accounts.get(account, {}).get("connector"):
        raise settings.unknown_key(
            account,
            [name for name, raw in tree.accounts.items() if raw.get("connector") == connector],
            place="--account",
        )
    raw = tree.accounts[account]
    target = configure.target_of(tree, account)
    sent = asyncio.run(
        run(
            url=target,
            options=configure.plain_options(raw),
            rate=rate,
            seconds=seconds,
            seed=seed,
            tell=_out.print,
        )
    )
    _out.print(f"{sent} sent to {target}")
    return DONE


# ------------------------------------------------------------------ looking
@main_app.command
def connectors(*, json: Json = False) -> int:
    """What the gateway speaks. 连接器一览。"""
    rows = [
        {
            "name": card.name,
            "title": f"{card.title.zh} / {card.title.en}",
            "can": ", ".join(sorted(verb.value for verb in card.can)),
            "options": ", ".join(card.options.__struct_fields__),
            **({"topics": [topic.name for topic in card.topics]} if json else {}),
        }
        for card in CARDS.values()
    ]
    _show(rows, json=json, title="connectors", empty="no connectors")
    return DONE


@main_app.command
def check(*, config: Config = None, json: Json = False) -> int:
    """Lint config and mappings; every fault with file, line and field. 检查配置与映射。"""
    faults: list[GatewayError] = []
    try:
        tree = _tree(config)
        faults += diagnosis.config_faults(tree)
    except ConfigError as error:
        tree = settings.Settings()
        faults.append(error)
    folders = [folder for folder in (mappings.FOLDER, tree.gateway.mappings) if folder is not None]
    for folder in folders:
        faults += cases.check_all(folder, CARDS.values())
    rows = [{"place": fault.place, "fault": fault.detail, "remedy": fault.remedy} for fault in faults]
    _show(rows, json=json, title="faults", empty="[green]no faults[/green] 无错误")
    return FAULTS if faults else DONE


@main_app.command
def doctor(*, config: Config = None, json: Json = False) -> int:
    """Reach every account, endpoint and file; say what is wrong and what to do. 体检。"""
    tree = _tree(config)
    if not json:
        _err.print("looking at every account and endpoint …", style="dim")
    findings = asyncio.run(diagnosis.examine(tree))
    rows = [{"part": one.part, "state": one.state, "finding": one.detail, "remedy": one.remedy} for one in findings]
    _show(rows, json=json, title="doctor", empty="nothing is configured: add accounts to config.toml")
    states = {one.state for one in findings}
    return UNREACHABLE if "unreachable" in states else FAULTS if "fault" in states else DONE


@config_app.command(name="show")
def config_show(*, config: Config = None) -> int:
    """The effective configuration, secrets masked. 生效配置。"""
    tree = _tree(config)
    shown = settings.shown(tree)
    shown["accounts"] = {
        name: configure.masked(raw, CARDS.get(raw.get("connector", ""))) for name, raw in tree.accounts.items()
    }
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(shown), indent=2).decode() + "\n")
    return DONE


@main_app.command
def version() -> int:
    """The version. 版本。"""
    _out.print(VERSION)
    return DONE


# ------------------------------------------------------------------ mappings
@mapping_app.command(name="test")
def mapping_test(path: Path | None = None, *, json: Json = False) -> int:
    """Run golden cases, of one file or of all. 映射用例。"""
    folder, only = _mapping_folder(path)
    results = cases.run_cases(folder, CARDS.values(), only)
    failed = [one for one in results if one.faults]
    rows = [{"place": one.place, "case": one.name, "faults": "; ".join(one.faults)} for one in failed]
    _show(rows, json=json, title="failed cases", empty=f"[green]{len(results)} cases hold[/green]")
    return FAULTS if failed else DONE


@mapping_app.command(name="try")
def mapping_try(file: Path) -> int:
    """Run one mapping over JSON from standard input and show what it yields. 试跑映射。"""
    try:
        said = cases.attempt(file, sys.stdin.buffer.read(), CARDS.values())
    except PayloadError as error:
        _err.print(f"[red]{error.code}[/red] {error}")
        return FAULTS
    for one in said:
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(one), indent=2).decode() + "\n")
    return DONE


def _mapping_folder(path: Path | None) -> tuple[Path, Path | None]:
    if path is None:
        return mappings.FOLDER, None
    found = path.resolve()
    if found.is_file():
        return found.parent.parent, found
    connector = found.name in CARDS
    return (found.parent, found) if connector else (found, None)


# ------------------------------------------------------------------ dead letters
@dead_app.command(name="list")
def dead_list(*, config: Config = None, state: str = "open", limit: int = 100, json: Json = False) -> int:
    """Dead letters by state: open, retried, dropped. 死信列表。"""

    async def work(ground: Ground) -> Sequence[store.DeadLetter]:
        return await ground.records.dead_letters(state=state, limit=limit)

    letters = _on_ground(config, work)
    rows = [
        {
            "id": one.id, "at": moment(one.at).isoformat(timespec="seconds"), "account": one.account, "topic": one.topic, "stage": one.stage,
            "cause": one.cause, "tries": one.tries, "detail": one.detail,
        }
        for one in letters
    ]  # fmt: skip
    _show(rows, json=json, title=f"{state} dead letters", empty=f"no {state} dead letters")
    return DONE


@dead_app.command(name="retry")
def dead_retry(
    ids: tuple[str, ...] = (),
    *,
    all_: Annotated[bool, Parameter(name="--all", negative="")] = False,
    config: Config = None,
) -> int:
    """Project dead letters again with today's mappings. 重试死信。"""

    async def work(ground: Ground) -> int:
        letters = _chosen(await ground.records.dead_letters(limit=100_000), ids, all_=all_)
        settler = Settler(log=ground.log, records=ground.records, vault=ground.vault, clock=ground.clock)
        return len(await settler.retry(letters))

    _out.print(f"{_on_ground(config, work)} written down again; the worker takes them in order")
    return DONE


@dead_app.command(name="drop")
def dead_drop(
    ids: tuple[str, ...] = (),
    *,
    reason: str,
    all_: Annotated[bool, Parameter(name="--all", negative="")] = False,
    config: Config = None,
) -> int:
    """Close dead letters for good, with a reason that is kept. 丢弃死信。"""

    async def work(ground: Ground) -> int:
        letters = _chosen(await ground.records.dead_letters(limit=100_000), ids, all_=all_)
        settler = Settler(log=ground.log, records=ground.records, vault=ground.vault, clock=ground.clock)
        await settler.drop(letters, reason)
        return len(letters)

    _out.print(f"{_on_ground(config, work)} dropped")
    return DONE


def _chosen(letters: Sequence[store.DeadLetter], ids: Sequence[str], *, all_: bool) -> list[store.DeadLetter]:
    if not ids and not all_:
        raise ConfigError("which ones?", remedy="give ids, or --all")
    wanted = set(ids)
    found = [one for one in letters if all_ or one.id in wanted]
    missing = wanted - {one.id for one in found}
    if missing:
        raise ConfigError(f"no open dead letter {', '.join(sorted(missing))}", remedy="gateway dead list")
    return found


def _on_ground(config: Path | None, work: Callable[[Ground], Awaitable[Any]]) -> Any:
    tree = _tree(config)

    async def run() -> Any:
        ground = app.open_ground(tree)
        try:
            return await work(ground)
        finally:
            await ground.close()

    return asyncio.run(run())


# ------------------------------------------------------------------ keys and database
@keys_app.command(name="init")
def keys_init(*, config: Config = None) -> int:
    """Make the key file if there is none. 初始化密钥。"""
    path = app.paths_of(_tree(config))["vault"]
    path.parent.mkdir(parents=True, exist_ok=True)
    keyfile.open_vault(path)
    _out.print(f"keys in {path}; keep a copy elsewhere: without it nothing sealed can be opened")
    return DONE


@keys_app.command(name="rotate")
def keys_rotate(*, config: Config = None) -> int:
    """Seal with a new key from now on; what older keys sealed still opens. 轮换密钥。"""
    key = keyfile.rotate(app.paths_of(_tree(config))["vault"])
    _out.print(f"{key} is current; running processes take it on their next start")
    return DONE


@keys_app.command(name="list")
def keys_list(*, config: Config = None, json: Json = False) -> int:
    """Key ids and which is current; never a key. 密钥列表。"""
    rows = [msgspec.to_builtins(one) for one in keyfile.listing(app.paths_of(_tree(config))["vault"])]
    _show(rows, json=json, title="keys", empty="no keys yet: gateway keys init")
    return DONE


@keys_app.command(name="seal")
def keys_seal(*, config: Config = None) -> int:
    """Seal a secret from standard input for use in the config: sealed:… 密封一个口令供配置使用。"""
    path = app.paths_of(_tree(config))["vault"]
    path.parent.mkdir(parents=True, exist_ok=True)
    text = sys.stdin.readline().strip()
    if not text:
        raise ConfigError("nothing came on standard input", remedy='printf %s "$SECRET" | gateway keys seal')
    sys.stdout.write(configure.seal(text, keyfile.open_vault(path)) + "\n")
    return DONE


@db_app.command(name="migrate")
def db_migrate(*, config: Config = None) -> int:
    """Bring the store's tables to this version. 数据库迁移。"""
    path = app.paths_of(_tree(config))["store"]
    path.parent.mkdir(parents=True, exist_ok=True)
    migrate(f"sqlite:///{path}")
    _out.print(f"{path} is at this version")
    return DONE
