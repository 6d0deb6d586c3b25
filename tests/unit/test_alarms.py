"""The alert engine on real sockets: a start and an end reach mail, webhook and robot once each, restarts and second doors included."""

import asyncio
import http.server
import json
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway import access, settings
from gateway.action import Dropped, Silent, step
from gateway.clock import SECOND, TurnedClock
from gateway.desk.alarms import Alarms
from gateway.desk.channels import Wanted, open_channels
from gateway.errors import ConfigError
from gateway.model.secret import Secret
from gateway.office import desk_of
from gateway.settings import Duration
from gateway.snapshot import Part
from gateway.store import Batch
from tests.api.kit import House, told
from tests.contract.stores.actions import action
from tests.contract.stores.samples import NOW
from tests.e2e.house import SECRET, Receiver
from tests.servers.mail import MailServer
from tests.servers.process import free_port

OPERATOR = access.Viewer(actor="console:ops", scopes=frozenset({"viewer", "operator"}), grants=access.LEAST)


class Robot:
    """A WeCom group robot as far as it is documented: takes markdown, answers ``errcode``."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.errcode = 0
        robot = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                assert self.path == "/cgi-bin/webhook/send?key=k-1"
                assert body["msgtype"] == "markdown"
                if not robot.errcode:
                    robot.said.append(body["markdown"]["content"])
                answer = json.dumps({"errcode": robot.errcode, "errmsg": "api freq out of limit"}).encode()
                self.send_response(200)
                self.send_header("content-length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: Any) -> None:
                return

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/cgi-bin/webhook/send?key=k-1"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def robots() -> Iterator[Robot]:
    """One robot for a block."""
    one = Robot()
    try:
        yield one
    finally:
        one.close()


@pytest.fixture
def hook() -> Iterator[Receiver]:
    """A receiver that verifies signatures with the library."""
    one = Receiver()
    yield one
    one.close()


def _alarms(house: House) -> Alarms:
    """As another process of the same gateway has it; its parts are the house's."""
    return desk_of(house.ground, parts=lambda: house.parts).alarms


SICK = [Part(name="worker", ok=False, reason="has not reported")]


def test_start_and_end_reach_every_channel_once_whatever_restarts(tmp_path: Path, hook: Receiver) -> None:
    """Three processes look one after the other, twice each: one start, one end, in three places."""
    port = free_port()
    with robots() as robot:
        alerts = settings.Alerts(
            webhook=hook.url, secret=Secret(SECRET), wecom_robot=Secret(robot.url), mail=f"smtp://127.0.0.1:{port}",
            mail_to=("ops@example.com",), mail_from="gateway@example.com", allow_private=True, hold=Duration(0), disk=0.0,
        )  # fmt: skip

        async def story(house: House) -> None:
            mail = MailServer(port)
            await mail.open()
            house.parts = SICK
            for fresh in [_alarms(house) for _ in range(3)]:
                await fresh.round()
                await fresh.round()
            fresh = _alarms(house)
            await asyncio.gather(_alarms(house).round(), _alarms(house).round())
            assert [one.found.key for one in await fresh.all()] == ["part/worker"]
            house.parts = []
            for _ in range(2):
                await _alarms(house).round()
            assert (await fresh.all())[0].ended is not None
            assert [str(one["Subject"]) for one in mail.letters] == [
                "[告警] worker 异常：has not reported",
                "[恢复] worker 异常：has not reported",
            ]
            assert mail.recipients == [("ops@example.com",)] * 2
            await mail.close()

        told(tmp_path, story, alerts=alerts)
        assert [got.type for got in hook.got] == ["alert.started", "alert.ended"]
        assert hook.forged == []
        assert hook.got[0].data["remedy"] == "查看网关日志，按其中说明处理"
        assert ["恢复" in one for one in robot.said] == [False, True]


def test_robot_that_says_no_is_tried_again_and_the_others_are_not_told_twice(tmp_path: Path, hook: Receiver) -> None:
    """Over its own limit it answers 200 with an errcode: that is a failure, with a try after 15 seconds."""
    with robots() as robot:
        robot.errcode = 45009
        alerts = settings.Alerts(
            webhook=hook.url, secret=Secret(SECRET), wecom_robot=Secret(robot.url), allow_private=True, hold=Duration(0), disk=0.0
        )  # fmt: skip

        async def story(house: House) -> None:
            clock = house.ground.clock = TurnedClock(house.ground.clock.now())
            house.parts = SICK
            one = _alarms(house)
            await one.round()
            (alert,) = await one.all()
            assert alert.tries["robot"].error == "errcode 45009: api freq out of limit"
            await one.round()
            robot.errcode = 0
            clock.turn(15)
            await one.round()
            await one.round()
            assert sorted((await one.all())[0].told) == ["robot", "webhook"]

        told(tmp_path, story, alerts=alerts)
        assert len(robot.said) == 1
        assert len(hook.got) == 1


def test_silence_has_an_owner_a_reason_and_an_end(tmp_path: Path, hook: Receiver) -> None:
    """Nothing is said of it until then; it is on the trail."""
    alerts = settings.Alerts(webhook=hook.url, secret=Secret(SECRET), allow_private=True, hold=Duration(0), disk=0.0)

    async def story(house: House) -> None:
        house.parts = SICK
        quiet = settings.Alerts(hold=Duration(0), disk=0.0)
        house.ground.tree = msgspec.structs.replace(house.ground.tree, alerts=quiet)
        await _alarms(house).round()
        house.ground.tree = msgspec.structs.replace(house.ground.tree, alerts=alerts)
        one = _alarms(house)
        for bad in ({"owner": ""}, {"reason": " "}, {"seconds": 0.0}, {"seconds": 31 * 86_400.0}):
            given: dict[str, Any] = {"owner": "wang", "reason": "known", "seconds": 3600.0, **bad}
            with pytest.raises(ConfigError):
                await one.silence(OPERATOR, "part/worker", **given)
        await one.silence(OPERATOR, "part/worker", owner="wang", reason="known", seconds=3600.0)
        await one.round()
        assert hook.got == []
        (silence,) = await one.silences()
        assert (silence.owner, silence.by) == ("wang", "console:ops")
        await one.speak(OPERATOR, "part/worker")
        await one.round()
        assert [got.type for got in hook.got] == ["alert.started"]
        verbs = [link.act.verb for link in await house.ground.trail.acts(actor="console:ops")]
        assert verbs == ["alert_silence", "alert_unsilence"]

    told(tmp_path, story, alerts=alerts)


def test_feed_that_falls_silent_is_told_and_its_first_word_ends_it(tmp_path: Path) -> None:
    """By a decided patience; counters make the sign of life."""
    alerts = settings.Alerts(hold=Duration(0), disk=0.0, silence={"orders": Duration(600)})

    async def story(house: House) -> None:
        clock = house.ground.clock = TurnedClock(house.ground.clock.now())
        desk = desk_of(house.ground, parts=lambda: house.parts)

        async def speak() -> None:
            house.ground.meters.accepted.labels("orders").inc()
            await look()

        async def look() -> None:
            house.ground.board.put("door-0", clock.now(), {}, house.ground.meters.registry)
            desk.figures.take()
            await desk.alarms.round()

        await speak()
        await speak()
        clock.turn(601)
        await look()
        (alert,) = await desk.alarms.all()
        assert (alert.found.key, alert.found.facts["minutes"]) == ("silence/orders", 10)
        await speak()
        assert (await desk.alarms.all())[0].ended is not None
        kept = await house.ground.documents.document("alerts_heard", "orders")
        assert kept is not None

    told(tmp_path, story, alerts=alerts)


def test_action_of_which_nobody_knows_whether_it_was_done_is_told_until_somebody_decides(tmp_path: Path) -> None:
    """It waits for a person, who need not be looking at the console."""

    async def story(house: House) -> None:
        records = house.ground.records
        await records.commission(action("act_1"))
        (taken,) = await records.take_actions("corp", now=NOW, limit=1)
        left_open = step(taken, Silent("partner.down", 5.0), NOW)
        assert left_open is not None
        await records.apply(Batch(actions=[left_open]))
        one = _alarms(house)
        await one.round()
        (alert,) = await one.all()
        assert (alert.found.key, alert.found.facts) == ("actions/all", {"n": 1})
        dropped = step(left_open, Dropped("it was done by hand"), NOW)
        assert dropped is not None
        await records.apply(Batch(actions=[dropped]))
        await one.round()
        assert (await one.all())[0].ended is not None

    told(tmp_path, story, alerts=settings.Alerts(hold=Duration(0), disk=0.0))


def test_edited_trail_is_told(tmp_path: Path) -> None:
    """The chain is walked at the start and every hour."""

    async def story(house: House) -> None:
        clock = house.ground.clock = TurnedClock(house.ground.clock.now())
        one = _alarms(house)
        await house.desk.did(OPERATOR, "look", "one")
        await house.desk.did(OPERATOR, "look", "two")
        await one.round()
        assert await one.all() == []
        (tmp_path / "audit.db").chmod(0o600)
        _edit(tmp_path / "audit.db")
        clock.turn(3600)
        await one.round()
        assert [alert.found.key for alert in await one.all()] == ["chain/audit"]

    told(tmp_path, story, alerts=settings.Alerts(hold=Duration(0), disk=0.0))


def _edit(path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.execute("UPDATE acts SET object = 'three' WHERE number = 2")


@pytest.mark.parametrize(
    ("given", "place"),
    [
        ({"webhook": "https://ops.example/a"}, "alerts.secret"),
        ({"webhook": "ftp://ops.example/a", "secret": Secret(SECRET)}, "alerts.webhook"),
        ({"mail": "smtp://mail.example", "sender": "a@b.example"}, "alerts.mail_to"),
        ({"mail": "smtp://mail.example", "to": ("a@b.example",)}, "alerts.mail_from"),
        ({"mail": "mail.example", "to": ("a@b.example",), "sender": "a@b.example"}, "alerts.mail"),
        ({"robot": Secret("not an address")}, "alerts.wecom_robot"),
    ],
)
def test_channel_that_cannot_work_is_refused_by_its_setting(given: dict[str, Any], place: str) -> None:
    """Not by the endpoint it is made into."""
    with pytest.raises(ConfigError) as refused:
        open_channels(Wanted(**given), clock=TurnedClock(1_760_000_000 * SECOND))
    assert refused.value.place == place
