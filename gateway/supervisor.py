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

import msgspec
import structlog

_log = structlog.get_logger()
_PATIENCE = 10.0
_LONGEST_REST = 30.0
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)


class Role(msgspec.Struct, frozen=True):
    """A process: its name and what it runs. ``run`` gets the read end of the supervisor's pipe and returns the exit code."""

    name: str
    run: Callable[[int], int]


class Child(msgspec.Struct):
    """A running role. ``rest`` is how long to wait before starting it again after a quick death."""

    role: Role
    pid: int
    began: float
    rest: float = 0.0
    again: float | None = None


class Supervisor:
    """See the module. One per process, in the main thread, before any other thread exists: it forks."""

    def __init__(self, roles: Sequence[Role]) -> None:
        self._roles = roles
        self._children: dict[int, Child] = {}
        self._resting: list[Child] = []
        self._stopping = False
        self._pipe = os.pipe()
        self._wake = os.pipe()

    def run(self) -> int:
        """Until SIGTERM or SIGINT. 0 when every child ended in time, 1 when one had to be killed."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        signal.signal(signal.SIGCHLD, self._nudge)
        os.set_blocking(self._wake[0], False)
        os.set_blocking(self._wake[1], False)
        for role in self._roles:
            self._start(role, 0.0)
        while not self._stopping:
            self._wait(1.0)
            self._reap()
            self._restart()
        return self._drain()

    def _start(self, role: Role, rest: float) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        # A signal that hit the child while it still has our handlers would be lost on it: it waits until they are gone.
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        pid = os.fork()
        if pid == 0:
            self._become(role)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        self._children[pid] = Child(role, pid, time.monotonic(), rest)
        _log.info("supervisor.started", role=role.name, child=pid)

    def _become(self, role: Role) -> None:
        """The child's side of the fork; never returns."""
        code = 1
        try:
            for number in _SIGNALS:
                signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
            os.close(self._pipe[1])
            code = role.run(self._pipe[0])
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
            lived = time.monotonic() - child.began
            # A role that dies at once would otherwise burn a core; one that lived is started at once.
            child.rest = 0.0 if lived > 10 else min(_LONGEST_REST, max(0.2, child.rest * 2))
            child.again = time.monotonic() + child.rest
            (_log.info if self._stopping else _log.warning)(
                "supervisor.ended" if self._stopping else "supervisor.died",
                role=child.role.name,
                child=pid,
                status=os.waitstatus_to_exitcode(status),
                lived=round(lived, 1),
            )
            self._resting.append(child)

    def _restart(self) -> None:
        now = time.monotonic()
        due = [child for child in self._resting if child.again is not None and child.again <= now]
        self._resting = [child for child in self._resting if child not in due]
        for child in due:
            self._start(child.role, child.rest)

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
