"""Logs: one JSON object a line on stdout, or short coloured lines on a terminal."""

import logging
import sys

import structlog

from fishladder.wire.errors import ConfigError


def configure_logging(level: str = "info", *, json: bool | None = None) -> None:
    """Set up structlog and route the standard library's loggers of our dependencies through it.

    `json` None chooses by whether stdout is a terminal. Raises `ConfigError` for an unknown level.
    """
    number = logging.getLevelNamesMapping().get(level.upper())
    if number is None:
        raise ConfigError(f"log level {level!r}: expected debug, info, warning or error")
    use_json = not sys.stdout.isatty() if json is None else json
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    # Plain, as the rich traceback shows what local variables held: tokens and passwords among them.
    last: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if use_json
        else structlog.dev.ConsoleRenderer(pad_event_to=30, exception_formatter=structlog.dev.plain_traceback)
    )
    errors: list[structlog.typing.Processor] = [structlog.processors.format_exc_info] if use_json else []
    structlog.configure(
        processors=[*shared, *errors, last],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(sys.stdout),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *errors, last],
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(number, logging.WARNING))  # what libraries say below that is for their authors
