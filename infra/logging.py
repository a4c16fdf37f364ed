"""Structured log lines: one JSON object each, with secrets taken out before they are written.

A line that cannot be written, since the disk is full, is lost: nothing fails for that.
"""

import logging
import os
import sys
from collections.abc import MutableMapping
from contextlib import suppress
from typing import Any, BinaryIO, cast

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

STANDARD_OUTPUT, STANDARD_ERROR = 1, 2

QUOTE_REQUESTS = ("aiohttp.server",)
"""Loggers whose errors quote what a client sent, which may be a key or a token."""

Logger = structlog.typing.FilteringBoundLogger

_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}


def configure_logging(level: str = "info") -> None:
    """Send every log line of this process to standard error, as JSON.

    Lines of libraries that use the standard logging module take the same way from warnings up.
    """
    lines = _Lines(STANDARD_ERROR)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.dict_tracebacks,
            redact,
            structlog.processors.JSONRenderer(default=str),
            _encoded,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=structlog.BytesLoggerFactory(cast(BinaryIO, lines)),
        cache_logger_on_first_use=True,
    )
    root = logging.getLogger()
    root.handlers[:] = [_Forward()]
    root.setLevel(logging.WARNING)


def get_logger(name: str, **context: Any) -> Logger:
    """A logger whose lines carry `component=name` and the context."""
    logger: Logger = structlog.get_logger(component=name, **context)
    return logger


def say(sentence: str) -> None:
    """Write a sentence to standard error, for people, if that can be done."""
    _Lines(STANDARD_ERROR).write(f"{sentence}\n".encode(errors="backslashreplace"))


def tell(text: str) -> None:
    """Write a text to standard output, for people, if that can be done."""
    if sys.stdout is not None:
        _Lines(STANDARD_OUTPUT).write(f"{text}\n".encode(errors="backslashreplace"))


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


def _encoded(_logger: object, _method: str, line: Any) -> bytes:
    return str(line).encode()


class _Lines:
    """Writes each line at once, so that a killed process leaves whole lines.

    Nothing is kept back, which Python would fail to write at the end and tell by another status.
    Of a line for which there is not enough room a piece may be left, alone on its line.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._is_torn = False

    def write(self, line: bytes) -> None:
        left = whole = b"\n" + line if self._is_torn else line
        with suppress(OSError):
            while left:
                left = left[os.write(self._descriptor, left) :]
        if len(left) < len(whole):
            self._is_torn = bool(left)

    def flush(self) -> None:
        pass


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
