"""Derived documents say what the code says, and the example config is one that works."""

import re
import tomllib
from pathlib import Path

import pytest

from connectors.registry import CARDS
from docs.generate import __main__ as generate
from gateway import configure, settings

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "config" / "example.toml"
DOCUMENTS = generate.documents()


@pytest.mark.parametrize("path", sorted(DOCUMENTS), ids=lambda path: path.name)
def test_a_derived_document_is_what_the_code_says(path: Path) -> None:
    """A setting, option, metric, error, command, event or field cannot change without its page."""
    assert path.exists(), "missing; remedy: make docs"
    assert path.read_text(encoding="utf-8") == DOCUMENTS[path], "stale; remedy: make docs"


def test_the_example_loads_as_it_stands() -> None:
    """Copied without a change it is a valid config, with the defaults."""
    assert settings.load(EXAMPLE, environ={}) == settings.Settings()


def test_the_example_loads_with_every_key_switched_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every commented key is real: the whole file, switched on, passes the same lint as a user's."""
    text = re.sub(r"^#(?=[a-z\[])", "", EXAMPLE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    for name in re.findall(r'"env:([A-Z0-9_]+)"', text):
        monkeypatch.setenv(name, "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=")
    path = tmp_path / "config.toml"
    path.write_text(text, encoding="utf-8")
    tree = settings.load(path, environ={})
    accounts = configure.accounts_of(tree, CARDS)
    assert {account.connector for account in accounts.values()} == set(CARDS)
    assert list(tree.endpoints) == ["crm"]


def test_the_example_names_every_option() -> None:
    """Nobody has to read code to find a key."""
    text = EXAMPLE.read_text(encoding="utf-8")
    keys = set(re.findall(r"^#?([a-z_0-9]+) = ", text, flags=re.MULTILINE))
    wanted = {field for card in CARDS.values() for field in card.options.__struct_fields__}
    wanted |= {*settings.Account.__struct_fields__, *settings.Endpoint.__struct_fields__} - {"grants"}
    assert wanted <= keys


def test_the_composition_s_config_loads(monkeypatch: pytest.MonkeyPatch) -> None:
    """compose.yaml's gateway starts with the file it is told to copy."""
    monkeypatch.setenv("SCRM_SECRET", "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=")
    tree = settings.load(ROOT / "config" / "compose.toml", environ={})
    assert tree.endpoints["scrm"].allow_private


def test_the_project_s_own_table_agrees_with_the_code() -> None:
    """One version, in pyproject.toml, in the package and at the head of the changelog."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    source = (ROOT / "gateway" / "__init__.py").read_text(encoding="utf-8")
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f'VERSION = "{project["version"]}"' in source
    assert re.search(rf"^## \[(Unreleased|{re.escape(project['version'])})\]", changelog, flags=re.MULTILINE)
