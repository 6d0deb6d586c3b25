"""Small texts that would take the process, its memory or its time: mappings that people try, and what they hold."""

import time

import pytest

from gateway import mapping
from gateway.desk.mappings import table_of
from gateway.errors import MappingError
from gateway.language import mapfile

HEAD = "version: 3\nconnector: feed\ntopic: order\n"


def _laughs(levels: int) -> str:
    lines = ["tables:", "  a0: &a0 {x: y}"]
    lines += [f"  a{n}: &a{n} {{{', '.join(f'k{j}: *a{n - 1}' for j in range(10))}}}" for n in range(1, levels)]
    return HEAD + "\n".join(lines) + "\nemit: []\n"


@pytest.mark.parametrize(
    "text",
    [
        "a: " + "[" * 100_000 + "]" * 100_000,
        "a: " + "{a: " * 50_000 + "}" * 50_000,
        "- " * 90_000 + "a",
        "a: &a [*a]",
        _laughs(30),
        HEAD + "tables: &t\n  x: *t\n",
    ],
)
def test_yaml_that_is_larger_than_it_looks_is_a_fault_of_the_text(text: str) -> None:
    """The library's C code recurses and ends the process; aliases of aliases would be walked for ever."""
    began = time.thread_time()
    for read in (
        lambda: mapping.compile_text(text, place="feed/order.yaml"),
        lambda: list(mapfile.read(text, "t.yaml").items()),
    ):
        with pytest.raises(MappingError):
            read()
    assert table_of(text, "lifecycle") is None
    assert time.thread_time() - began < 5


@pytest.mark.parametrize(
    "path",
    ["(" * 3000 + "a" + ")" * 3000, "!" * 9000 + "a", "a" + "[]" * 5000, " || ".join(["a"] * 5000)],
)
def test_path_that_is_nested_too_deeply_is_a_fault_of_the_text(path: str) -> None:
    """Reading it raises nothing but a MappingError, and what can be read can be run."""
    text = f"{HEAD}emit:\n  - record: order\n    fields:\n      external_id: '{path}'\n"
    with pytest.raises(MappingError, match="too deeply"):
        mapping.compile_text(text, place="feed/order.yaml")


def test_ordinary_aliases_stay() -> None:
    """A case file names an account once and means it often."""
    found = mapfile.read("a: &a {x: 1}\nb: [*a, *a]\n", "t.yaml")
    assert dict(found.items())["b"].value() == [{"x": 1}, {"x": 1}]
