"""A supervisor in a process of its own, with real forks and roles that a test writes."""

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).resolve().parents[2]


class Supervised:
    """The processes of one program, which is given ``folder`` and what else it asks for; its log is theirs all."""

    def __init__(self, program: str, folder: Path, *more: str) -> None:
        self.folder = folder
        self._log = (folder / "log").open("wb")
        command = [sys.executable, "-c", program, str(folder), *more]
        self.process = subprocess.Popen(
            command, cwd=_ROOT, stderr=self._log, stdin=subprocess.DEVNULL, start_new_session=True
        )

    def facts(self, event: str) -> list[dict[str, Any]]:
        """Log lines of one name."""
        # What stands behind the last line feed is still being written.
        whole, _, _ = (self.folder / "log").read_bytes().rpartition(b"\n")
        lines = [json.loads(line) for line in whole.splitlines()]
        return [line for line in lines if line["event"] == event]

    def close(self) -> None:
        """End what is left of it."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self._log.close()
