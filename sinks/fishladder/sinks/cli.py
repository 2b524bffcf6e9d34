"""`fishladder sink`: delivers results to where a fleet's automations live."""

import asyncio
import contextlib
from pathlib import Path
from typing import Any

import click
import structlog
from redis.exceptions import RedisError

from fishladder.runtime.admin import Admin, Health
from fishladder.runtime.config import load_config
from fishladder.runtime.embedded import default_urls
from fishladder.runtime.lifecycle import Backoff, run_until_signal, supervise
from fishladder.runtime.logs import configure_logging
from fishladder.runtime.secret_files import SecretOption
from fishladder.runtime.store import give_up_after
from fishladder.sinks.config import Mqtt, SinkSettings, Webhook
from fishladder.sinks.deliver import Sink
from fishladder.sinks.mqtt import MqttTarget
from fishladder.sinks.target import Target
from fishladder.sinks.webhook import WebhookTarget
from fishladder.view.reader import StateReader, open_reader
from fishladder.wire.errors import StoreUnavailable

log = structlog.get_logger(__name__)
_ANSWER_S = 10.0


@click.group()
def sink() -> None:
    """Deliver results to webhooks and MQTT brokers."""


@sink.command()
@click.option("--config", type=click.Path(path_type=Path), help="TOML file; its [sinks] section is used.")
@click.option("--webhook", "webhook_url", help="POST results to this URL, as the sink named webhook.")
@click.option("--mqtt", "mqtt_host", help="Publish results to this broker, HOST or HOST:PORT, as the sink named mqtt.")
@click.option("--redis", cls=SecretOption, envvar="FISHLADDER_REDIS", help="State store  [default: a gateway's here]")
@click.option("--frames", cls=SecretOption, envvar="FISHLADDER_FRAMES", hidden=True, expose_value=False)
@click.option("--data-dir", type=click.Path(file_okay=False), help="Data directory of the gateway on this host.")
@click.option("--store-timeout", "store_timeout_s", type=float, help="Seconds to wait for the store  [default: 30]")
@click.option("--metrics-host", help="Address of /metrics  [default: 127.0.0.1]")
@click.option("--metrics-port", type=int, help="Port of /metrics, 0 for none  [default: 9998]")
@click.option("--log-level", help="debug, info, warning or error  [default: info]")
def run(config: Path | None, webhook_url: str | None, mqtt_host: str | None, redis: str | None, **flags: Any) -> None:
    """Deliver until SIGTERM or Ctrl-C: each result at least once, in order, from where the sink was before.

    What a receiver does not take is given to it again for as long as results are kept. Run it twice for one to
    stand by.
    """
    if webhook_url:
        flags["webhook"] = ({"name": "webhook", "url": webhook_url},)
    if mqtt_host:
        host, _, port = mqtt_host.partition(":")
        flags["mqtt"] = ({"name": "mqtt", "host": host, "port": port or 0},)
    settings = load_config(SinkSettings, "sinks", file=config, flags=flags)
    settings.check()
    configure_logging(settings.log_level)
    targets = [(one, target_of(one)) for one in settings.all()]
    run_until_signal(lambda stopping: _run(settings, targets, redis, stopping))


def target_of(options: Webhook | Mqtt) -> Target:
    """Raises `ConfigError`."""
    return WebhookTarget(options) if isinstance(options, Webhook) else MqttTarget(options)


async def _run(
    settings: SinkSettings, targets: list[tuple[Webhook | Mqtt, Target]], redis: str | None, stopping: asyncio.Event
) -> None:
    health = Health(False, "waiting for the store")
    async with contextlib.AsyncExitStack() as stack:
        if settings.metrics_port:
            stack.enter_context(Admin(settings.metrics_host, settings.metrics_port, lambda: health))
        reader = await _open(stack, settings, redis, stopping)
        if reader is None:
            return
        await give_up_after(reader.state, _ANSWER_S)
        sinks = [Sink(reader, options, target) for options, target in targets]
        health = Health(True, f"{len(sinks)} sinks")
        async with asyncio.TaskGroup() as group:
            loops = [
                group.create_task(supervise(f"sink {one.name}", loop, backoff=Backoff(0.2, 5.0)))
                for one in sinks
                for loop in (one.deliver, one.report)
            ]
            await stopping.wait()
            for task in loops:
                task.cancel()
        for one in sinks:
            with contextlib.suppress(RedisError, OSError, TimeoutError):  # it expires by itself
                await one.release()
    log.info("stopped")


async def _open(
    stack: contextlib.AsyncExitStack, settings: SinkSettings, redis: str | None, stopping: asyncio.Event
) -> StateReader | None:
    """Connect, waiting for the store; None if told to stop meanwhile. Raises `StoreUnavailable` in the end."""
    deadline = asyncio.get_running_loop().time() + settings.store_timeout_s
    while not stopping.is_set():
        try:
            url = redis or default_urls(settings.data_path).state
            return await stack.enter_async_context(open_reader(url))
        except StoreUnavailable as error:
            if asyncio.get_running_loop().time() >= deadline:
                raise
            log.warning("waiting for the store", error=str(error))
            await asyncio.sleep(1.0)
    return None
