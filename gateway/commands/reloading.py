"""``gateway reload``: let the running gateway take up its config anew, without an outage."""

import time

import msgspec

from gateway import app, vaults
from gateway.clock import SystemClock
from gateway.commands.ground import trace_alone
from gateway.commands.terminal import DONE, FAULTS, UNREACHABLE, Config, Json, err, out, show, tree_of
from gateway.errors import ConfigError
from gateway.reload import LIVE, NotRunning, Reloads, Report

_PATIENCE = 150.0
_LOOK = 0.1


def reload(*, config: Config = None, json: Json = False) -> int:
    """Take up config, accounts and mappings anew without an outage; a faulty config changes nothing. 重新加载配置。"""
    try:
        tree = tree_of(config)
        reloads = Reloads(tree.gateway.data_dir)
        if reloads.running():
            trace_alone(tree, vaults.open_vault(app.keys_of(tree)), "reload", "gateway")
        report = followed(reloads, reloads.wish(SystemClock().now()), quiet=json)
    except NotRunning as error:
        err.print(f"[red]{error.code}[/red] {error.detail}: {error.remedy}")
        return UNREACHABLE
    except ConfigError as error:
        err.print(f"[red]refused[/red]; everything runs as before. {error}")
        return FAULTS
    if json:
        show([msgspec.to_builtins(report)], json=True, title="reload", empty="")
    else:
        say(report)
    return DONE if report.state == LIVE else FAULTS


def followed(reloads: Reloads, wish: str, *, quiet: bool = False) -> Report:
    """The report of a wish once it is over, telling of its steps on standard error. NotRunning when the gateway ends meanwhile."""
    clock, said = SystemClock(), ""
    end = clock.monotonic() + _PATIENCE
    while True:
        report = reloads.report(wish, clock.now())
        if report.over or clock.monotonic() > end:
            return report
        if report.state != said and not quiet:
            said = report.state
            err.print(f"{said.replace('_', ' ')} …", style="dim")
        time.sleep(_LOOK)


def say(report: Report) -> None:
    """What came of it, in words."""
    if not report.over:
        err.print(
            f"[red]not finished[/red] after {_PATIENCE:.0f} s ({report.state}); the log of the gateway tells more"
        )
        return
    if report.state != LIVE:
        err.print(
            f"[red]refused[/red]; everything runs as before. {': '.join(filter(None, (report.place, report.reason)))}"
        )
        if report.remedy:
            err.print(report.remedy, style="dim")
        return
    changes = msgspec.structs.asdict(report.changes)
    lines = [f"{what}: {', '.join(names)}" for what, names in changes.items() if names]
    out.print("[green]live[/green]; " + ("; ".join(lines) if lines else "nothing differs from what ran before"))
