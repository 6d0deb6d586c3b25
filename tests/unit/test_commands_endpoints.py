"""Commands for subscribers, as a person types them, with a receiver that is really there."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook

from gateway.cli import main_app
from gateway.errors import ConfigError

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


class Receiver(HTTPServer):
    """Accepts, or answers ``status``. ``got`` are headers and body of what came."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.status = 200
        self.got: list[tuple[dict[str, str], bytes]] = []


class _Answer(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.got.append(({name.lower(): value for name, value in self.headers.items()}, body))
        self.send_response(self.server.status)
        self.send_header("content-length", "6")
        self.end_headers()
        self.wfile.write(b"thanks")

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Until the test is over."""
    with Receiver() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def config(tmp_path: Path, receiver: Receiver) -> Path:
    """One webhook with a secret of the config, one with none, and one that polls."""
    file = tmp_path / "config.toml"
    url = f"http://127.0.0.1:{receiver.server_port}/hooks"
    file.write_text(
        f'[gateway]\ndata_dir = "{tmp_path / "data"}"\n'
        f'[endpoints.crm]\nurl = "{url}"\nsecret = "{SECRET}"\nallow_private = true\nevents = ["order.*"]\nunit = "unt_1"\n'
        f'[endpoints.bi]\nurl = "{url}"\nallow_private = true\n'
        '[endpoints.feed]\nkind = "poll"\n',
        encoding="utf-8",
    )
    return file


def run(config: Path, *words: str) -> Any:
    """The exit code of one command."""
    return main_app(["endpoints", *words, "--config", str(config)], exit_on_error=False, result_action="return_value")


def said(config: Path, capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    """What it prints as JSON."""
    capsys.readouterr()
    run(config, *words, "--json")
    return json.loads(capsys.readouterr().out)


def test_listing_tells_what_each_asks_for_and_how_it_is(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Kind, address, grants, unit, what waits, and whether it is paused."""
    crm, bi, feed = said(config, capsys, "list")
    assert (crm["name"], crm["kind"], crm["events"], crm["unit"], crm["state"]) == (
        "crm",
        "webhook",
        "order.*",
        "unt_1",
        "active",
    )
    assert crm["grants"] == "identity mask, contact mask, health drop, finance drop"
    assert (crm["backlog"], crm["dead"], crm["failing_since"]) == ("0", "0", "")
    assert (bi["state"], feed["kind"], feed["url"]) == ("active", "poll", "")
    assert run(config, "list") == 0


def test_pausing_shows_and_lasts_until_it_is_resumed(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each command opens the gateway anew."""
    assert run(config, "pause", "crm") == 0
    assert [one["state"] for one in said(config, capsys, "list")] == ["paused", "active", "active"]
    assert run(config, "resume", "crm") == 0
    assert {one["state"] for one in said(config, capsys, "list")} == {"active"}


@pytest.mark.parametrize("word", ["pause", "resume", "rotate", "test", "show"])
def test_a_name_that_is_none_is_told(config: Path, word: str) -> None:
    """With what to do."""
    with pytest.raises(ConfigError, match="gateway endpoints list"):
        run(config, word, "nobody")


def test_a_trial_is_one_signed_event_and_what_came_back(
    config: Path, receiver: Receiver, capsys: pytest.CaptureFixture[str]
) -> None:
    """Verified by the receiver's own library, and nothing is kept of it."""
    (row,) = said(config, capsys, "test", "crm")
    ((headers, body),) = receiver.got
    event: Any = Webhook(SECRET).verify(body, headers)
    assert (event["type"], event["data"], event["id"]) == ("operator.test", {"endpoint": "crm"}, row["event"])
    assert (row["result"], row["ours"], row["response"]) == ("200", False, "thanks")
    assert said(config, capsys, "list")[0]["backlog"] == "0"


def test_a_trial_that_fails_says_so_and_is_not_tried_again(config: Path, receiver: Receiver) -> None:
    """By its exit code, too."""
    assert run(config, "test", "crm") == 0
    receiver.status = 500
    assert run(config, "test", "crm") == 1
    assert len(receiver.got) == 2
    with pytest.raises(ConfigError, match="polls"):
        run(config, "test", "feed")


def test_rotating_shows_the_secret_once_and_signs_with_it(
    config: Path, receiver: Receiver, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both are in the next signature, and `show` tells only how many there are."""
    run(config, "rotate", "bi", "--overlap", "1h")
    first = capsys.readouterr().out.split()[1]
    run(config, "rotate", "bi", "--overlap", "1h")
    second = capsys.readouterr().out.split()[1]
    assert first.startswith("whsec_")
    assert first != second
    run(config, "rotate", "bi", "--asymmetric")
    public = capsys.readouterr().out.split()[1]
    run(config, "test", "bi")
    headers, body = receiver.got[0]
    assert headers["webhook-signature"].count("v1,") == 2
    assert headers["webhook-signature"].count("v1a,") == 1
    for secret in (first, second):
        Webhook(secret).verify(body, headers)
    (facts,) = said(config, capsys, "show", "bi")
    assert (facts["secrets"], facts["public_keys"], facts["from"]) == (2, [public], "config")
    assert facts["old_ones_sign_until"]
    assert "whsec_" not in json.dumps(facts)
    assert run(config, "show", "bi") == 0


def test_what_cannot_be_rotated_by_command_leaves_no_act(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A secret of the config is changed there, and the trail holds only what was done."""
    with pytest.raises(ConfigError, match="previous_secret"):
        run(config, "rotate", "crm")
    with pytest.raises(ConfigError, match="--overlap"):
        run(config, "rotate", "bi", "--overlap", "soon")
    run(config, "rotate", "bi")
    run(config, "pause", "bi")
    capsys.readouterr()
    main_app(["audit", "list", "--json", "--config", str(config)], exit_on_error=False, result_action="return_value")
    acts = json.loads(capsys.readouterr().out)
    assert [(act["verb"], act["object"]) for act in acts] == [("rotate", "endpoint/bi"), ("pause", "endpoint/bi")]
