"""Delivers by HTTP: one POST for some results, signed as Standard Webhooks (https://www.standardwebhooks.com) has it,
so that receivers can tell ours from others' and a repeated one from a new one.
"""

import base64
import hashlib
import hmac
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import aiohttp

from fishladder.sinks.config import Webhook, secret_of
from fishladder.sinks.target import Delivery, DeliveryFailed
from fishladder.view.commits import Commit
from fishladder.wire.errors import ConfigError


class WebhookTarget:
    """Raises `ConfigError` for a secret that cannot be read."""

    kind = "webhook"

    def __init__(self, settings: Webhook) -> None:
        parts = urlsplit(settings.url)
        self.to = f"{parts.scheme}://{parts.netloc}{parts.path}"  # a query may hold a key
        self._settings = settings
        self._secret = signing_key(secret_of(settings.secret, settings.secret_file, f"secret of sink {settings.name}"))
        self._token = secret_of(settings.token, settings.token_file, f"token of sink {settings.name}")

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Delivery]:
        timeout = aiohttp.ClientTimeout(total=self._settings.timeout_s)
        async with aiohttp.ClientSession(timeout=timeout, trust_env=True) as http:

            async def deliver(batch: Sequence[Commit]) -> None:
                body = b'{"sink":"%s","results":[%s]}' % (
                    self._settings.name.encode(),
                    b",".join(commit.raw for commit in batch),
                )
                try:
                    # A redirect is no delivery, and where it leads has no business with the token.
                    async with http.post(
                        self._settings.url, data=body, headers=self._headers(body), allow_redirects=False
                    ) as reply:
                        if not 200 <= reply.status < 300:
                            raise DeliveryFailed(f"HTTP {reply.status} {reply.reason or ''}".strip())
                except TimeoutError:
                    raise DeliveryFailed(f"no answer within {self._settings.timeout_s:g} s") from None
                except (aiohttp.ClientError, OSError) as error:
                    raise DeliveryFailed(str(error) or type(error).__name__) from None

            yield deliver

    def _headers(self, body: bytes) -> dict[str, str]:
        """The id is of the body, so that what is sent again has the same one."""
        headers = {"Content-Type": "application/json", "User-Agent": "fishladder"}
        name, now = f"msg_{hashlib.sha256(body).hexdigest()[:32]}", str(int(time.time()))
        headers |= {"webhook-id": name, "webhook-timestamp": now}
        if self._secret:
            headers["webhook-signature"] = signature(self._secret, name, now, body)
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        return headers


def signing_key(secret: str) -> bytes:
    """`whsec_` and base64, as Standard Webhooks has it, or any other text as it is. Raises `ConfigError`."""
    if secret.startswith("whsec_"):
        try:
            return base64.b64decode(secret.removeprefix("whsec_"), validate=True)
        except ValueError:
            raise ConfigError("a secret that begins with whsec_ goes on in base64") from None
    return secret.encode()


def signature(key: bytes, name: str, at: str, body: bytes) -> str:
    signed = hmac.digest(key, b"%s.%s.%s" % (name.encode(), at.encode(), body), "sha256")
    return f"v1,{base64.b64encode(signed).decode()}"
