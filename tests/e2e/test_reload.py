"""A running gateway takes up its config anew: no request refused, nothing lost, nothing out of order; a bad config changes nothing."""

import http.client
import json
import os
import signal
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hl7.client import MLLPClient

from tests.e2e import house as houses
from tests.e2e.house import House, endpoint, eventually, free_ports, order, orders, running

Config = dict[str, Any]
_STOOD_STILL = 1.0


class Poster:
    """Posts one order's statuses and orders of its own, over and over, on one connection or on a new one each time."""

    def __init__(self, port: int, name: str, *, keeping: bool) -> None:
        self.acked: list[str] = []
        self.said: Counter[str] = Counter()
        self._port = port
        self._name = name
        self._keeping = keeping
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        connection: http.client.HTTPConnection | None = None
        number, answered = 0, time.monotonic()
        while not self._stop.is_set():
            number += 1
            kept = connection is not None
            # Ten updates of each order: they must be told in this order.
            row = order(f"{self._name}{number // 10}", minute=number % 10, total=f"{100 + number % 10}.00")
            body = json.dumps([row]).encode()
            connection = connection or http.client.HTTPConnection("127.0.0.1", self._port, timeout=20)
            try:
                connection.request("POST", "/in/erp", body, houses.signed(body, message=f"{self._name}-{number}"))
                answer = connection.getresponse()
                _ = answer.read()
            except OSError as error:
                connection = None
                # If we or the door stood still: a door that is succeeded stays for a moment only, and a connection that is kept may end with it.
                if kept and time.monotonic() - answered > _STOOD_STILL:
                    number -= 1
                    continue
                self.said[repr(error)] += 1
                continue
            answered = time.monotonic()
            self.said[str(answer.status)] += 1
            if answer.status == 202:
                self.acked.append(f"{self._name}{number // 10}/{number % 10}")
            # A server may end a kept connection between two requests, and says so.
            if not self._keeping or answer.will_close:
                connection.close()
                connection = None
            time.sleep(0.005)
        if connection is not None:
            connection.close()


def test_reload_under_load_refuses_nothing_loses_nothing_and_keeps_the_order(house: House) -> None:
    """Two doors, new connections and kept ones, an account more and one less: only 2xx, all of it delivered once and in order."""
    receiver = house.receiver()
    config: Config = {
        "accounts": {"erp": orders(), "old": orders()},
        "endpoints": {"main": endpoint(receiver, events=["order.*"])},
        "http": {"workers": 2},
    }
    gateway = house.gateway(config)
    before = gateway.children()
    posters = [
        Poster(gateway.port, name, keeping=keeping) for name, keeping in (("A", False), ("B", True), ("C", True))
    ]
    time.sleep(0.5)
    last = gateway.feed("old", order("OLD-1"))
    assert last.status_code == 202
    config["accounts"]["new"] = orders()
    del config["accounts"]["old"]
    gateway.configure(config)
    code, said = gateway.command("reload", "--json")
    assert code == 0, said + gateway.tail()
    report = json.loads(said)[0]
    assert (report["state"], report["changes"]["added"], report["changes"]["removed"]) == ("live", ["new"], ["old"])
    assert gateway.feed("new", order("NEW-1")).status_code == 202
    assert not any(running(pid) for pid in before.values()), "the old ones have left"
    for one in posters:
        one.stop()
    assert [set(one.said) for one in posters] == [{"202"}] * 3, [one.said for one in posters]

    acked = [name for one in posters for name in one.acked]
    wanted = {name.partition("/")[0] for name in acked} | {"OLD-1", "NEW-1"}
    names = lambda: {got.data["order"]["external_id"] for got in receiver.accepted()}  # noqa: E731
    eventually(lambda: wanted <= names(), within=60.0, what="everything acknowledged arrives")
    eventually(lambda: len(receiver.accepted()) >= len(acked) + 2, within=60.0, what="every update of it")
    sequences: dict[str, list[int]] = {}
    for got in receiver.got:
        sequences.setdefault(got.subject, []).append(got.sequence)
    assert all(found == list(range(1, len(found) + 1)) for found in sequences.values()), "in order, each once"
    assert gateway.facts("supervisor.died") == []
    assert gateway.metric("gateway_dead_letters_total") == 0


OWN = "version: {version}\nconnector: feed\ntopic: order\nemit:\n  - record: order\n    fields:\n      external_id: {{path: {path}, required: true}}\n"


def test_bad_config_leaves_everything_as_it_runs_and_says_why(house: House, tmp_path: Path) -> None:
    """An unknown key, an account in two places, what only a restart changes, a listener that is taken, a mapping of one's own: log and command
    name each, and no process changes; mended, the mapping reads by the next reload."""
    (taken,) = free_ports(1)
    receiver = house.receiver()
    own = tmp_path / "own" / "feed" / "order.yaml"
    own.parent.mkdir(parents=True)
    own.write_text(OWN.format(version=1, path="order_no"))
    config: Config = {
        "gateway": {"mappings": str(tmp_path / "own")},
        "accounts": {"erp": orders(), "his": {"connector": "hl7", "listen": f"127.0.0.1:{taken}"}},
        "endpoints": {"main": endpoint(receiver)},
    }
    gateway = house.gateway(config)
    before = gateway.alive()
    folder = gateway.data / "accounts.d"
    folder.mkdir()
    text = 'connector = "feed"\nmapping = "feed/order"\n'
    bad: list[tuple[str, str, Config]] = [
        ("erp.toml", "two places", {}),
        ("x.toml", "x.toml:2: maping", {}),
        ("", "http.port cannot be changed by a reload", {"http": {"port": gateway.port + 1}}),
        ("y.toml", "two accounts listen", {}),
        ("own", "order.yaml:8", {}),
    ]
    contents = {
        "erp.toml": text,
        "x.toml": text.replace("mapping", "maping"),
        "y.toml": f'connector = "hl7"\nlisten = "127.0.0.1:{taken}"\n',
    }
    for file, words, more in bad:
        if file == "own":
            own.write_text(OWN.format(version=2, path="order_no") + "      total: {pth: total}\n")
        elif file:
            (folder / file).write_text(contents[file])
        gateway.configure({**config, **more})
        refused = len(gateway.facts("reload.refused"))
        assert gateway.process is not None
        gateway.process.send_signal(signal.SIGHUP)
        eventually(lambda count=refused: len(gateway.facts("reload.refused")) > count, what=words)
        fact = gateway.facts("reload.refused")[-1]
        assert words in f"{fact['place']}: {fact['reason']}"
        if file == "erp.toml":
            code, said = gateway.command("reload")
            assert code == 1
            assert words in said
        if file.endswith(".toml"):
            (folder / file).unlink()
    assert gateway.alive() == before
    assert gateway.feed("erp", order("SO-1")).status_code == 202
    gateway.configure(config)
    own.write_text(OWN.format(version=2, path="order_no"))
    code, said = gateway.command("reload")
    assert (code, said) == (0, "live; mappings: feed/order\n")
    assert gateway.feed("erp", order("SO-2")).status_code == 202
    told = receiver.wait(2, "order.created", "order.paid")
    assert [got.event["source"]["mapping"] for got in told] == ["feed/order@1", "feed/order@2"]


def pid(number: str) -> str:
    return f"PID|1||{number}^^^SHDYYY^MR||张三||19800101|M"


def test_mllp_account_is_added_live_and_a_kept_connection_ends_cleanly(house: House) -> None:
    """Its listener answers as soon as the reload is live; the reload after that hands the queue on, and no message is lost."""
    receiver = house.receiver()
    gateway = house.gateway({"accounts": {"erp": orders()}, "endpoints": {"main": endpoint(receiver)}})
    (port,) = free_ports(1)
    code, said = gateway.command("accounts", "add", "his", "--connector", "hl7", "--set", f"listen=127.0.0.1:{port}")
    assert code == 0, said
    acked = []

    def send(number: int) -> None:
        text = f"MSH|^~\\&|HIS|SHDYYY|GW|HQ|20260111120000||ADT^A28^ADT_A05|M{number}|P|2.4|||||CHN|UNICODE UTF-8\rEVN|A28|20260111115900\r{pid(f'{number:04}')}\r"
        with MLLPClient("127.0.0.1", port) as client:
            if b"MSA|AA|" in client.send_message(text.encode()):
                acked.append(number)

    send(1)
    done = threading.Event()

    def stream() -> None:
        number = 1
        while not done.is_set():
            number += 1
            send(number)

    with ThreadPoolExecutor(1) as pool:
        streaming = pool.submit(stream)
        assert gateway.command("accounts", "set", "his", "--set", "rate=1000")[0] == 0
        eventually(lambda: len(acked) > 5 or streaming.done())
        done.set()
        streaming.result()
    assert acked == list(range(1, len(acked) + 1))
    receiver.wait(len(acked), "customer.created", within=30.0)


def test_new_door_that_is_killed_and_two_reloads_at_once_end_well(house: House) -> None:
    """The door is started again and the reload goes on; two wishes and a signal come to an end together; requests are answered all the while."""
    gateway = house.gateway({"accounts": {"erp": orders()}})
    poster = Poster(gateway.port, "K", keeping=False)
    began = gateway.children()
    assert gateway.process is not None
    # No door begins before the old worker has ended: this one takes its time, so that we come before that however slow we are.
    os.kill(began["worker"], signal.SIGSTOP)
    with ThreadPoolExecutor(2) as pool:
        asked = [pool.submit(gateway.command, "reload") for _ in range(2)]
        gateway.process.send_signal(signal.SIGHUP)
        eventually(lambda: gateway.children()["door-0"] != began["door-0"], what="a new door")
        os.kill(gateway.children()["door-0"], signal.SIGKILL)
        os.kill(began["worker"], signal.SIGCONT)
        assert [one.result()[0] for one in asked] == [0, 0], gateway.tail()
    eventually(lambda: len(gateway.alive()) == 2, within=40.0, what="one door and one worker")
    poster.stop()
    assert set(poster.said) == {"202"}
    assert sum(one["status"] == -signal.SIGKILL for one in gateway.facts("supervisor.died")) == 1


@pytest.mark.parametrize("at", ["starting", "handing_over"])
def test_sigterm_during_a_reload_ends_all_in_time(house: House, at: str) -> None:
    """Whatever step it is at: exit code 0 within ten seconds, and no process is left."""
    gateway = house.gateway({"accounts": {"erp": orders()}})
    reports = gateway.data / "run" / "reload" / "reports.json"
    assert gateway.process is not None
    gateway.process.send_signal(signal.SIGHUP)
    eventually(
        lambda: f'"{at}"' in reports.read_text() or (at == "handing_over" and '"live"' in reports.read_text()),
        within=30.0,
        what=at,
    )
    code, took = gateway.stop()
    # Who is left after ten seconds is killed, and the code is 1; a busy machine takes its time with the rest.
    assert code == 0, gateway.tail()
    assert took < 20.0
    assert gateway.alive() == []
