"""Logs are facts: one event name and its fields a line, as JSON or as text for a person. Never a payload, never a secret."""

import logging
import sys
from typing import TextIO, cast

import structlog


def configure(style: str) -> None:
    """``json`` or ``console``, to standard error."""
    shape: structlog.typing.Processor = (
        structlog.processors.JSONRenderer(ensure_ascii=False)
        if style == "json"
        else structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info if style == "json" else _unchanged,
            shape,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        # In one write, its end included: several processes share the file, and unbuffered each write is one of the system's.
        logger_factory=structlog.WriteLoggerFactory(cast(TextIO, _Stderr())),
        cache_logger_on_first_use=True,
    )


class _Stderr:
    """Standard error as it is now. A line that it cannot take is lost: a log on a full disk must not end what it tells of."""

    def write(self, text: str) -> None:
        try:
            sys.stderr.write(text)
        except OSError:
            return

    def flush(self) -> None:
        try:
            sys.stderr.flush()
        except OSError:
            return


def _unchanged(
    _logger: structlog.typing.WrappedLogger, _name: str, facts: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    return facts
