"""The handover with real forks and no gateway: what cannot start is taken back, and never two workers at once."""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.house import eventually, running
from tests.unit.supervised import Supervised

# A door waits for its gate, steps aside on SIGUSR1 and drains on SIGTERM; `deeds` says what the next generation does.
PROGRAM = """
import os, select, signal, sys, time
from pathlib import Path
from gateway import handover, logs
from gateway.clock import SystemClock
from gateway.errors import ConfigError
from gateway.handover import Handover, Plan
from gateway.reload import Changes, Reloads
from gateway.supervisor import Role, Supervisor

folder = Path(sys.argv[1])
logs.configure("json")
handover._START = 30.0

def said(what):
    with (folder / "said").open("a") as file:
        file.write(f"{what} {os.getpid()}\\n")

def living(name, generation, slow=0.0):
    def run(post):
        stop = []
        for number in (signal.SIGTERM, signal.SIGUSR1):
            signal.signal(number, lambda *_: stop.append(1))
        if post.ready is not None:
            os.write(post.ready, f"{os.getpid()}\\n".encode())
        while post.gate is not None and not stop and not select.select([post.gate], [], [], 0.02)[0]:
            pass
        said(f"{name}-{generation}-begins")
        while not stop and not select.select([post.life], [], [], 0.02)[0]:
            pass
        time.sleep(slow)
        said(f"{name}-{generation}-ends")
        return 0
    return Role(name, run)

def dying(post):
    said("dies")
    return 3

def faulty():
    raise ConfigError("it cannot be opened", place="accounts.x")

generation = [1]

def draw():
    deed = (folder / "deed").read_text()
    if deed == "unreadable":
        raise ConfigError("it is no TOML", place="config.toml")
    number = generation[0] + 1
    doors = [living("door-0", number), Role("door-1", dying)] if deed == "dying" else [living("door-0", number)]
    return Plan(
        changes=Changes(added=("x",)), doors=doors, worker=living("worker", number, 0.3), check=faulty if deed == "faulty" else lambda: None,
        adopt=lambda: generation.__setitem__(0, number), abandon=lambda: said("abandoned"),
    )

reloads = Reloads(folder)
reloads.hold()
attend = Handover(reloads, draw=draw, close=lambda: said("closed"), clock=SystemClock())
sys.exit(Supervisor([living("door-0", 1), living("worker", 1, 0.3)], attend).run())
"""


class Running(Supervised):
    """A generation of one door and the worker, which write down what they do."""

    def __init__(self, folder: Path) -> None:
        super().__init__(PROGRAM, folder)
        eventually(lambda: {"door-0-1-begins", "worker-1-begins"} <= set(self.said()))

    def lines(self) -> list[list[str]]:
        file = self.folder / "said"
        return [line.split() for line in file.read_text().splitlines()] if file.exists() else []

    def said(self) -> list[str]:
        """What processes said, in order."""
        return [line[0] for line in self.lines()]

    def reload(self, deed: str) -> dict[str, Any]:
        """Ask by signal, and wait for the end of it."""
        (self.folder / "deed").write_text(deed)
        before = self.reports()
        self.process.send_signal(signal.SIGHUP)
        found = eventually(
            lambda: [one for one in self.reports()[:1] if one["ended"] and one not in before], within=60.0
        )
        return dict(found[0])

    def reports(self) -> list[dict[str, Any]]:
        file = self.folder / "run" / "reload" / "reports.json"
        found: list[dict[str, Any]] = json.loads(file.read_bytes()) if file.exists() else []
        return found


@pytest.fixture
def one(tmp_path: Path) -> Iterator[Running]:
    started = Running(tmp_path)
    yield started
    started.close()


def test_what_cannot_be_read_opened_or_started_is_taken_back(one: Running) -> None:
    """Each says why; the first generation notices nothing, and the next reload finds all as it was."""
    told = {deed: one.reload(deed) for deed in ("unreadable", "faulty", "dying")}

    assert {report["state"] for report in told.values()} == {"refused"}
    assert (told["unreadable"]["reason"], told["unreadable"]["place"]) == ("it is no TOML", "config.toml")
    assert (told["faulty"]["reason"], told["faulty"]["place"]) == ("it cannot be opened", "accounts.x")
    assert told["dying"]["reason"] == "the new processes did not start"
    assert one.said().count("abandoned") == 2
    assert not {"door-0-1-ends", "worker-1-ends", "worker-2-begins"} & set(one.said())
    assert one.reload("good")["state"] == "live"
    one.process.send_signal(signal.SIGTERM)
    assert one.process.wait(timeout=30) == 0
    assert not any(running(int(pid)) for _, pid in one.lines())


def test_a_worker_begins_after_the_one_before_has_ended_and_doors_before_it(one: Running) -> None:
    """The old worker ends, then new doors begin and old ones step aside, then the new worker begins."""
    assert one.reload("good")["state"] == "live"
    order = ["worker-1-ends", "door-0-2-begins", "worker-2-begins"]
    # The supervisor may tell of the end before those who began have written it down.
    eventually(lambda: set(order) <= set(one.said()))
    said = one.said()
    assert [name for name in said if name in order] in (order, [order[0], order[2], order[1]])
    assert said.index("worker-1-ends") < said.index("door-0-1-ends")

    killed = int(next(pid for name, pid in one.lines() if name == "door-0-2-begins"))
    os.kill(killed, signal.SIGKILL)
    eventually(
        lambda: one.said().count("door-0-2-begins") == 2, what="the new generation is started again, waiting for nobody"
    )
