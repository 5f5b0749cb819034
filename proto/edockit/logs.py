"""The log of a program: one event a line on stderr, as JSON for machines or text for people.

Events are named in snake_case and carry fields; ids and digests belong there, subjects and names
of documents never do. Secrets are struck out by the name of their field and by their look, so
that a careless line leaks nothing.
"""

import logging
import re
import sys
from collections.abc import Mapping
from enum import Enum
from typing import Any

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

REDACTED = "[redacted]"
_SECRET_NAMES = re.compile(
    r"passw|passphrase|secret|token|private|join_string|(^|_)(key|pin)_?(pem|der|file_content)?$",
    re.IGNORECASE,
)
_SECRET_LOOKS = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(-----END [A-Z ]*PRIVATE KEY-----|\Z)"
    r"|\bedoc1:\S+"  # a join string holds a token
    r"|(?<=://)[^/@\s:]+:[^/@\s]+(?=@)",  # user and password of a URL
    re.DOTALL,
)


class LogFormat(Enum):
    """How a line looks."""

    JSON = "json"
    TEXT = "text"


def set_up_logs(log_format: LogFormat = LogFormat.TEXT, level: str = "INFO") -> None:
    """Sends the log of this program and of its libraries to stderr.

    Args:
        log_format: JSON under a service manager, text on a terminal.
        level: DEBUG, INFO, WARNING or ERROR.
    """
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        structlog.processors.format_exc_info,
        _redact,
    ]
    renderer: Processor = (
        structlog.processors.JSONRenderer(ensure_ascii=False)
        if log_format is LogFormat.JSON
        else structlog.dev.ConsoleRenderer(
            colors=False, timestamp_key="time", exception_formatter=structlog.dev.plain_traceback
        )
    )
    number = logging.getLevelNamesMapping()[level]
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    logging.basicConfig(handlers=[handler], level=max(number, logging.WARNING), force=True)


def redacted(value: Any) -> Any:  # noqa: ANN401 - any JSON-like value, same shape back
    """Returns a value with its secrets struck out: by field name, and by look in any text."""
    if isinstance(value, Mapping):
        return {
            key: REDACTED if _is_secret(key, inner) else redacted(inner)
            for key, inner in value.items()
        }
    if isinstance(value, list | tuple):
        return [redacted(inner) for inner in value]
    if isinstance(value, str):
        return _SECRET_LOOKS.sub(REDACTED, value)
    return value


def _is_secret(key: object, value: object) -> bool:
    plain = value is None or isinstance(value, int | float)  # a count of tokens is no token
    return not plain and bool(_SECRET_NAMES.search(str(key)))


def _redact(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    clean: EventDict = redacted(event)
    return clean
