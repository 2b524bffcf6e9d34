"""Delivers by MQTT: each result to `<topic>/<site>/<camera>` with QoS 1, which is delivered once the broker says so."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import aiomqtt

from fishladder.sinks.config import Mqtt, secret_of
from fishladder.sinks.target import Delivery, DeliveryFailed
from fishladder.view.commits import Commit
from fishladder.wire.errors import ConfigError

#: Results the broker may have without having said that it took them.
_IN_FLIGHT = 20


class MqttTarget:
    """Raises `ConfigError` for a secret or certificate that cannot be read."""

    kind = "mqtt"

    def __init__(self, settings: Mqtt) -> None:
        self._settings = settings
        self._port = settings.port or (8883 if settings.tls else 1883)
        self._password = secret_of(settings.password, settings.password_file, f"password of sink {settings.name}")
        self.to = f"{'mqtts' if settings.tls else 'mqtt'}://{settings.host}:{self._port}/{settings.topic}"
        self._tls: ssl.SSLContext | None = None
        if settings.tls:
            try:
                self._tls = ssl.create_default_context(cafile=settings.ca_file or None)
            except (OSError, ssl.SSLError) as error:
                raise ConfigError(f"ca_file {settings.ca_file} of sink {settings.name}: {error}") from None

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Delivery]:
        client = aiomqtt.Client(
            self._settings.host,
            self._port,
            username=self._settings.user or None,
            password=self._password or None,
            tls_context=self._tls,
            timeout=self._settings.timeout_s,
            max_inflight_messages=_IN_FLIGHT,
        )
        try:
            async with client:
                yield lambda batch: self._deliver(client, batch)
        except aiomqtt.MqttError as error:
            raise DeliveryFailed(str(error)) from None

    async def _deliver(self, client: aiomqtt.Client, batch: Sequence[Commit]) -> None:
        # Several at once, since each waits for its answer; MQTT keeps their order on one connection.
        for first in range(0, len(batch), _IN_FLIGHT):
            published = [
                client.publish(f"{self._settings.topic}/{commit.camera}", commit.raw, qos=1)
                for commit in batch[first : first + _IN_FLIGHT]
            ]
            outcomes = await asyncio.gather(*published, return_exceptions=True)
            for outcome in outcomes:
                if isinstance(outcome, aiomqtt.MqttError):
                    raise DeliveryFailed(str(outcome))
                if isinstance(outcome, BaseException):
                    raise outcome
