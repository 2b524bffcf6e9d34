"""The gateway's TLS certificate: loaded at the start, and again whenever its files have changed, for the connections
that come after; those that stand keep the one they began with.
"""

import asyncio
import ssl
import time
from pathlib import Path

import structlog
from cryptography import x509

from fishladder.gateway import metrics
from fishladder.runtime.secret_files import check_mode
from fishladder.wire.errors import ConfigError

log = structlog.get_logger(__name__)

LOOK_S = 2.0
#: A certificate that ends sooner is worth a warning, once a day.
_SOON_S = 14 * 86_400
_SAY_AGAIN_S = 86_400


class Certificate:
    """Raises `ConfigError` naming the files if they will not do at the start."""

    def __init__(self, cert: str, key: str) -> None:
        self._cert, self._key = Path(cert), Path(key)
        self._stamps: tuple[tuple[int, int], ...] = ()
        self._expires = 0.0
        self._said_at = float("-inf")
        self._context = self._load()

    def context(self) -> ssl.SSLContext:
        """For the next connection."""
        return self._context

    async def watch(self) -> None:
        """Look every two seconds, for ever. A certificate that will not do is logged, and the one before stays."""
        while True:
            self.look(time.time())
            await asyncio.sleep(LOOK_S)

    def look(self, now: float) -> None:
        """Load the files anew if they have changed; warn of a certificate that ends soon."""
        try:
            if self._stamp() != self._stamps:
                self._context = self._load()
                log.info("certificate loaded anew", file=str(self._cert), expires_days=self._days(now))
        except (OSError, ConfigError) as error:  # half of it may be written
            log.error("certificate not loaded, the one before stays", error=str(error))
        if self._expires - now < _SOON_S and now - self._said_at >= _SAY_AGAIN_S:
            self._said_at = now
            log.warning("the certificate ends soon", file=str(self._cert), expires_days=self._days(now))

    def _days(self, now: float) -> float:
        return round((self._expires - now) / 86_400, 1)

    def _stamp(self) -> tuple[tuple[int, int], ...]:
        found = [path.stat() for path in (self._cert, self._key)]
        return tuple((it.st_mtime_ns, it.st_ino) for it in found)

    def _load(self) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        try:
            self._stamps = self._stamp()
            check_mode(self._key, "--tls-key")
            context.load_cert_chain(self._cert, self._key)
            self._expires = x509.load_pem_x509_certificate(self._cert.read_bytes()).not_valid_after_utc.timestamp()
        except (OSError, ssl.SSLError, ValueError) as error:
            raise ConfigError(f"--tls-cert {self._cert}, --tls-key {self._key}: {error}") from None
        metrics.certificate_expires.set(self._expires)
        return context
