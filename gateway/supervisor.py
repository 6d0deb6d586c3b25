"""Keeps a set of processes running: starts them by fork, starts what dies again, and on SIGTERM lets all of them drain.

A child notices the supervisor's death by the end of a pipe and drains by itself, so that nothing is left behind holding a port.
"""

import os
import select
import signal
import sys
import time
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Protocol

import msgspec
import structlog

_log = structlog.get_logger()
_PATIENCE = 10.0
_LONGEST_REST = 30.0
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD, signal.SIGHUP)


class Post(msgspec.Struct, frozen=True):
    """What a process finds when it begins: descriptors. The end of ``life`` means that the supervisor is gone. One that is to take over from others
    writes its process id and a line feed to ``ready``, and begins when ``gate`` becomes readable, of which it reads nothing."""

    life: int
    ready: int | None = None
    gate: int | None = None


class Role(msgspec.Struct, frozen=True):
    """A process: its name and what it runs. ``run`` returns the exit code."""

    name: str
    run: Callable[[Post], int]


class Child(msgspec.Struct, eq=False):
    """A running role. ``rest`` is how long to wait before starting it again after a quick death; one that is ``leaving`` is not started again."""

    role: Role
    pid: int
    began: float
    post: Post
    rest: float = 0.0
    again: float | None = None
    leaving: bool = False
    deaths: int = 0
    status: int | None = None


class Supervisor:
    """See the module. One per process, in the main thread, before any other thread exists: it forks."""

    def __init__(self, roles: Sequence[Role], attend: "Attend | None" = None) -> None:
        self._roles = roles
        self._attend = attend
        self._children: dict[int, Child] = {}
        self._resting: list[Child] = []
        self._stopping = False
        self._asked = False
        # Whoever closes the terminal it was started from means it to end.
        self._terminal = _there(0)
        self._pipe = os.pipe()
        self._wake = os.pipe()

    def run(self) -> int:
        """Until SIGTERM or SIGINT. 0 when every child ended in time, 1 when one had to be killed."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        signal.signal(signal.SIGCHLD, self._nudge)
        signal.signal(signal.SIGHUP, self._ask)
        os.set_blocking(self._wake[0], False)
        os.set_blocking(self._wake[1], False)
        for role in self._roles:
            self.start(role)
        while not self._stopping:
            self._wait(0.05 if self._attend and self._attend.busy else 0.5)
            self._reap()
            self._restart()
            if self._attend:
                self._attend.step(self)
        if self._attend:
            self._attend.close()
        return self._drain()

    # ------------------------------------------------------------------ for whoever attends
    def asked(self) -> bool:
        """Whether SIGHUP came since the last question."""
        found, self._asked = self._asked, False
        return found

    def post(self, ready: int | None = None, gate: int | None = None) -> Post:
        """What a process is to find."""
        return Post(self._pipe[0], ready, gate)

    def present(self) -> list[Child]:
        """Everybody who runs, or rests before starting again."""
        return [*self._children.values(), *self._resting]

    def runs(self, child: Child) -> bool:
        """Whether it has not ended."""
        return child.pid in self._children

    def send(self, child: Child, number: signal.Signals) -> None:
        """A signal that it is to leave by: it is not started again."""
        child.leaving = True
        self._resting = [one for one in self._resting if one is not child]
        if self.runs(child):
            os.kill(child.pid, number)

    def start(self, role: Role, post: Post | None = None, *, rest: float = 0.0, deaths: int = 0) -> Child:
        """Fork a process for a role."""
        post = post or self.post()
        sys.stdout.flush()
        sys.stderr.flush()
        # A signal that hit the child while it still has our handlers would be lost on it: it waits until they are gone.
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        pid = os.fork()
        if pid == 0:
            self._become(role, post)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        child = self._children[pid] = Child(role, pid, time.monotonic(), post, rest, deaths=deaths)
        _log.info("supervisor.started", role=role.name, child=pid)
        return child

    def _become(self, role: Role, post: Post) -> None:
        """The child's side of the fork; never returns."""
        code = 1
        try:
            for number in _SIGNALS:
                signal.signal(number, signal.SIG_IGN if number == signal.SIGHUP else signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
            os.close(self._pipe[1])
            code = role.run(post)
        except KeyboardInterrupt:
            code = 0
        except BaseException:
            _log.exception("supervisor.child_failed", role=role.name)
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    def _reap(self) -> None:
        while self._children:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            child = self._children.pop(pid, None)
            if child is None:
                continue
            child.status = os.waitstatus_to_exitcode(status)
            lived = time.monotonic() - child.began
            # A role that dies at once would otherwise burn a core; one that lived is started at once.
            child.deaths += 1
            child.rest = 0.0 if lived > 10 else min(_LONGEST_REST, max(0.2, child.rest * 2))
            child.again = time.monotonic() + child.rest
            ended = self._stopping or child.leaving
            (_log.info if ended else _log.warning)(
                "supervisor.ended" if ended else "supervisor.died",
                role=child.role.name,
                child=pid,
                status=child.status,
                lived=round(lived, 1),
            )
            if not child.leaving:
                self._resting.append(child)

    def _restart(self) -> None:
        now = time.monotonic()
        due = [child for child in self._resting if child.again is not None and child.again <= now]
        self._resting = [child for child in self._resting if child not in due]
        for child in due:
            self.start(child.role, child.post, rest=child.rest, deaths=child.deaths)

    def _wait(self, seconds: float) -> None:
        if self._resting:
            soonest = min(child.again or 0.0 for child in self._resting)
            seconds = max(0.0, min(seconds, soonest - time.monotonic()))
        ready, _, _ = select.select([self._wake[0]], [], [], seconds)
        if ready:
            os.read(self._wake[0], 4096)

    def _stop(self, _number: int, _frame: FrameType | None) -> None:
        self._stopping = True
        self._nudge(0, None)

    def _ask(self, _number: int, _frame: FrameType | None) -> None:
        if self._terminal and not _there(0):
            self._stopping = True
        self._asked = True
        self._nudge(0, None)

    def _nudge(self, _number: int, _frame: FrameType | None) -> None:
        try:
            os.write(self._wake[1], b".")
        except BlockingIOError:
            return

    def _drain(self) -> int:
        for pid in self._children:
            os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + _PATIENCE
        self._resting = []
        while self._children and time.monotonic() < deadline:
            self._wait(0.1)
            self._reap()
        for pid in self._children:
            _log.error("supervisor.killed", child=pid)
            os.kill(pid, signal.SIGKILL)
        return 1 if self._children else 0


class Attend(Protocol):
    """Whoever looks after the supervisor's processes beside it: asked to go on after everything that happens, and twice a second."""

    @property
    def busy(self) -> bool:
        """Whether something is to be looked at soon."""
        ...

    def step(self, supervisor: Supervisor) -> None:
        """Do what can be done at once."""
        ...

    def close(self) -> None:
        """Everything ends: let go of what new processes would have needed."""
        ...


def _there(terminal: int) -> bool:
    try:
        os.tcgetpgrp(terminal)
    except OSError:
        return False
    return True
