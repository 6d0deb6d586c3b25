"""Processes to measure: the gateway as a user starts it, and the servers of ``targets``. Each is ended by its own pid."""

import contextlib
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import msgspec

from bench import made

_ROOT = Path(__file__).parent.parent
_TICK = os.sysconf("SC_CLK_TCK")
_PATIENCE = 30.0


def free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def folder() -> Iterator[Path]:
    """A folder on the disk that TMPDIR names, removed afterwards."""
    path = Path(tempfile.mkdtemp(prefix="scrm-bench-"))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def config(data: Path, *, port: int = 8000, mllp: int = 0, sinks: tuple[str, ...] = (), events: str = "order.*") -> str:
    """A gateway with one signed feed of orders, one hospital when ``mllp`` is a port, and an endpoint per address of ``sinks``."""
    lines = [
        "[gateway]", f'data_dir = "{data}"', 'log = "json"', "[http]", f"port = {port}",
        "[accounts.feed]", 'connector = "feed"', 'mapping = "feed/order"', f'secret = "{made.SECRET}"',
    ]  # fmt: skip
    if mllp:
        lines += ["[accounts.his]", 'connector = "hl7"', f'listen = "127.0.0.1:{mllp}"']
    for number, sink in enumerate(sinks):
        lines += [
            f"[endpoints.sink{number}]", f'url = "{sink}"', f'secret = "{made.HOOK_SECRET}"', f'events = ["{events}"]',
            "allow_private = true",
        ]  # fmt: skip
    return "\n".join(lines) + "\n"


class Gateway:
    """A running ``gateway serve``."""

    def __init__(self, process: "subprocess.Popen[bytes]", log: Path, port: int) -> None:
        self.process = process
        self.port = port
        self._log = log

    def pids(self) -> dict[str, int]:
        """The newest process of each role."""
        found = {"supervisor": self.process.pid}
        for line in self._log.read_bytes().splitlines():
            if b"supervisor.started" in line:
                said = msgspec.json.decode(line)
                found[said["role"]] = said["child"]
        return found

    def pause(self, role: str) -> None:
        """Stop a process, so that it does not compete for the cores."""
        os.kill(self._pid(role), signal.SIGSTOP)

    def resume(self, role: str) -> None:
        """Let it go on."""
        os.kill(self._pid(role), signal.SIGCONT)

    @contextlib.contextmanager
    def without(self, role: str) -> Iterator[None]:
        """Paused inside."""
        self.pause(role)
        try:
            yield
        finally:
            self.resume(role)

    def settle(self) -> None:
        """Return when every part of it has come up and says that it is well: what a start costs is measured by ``start``."""
        until = time.monotonic() + _PATIENCE
        while time.monotonic() < until:
            with (
                contextlib.suppress(OSError),
                urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health/ready") as answer,
            ):
                if answer.status == 200:
                    return
            time.sleep(0.05)
        raise RuntimeError(f"it is not well; the gateway said: {self.last_words()}")

    def cpu(self, role: str) -> float:
        """Seconds of processor a role has used so far."""
        return cpu(self._pid(role))

    def _pid(self, role: str) -> int:
        # A door listens before the worker is there.
        until = time.monotonic() + _PATIENCE
        while (found := self.pids().get(role)) is None and time.monotonic() < until:
            time.sleep(0.01)
        if found is None:
            raise RuntimeError(f"no {role} was started; the gateway said: {self.last_words()}")
        return found

    def last_words(self) -> str:
        """The end of its log."""
        return self._log.read_text(encoding="utf-8", errors="replace")[-2000:]


def start(data: Path, text: str) -> Gateway:
    """Start the gateway on a config; returns at once."""
    data.mkdir(parents=True, exist_ok=True)
    file = data / "config.toml"
    file.write_text(text, encoding="utf-8")
    port = int(text.partition("port = ")[2].partition("\n")[0])
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GATEWAY_")}
    log = data / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "gateway", "serve", "--config", str(file)],
            cwd=_ROOT, env=environment, stdout=out, stderr=out, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    return Gateway(process, log, port)


def stop(house: Gateway) -> None:
    """Drain it; what does not end is killed."""
    children = [pid for role, pid in house.pids().items() if role != "supervisor"]
    end(house.process)
    for pid in children:
        # A child drains by itself when its supervisor is gone; a paused one would not.
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


@contextlib.contextmanager
def gateway(text: str, data: Path) -> Iterator[Gateway]:
    """A gateway that answers, until the end of the block."""
    house = start(data, text)
    try:
        try:
            until_open(house.port, house.process)
        except RuntimeError as error:
            raise RuntimeError(f"{error}; it said: {house.last_words()}") from error
        yield house
    finally:
        stop(house)


@contextlib.contextmanager
def target(kind: str) -> Iterator[tuple[int, int]]:
    """A server of ``targets``: its port and its pid."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.targets", kind, str(port)], cwd=_ROOT, stdin=subprocess.DEVNULL
    )
    try:
        until_open(port, process)
        yield port, process.pid
    finally:
        end(process)


def until_open(port: int, process: "subprocess.Popen[bytes]") -> None:
    """Return when somebody listens."""
    until = time.monotonic() + _PATIENCE
    while process.poll() is None and time.monotonic() < until:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.01)
    raise RuntimeError(f"nobody listens on {port}; exit code {process.poll()}")


def end(process: "subprocess.Popen[bytes]") -> None:
    """SIGTERM, then SIGKILL."""
    process.terminate()
    try:
        process.wait(15)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def cpu(pid: int) -> float:
    """Seconds of processor a process has used so far, in steps of a tick (10 ms)."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICK


def disk(place: Path) -> float:
    """Milliseconds in which 16 KiB more of a file are durable there: the median of fifty times."""
    took = []
    with (place / "disk").open("wb", buffering=0) as file:
        for _ in range(50):
            began = time.perf_counter()
            file.write(bytes(16 << 10))
            os.fdatasync(file.fileno())
            took.append(time.perf_counter() - began)
    return 1000 * statistics.median(took)


def resident(pid: int) -> tuple[float, float]:
    """MiB of one process: PSS, which shares out what several map, and RSS, which counts it for each."""
    found = {"Pss:": 0.0, "Rss:": 0.0}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="utf-8").splitlines():
        name, _, rest = line.partition(" ")
        if name in found:
            found[name] = int(rest.split()[0]) / 1024
    return found["Pss:"], found["Rss:"]
