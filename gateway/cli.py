"""The command line. Exit codes: 0 done, 1 faults found, 2 wrong use, 3 cannot reach."""

import asyncio
import sys
from pathlib import Path

import msgspec
import structlog
from cyclopts import App

import mappings
from connectors.registry import CARDS
from connectors.simulators import SIMULATORS
from gateway import VERSION, app, cases, configure, demonstration, diagnosis, logs, settings
from gateway.desk import dead_app, endpoints_app, matches_app, merges_app
from gateway.errors import ConfigError, GatewayError, PayloadError
from gateway.stores.migrations import migrate
from gateway.terminal import DONE, FAULTS, UNREACHABLE, WRONG_USE, Config, Json, err, out, show, tree_of
from gateway.vaults import file as keyfile

main_app = App(
    name="gateway", version=VERSION, help="The SCRM integration gateway. 集成网关。", version_flags=["--version"]
)
mapping_app = App(name="mapping", help="Test and try mappings.")
keys_app = App(name="keys", help="The vault's keys.")
db_app = App(name="db", help="The store's database.")
config_app = App(name="config", help="The effective configuration.")
for part in (mapping_app, dead_app, matches_app, merges_app, endpoints_app, keys_app, db_app, config_app):
    main_app.command(part)


def main() -> None:
    """Entry point of the ``gateway`` command."""
    logs.configure("console")
    try:
        result = main_app(sys.argv[1:], exit_on_error=False, print_error=True, result_action="return_value")
    except GatewayError as error:
        err.print(f"[red]{error.code}[/red] {error}", markup=True)
        sys.exit(WRONG_USE if isinstance(error, ConfigError) else FAULTS)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:  # cyclopts has printed what was wrong with the words; anything else is a fault of ours
        if type(error).__module__.startswith("cyclopts"):
            sys.exit(WRONG_USE)
        raise
    sys.exit(result if isinstance(result, int) else DONE)


# ------------------------------------------------------------------ running
@main_app.command
def serve(
    *, config: Config = None, host: str | None = None, port: int | None = None, workers: int | None = None
) -> int:
    """Run the gateway until SIGTERM. 运行网关。"""
    tree = tree_of(config, **{"http.host": host, "http.port": port, "http.workers": workers})
    logs.configure(tree.gateway.log)
    _warn_of_plain_secrets(tree)
    fresh = app.prepare(tree)
    for name, secret in fresh.items():
        err.print(f"endpoint [bold]{name}[/bold] had no secret; this one was made and is shown only now: {secret}")
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
            err.print(
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
    return demonstration.run(rate=rate, seconds=seconds, port=port, data=data, out=out)


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
    tree = tree_of(config)
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
            tell=out.print,
        )
    )
    out.print(f"{sent} sent to {target}")
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
    show(rows, json=json, title="connectors", empty="no connectors")
    return DONE


@main_app.command
def check(*, config: Config = None, json: Json = False) -> int:
    """Lint config and mappings; every fault with file, line and field. 检查配置与映射。"""
    faults: list[GatewayError] = []
    try:
        tree = tree_of(config)
        faults += diagnosis.config_faults(tree)
    except ConfigError as error:
        tree = settings.Settings()
        faults.append(error)
    folders = [folder for folder in (mappings.FOLDER, tree.gateway.mappings) if folder is not None]
    for folder in folders:
        faults += cases.check_all(folder, CARDS.values())
    rows = [{"place": fault.place, "fault": fault.detail, "remedy": fault.remedy} for fault in faults]
    show(rows, json=json, title="faults", empty="[green]no faults[/green] 无错误")
    return FAULTS if faults else DONE


@main_app.command
def doctor(*, config: Config = None, json: Json = False) -> int:
    """Reach every account, endpoint and file; say what is wrong and what to do. 体检。"""
    tree = tree_of(config)
    if not json:
        err.print("looking at every account and endpoint …", style="dim")
    findings = asyncio.run(diagnosis.examine(tree))
    rows = [{"part": one.part, "state": one.state, "finding": one.detail, "remedy": one.remedy} for one in findings]
    show(rows, json=json, title="doctor", empty="nothing is configured: add accounts to config.toml")
    states = {one.state for one in findings}
    return UNREACHABLE if "unreachable" in states else FAULTS if "fault" in states else DONE


@config_app.command(name="show")
def configshow(*, config: Config = None) -> int:
    """The effective configuration, secrets masked. 生效配置。"""
    tree = tree_of(config)
    shown = settings.shown(tree)
    shown["accounts"] = {
        name: configure.masked(raw, CARDS.get(raw.get("connector", ""))) for name, raw in tree.accounts.items()
    }
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(shown), indent=2).decode() + "\n")
    return DONE


@main_app.command
def version() -> int:
    """The version. 版本。"""
    out.print(VERSION)
    return DONE


# ------------------------------------------------------------------ mappings
@mapping_app.command(name="test")
def mapping_test(path: Path | None = None, *, json: Json = False) -> int:
    """Run golden cases, of one file or of all. 映射用例。"""
    folder, only = _mapping_folder(path)
    results = cases.run_cases(folder, CARDS.values(), only)
    failed = [one for one in results if one.faults]
    rows = [{"place": one.place, "case": one.name, "faults": "; ".join(one.faults)} for one in failed]
    show(rows, json=json, title="failed cases", empty=f"[green]{len(results)} cases hold[/green]")
    return FAULTS if failed else DONE


@mapping_app.command(name="try")
def mapping_try(file: Path) -> int:
    """Run one mapping over JSON from standard input and show what it yields. 试跑映射。"""
    try:
        said = cases.attempt(file, sys.stdin.buffer.read(), CARDS.values())
    except PayloadError as error:
        err.print(f"[red]{error.code}[/red] {error}")
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


# ------------------------------------------------------------------ keys and database
@keys_app.command(name="init")
def keys_init(*, config: Config = None) -> int:
    """Make the key file if there is none. 初始化密钥。"""
    path = app.paths_of(tree_of(config))["vault"]
    path.parent.mkdir(parents=True, exist_ok=True)
    keyfile.open_vault(path)
    out.print(f"keys in {path}; keep a copy elsewhere: without it nothing sealed can be opened")
    return DONE


@keys_app.command(name="rotate")
def keys_rotate(*, config: Config = None) -> int:
    """Seal with a new key from now on; what older keys sealed still opens. 轮换密钥。"""
    key = keyfile.rotate(app.paths_of(tree_of(config))["vault"])
    out.print(f"{key} is current; running processes take it on their next start")
    return DONE


@keys_app.command(name="list")
def keys_list(*, config: Config = None, json: Json = False) -> int:
    """Key ids and which is current; never a key. 密钥列表。"""
    rows = [msgspec.to_builtins(one) for one in keyfile.listing(app.paths_of(tree_of(config))["vault"])]
    show(rows, json=json, title="keys", empty="no keys yet: gateway keys init")
    return DONE


@keys_app.command(name="seal")
def keys_seal(*, config: Config = None) -> int:
    """Seal a secret from standard input for use in the config: sealed:… 密封一个口令供配置使用。"""
    path = app.paths_of(tree_of(config))["vault"]
    path.parent.mkdir(parents=True, exist_ok=True)
    text = sys.stdin.readline().strip()
    if not text:
        raise ConfigError("nothing came on standard input", remedy='printf %s "$SECRET" | gateway keys seal')
    sys.stdout.write(configure.seal(text, keyfile.open_vault(path)) + "\n")
    return DONE


@db_app.command(name="migrate")
def db_migrate(*, config: Config = None) -> int:
    """Bring the store's tables to this version. 数据库迁移。"""
    path = app.paths_of(tree_of(config))["store"]
    path.parent.mkdir(parents=True, exist_ok=True)
    migrate(f"sqlite:///{path}")
    out.print(f"{path} is at this version")
    return DONE
