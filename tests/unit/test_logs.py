"""What one process writes down stands whole among the lines of the others."""

import io

import pytest
import structlog

from gateway import logs


class Unbuffered(io.StringIO):
    """Standard error with PYTHONUNBUFFERED: whatever is written is handed to the system at once."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[str] = []

    def write(self, text: str) -> int:
        self.writes.append(text)
        return len(text)


@pytest.mark.parametrize("style", ["json", "console"])
def test_line_is_written_in_one_go_with_its_end(monkeypatch: pytest.MonkeyPatch, style: str) -> None:
    """Written apart from its end, it and another process's next one would share a line that no reader of logs understands."""
    error, before = Unbuffered(), structlog.get_config()
    monkeypatch.setattr("sys.stderr", error)
    logs.configure(style)
    try:
        log = structlog.get_logger()
        log.info("tests.said", number=1)
        log.warning("tests.said", number=2)
    finally:
        structlog.configure(**before)
    assert [text.count("\n") for text in error.writes] == [1, 1]
    assert all(text.endswith("\n") for text in error.writes)
