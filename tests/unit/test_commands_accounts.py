"""Commands for accounts that are kept beside the data, as a person types them."""

import json
from pathlib import Path
from typing import Any

import pytest

from gateway.cli import main_app
from gateway.errors import ConfigError
from tests.e2e.house import FEED_SECRET


def run(config: Path, *words: str) -> Any:
    """The exit code of one command."""
    return main_app([*words, "--config", str(config)], exit_on_error=False, result_action="return_value")


@pytest.fixture
def shop(config: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A config beside which an account ``shop`` is kept."""
    monkeypatch.setenv("SHOP_SECRET", FEED_SECRET)
    words = ("--connector", "feed", "--set", "mapping=feed/order", "--secret", "secret=env:SHOP_SECRET")
    assert run(config, "accounts", "add", "shop", *words) == 0
    return config


def test_each_change_is_on_the_trail_under_the_accounts_name(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By the verbs of the console; which options, and never what they are."""
    for words in (
        ("set", "shop", "--set", "rate=50"), ("rollback", "shop"), ("disable", "shop"), ("enable", "shop"), ("disable", "shop"),
        ("remove", "shop"),
    ):  # fmt: skip
        assert run(shop, "accounts", *words) == 0
    capsys.readouterr()
    assert run(shop, "audit", "list", "--json") == 0
    acts = json.loads(capsys.readouterr().out)
    assert [one["verb"] for one in acts] == [
        "account_save", "account_save", "account_restore", "account_disable", "account_enable", "account_disable", "account_remove"
    ]  # fmt: skip
    assert {one["object"] for one in acts} == {"shop"}
    assert [one["detail"].get("options") for one in acts[:2]] == ["mapping secret", "rate"]
    assert acts[0]["detail"]["connector"] == "feed"


def test_account_that_is_not_there_is_not_changed(shop: Path) -> None:
    """It is told so, and not that it has no connector."""
    with pytest.raises(ConfigError, match="no account 'shops'"):
        run(shop, "accounts", "set", "shops", "--set", "rate=50")


def test_place_of_a_secret_is_not_sealed_as_one(shop: Path) -> None:
    """``--set`` takes values as they are; ``--secret`` is what reads a place."""
    with pytest.raises(ConfigError, match="holds the secret itself") as caught:
        run(shop, "accounts", "set", "shop", "--set", "secret=env:SHOP_SECRET")
    assert "--secret" in caught.value.remedy
