"""Files that are there whole or not at all, and still there after a power cut."""

import os
import tempfile
from pathlib import Path


def put(path: Path, content: bytes) -> None:
    """Make or replace a file that its owner alone may read (0600). Durable when this returns; a crash leaves the old one or the new one. OSError
    leaves the old one."""
    # mkstemp gives 0600 from the first byte on.
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    sync(path.parent)


def sync(folder: Path) -> None:
    """Make durable which names a folder has: a power cut could otherwise take a renaming or a removal back."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
