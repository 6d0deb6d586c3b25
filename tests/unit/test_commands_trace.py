"""Commands that act leave a trace before they do, and the commands that read the trail."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from gateway.cli import main_app
from gateway.errors import StoreError


def run(config: Path, *words: str) -> Any:
    """The exit code of one command."""
    return main_app([*words, "--config", str(config)], exit_on_error=False, result_action="return_value")


def acts(config: Path, capsys: pytest.CaptureFixture[str], *words: str) -> list[dict[str, Any]]:
    """What ``audit list`` says."""
    capsys.readouterr()
    assert run(config, "audit", "list", "--json", *words) == 0
    found: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
    return found


def test_acting_commands_are_in_the_trail_with_who_did_them(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Making, turning over and using keys, and changing tables; a command that changed nothing is not."""
    for words in (("keys", "init"), ("keys", "init"), ("keys", "rotate"), ("db", "migrate"), ("keys", "list")):
        assert run(config, *words) == 0
    found = acts(config, capsys)
    assert [(one["verb"], one["object"]) for one in found] == [
        ("init", "vault"),
        ("rotate", "vault"),
        ("migrate", "store"),
    ]
    assert {one["actor"].partition(":")[0] for one in found} == {"cli"}


def test_listing_is_narrowed_by_conditions(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By verb, by object, by number."""
    for words in (("keys", "init"), ("keys", "rotate"), ("keys", "rotate"), ("db", "migrate")):
        run(config, *words)
    assert [one["number"] for one in acts(config, capsys, "--verb", "rotate")] == [2, 3]
    assert [one["number"] for one in acts(config, capsys, "--object", "store")] == [4]
    assert [one["number"] for one in acts(config, capsys, "--after", "3")] == [4]
    assert acts(config, capsys, "--actor", "console:nobody") == []


def test_what_cannot_be_recorded_is_not_done(config: Path) -> None:
    """A trail that cannot be written stops the act, not the other way round."""
    run(config, "keys", "init")
    keys = (config.parent / "data" / "keys.json").read_bytes()
    with closing(sqlite3.connect(config.parent / "data" / "audit.db")) as db:
        db.execute("CREATE TRIGGER full BEFORE INSERT ON acts BEGIN SELECT RAISE(FAIL, 'disk full'); END")
        db.commit()
    with pytest.raises(StoreError, match="audit trail"):
        run(config, "keys", "rotate")
    assert (config.parent / "data" / "keys.json").read_bytes() == keys


def test_verify_prints_a_head_that_a_later_verify_holds_against_the_trail(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An operator's note tells what the files cannot: that an old trail was put back with its old anchor."""
    run(config, "keys", "init")
    data = config.parent / "data"
    old = {file.name: file.read_bytes() for file in data.glob("audit.*")}
    run(config, "keys", "rotate")
    capsys.readouterr()
    assert run(config, "audit", "verify", "--json") == 0
    head = json.loads(capsys.readouterr().out)[0]["head"]
    run(config, "db", "migrate")
    assert run(config, "audit", "verify", "--head", head) == 0
    for name, content in old.items():
        (data / name).write_bytes(content)
    assert run(config, "audit", "verify") == 0
    assert run(config, "audit", "verify", "--head", head) == 1


def test_verify_of_a_tampered_trail_exits_1_and_names_the_act(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Who changed history finds it written in red."""
    run(config, "keys", "init")
    run(config, "keys", "rotate")
    with closing(sqlite3.connect(config.parent / "data" / "audit.db")) as db:
        db.execute("UPDATE acts SET actor = 'cli:somebody' WHERE number = 2")
        db.commit()
    capsys.readouterr()
    assert run(config, "audit", "verify", "--json") == 1
    assert [(one["number"], one["kind"]) for one in json.loads(capsys.readouterr().out)] == [(2, "edited")]
