"""The house's own source, parsed: what the tests of this folder walk over."""

import ast
import functools
from collections.abc import Iterator
from pathlib import Path

import msgspec

ROOT = Path(__file__).parents[2]
PACKAGES = ("gateway", "connectors", "mappings", "scrm")


class Module(msgspec.Struct, frozen=True):
    """One file: its path from the root, its dotted name, its lines and its tree."""

    path: str
    name: str
    lines: int
    tree: ast.Module

    def imports(self) -> Iterator[tuple[int, str]]:
        """Line and dotted name of every import, wherever it stands, late ones by name included. ``from a import b`` is ``a.b``."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                yield from ((node.lineno, alias.name) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                yield from ((node.lineno, f"{node.module or ''}.{alias.name}") for alias in node.names)
            elif isinstance(node, ast.Call) and ast.unparse(node.func) == "importlib.import_module":
                yield node.lineno, str(ast.literal_eval(node.args[0]))

    def names(self) -> Iterator[tuple[int, str]]:
        """Line and dotted text of every name that is read, such as ``os.environ`` or ``print``. Yielding to others is no sleep."""
        yields = {
            id(node.func)
            for node in ast.walk(self.tree)
            if isinstance(node, ast.Call) and ast.unparse(node) == "asyncio.sleep(0)"
        }
        for node in ast.walk(self.tree):
            if id(node) in yields:
                continue
            if isinstance(node, (ast.Name, ast.Attribute)):
                yield node.lineno, ast.unparse(node)


@functools.cache
def modules() -> tuple[Module, ...]:
    """Every module of the house, tests and bench aside."""
    return tuple(_module(path) for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py")))


def _module(path: Path) -> Module:
    inside = path.relative_to(ROOT)
    parts = inside.with_suffix("").parts
    text = path.read_text(encoding="utf-8")
    return Module(
        path=inside.as_posix(),
        name=".".join(parts[:-1] if parts[-1] == "__init__" else parts),
        lines=text.count("\n"),
        tree=ast.parse(text, filename=str(path)),
    )


def at_home(path: str, homes: frozenset[str]) -> bool:
    """Whether a file is one of ``homes``, or lies in one that is a folder."""
    return any(path == home or path.startswith(f"{home}/") for home in homes)
