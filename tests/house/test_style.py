"""What the linters do not know: the hidden world, sizes, and docstrings that promise."""

import ast
from collections.abc import Iterator

import pytest

from tests.house.tree import Module, at_home, modules

LONGEST_FILE = 400
LONGEST_FUNCTION = 60

_SIMULATORS = frozenset(
    f"connectors/{name}/{file}.py" for name in ("wecom", "taobao", "feed", "hl7") for file in ("simulate", "fake", "market")
)  # fmt: skip

# A door to the world outside the program → the files in which it may stand. Elsewhere it is a parameter.
WORLD: dict[str, frozenset[str]] = {
    "datetime.now": frozenset(),
    "datetime.utcnow": frozenset(),
    "datetime.today": frozenset(),
    "date.today": frozenset(),
    "time.time": frozenset(),
    "time.time_ns": frozenset({"gateway/clock.py"}),
    # The supervisor has no loop; the demo watches real programs.
    "time.monotonic": frozenset({"gateway/clock.py", "gateway/supervisor.py", "gateway/demonstration.py"}),
    # The deliverer lets the outcomes of one burst share a commit: five milliseconds of real time, whatever the clock says.
    "asyncio.sleep": frozenset(
        {"gateway/clock.py", "gateway/demonstration.py", "gateway/pipeline/deliver.py", "gateway/pipeline/outcomes.py"}
    )
    | _SIMULATORS,
    "uuid.uuid4": frozenset(),
    "uuid4": frozenset(),
    "os.urandom": frozenset({"gateway/clock.py", "gateway/vaults/file.py"}),
    # Keys and secrets that are made: the vault's by the vault, an endpoint's by configure, the demo's by the demo.
    "secrets.token_bytes": frozenset({"gateway/configure.py", "gateway/demonstration.py"}),
    "random.Random": _SIMULATORS,
    # The default of a parameter: the spread of retries.
    "random.random": frozenset({"gateway/pipeline/attempt.py"}),
    "os.environ": frozenset({"gateway/settings.py", "gateway/demonstration.py"}),
    "os.getenv": frozenset(),
    "print": frozenset(),
    "sys.stdout.write": frozenset(
        {
            "gateway/commands/terminal.py",
            "gateway/commands/looking.py",
            "gateway/commands/upkeep.py",
            "gateway/commands/clients.py",
            "gateway/commands/people.py",
        }
    ),
}

# File → how long it may be, and why. Lower a number when the file shrinks.
LONGER: dict[str, tuple[int, str]] = {
    "gateway/connector.py": (420, "one promise: its card, its shapes and its verbs, with a docstring each"),
    "gateway/store.py": (630, "one promise: its row shapes and its verbs, with a docstring each"),
    "gateway/pipeline/world.py": (460, "what one batch knows, in memory; rules stand in change.py and identity.py"),
    "gateway/settings.py": (440, "every knob, declared once: one struct a table, and how they are read and shown"),
    "connectors/taobao/simulate.py": (425, "the platform's two servers, which share one shop"),
}
# Revisions are lists of statements, in functions that Alembic names.
_REVISIONS = "gateway/stores/migrations/versions/"


def test_nothing_reaches_into_the_hidden_world() -> None:
    """Clock, ids, randomness, the environment and the terminal are used at home only, and are parameters elsewhere."""
    strays = [
        f"{module.path}:{line} {name}"
        for module in modules()
        for line, name in module.names()
        if name in WORLD and not at_home(module.path, WORLD[name])
    ]
    assert not strays, strays


def test_files_are_short() -> None:
    """A file of more than 400 lines holds two subjects."""
    long = [
        f"{module.path}: {module.lines}"
        for module in modules()
        if module.lines > LONGER.get(module.path, (LONGEST_FILE, ""))[0]
    ]
    assert not long, long


def test_nobody_is_excused_who_need_not_be() -> None:
    """A file that became short again leaves the table of longer ones."""
    lengths = {module.path: module.lines for module in modules()}
    assert [path for path in LONGER if lengths.get(path, 0) < LONGEST_FILE - 20] == []


def test_functions_are_short() -> None:
    """A function of more than 60 lines does two things."""
    long = [
        f"{module.path}:{name}: {lines}"
        for module in modules()
        for name, lines in _functions(module)
        if lines > LONGEST_FUNCTION and not module.path.startswith(_REVISIONS)
    ]
    assert not long, long


def test_what_is_public_says_what_it_promises() -> None:
    """Every public module, class, function and method has a docstring; a protocol's property speaks through its class."""
    silent = [
        f"{module.path}:{line} {name}"
        for module in modules()
        for line, name in _silent(module)
        if not module.path.startswith(_REVISIONS)
    ]
    assert not silent, silent


@pytest.mark.parametrize("word", ["utils", "helpers", "common", "base", "manager", "handler", "impl", "misc", "core"])
def test_no_module_is_named_for_nothing(word: str) -> None:
    """A name says what the thing is."""
    assert [module.path for module in modules() if word in module.name.split(".")] == []


def _functions(module: Module) -> Iterator[tuple[str, int]]:
    for node in ast.walk(module.tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node.name, (node.end_lineno or node.lineno) - node.lineno + 1


def _silent(module: Module) -> Iterator[tuple[int, str]]:
    if not ast.get_docstring(module.tree):
        yield 1, module.name
    yield from _silent_in(module.tree.body)


def _silent_in(body: list[ast.stmt]) -> Iterator[tuple[int, str]]:
    for node in body:
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)) or node.name.startswith("_"):
            continue
        if not ast.get_docstring(node) and not _speaks_by_its_signature(node):
            yield node.lineno, node.name
        if isinstance(node, ast.ClassDef):
            yield from _silent_in(node.body)


def _speaks_by_its_signature(node: ast.stmt) -> bool:
    """A protocol's attribute, written as a property whose body is only ``...``."""
    if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
        return False
    return len(node.body) == 1 and ast.unparse(node.body[0]) == "..."
