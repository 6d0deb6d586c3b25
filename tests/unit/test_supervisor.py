"""The supervisor with real forks: what dies is started again, and nothing outlives it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]

# Each role writes its pid, then does what its name says. The end of the supervisor's pipe means that the supervisor is gone.
PROGRAM = """
import os, select, signal, sys, time
from pathlib import Path
from gateway import logs, supervisor

folder = Path(sys.argv[1])
logs.configure("json")

def begun(name):
    with (folder / f"{name}.pids").open("a") as file:
        file.write(f"{os.getpid()}\\n")

def good(post):
    begun("good")
    stop = []
    signal.signal(signal.SIGTERM, lambda *_: stop.append(1))
    while not stop:
        if select.select([post.life], [], [], 0.05)[0]:
            (folder / "orphaned").touch()
            return 0
    time.sleep(0.2)
    (folder / "drained").touch()
    return 0

def dying(post):
    begun("dying")
    return 3

def raising(post):
    begun("raising")
    raise RuntimeError("a fault")

def deaf(post):
    begun("deaf")
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while True:
        time.sleep(0.1)

roles = {"good": good, "dying": dying, "raising": raising, "deaf": deaf}
if len(sys.argv) > 3:
    supervisor._PATIENCE = float(sys.argv[3])
sys.exit(supervisor.Supervisor([supervisor.Role(name, roles[name]) for name in sys.argv[2].split(",")]).run())
"""


class Running:
    """A supervisor in a process of its own."""

    def __init__(self, folder: Path, roles: str, *more: str) -> None:
        self.folder = folder
        self.log = (folder / "log").open("wb")
        command = [sys.executable, "-c", PROGRAM, str(folder), roles, *more]
        self.process = subprocess.Popen(command, cwd=ROOT, stderr=self.log, start_new_session=True)

    def pids(self, role: str) -> list[int]:
        """Every process that this role has had."""
        file = self.folder / f"{role}.pids"
        return [int(line) for line in file.read_text().split()] if file.exists() else []

    def facts(self, event: str) -> list[dict[str, Any]]:
        """Log lines of one name."""
        lines = [json.loads(line) for line in (self.folder / "log").read_bytes().splitlines()]
        return [line for line in lines if line["event"] == event]

    def close(self) -> None:
        """End what is left of it."""
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()
        self.log.close()


Start = Callable[..., Running]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    started: list[Running] = []

    def begin(roles: str, *more: str) -> Running:
        started.append(Running(tmp_path, roles, *more))
        return started[-1]

    yield begin
    for one in started:
        one.close()


def eventually(look: Callable[[], Any], within: float = 10.0) -> Any:
    """What ``look`` says as soon as it is truthy."""
    deadline = time.monotonic() + within
    while not (seen := look()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return seen


def gone(pid: int) -> bool:
    """Whether a process has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def test_a_child_that_is_killed_is_started_again(start: Start) -> None:
    """kill -9, and a moment later there is another one; the log names both."""
    running = start("good")
    (first,) = eventually(lambda: running.pids("good"))
    os.kill(first, signal.SIGKILL)
    eventually(lambda: len(running.pids("good")) == 2, within=2.0)
    (died,) = running.facts("supervisor.died")
    assert (died["role"], died["child"], died["status"]) == ("good", first, -9)
    assert [one["child"] for one in running.facts("supervisor.started")] == running.pids("good")
    assert running.process.poll() is None


def test_a_child_that_dies_at_once_is_started_ever_more_slowly(start: Start) -> None:
    """0.2 s, 0.4 s, 0.8 s …: it must not burn a core, and its brother lives on."""
    running = start("dying,good")
    eventually(lambda: len(running.pids("dying")) == 4)
    time.sleep(0.8)
    assert len(running.pids("dying")) == 4, "the fourth rest is longer than all before"
    assert [one["status"] for one in running.facts("supervisor.died")] == [3, 3, 3, 3]
    assert len(running.pids("good")) == 1


def test_a_child_that_fails_is_told_of_and_started_again(start: Start) -> None:
    """The traceback is one log line; the exit code is 1."""
    running = start("raising")
    eventually(lambda: len(running.pids("raising")) == 2)
    assert "a fault" in running.facts("supervisor.child_failed")[0]["exception"]
    assert running.facts("supervisor.died")[0]["status"] == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_lets_children_drain(start: Start, number: signal.Signals) -> None:
    """They get the time to finish, and the exit code is 0."""
    running = start("good")
    (child,) = eventually(lambda: running.pids("good"))
    time.sleep(0.1)
    running.process.send_signal(number)
    assert running.process.wait(timeout=5) == 0
    assert (running.folder / "drained").exists()
    assert gone(child)


def test_a_child_that_does_not_stop_is_killed_in_the_end(start: Start) -> None:
    """After the patience has run out, with an exit code that says so."""
    running = start("deaf,good", "0.5")
    (child,) = eventually(lambda: running.pids("deaf"))
    eventually(lambda: running.pids("good"))
    time.sleep(0.1)
    running.process.send_signal(signal.SIGTERM)
    assert running.process.wait(timeout=5) == 1
    eventually(lambda: gone(child), within=1.0)
    assert [one["child"] for one in running.facts("supervisor.killed")] == [child]
    assert (running.folder / "drained").exists()


def test_children_end_when_the_supervisor_is_killed(start: Start) -> None:
    """They see the end of its pipe: nothing is left behind holding a port."""
    running = start("good")
    (child,) = eventually(lambda: running.pids("good"))
    running.process.kill()
    running.process.wait()
    eventually(lambda: gone(child), within=2.0)
    assert (running.folder / "orphaned").exists()


def test_children_end_even_when_brothers_were_started_after_them(start: Start) -> None:
    """A brother must not hold the other end of the pipe open."""
    running = start("good,dying,good")
    children = eventually(lambda: len(found := running.pids("good")) == 2 and found)
    eventually(lambda: len(running.pids("dying")) >= 2)
    running.process.kill()
    running.process.wait()
    for child in children:
        eventually(lambda child=child: gone(child), within=2.0)


def test_a_stop_during_a_rest_ends_at_once(start: Start) -> None:
    """A role that waits to be started again is not started any more."""
    running = start("dying")
    eventually(lambda: len(running.pids("dying")) == 3)
    time.sleep(0.1)
    running.process.send_signal(signal.SIGTERM)
    assert running.process.wait(timeout=2) == 0


def test_a_stop_right_after_the_start_reaches_children_that_are_just_beginning(start: Start) -> None:
    """Whatever moment the signal hits, the supervisor ends in time and with it its children."""
    for _ in range(10):
        running = start("good,good,good", "3")
        eventually(lambda running=running: running.facts("supervisor.started"))
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(timeout=2.5) == 0
