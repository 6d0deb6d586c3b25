"""Commands for partners' clients, as an operator types them."""

import json
from pathlib import Path
from typing import Any

import pytest

from gateway.cli import main_app
from gateway.errors import ConfigError


def run(config: Path, *words: str) -> Any:
    """The exit code of one command."""
    return main_app(["clients", *words, "--config", str(config)], exit_on_error=False, result_action="return_value")


def said(config: Path, capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    """What it prints as JSON."""
    capsys.readouterr()
    assert run(config, *words, "--json") == 0
    return json.loads(capsys.readouterr().out)


def test_client_is_made_changed_rotated_and_ended(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Secrets are shown once; what is not named in a change stays; each act is on the trail."""
    made = said(config, capsys, "make", "bi", "--scope", "customers:read", "--grant", "contact=drop", "--unit", "EAST")
    name, key = made["client_id"], made["api_key"]
    assert key == f"gwk_{name}.{made['client_secret']}"
    assert (
        run(
            config,
            "change",
            name,
            "--scope",
            "orders:read",
            "--scope",
            "events:read",
            "--grant",
            "identity=clear@2099-01-01T00:00:00Z",
            "--account",
            "corp",
            "--rate",
            "5",
        )
        == 0
    )
    (one,) = said(config, capsys, "list")
    assert (one["scopes"], one["unit"], one["rate"]) == ("orders:read events:read", "EAST", "5/s")
    assert one["grants"] == "identity=clear@2099-01-01T00:00:00+00:00 contact=drop health=drop finance=drop"
    rotated = said(config, capsys, "rotate", name, "--overlap", "0s")
    assert rotated["api_key"] != key
    assert run(config, "revoke", name) == 0
    (one,) = said(config, capsys, "list")
    assert one["state"] == "ended"
    assert made["client_secret"] not in json.dumps(one)
    capsys.readouterr()
    main_app(["audit", "list", "--json", "--config", str(config)], exit_on_error=False, result_action="return_value")
    acts = json.loads(capsys.readouterr().out)
    assert acts[0]["detail"] == {"scopes": "customers:read", "grants": "contact=drop", "unit": "EAST"}
    assert acts[1]["detail"] == {
        "scopes": "orders:read events:read", "grants": "identity=clear@2099-01-01T00:00:00Z", "accounts": "corp", "rate": "5.0",
    }  # fmt: skip
    assert [line["verb"] for line in acts] == [
        "client_make",
        "client_change",
        "client_rotate",
        "client_revoke",
    ]


@pytest.mark.parametrize(
    ("words", "remedy"),
    [
        (("make", "bi", "--scope", "customer:read"), "customers:read"),
        (("make", "bi", "--scope", "orders:read", "--grant", "contact"), "--grant contact=mask"),
        (("make", "bi", "--scope", "orders:read", "--grant", "phone=mask"), "contact"),
        (("make", "bi", "--scope", "orders:read", "--grant", "health=clear"), "say why"),
        (("make", "bi", "--scope", "orders:read", "--until", "tomorrow"), "2026-12-31T00:00:00Z"),
        (("change", "cli_1"), "change --help"),
        (("change", "cli_1", "--rate", "5"), "gateway clients list"),
        (("rotate", "cli_1", "--overlap", "soon"), ""),
    ],
)  # fmt: skip
def test_wrong_words_are_told_with_what_would_be_right(config: Path, words: tuple[str, ...], remedy: str) -> None:
    """And nothing is made."""
    with pytest.raises(ConfigError) as caught:
        run(config, *words)
    assert remedy in str(caught.value)
