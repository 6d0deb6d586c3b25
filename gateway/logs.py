"""Logs are facts: one event name and its fields a line, as JSON or as text for a person. Never a payload, never a secret."""

import logging
import sys

import structlog


def configure(style: str) -> None:
    """``json`` or ``console``, to standard error."""
    shape: structlog.typing.Processor = (
        structlog.processors.JSONRenderer(ensure_ascii=False)
        if style == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback)
    )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info if style == "json" else _unchanged,
            shape,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )


def _unchanged(
    _logger: structlog.typing.WrappedLogger, _name: str, facts: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    return facts
