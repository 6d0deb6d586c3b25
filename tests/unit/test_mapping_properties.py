"""Any data through any mapping: a Mapped, or a refusal of the payload, and never anything else."""

import functools
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import mappings
from connectors.registry import CARDS
from gateway import mapping
from gateway.errors import PayloadError
from gateway.language import mapfile, paths
from gateway.mapping import Context, Mapped
from tests.mappings import shop

CONTEXT = Context(
    account="main", zone="Asia/Shanghai", unit="u", received_at=1_762_790_483_000_000, options={"app_key": "12"}
)
TEXTS = st.one_of(
    st.text(max_size=12),
    st.sampled_from(["", "0", "12.50", "1e9", "NaN", "2026-11-11 00:01:23", "0000-00-00", "13800138000", "138****8000", "{}", "[1]", "男", "PAID", "null"]),
)  # fmt: skip
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(), st.integers(0, 10**13), st.floats(), TEXTS)
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXTS, inner, max_size=3)),
    max_leaves=8,
)


def words(piece: mapfile.Piece) -> set[str]:
    """Every name that the file's texts hold: the keys that its paths could step into."""
    if piece.is_map:
        return {word for _, below in piece.items() for word in words(below)}
    if piece.is_list:
        return {word for below in piece.members() for word in words(below)}
    return {
        word
        for word in str(piece.value()).replace("[", ".").replace("]", ".").replace("$", ".").split(".")
        if word.isidentifier()
    }


def all_files() -> list[tuple[Path, str, str]]:
    """Every mapping of the house, and the made-up one that uses the whole language."""
    house = [(file.parent.parent, file.parent.name, file.stem) for file in sorted(mappings.FOLDER.glob("*/*.yaml"))]
    return [
        *((f, c, s) for f, c, s in house if c != "tables" and not s.endswith(".cases")),
        (shop.FOLDER, "shop", "trade"),
    ]


@functools.cache
def compiled(folder: Path, connector: str, stem: str) -> tuple[mapping.Program, st.SearchStrategy[Any]]:
    """The program, and data that its paths reach into."""
    calls = shop.CARD.calls if connector == "shop" else CARDS[connector].calls
    top = mapfile.read((folder / connector / f"{stem}.yaml").read_text(encoding="utf-8"), "x")
    keys = st.sampled_from(sorted(words(top)))
    inner = st.recursive(
        SCALARS,
        lambda below: st.one_of(st.lists(below, max_size=3), st.dictionaries(keys, below, max_size=12)),
        max_leaves=40,
    )
    return mapping.load(folder, connector, stem, calls), st.one_of(st.dictionaries(keys, inner, max_size=30), ANYTHING)


@pytest.mark.parametrize(
    ("folder", "connector", "stem"), all_files(), ids=lambda value: value if isinstance(value, str) else ""
)
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(draw=st.data())
def test_any_data_is_mapped_or_refused(draw: st.DataObject, folder: Path, connector: str, stem: str) -> None:
    """And what is mapped can be written as JSON, in the types that the model declares."""
    program, data = compiled(folder, connector, stem)
    try:
        made = program.run(draw.draw(data), CONTEXT)
    except PayloadError as refused:
        assert refused.place
        return
    for mapped in made:
        assert isinstance(mapped, Mapped)
        written = msgspec.json.encode(mapped.record)
        assert msgspec.json.decode(written, type=type(mapped.record)) == mapped.record


PATHS = st.one_of(
    st.lists(st.from_regex(r"[a-c]|\"a-b\"", fullmatch=True), min_size=1, max_size=3).map(".".join),
    st.sampled_from(["@", "a[0]", "a[-1].b", "a.b[1]", "[0]", "a[0][1]"]),
)
SMALL = st.recursive(
    st.integers(0, 2) | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b", "c", "a-b"]), inner),
    max_leaves=12,
)


@given(PATHS, SMALL)
def test_a_plain_path_finds_what_jmespath_finds(path: str, data: Any) -> None:
    """And tells absent from null besides."""
    ours = paths.compile_path(path)
    theirs = paths.jmespath.search(path, data)
    assert ours.safe
    found = ours.walk(data)
    assert (None if found is msgspec.UNSET else found) == theirs


ATOMS = st.one_of(
    PATHS,
    st.sampled_from(
        [
            "'x'",
            "`1`",
            "`0`",
            "`true`",
            "`null`",
            "`[]`",
            "a[]",
            "a[*].b",
            "[]",
            "*.a",
            "length(@)",
            "to_string(a)",
            "a[0:1]",
        ]
    ),
)
EXPRESSIONS = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["==", "!=", "&&", "||", "|", "<", ">="]), inner).map(" ".join),
        inner.map(lambda text: f"!({text})"),
        inner.map(lambda text: f"({text})"),
        st.lists(inner, min_size=1, max_size=2).map(lambda texts: f"[{', '.join(texts)}]"),
        st.tuples(PATHS, inner, st.sampled_from(["", ".a", "[0]", " | [0]"])).map(lambda parts: f"{parts[0]}[?{parts[1]}]{parts[2]}"),
    ),
    max_leaves=5,
)  # fmt: skip


@given(EXPRESSIONS, SMALL)
def test_an_expression_gives_what_jmespath_gives(text: str, data: Any) -> None:
    """Whether it was compiled here or left to the library; null is nothing."""
    try:
        theirs = paths.jmespath.search(text, data)
    # The library fails with a bare TypeError where a number is compared with a text.
    except (ValueError, TypeError):
        return
    found = paths.compile_path(text).walk(data)
    if theirs is None:
        assert found is None or found is msgspec.UNSET
    else:
        assert (type(found), found) == (type(theirs), theirs)


@given(st.text(max_size=20), SMALL)
def test_any_text_is_a_path_or_no_path(text: str, data: Any) -> None:
    """Compiling and walking raise PathFault and nothing else."""
    try:
        paths.compile_path(text).walk(data)
    except paths.PathFault:
        pass


@given(st.text(max_size=200))
def test_any_text_is_a_mapping_or_a_fault_with_a_place(text: str) -> None:
    """Whatever stands in a file."""
    for body in (
        text,
        f"version: 1\nconnector: shop\nemit:\n  - record: order\n    fields:\n      external_id: {text}\n",
    ):
        try:
            mapping.compile_text(body, place="mappings/shop/x.yaml")
        except mapping.MappingError as fault:
            assert fault.place.startswith("mappings/shop/x.yaml")
