"""What the HTTP server has to say of itself. It logs each malformed request with a traceback that quotes it: strangers
could fill the disk with that, and a token in a damaged header would stand in the log. Here those are counted instead.
"""

import logging

from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web import RequestPayloadError

from fishladder.gateway import metrics


def http_log() -> logging.Logger:
    """A logger for aiohttp's server."""
    logger = logging.getLogger("fishladder.http")
    if not logger.filters:
        logger.addFilter(_no_strangers)
    return logger


def _no_strangers(record: logging.LogRecord) -> bool:
    error = record.exc_info[1] if record.exc_info else None
    malformed = isinstance(error, (HttpProcessingError, RequestPayloadError))
    if malformed:
        metrics.refused.labels("http").inc()
    return not malformed
