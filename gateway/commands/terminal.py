"""What the commands share: the config they mean, and the way they print."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import msgspec
from cyclopts import Parameter
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table

from gateway import settings

DONE, FAULTS, WRONG_USE, UNREACHABLE = 0, 1, 2, 3

Config = Annotated[
    Path | None, Parameter(name=["--config", "-c"], help="Config file; config.toml in this folder when there is one.")
]
Json = Annotated[bool, Parameter(name="--json", negative="", help="One JSON document instead of a table.")]

# A pipe has no width of its own; 80 columns would fold every table.
out = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else 160)
err = Console(stderr=True, highlight=False, soft_wrap=True)


def tree_of(config: Path | None, **flags: Any) -> settings.Settings:
    """The settings of that file, or of config.toml in this folder, or the defaults; ``flags`` by dotted name."""
    found = config or (Path("config.toml") if Path("config.toml").exists() else None)
    return settings.load(found, flags=flags)


def show(rows: Sequence[dict[str, Any]], *, json: bool, title: str, empty: str) -> None:
    """Rows as one JSON array, or as a table with its empty state in words."""
    if json:
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(list(rows)), indent=2).decode() + "\n")
        return
    if not rows:
        out.print(empty)
        return
    table = Table(title=title, title_justify="left", header_style="bold")
    for column in rows[0]:
        table.add_column(column.replace("_", " "), overflow="fold")
    for row in rows:
        table.add_row(*[str(value) for value in row.values()])
    out.print(table)


@contextmanager
def progress() -> Iterator[Callable[[str, int, int], None]]:
    """A bar for each part of something long, on standard error; nothing where nobody watches."""
    bars: dict[str, TaskID] = {}
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as shown:

        def tell(what: str, done: int, total: int) -> None:
            if what not in bars:
                bars[what] = shown.add_task(what)
            shown.update(bars[what], completed=done, total=total)

        yield tell
