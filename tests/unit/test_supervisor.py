"""The supervisor with real forks: what dies is started again, and nothing outlives it."""

import os
import signal
from collections.abc import Callable, Iterator
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import pytest

from tests.e2e import house
from tests.unit.supervised import Supervised

# Each role writes its pid when it hears signals as its name says. The end of the supervisor's pipe means that the supervisor is gone. The supervisor's
# clock is the test's to turn: while there is a file `still` it stands, and from a file `late` on it is an hour later.
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
    stop = []
    signal.signal(signal.SIGTERM, lambda *_: stop.append(1))
    begun("good")
    while not stop:
        if select.select([post.life], [], [], 0.05)[0]:
            (folder / "orphaned").touch()
            return 0
    time.sleep(0.05)
    (folder / "drained").touch()
    return 0

def dying(post):
    begun("dying")
    return 3

def raising(post):
    begun("raising")
    raise RuntimeError("a fault")

def deaf(post):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    begun("deaf")
    while True:
        time.sleep(0.1)

class Clock:
    @staticmethod
    def monotonic():
        if (folder / "still").exists():
            return 0.0
        return time.monotonic() + 3600 * (folder / "late").exists()

supervisor.time = Clock
roles = {"good": good, "dying": dying, "raising": raising, "deaf": deaf}
sys.exit(supervisor.Supervisor([supervisor.Role(name, roles[name]) for name in sys.argv[2].split(",")]).run())
"""


class Running(Supervised):
    """Roles by name, which write down their process ids."""

    def __init__(self, folder: Path, roles: str) -> None:
        super().__init__(PROGRAM, folder, roles)

    def pids(self, role: str) -> list[int]:
        """Every process that this role has had."""
        file = self.folder / f"{role}.pids"
        return [int(line) for line in file.read_text().split()] if file.exists() else []


Start = Callable[[str], Running]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    started: list[Running] = []

    def begin(roles: str) -> Running:
        started.append(Running(tmp_path, roles))
        return started[-1]

    yield begin
    for one in started:
        one.close()


def test_a_child_that_is_killed_is_started_again(start: Start) -> None:
    """kill -9, and a moment later there is another one; the log names both."""
    running = start("good")
    (first,) = house.eventually(lambda: running.pids("good"))
    os.kill(first, signal.SIGKILL)
    house.eventually(lambda: len(running.pids("good")) == 2)
    (died,) = running.facts("supervisor.died")
    assert (died["role"], died["child"], died["status"]) == ("good", first, -9)
    # The child may write its id before the supervisor, which goes on beside it, has written the line.
    house.eventually(lambda: [one["child"] for one in running.facts("supervisor.started")] == running.pids("good"))
    assert running.process.poll() is None


def test_a_child_that_dies_at_once_is_started_ever_more_slowly(start: Start) -> None:
    """0.2 s, 0.4 s, 0.8 s …: it must not burn a core, and its brother lives on."""
    running = start("dying,good")

    def starts() -> list[datetime]:
        found = [one for one in running.facts("supervisor.started") if one["role"] == "dying"]
        return [datetime.fromisoformat(one["timestamp"]) for one in found]

    house.eventually(lambda: len(starts()) >= 4)
    rests = [(after - before).total_seconds() for before, after in pairwise(starts())]
    assert all(rest > 0.19 * 2**number for number, rest in enumerate(rests)), rests
    assert {one["status"] for one in running.facts("supervisor.died")} == {3}
    house.eventually(lambda: running.pids("good"))
    assert [one["role"] for one in running.facts("supervisor.started")].count("good") == 1


def test_a_child_that_fails_is_told_of_and_started_again(start: Start) -> None:
    """The traceback is one log line; the exit code is 1."""
    running = start("raising")
    house.eventually(lambda: len(running.pids("raising")) == 2)
    assert "a fault" in running.facts("supervisor.child_failed")[0]["exception"]
    assert running.facts("supervisor.died")[0]["status"] == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_lets_children_drain(start: Start, number: signal.Signals) -> None:
    """They get the time to finish, and the exit code is 0."""
    running = start("good")
    (child,) = house.eventually(lambda: running.pids("good"))
    running.process.send_signal(number)
    assert running.process.wait(timeout=30) == 0
    assert (running.folder / "drained").exists()
    assert not house.running(child)


def test_a_child_that_does_not_stop_is_killed_in_the_end(start: Start) -> None:
    """After the patience has run out, with an exit code that says so; its brother had the time to drain."""
    running = start("deaf,good")
    (child,) = house.eventually(lambda: running.pids("deaf"))
    (brother,) = house.eventually(lambda: running.pids("good"))
    running.process.send_signal(signal.SIGTERM)
    house.eventually(lambda: [one["child"] for one in running.facts("supervisor.ended")] == [brother])
    (running.folder / "late").touch()
    assert running.process.wait(timeout=30) == 1
    house.eventually(lambda: not house.running(child))
    assert [one["child"] for one in running.facts("supervisor.killed")] == [child]
    assert (running.folder / "drained").exists()


def test_children_end_when_the_supervisor_is_killed(start: Start) -> None:
    """They see the end of its pipe: nothing is left behind holding a port."""
    running = start("good")
    (child,) = house.eventually(lambda: running.pids("good"))
    running.process.kill()
    running.process.wait()
    house.eventually(lambda: not house.running(child))
    assert (running.folder / "orphaned").exists()


def test_children_end_even_when_brothers_were_started_after_them(start: Start) -> None:
    """A brother must not hold the other end of the pipe open."""
    running = start("good,dying,good")
    children = house.eventually(lambda: len(found := running.pids("good")) == 2 and found)
    house.eventually(lambda: len(running.pids("dying")) >= 2)
    running.process.kill()
    running.process.wait()
    for child in children:
        house.eventually(lambda child=child: not house.running(child))


def test_a_stop_during_a_rest_ends_at_once(start: Start, tmp_path: Path) -> None:
    """A role that waits to be started again, by a clock that stands for ever, is waited for no more and not started."""
    (tmp_path / "still").touch()
    running = start("dying")
    house.eventually(lambda: running.facts("supervisor.died"))
    running.process.send_signal(signal.SIGTERM)
    assert running.process.wait(timeout=30) == 0
    assert len(running.facts("supervisor.started")) == 1


def test_a_stop_right_after_the_start_reaches_children_that_are_just_beginning(start: Start) -> None:
    """Whatever moment the signal hits, all children hear of it: 0 says that none had to be killed."""
    for _ in range(10):
        running = start("good,good,good")
        house.eventually(lambda running=running: running.facts("supervisor.started"))
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(timeout=30) == 0
