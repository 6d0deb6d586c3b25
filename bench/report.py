"""The table, the JSON and the section of ``results.md``."""

import os
import platform
import re
import sqlite3
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table

from bench.figure import Figure, Measure, Scale, Spread, scale_of

_FOLDER = Path(__file__).parent
_BEGIN, _END = "<!-- latest: written by python -m bench -->", "<!-- end of latest -->"


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """Where it was measured."""

    cpu: str
    cores: int
    memory_gib: float
    kernel: str
    python: str
    sqlite: str
    disk: str
    load_before: float


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """One whole run."""

    at: str
    seconds: float
    rounds: int
    size: float
    machine: Machine
    figures: tuple[Figure, ...]
    failed: tuple[str, ...] = ()


def machine() -> Machine:
    """This one."""
    cpu = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text(encoding="utf-8"))
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    return Machine(
        cpu=cpu[1] if cpu else platform.processor(), cores=len(os.sched_getaffinity(0)), memory_gib=round(memory, 1),
        kernel=platform.release(), python=platform.python_version(), sqlite=sqlite3.sqlite_version,
        disk=_filesystem(tempfile.gettempdir()), load_before=round(os.getloadavg()[0], 2),
    )  # fmt: skip


def _filesystem(folder: str) -> str:
    mounts = [line.split()[1:3] for line in Path("/proc/mounts").read_text(encoding="utf-8").splitlines()]
    inside = [(where, kind) for where, kind in mounts if (folder + "/").startswith(where.rstrip("/") + "/")]
    return max(inside, key=lambda one: len(one[0]))[1] if inside else "?"


def main(measure: Measure) -> None:
    """Run one figure's file by itself."""
    scale, json = scale_of(sys.argv[1:])
    figures = tuple(measure(scale))
    if json:
        sys.stdout.buffer.write(msgspec.json.encode(figures) + b"\n")
    else:
        show(figures, scale)


def show(figures: Sequence[Figure], scale: Scale, failed: Sequence[str] = ()) -> None:
    """The table, and below it what has to be known to read it."""
    out = Console(highlight=False)
    if not out.is_terminal:
        out = Console(highlight=False, width=190)
    table = Table(
        title=f"{scale.rounds} interleaved rounds: median (min – max)", title_justify="left", box=None, pad_edge=False
    )
    for column in ("figure", "ours", "baseline", "judged", "floor", "aim", ""):
        table.add_column(column, justify="left" if column in ("figure", "") else "right", no_wrap=column != "figure")
    for one in figures:
        table.add_row(*_cells(one), style="red" if one.holds is False else "")
    out.print(table)
    for one in figures:
        for note in one.notes:
            out.print(f"[dim]{one.name}: {note}[/dim]", markup=True)
    for name in failed:
        out.print(f"[red]{name}: no figure; see above[/red]")


def _cells(one: Figure) -> list[str]:
    baseline = f"{_spread(one.baseline)} {one.unit}" if one.baseline else ""
    judged = f"{_spread(one.judged)} {one.judged_unit}" if one.baseline else ""
    return [
        one.name,
        f"{_spread(one.ours)} {one.unit}",
        baseline,
        judged,
        _mark(one, one.floor),
        _mark(one, one.aim),
        verdict(one),
    ]


def _mark(one: Figure, mark: float | None) -> str:
    return "" if mark is None else f"{'≥' if one.best == 'high' else '≤'} {_number(mark)} {one.judged_unit}"


def verdict(one: Figure) -> str:
    """In a word."""
    if one.holds is None:
        return "–"
    return "below the floor" if not one.holds else "aim" if one.aimed else "floor"


def _spread(spread: Spread) -> str:
    if len(spread.rounds) == 1:
        return _number(spread.median)
    return f"{_number(spread.median)} ({_number(spread.low)} – {_number(spread.high)})"


def _number(value: float) -> str:
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


# ---------------------------------------------------------------------- keeping
def keep(report: Report) -> Path:
    """Write ``results/<date>.json`` and the latest section of ``results.md``."""
    path = _FOLDER / "results" / f"{report.at[:10]}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n")
    page = _FOLDER / "results.md"
    text = page.read_text(encoding="utf-8")
    before, _, rest = text.partition(_BEGIN)
    _, _, after = rest.partition(_END)
    page.write_text(f"{before}{_BEGIN}\n{section(report)}{_END}{after}", encoding="utf-8")
    return path


def section(report: Report) -> str:
    """The latest run as Markdown."""
    on = report.machine
    lines = [
        "",
        f"Measured {report.at}, {report.rounds} interleaved rounds, {report.seconds:.0f} s in all; medians, with min – max.",
        "",
        f"{on.cpu}, {on.cores} cores, {on.memory_gib} GiB, Linux {on.kernel}, {on.disk}, Python {on.python}, SQLite {on.sqlite};"
        f" load average before the run {on.load_before}. The load generator runs on the same cores.",
        "",
        "| figure | ours | baseline | judged | floor | aim | |",
        "|---|---|---|---|---|---|---|",
        *("| " + " | ".join(_cells(one)) + " |" for one in report.figures),
        "",
        *(f"- **{one.name}** {one.says}{f' Against {one.against}.' if one.against else ''}" for one in report.figures),
        "",
        *(f"- {one.name}: {note}" for one in report.figures for note in one.notes),
        *(f"- {name}: **gave no figure**" for name in report.failed),
        "",
    ]
    return "\n".join(lines) + "\n"
