"""Commands that look and change nothing: connectors, check, doctor, config show, version, mapping test and try."""

import asyncio
import sys
from pathlib import Path

import msgspec
from cyclopts import App

import mappings
from connectors.registry import CARDS
from gateway import VERSION, cases, configure, diagnosis, settings
from gateway.commands.terminal import DONE, FAULTS, UNREACHABLE, Config, Json, err, out, show, tree_of
from gateway.errors import ConfigError, GatewayError, PayloadError

mapping_app = App(name="mapping", help="Test and try mappings; their versions, shadow runs and canaries. 映射。")
# Named, not imported: checking a file needs no gateway.
for _name, _help in {
    "versions": "The versions of one mapping, newest first, and which of them reads. 映射版本。",
    "shadow": "Run a changed mapping against the newest journal entries beside the live one. 影子对比。",
    "canary": "Give a version a share of the entries, by partition key. 灰度。",
    "promote": "Let a version read all entries. 上线。",
    "rollback": "End a running canary; else let what was live before read again. 回退。",
}.items():
    mapping_app.command(f"gateway.commands.versions:{_name}", name=_name, help=_help)
config_app = App(name="config", help="The effective configuration. 配置。")


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
def config_show(*, config: Config = None) -> int:
    """The effective configuration, secrets masked. 生效配置。"""
    tree = tree_of(config)
    shown = settings.shown(tree)
    shown["accounts"] = {
        name: configure.masked(raw, CARDS.get(raw.get("connector", ""))) for name, raw in tree.accounts.items()
    }
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(shown), indent=2).decode() + "\n")
    return DONE


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
