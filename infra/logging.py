"""Structured log lines: one JSON object each, with secrets taken out before they are written."""

import logging
import sys
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any, TextIO

import structlog

REDACTED = "[redacted]"
SECRET_WORDS = (
    "secret",
    "signature",
    "token",
    "password",
    "apikey",
    "api_key",
    "api-key",
    "mbx-apikey",
    "authorization",
    "private_key",
    "privatekey",
    "passphrase",
    "cookie",
)

QUOTE_REQUESTS = ("aiohttp.server",)
"""Loggers whose errors quote what a client sent, which may be a key or a token."""

Logger = structlog.typing.FilteringBoundLogger

_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}


def configure_logging(level: str = "info", path: Path | None = None) -> None:
    """Send every log line of this process to `path`, or to standard error, as JSON.

    Lines of libraries that use the standard logging module take the same way from warnings up.
    """
    stream = _stream(path)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.dict_tracebacks,
            redact,
            structlog.processors.JSONRenderer(default=str),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=structlog.WriteLoggerFactory(stream),
        cache_logger_on_first_use=True,
    )
    root = logging.getLogger()
    root.handlers[:] = [_Forward()]
    root.setLevel(logging.WARNING)


def get_logger(name: str, **context: Any) -> Logger:
    """A logger whose lines carry `component=name` and the context."""
    logger: Logger = structlog.get_logger(component=name, **context)
    return logger


def redact(_logger: object, _method: str, event: MutableMapping[str, Any]) -> Any:
    """A structlog processor: values under a secret's name are replaced, at any depth."""
    return {name: _redacted(name, value) for name, value in event.items()}


def _redacted(name: object, value: Any) -> Any:
    if any(word in str(name).lower() for word in SECRET_WORDS):
        return REDACTED
    if isinstance(value, dict):
        return {key: _redacted(key, item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_redacted("", item) for item in value]
    if isinstance(value, bytes):
        return value.hex()
    return value


def _stream(path: Path | None) -> TextIO:
    if path is None:
        return sys.stderr
    path.parent.mkdir(parents=True, exist_ok=True)
    # Line buffered, so that a killed process leaves whole lines.
    return path.open("a", buffering=1)


class _Forward(logging.Handler):
    """Hands the lines of the standard logging module to structlog."""

    def emit(self, record: logging.LogRecord) -> None:
        logger = structlog.get_logger(component=record.name)
        trouble: dict[str, Any] = {}
        if record.exc_info and record.name in QUOTE_REQUESTS:
            trouble["error"] = getattr(record.exc_info[0], "__name__", "")
        elif record.exc_info:
            trouble["exc_info"] = record.exc_info
        logger.log(record.levelno, record.getMessage(), **trouble)
