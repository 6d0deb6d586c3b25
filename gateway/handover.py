"""Takes up the config anew without an outage: new doors beside the old ones, then the worker, each process handing over to its successor.

The order is what keeps every entry readable: new doors are loaded and wait; the old worker ends, because it does not know the new accounts; then the
new doors begin while the old ones step aside, and a new worker starts, which still knows the accounts that are gone. Until the old worker is told to
end, everything can be taken back, and nothing that runs has noticed.
"""

import os
import signal
from collections.abc import Callable, Sequence

import msgspec
import structlog

from gateway.clock import Clock
from gateway.errors import GatewayError
from gateway.reload import LIVE, REFUSED, STEPS, Changes, Reloads, Report
from gateway.supervisor import Child, Post, Role, Supervisor

_log = structlog.get_logger()
_, CHECKING, STARTING, HANDING_OVER = STEPS
STEP_ASIDE = signal.SIGUSR1
"""What tells a door to leave without haste: its successor is there."""

# Seconds. Whoever is still there after the last two is killed: what it acknowledged is durable.
_CHECK, _START, _WORKER, _DOORS = 60.0, 90.0, 10.0, 25.0
_DEATHS = 3


class Fault(msgspec.Struct, frozen=True):
    """Why a config is not taken up."""

    reason: str
    place: str = ""
    remedy: str = ""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What to take up. ``check`` raises GatewayError for what cannot run; it is called in a process of its own. Exactly one of ``adopt`` and
    ``abandon`` is called, when the new doors begin or when all is taken back."""

    changes: Changes
    doors: Sequence[Role]
    worker: Role
    check: Callable[[], None]
    adopt: Callable[[], None]
    abandon: Callable[[], None]


class Handover:
    """Attends to a supervisor. ``draw`` reads the config and makes the plan; GatewayError says why there is none. ``close`` lets go of what only
    new processes need."""

    def __init__(self, reloads: Reloads, *, draw: Callable[[], Plan], close: Callable[[], None], clock: Clock) -> None:
        self._reloads = reloads
        self._draw = draw
        self._close = close
        self._clock = clock
        self._report: Report | None = None
        self._plan: Plan | None = None
        self._next: Callable[[Supervisor], None] = self._look
        self._deadline = 0.0
        self._checker: Child | None = None
        self._verdict = self._ready = self._gate = (-1, -1)
        self._post: Post | None = None
        self._said = ""
        self._worker: Child | None = None
        self._old: list[Child] = []

    @property
    def busy(self) -> bool:
        """Whether a reload is under way."""
        return self._plan is not None

    def step(self, supervisor: Supervisor) -> None:
        """See ``supervisor.Attend``."""
        self._next(supervisor)

    def close(self) -> None:
        """See ``supervisor.Attend``."""
        self._close()
        if self._report is not None and not self._report.over:
            self._tell(state=REFUSED, reason="the gateway was stopped meanwhile", ended=self._clock.now())

    # ------------------------------------------------------------------ checking
    def _look(self, supervisor: Supervisor) -> None:
        wishes = self._reloads.take()
        if not (supervisor.asked() or wishes):
            return
        self._report = Report(wishes=wishes, state=CHECKING, began=self._clock.now())
        self._tell()
        _log.info("reload.began", wishes=len(wishes))
        try:
            self._plan = self._draw()
        except GatewayError as error:
            self._refuse(fault_of(error))
            return
        self._tell(changes=self._plan.changes)
        self._verdict = os.pipe()
        self._checker = supervisor.start(Role("check", self._check))
        self._checker.leaving = True
        self._await(self._checked, _CHECK)

    def _check(self, _post: Post) -> int:
        """In the checker's process."""
        assert self._plan is not None
        try:
            self._plan.check()
        except GatewayError as error:
            os.write(self._verdict[1], msgspec.json.encode(fault_of(error)))
            return 1
        return 0

    def _checked(self, supervisor: Supervisor) -> None:
        assert self._checker is not None
        if supervisor.runs(self._checker):
            if self._late():
                supervisor.send(self._checker, signal.SIGKILL)
                self._refuse(Fault(f"the check took more than {_CHECK:.0f} s"))
            return
        if self._checker.status == 0:
            self._begin_doors(supervisor)
            return
        said = _read(self._verdict[0])
        unsaid = Fault("the check ended by a fault of the gateway", remedy="the log tells more")
        self._refuse(msgspec.json.decode(said, type=Fault) if said else unsaid)

    # ------------------------------------------------------------------ starting
    def _begin_doors(self, supervisor: Supervisor) -> None:
        assert self._plan is not None
        self._tell(state=STARTING)
        self._ready, self._gate = os.pipe(), os.pipe()
        self._said = ""
        self._post = supervisor.post(self._ready[1], self._gate[0])
        for role in self._plan.doors:
            supervisor.start(role, self._post)
        self._await(self._started, _START)

    def _new(self, supervisor: Supervisor) -> list[Child]:
        return [one for one in supervisor.present() if one.post is self._post]

    def _started(self, supervisor: Supervisor) -> None:
        assert self._plan is not None
        self._said += _read(self._ready[0]).decode()
        ready = {int(line) for line in self._said.split()}
        doors = self._new(supervisor)
        if all(supervisor.runs(one) and one.pid in ready for one in doors) and len(doors) == len(self._plan.doors):
            self._end_worker(supervisor)
        elif self._late() or any(one.deaths >= _DEATHS for one in doors):
            for one in doors:
                supervisor.send(one, signal.SIGTERM)
            self._refuse(Fault("the new processes did not start", remedy="the log tells why"))

    # ------------------------------------------------------------------ handing over
    def _end_worker(self, supervisor: Supervisor) -> None:
        assert self._plan is not None
        self._tell(state=HANDING_OVER)
        workers = [one for one in supervisor.present() if one.role.name == self._plan.worker.name and not one.leaving]
        self._worker = next(iter(workers), None)
        if self._worker is not None:
            supervisor.send(self._worker, signal.SIGTERM)
        self._await(self._worker_ended, _WORKER)

    def _worker_ended(self, supervisor: Supervisor) -> None:
        assert self._plan is not None
        if self._worker is not None and supervisor.runs(self._worker):
            if self._late():
                supervisor.send(self._worker, signal.SIGKILL)
            return
        self._old = [one for one in supervisor.present() if one.post is not self._post and not one.leaving]
        # Nobody reads it: it stays, for everybody to see.
        os.write(self._gate[1], b".")
        for one in self._old:
            supervisor.send(one, STEP_ASIDE)
        self._plan.adopt()
        self._worker = supervisor.start(self._plan.worker, supervisor.post(self._ready[1]))
        self._await(self._worker_started, _START)

    def _worker_started(self, supervisor: Supervisor) -> None:
        self._said += _read(self._ready[0]).decode()
        workers = [one for one in supervisor.present() if one.role.name == "worker"]
        if not self._late() and not any(str(one.pid) in self._said.split() for one in workers):
            return
        # Whoever dies from now on is started again like anybody else, with nobody to wait for.
        for one in [*self._new(supervisor), *workers]:
            one.post = supervisor.post()
        self._await(self._left, _DOORS)

    def _left(self, supervisor: Supervisor) -> None:
        there = [one for one in self._old if supervisor.runs(one)]
        if there and not self._late():
            return
        for one in there:
            _log.error("supervisor.killed", child=one.pid)
            supervisor.send(one, signal.SIGKILL)
        # Not before: who keeps a connection to an old door is answered by the old config.
        self._tell(state=LIVE, ended=self._clock.now())
        assert self._report is not None
        _log.info("reload.live", **msgspec.structs.asdict(self._report.changes))
        self._rest()

    # ------------------------------------------------------------------ shared
    def _await(self, step: Callable[[Supervisor], None], seconds: float) -> None:
        self._next = step
        self._deadline = self._clock.monotonic() + seconds

    def _late(self) -> bool:
        return self._clock.monotonic() > self._deadline

    def _refuse(self, fault: Fault) -> None:
        if self._plan is not None:
            self._plan.abandon()
        self._tell(state=REFUSED, ended=self._clock.now(), **msgspec.structs.asdict(fault))
        _log.error("reload.refused", reason=fault.reason, place=fault.place, remedy=fault.remedy)
        self._rest()

    def _rest(self) -> None:
        for descriptor in (*self._verdict, *self._ready, *self._gate):
            if descriptor >= 0:
                os.close(descriptor)
        self._verdict = self._ready = self._gate = (-1, -1)
        self._plan = self._post = self._checker = self._worker = None
        self._old = []
        self._next = self._look

    def _tell(self, **changes: object) -> None:
        assert self._report is not None
        self._report = msgspec.structs.replace(self._report, **changes)
        try:
            self._reloads.tell(self._report)
        except OSError as error:
            # A full disk must not end the supervisor.
            _log.error("reload.untold", detail=str(error))


def fault_of(error: GatewayError) -> Fault:
    """What is told of it."""
    return Fault(error.detail[:4000], error.place[:1000], error.remedy[:1000])


def _read(descriptor: int) -> bytes:
    """What is there now."""
    os.set_blocking(descriptor, False)
    try:
        return os.read(descriptor, 65_536)
    except BlockingIOError:
        return b""
