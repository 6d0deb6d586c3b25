"""How a running gateway is asked to take up its config anew, and how it answers: small files under ``data_dir/run/reload``.

A wish is a file that the supervisor finds within a second and takes away; no process id is needed, so that it works from another container and
cannot reach a stranger. Wishes that come while one is being carried out are carried out together after it. ``SIGHUP`` is a wish without a file.
"""

import fcntl
import os
from collections.abc import Sequence
from pathlib import Path
from typing import IO

import msgspec

from gateway import durable
from gateway.clock import new_id
from gateway.errors import GatewayError, Verdict

LIVE, REFUSED = "live", "refused"
STEPS = ("waiting", "checking", "starting", "handing_over")
"""What a reload goes through before it is ``live``; from the second and third it may become ``refused``."""

_REMEMBERED = 20


class NotRunning(GatewayError):
    """Nobody is there to be asked."""

    code = "reload.not_running"
    verdict = Verdict.LATER


class Changes(msgspec.Struct, frozen=True, kw_only=True):
    """What a reload brings: accounts by name, mappings as ``connector/stem``, and other sections of the config that differ."""

    added: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    mappings: tuple[str, ...] = ()
    sections: tuple[str, ...] = ()


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """One reload. ``state`` is one of STEPS, LIVE or REFUSED; ``reason``, ``place`` and ``remedy`` say why it was refused. Instants in microseconds."""

    wishes: tuple[str, ...]
    state: str
    began: int
    ended: int | None = None
    changes: Changes = Changes()
    reason: str = ""
    place: str = ""
    remedy: str = ""

    @property
    def over(self) -> bool:
        """Whether nothing more comes of it."""
        return self.state in (LIVE, REFUSED)


class Reloads:
    """The files. One process, the supervisor, holds them by ``hold`` and answers; everybody else asks and looks."""

    def __init__(self, data_dir: Path) -> None:
        self._folder = data_dir / "run" / "reload"
        self._lock: IO[bytes] | None = None

    # ------------------------------------------------------------------ asking
    def running(self) -> bool:
        """Whether a supervisor holds this folder."""
        try:
            with (self._folder / "lock").open("r+b") as lock:
                fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except (BlockingIOError, PermissionError):
            return True
        return False

    def wish(self, now: int) -> str:
        """Ask for a reload: the wish's id, by which ``report`` finds what became of it. NotRunning when there is nobody to ask."""
        if not self.running():
            raise NotRunning("no gateway runs on this data_dir", remedy="gateway serve: a start reads everything anew")
        name = new_id("rld", now)
        durable.put(self._folder / "wishes" / name, b"")
        return name

    def report(self, wish: str, now: int) -> Report:
        """What became of a wish so far; NotRunning when the supervisor has ended with it."""
        for one in self.reports():
            if wish in one.wishes:
                return one
        if not self.running():
            raise NotRunning("the gateway has ended meanwhile", remedy="gateway serve: a start reads everything anew")
        return Report(wishes=(wish,), state=STEPS[0], began=now)

    def since(self) -> int:
        """When the supervisor that holds this folder, or the last that did, began (microseconds); 0 when there was none."""
        try:
            return (self._folder / "lock").stat().st_mtime_ns // 1000
        except FileNotFoundError:
            return 0

    def reports(self) -> Sequence[Report]:
        """The latest reloads since the start, the latest first."""
        try:
            return msgspec.json.decode((self._folder / "reports.json").read_bytes(), type=tuple[Report, ...])
        except (OSError, msgspec.DecodeError):
            return ()

    # ------------------------------------------------------------------ answering
    def hold(self) -> bool:
        """Be the one who answers, until this process ends; what was wished or said before is forgotten. False when somebody else is."""
        (self._folder / "wishes").mkdir(parents=True, exist_ok=True)
        # Kept open for life: a lock of this kind is not handed on by fork, and ends with the process however that ends.
        self._lock = (self._folder / "lock").open("a+b")
        try:
            fcntl.lockf(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.let_go()
            return False
        os.utime(self._lock.fileno())
        _ = self.take()
        self._write(())
        return True

    def let_go(self) -> None:
        """Answer no more."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def take(self) -> tuple[str, ...]:
        """All wishes there are; they are nobody else's from now on. None while somebody else answers."""
        if self._lock is None:
            return ()
        try:
            names = sorted(one.name for one in (self._folder / "wishes").iterdir() if not one.name.startswith("."))
        except FileNotFoundError:
            return ()
        for name in names:
            (self._folder / "wishes" / name).unlink(missing_ok=True)
        return tuple(names)

    def tell(self, report: Report) -> None:
        """Say how a reload is; it replaces what was said of it before. Nothing while somebody else answers."""
        if self._lock is None:
            return
        others = [one for one in self.reports() if one.began != report.began]
        self._write([report, *others][:_REMEMBERED])

    def _write(self, reports: Sequence[Report]) -> None:
        durable.put(self._folder / "reports.json", msgspec.json.encode(reports))
