"""The gateway's commands, each in a process of its own that is forked from one which has loaded them all: loading takes a second, forking nothing."""

import atexit
import functools
import importlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

import msgspec

from gateway import cli

_ROOT = Path(__file__).resolve().parents[2]
_LONGEST = 1 << 17


class _Request(msgspec.Struct, frozen=True):
    words: list[str]
    environ: dict[str, str]


class Commands:
    """Runs them, one or several at a time."""

    def __init__(self) -> None:
        self._line, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            # Their far end is all it has: when we end, however that is, it ends.
            self._process = subprocess.Popen(
                [sys.executable, "-m", __name__], cwd=_ROOT, stdin=theirs, stdout=subprocess.DEVNULL
            )

    def run(
        self, words: Sequence[str], *, environ: Mapping[str, str], typed: bytes = b"", timeout: float = 60.0
    ) -> subprocess.CompletedProcess[bytes]:
        """``gateway`` with these words, in the repository's folder; ``typed`` is what it reads. The exit code is -1 when it ended without one.
        TimeoutExpired after ``timeout`` seconds, when it has been killed."""
        with tempfile.TemporaryFile() as keys, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            os.pwrite(keys.fileno(), typed, 0)
            ours, theirs = socket.socketpair()
            with ours:
                with theirs:
                    request = msgspec.json.encode(_Request(list(words), dict(environ)))
                    ends = [one.fileno() for one in (theirs, keys, out, err)]
                    socket.send_fds(self._line, [request], ends)
                code = _code(ours, words, timeout)
            return subprocess.CompletedProcess(words, code, _content(out.fileno()), _content(err.fileno()))

    def close(self) -> None:
        self._line.close()
        self._process.wait()


@functools.cache
def commands() -> Commands:
    """One for all tests of this process."""
    one = Commands()
    atexit.register(one.close)
    return one


def _code(line: socket.socket, words: Sequence[str], timeout: float) -> int:
    """First it says its process id, in the end its exit code."""
    line.settimeout(timeout)
    said = b""
    try:
        while part := line.recv(64):
            said += part
    except TimeoutError:
        if said:
            os.kill(int(said), signal.SIGKILL)
        raise subprocess.TimeoutExpired(list(words), timeout) from None
    code = said.split()[1:]
    return int(code[0]) if code else -1


def _content(descriptor: int) -> bytes:
    return os.pread(descriptor, os.fstat(descriptor).st_size, 0)


# ---------------------------------------------------------------------- the process that has loaded them
def _serve(line: socket.socket) -> None:
    for place, _ in cli.COMMANDS.values():
        _ = importlib.import_module(f"gateway.commands.{place.partition(':')[0]}")
    # Nobody waits for those who ended.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        request, descriptors, _, _ = socket.recv_fds(line, _LONGEST, 4)
        if not request:
            return
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            line.close()
            _run(msgspec.json.decode(request, type=_Request), *descriptors)
        for one in descriptors:
            os.close(one)


def _run(request: _Request, told: int, *streams: int) -> NoReturn:
    os.write(told, b"%d\n" % os.getpid())
    for descriptor, stream in enumerate(streams):
        os.dup2(stream, descriptor)
    os.environ.clear()
    os.environ.update(request.environ)
    sys.argv = ["gateway", *request.words]
    code: object = 1
    try:
        cli.main()
    except SystemExit as ended:
        code = ended.code
    # As the interpreter does it: a command that fails may be what a test is about.
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os.write(told, b"%d\n" % (code if isinstance(code, int) else 1))
    os._exit(0)


if __name__ == "__main__":
    with socket.socket(fileno=os.dup(0)) as _line:
        _serve(_line)
