"""The six steps of CONTRIBUTING.md, taken as they are written, in a copy of this repository."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
_BLOCK = re.compile(r"^```(\w+)\n(?:# |// |<!-- )(\S+/\S+?)(?: -->)?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_KEPT = ("gateway", "connectors", "mappings", "pyproject.toml", "tests/__init__.py", "tests/connectors/__init__.py")


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The repository with the tutorial's connector in it."""
    folder = tmp_path_factory.mktemp("copy")
    for name in (*_KEPT, "tests/connectors/test_contract.py"):
        source, target = ROOT / name, folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)
    for _, path, text in _BLOCK.findall((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")
    registry = folder / "connectors" / "registry.py"
    text = registry.read_text(encoding="utf-8")
    assert "from connectors import " in text
    text = text.replace("from connectors import ", "from connectors import loyalty, ").replace(
        "in (", "in (loyalty.CARD, "
    )
    registry.write_text(text, encoding="utf-8")
    return folder


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """A Python command in the copy; the copy's modules come before the installed ones."""
    return subprocess.run(
        [sys.executable, *words],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=100,
        env={"PATH": "", "LANG": "C.UTF-8"},
    )


def test_the_new_connector_is_known_and_its_mappings_have_no_faults(copy: Path) -> None:
    """Step 6's line is all that the gateway needs."""
    listed = run(copy, "-m", "gateway", "connectors", "--json")
    assert '"loyalty"' in listed.stdout, listed.stderr
    checked = run(copy, "-m", "gateway", "check")
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_the_new_connector_s_golden_case_holds(copy: Path) -> None:
    """Step 4 as written."""
    ran = run(copy, "-m", "gateway", "mapping", "test", "mappings/loyalty")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "1 cases hold" in ran.stdout


def test_the_contract_suite_walks_the_new_card(copy: Path) -> None:
    """Steps 1, 2, 3 and 5: the card, the verbs and the samples keep every connector's promise."""
    ran = run(copy, "-m", "pytest", "-q", "tests/connectors/test_contract.py", "-k", "loyalty")
    assert ran.returncode == 0, ran.stdout[-3000:] + ran.stderr[-1000:]
    assert " passed" in ran.stdout
