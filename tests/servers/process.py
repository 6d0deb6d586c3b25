"""A server program of our own: started, paused, stopped."""

import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

# Tests that run beside these (`pytest -n`) draw from a part of their own: what was free when it was given may be listened on much later.
_WORKER = os.environ.get("PYTEST_XDIST_WORKER", "")
_PARTS = [range(start, start + 2000) for start in range(20_000, 28_000, 2000)]
_PORTS = _PARTS[int(_WORKER.removeprefix("gw")) % len(_PARTS)] if _WORKER else range(28_000, 32_000)
_given: set[int] = set()


def free_port() -> int:
    """A port nobody listens on, from below the range that the kernel gives away to others meanwhile. Never the same twice."""
    for _ in range(2000):
        port = random.choice(_PORTS)
        if port not in _given and _is_free(port):
            _given.add(port)
            return port
    raise RuntimeError(f"no port is free between {_PORTS[0]} and {_PORTS[-1]}")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def answers(port: int) -> bool:
    """Whether somebody listens there."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Program:
    """One command that listens on a port, and on ``also``; its output is kept in a file of its folder."""

    def __init__(
        self, command: Sequence[str], *, port: int, folder: Path, also: Sequence[int] = (), patience: float = 60.0
    ) -> None:
        self.command = command
        self.port = port
        self.also = also
        self.output = folder / f"{port}.log"
        self.patience = patience
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Return once it answers connections on all of them. RuntimeError with the end of its output when it does not."""
        with self.output.open("ab") as output:
            self._process = subprocess.Popen(self.command, stdout=output, stderr=subprocess.STDOUT)
        until = time.monotonic() + self.patience
        while time.monotonic() < until and self._process.poll() is None:
            if all(answers(port) for port in (self.port, *self.also)):
                return
            time.sleep(0.02)
        self.stop()
        raise RuntimeError(f"{self.command[0]} does not answer: {self.output.read_text(errors='replace')[-2000:]}")

    def pause(self) -> None:
        """Freeze it: connections are accepted by the kernel, and nothing is answered."""
        assert self._process
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """End a ``pause``; no harm without one."""
        if self.running:
            assert self._process
            self._process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """End it; no harm when it has ended."""
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(signal.SIGCONT)
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    @property
    def running(self) -> bool:
        """Whether it has been started and not ended."""
        return self._process is not None and self._process.poll() is None
