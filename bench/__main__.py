"""Every figure, each in a process of its own, as one table; ``python -m bench --help``."""

import argparse
import subprocess
import sys
import time
from pathlib import Path

import msgspec

from bench import figure, report
from bench.figure import Figure, Scale

FIGURES = (
    "start",
    "accept",
    "mllp",
    "end_to_end",
    "deliver",
    "fan_out",
    "neighbours",
    "route",
    "grants",
    "sealing",
    "hl7_map",
    "trade_map",
    "statements",
    "growth",
    "api",
    "memory",
)
"""In the order of the table; each is a module here."""

_LONGEST = 180.0


def main() -> int:
    """0 when every floor holds, 1 when one does not or a figure is missing."""
    parser = argparse.ArgumentParser(prog="python -m bench")
    parser.add_argument("--rounds", type=int, default=3, help="how often each side is measured")
    parser.add_argument("--size", type=float, default=1.0, help="times the usual numbers; 0.1 for a glance")
    parser.add_argument("--only", default="", help=f"some of {', '.join(FIGURES)}, with commas")
    parser.add_argument(
        "--keep",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="write results/; default: when nothing is left out",
    )
    given = parser.parse_args()
    names = [name for name in FIGURES if not given.only or name in given.only.split(",")]
    scale, on = Scale(rounds=given.rounds, size=given.size), report.machine()
    began, at = time.perf_counter(), time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    figures: list[Figure] = []
    failed = []
    for name in names:
        found = _run(name, scale)
        figures += found
        if not found:
            failed.append(name)
    report.show(figures, scale, failed)
    whole = scale.rounds >= 3 and scale.size >= 1 and names == list(FIGURES)
    if given.keep or (given.keep is None and whole):
        took = time.perf_counter() - began
        path = report.keep(
            report.Report(
                at=at,
                seconds=took,
                rounds=scale.rounds,
                size=scale.size,
                machine=on,
                figures=tuple(figures),
                failed=tuple(failed),
            )
        )
        figure.say(f"kept in {path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path}")
    return 1 if failed or any(one.holds is False for one in figures) else 0


def _run(name: str, scale: Scale) -> list[Figure]:
    """One figure's module by itself, so that none finds the memory, threads or event loop of another. Empty when it failed."""
    words = [sys.executable, "-m", f"bench.{name}", "--json", "--rounds", str(scale.rounds), "--size", str(scale.size)]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, cwd=Path(__file__).parent.parent)
    try:
        out, _ = process.communicate(timeout=_LONGEST)
    except subprocess.TimeoutExpired:
        # SIGINT, so that it ends what it started.
        process.send_signal(2)
        out, _ = process.communicate()
        figure.say(f"{name} took more than {_LONGEST:.0f} s")
        return []
    return msgspec.json.decode(out, type=list[Figure]) if process.returncode == 0 else []


if __name__ == "__main__":
    sys.exit(main())
