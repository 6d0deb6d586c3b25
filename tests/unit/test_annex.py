"""Accounts beside the data: read strictly, written whole, changed by one at a time, and merged with the config's."""

import stat
from pathlib import Path

import pytest

from gateway import annex, settings
from gateway.annex import Annex, Conflict
from gateway.errors import ConfigError

FEED = {"connector": "feed", "mapping": "feed/order"}


def config(folder: Path, text: str = "") -> Path:
    """A config whose data lies beside it."""
    file = folder / "config.toml"
    file.write_text(f'[gateway]\ndata_dir = "{folder / "data"}"\n{text}', encoding="utf-8")
    return file


def test_an_account_that_is_kept_is_one_like_any_other_after_those_of_the_config(tmp_path: Path) -> None:
    """In the order: config, then folder; its file is its owner's alone."""
    made = Annex(tmp_path / "data")
    made.keep("门店-2", {**FEED, "rate": 5, "peers": ["10.0.0.1"], "name": '张三 "x"\n'}, version="", now=1)

    tree = settings.load(config(tmp_path, '[accounts.erp]\nconnector = "feed"\n'), environ={})

    assert list(tree.accounts) == ["erp", "门店-2"]
    assert tree.accounts["门店-2"] == {**FEED, "rate": 5, "peers": ["10.0.0.1"], "name": '张三 "x"\n'}
    assert annex.is_filed(tree.accounts["门店-2"])
    assert not annex.is_filed(tree.accounts["erp"])
    assert stat.S_IMODE((tmp_path / "data" / "accounts.d" / "门店-2.toml").stat().st_mode) == 0o600


def test_what_can_be_entered_can_be_read_again(tmp_path: Path) -> None:
    """A file that cannot be read would keep the whole gateway from starting."""
    made = Annex(tmp_path / "data")
    odd = {**FEED, "name": "\x7f\x00\u2028\U0001f600", "on": True, "rate": 0.5}
    made.keep("a", odd, version="", now=1)
    assert made.all() == {"a": odd}


@pytest.mark.parametrize("value", ["\ud800", float("nan"), float("inf")])
def test_what_could_not_be_read_again_is_not_written(tmp_path: Path, value: object) -> None:
    """It is told, and the account stays as it was."""
    made = Annex(tmp_path / "data")
    version = made.keep("a", FEED, version="", now=1)
    with pytest.raises(ConfigError, match="TOML cannot"):
        made.keep("a", {**FEED, "name": value}, version=version, now=2)
    assert made.all() == {"a": FEED}


def test_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    """A full disk or a file in its place is no fault of the program."""
    (tmp_path / "accounts.d").touch()
    with pytest.raises(ConfigError) as caught:
        Annex(tmp_path).keep("a", FEED, version="", now=1)
    assert caught.value.place == str(tmp_path / "accounts.d")


def test_an_account_in_two_places_names_both(tmp_path: Path) -> None:
    """Nobody could say which of them is meant."""
    Annex(tmp_path / "data").keep("erp", FEED, version="", now=1)

    with pytest.raises(ConfigError) as caught:
        settings.load(config(tmp_path, '[accounts.erp]\nconnector = "feed"\n'), environ={})

    assert "config.toml: accounts.erp" in caught.value.place
    assert "accounts.d/erp.toml" in caught.value.place


@pytest.mark.parametrize(
    ("file", "text", "place"),
    [
        ("a.toml", 'connector = "feed"\nmapping = = 1\n', "a.toml:2"),
        ("a.toml", 'connector = "feed"\n\n[options]\nx = 1\n', "a.toml:3: options"),
        ("a.json", "{}", "a.json"),
    ],
)
def test_a_file_that_is_no_accounts_names_file_and_line(tmp_path: Path, file: str, text: str, place: str) -> None:
    """Strict like the config."""
    folder = tmp_path / "data" / "accounts.d"
    folder.mkdir(parents=True)
    (folder / file).write_text(text)

    with pytest.raises(ConfigError) as caught:
        settings.load(config(tmp_path), environ={})

    assert caught.value.place.endswith(place)


def test_who_changes_what_somebody_else_changed_is_told(tmp_path: Path) -> None:
    """A stale version, one that is there already and one that is gone: a conflict each, and the file stays."""
    made = Annex(tmp_path)
    first = made.keep("erp", FEED, version="", now=1)
    second = made.keep("erp", {**FEED, "rate": 5}, version=first, now=2)

    for version in (first, ""):
        with pytest.raises(Conflict):
            made.keep("erp", {**FEED, "rate": 9}, version=version, now=3)
    with pytest.raises(Conflict):
        made.remove("erp", version=first)

    assert made.all()["erp"]["rate"] == 5
    made.remove("erp", version=second)
    assert made.all() == {}
    with pytest.raises(Conflict):
        made.keep("erp", FEED, version=second, now=4)


def test_the_last_three_versions_are_kept_and_go_with_the_account(tmp_path: Path) -> None:
    """The latest first; what is kept again unchanged is no version; a clock that stands still loses none."""
    made, version = Annex(tmp_path), ""
    for rate in range(6):
        version = made.keep("erp", {**FEED, "rate": rate}, version=version, now=7)
        assert made.keep("erp", {**FEED, "rate": rate}, version=version, now=7) == version

    assert [one.options["rate"] for one in made.past("erp")] == [4, 3, 2]
    made.remove("erp", version=version)
    assert made.past("erp") == []
    assert [path.name for path in made.folder.rglob("*.toml")] == []


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".hidden", "a b", "x" * 61, "a\n", "-x"])
def test_a_name_that_cannot_be_a_files_is_refused(tmp_path: Path, name: str) -> None:
    """Nothing outside the folder is touched."""
    made = Annex(tmp_path / "data")
    with pytest.raises(ConfigError):
        made.keep(name, FEED, version="", now=1)
    assert made.get(name) is None
    assert not (tmp_path / "data").exists()
