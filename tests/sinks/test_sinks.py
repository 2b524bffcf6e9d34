"""Sinks against a real HTTP server and a real MQTT broker that stop and come back: each result arrives at least once,
in order within its camera, and ingest never waits.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiomqtt
import msgspec
import pytest
from prometheus_client import REGISTRY
from support.agent_client import AgentClient, agent, unit
from support.analysis import analyse
from support.broker import broker
from support.fleet import free_port
from support.gateways import gateway
from support.installed import needs_mosquitto
from support.receivers import receiver
from support.stores import wait_until

from fishladder.runtime.config import load_config
from fishladder.runtime.store import Stores
from fishladder.sinks.config import Mqtt, SinkSettings, Webhook
from fishladder.sinks.deliver import Sink
from fishladder.sinks.mqtt import MqttTarget
from fishladder.sinks.target import Target
from fishladder.sinks.webhook import WebhookTarget, signature, signing_key
from fishladder.view.models import Severity
from fishladder.view.reader import StateReader
from fishladder.view.snapshot import read_snapshot
from fishladder.wire import keys
from fishladder.wire.errors import ConfigError
from fishladder.wire.ids import partition_of


def reader_of(stores: Stores) -> StateReader:
    return StateReader(stores.state, stores.partitions, stores.urls.state)


@asynccontextmanager
async def delivering(stores: Stores, options: Webhook | Mqtt, target: Target) -> AsyncIterator[Sink]:
    sink = Sink(reader_of(stores), options, target)
    tasks = [asyncio.create_task(sink.deliver()), asyncio.create_task(sink.report())]
    try:
        yield sink
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await sink.release()


class Camera:
    """Sends, and has it analysed at once."""

    def __init__(self, client: AgentClient, stores: Stores, name: str, channel: int) -> None:
        self.client, self.stores, self.name, self.channel = client, stores, name, channel
        self.at = 0

    async def more(self, count: int) -> None:
        await self.client.send(
            self.channel, *(unit(1, seq, clean=seq == 1) for seq in range(self.at + 1, self.at + count + 1))
        )
        self.at += count
        await self.client.until_logged(self.channel, self.at)
        await analyse(self.stores, self.name)

    @property
    def all(self) -> list[tuple[str, int]]:
        return [(self.name, seq) for seq in range(1, self.at + 1)]


@asynccontextmanager
async def cameras(stores: Stores, place: Path) -> AsyncIterator[tuple[Camera, Camera]]:
    async with gateway(place, stores.urls) as it, agent(it.url, it.token("shop")) as client:
        for channel, name in enumerate(("shop/a", "shop/b")):
            await client.open(name, channel)
        yield Camera(client, stores, "shop/a", 0), Camera(client, stores, "shop/b", 1)


def of(got: list[tuple[str, int]], camera: Camera) -> list[int]:
    """The seqs that came of a camera, each where it came first."""
    return list(dict.fromkeys(seq for name, seq in got if name == camera.name))


async def finding(stores: Stores, name: str) -> Any:
    snapshot = await read_snapshot(reader_of(stores), names=[])
    return next((it.finding for it in snapshot.sinks if it.sink == name), None)


async def test_a_webhook_that_stops_and_comes_back_misses_nothing(stores: Stores, tmp_path: Path) -> None:
    async with receiver() as hook, cameras(stores, tmp_path) as (a, b):
        options = Webhook(name="alarms", url=f"http://127.0.0.1:{hook.port}/hook", begin="oldest", batch=7, secret="s3")
        await a.more(5)
        async with delivering(stores, options, WebhookTarget(options)):
            await wait_until(lambda: len(hook.got) == 5, what="what was there before it began")
            await hook.stop()
            # Ingest and analysis go on as if there were no sink.
            await a.more(20)
            await b.more(20)

            async def said() -> bool:
                it = await finding(stores, "alarms")
                return it is not None and it.severity is Severity.TROUBLE and it.what == "cannot deliver"

            await wait_until(said, 15, "that it cannot deliver is said")
            hook.status = 503
            await hook.start()
            await wait_until(lambda: len(hook.requests) >= 2, 20, "it is tried again")
            hook.status = 200
            await wait_until(lambda: len(of(hook.got, b)) == 20 and len(of(hook.got, a)) == 25, 30, "all of it")
            assert of(hook.got, a) == [seq for _, seq in a.all]
            assert of(hook.got, b) == [seq for _, seq in b.all]
        headers, body = hook.requests[-1]
        signed = signature(b"s3", headers["webhook-id"], headers["webhook-timestamp"], body)
        assert headers["webhook-signature"] == signed
        # The next one goes on where this one was.
        before = len(hook.got)
        await b.more(3)
        async with delivering(stores, options, WebhookTarget(options)):
            await wait_until(lambda: len(hook.got) > before, what="the rest")
            await wait_until(
                lambda: hook.got[before:] == [("shop/b", 21), ("shop/b", 22), ("shop/b", 23)], what="only it"
            )


async def test_an_hours_results_wait_for_a_webhook_that_is_away(stores: Stores, tmp_path: Path) -> None:
    """As many as two cameras have in an hour that are analysed every other second."""
    async with receiver() as hook, cameras(stores, tmp_path) as (a, b):
        options = Webhook(name="alarms", url=f"http://127.0.0.1:{hook.port}/hook", begin="oldest", batch=200)
        async with delivering(stores, options, WebhookTarget(options)):
            await a.more(1)
            await wait_until(lambda: len(hook.got) == 1, what="it delivers")
            await hook.stop()
            for _ in range(18):
                await asyncio.gather(a.more(100), b.more(100))

            async def said() -> bool:
                it = await finding(stores, "alarms")
                return it is not None and it.what == "cannot deliver"

            await wait_until(said, 15, "that it cannot deliver is said")
            await hook.start()
            wanted = a.at + b.at
            await wait_until(lambda: len(of(hook.got, a)) + len(of(hook.got, b)) == wanted, 60, "all of it")
            assert (of(hook.got, a), of(hook.got, b)) == ([seq for _, seq in a.all], [seq for _, seq in b.all])

            async def well() -> bool:
                snapshot = await read_snapshot(reader_of(stores), names=[])
                return [(it.finding.severity, it.missed) for it in snapshot.sinks] == [(Severity.OK, 0)]

            await wait_until(well, 15, "that it is well again, and has missed none")


async def test_one_of_two_delivers_and_the_other_takes_over(stores: Stores, tmp_path: Path) -> None:
    async with receiver() as hook, cameras(stores, tmp_path) as (a, _):
        options = Webhook(name="alarms", url=f"http://127.0.0.1:{hook.port}/hook", begin="oldest")
        async with delivering(stores, options, WebhookTarget(options)):
            await a.more(3)
            await wait_until(lambda: len(hook.got) == 3, what="the first one delivers")
            standby = delivering(stores, options, WebhookTarget(options))
            await standby.__aenter__()
            await a.more(3)
            await wait_until(lambda: len(hook.got) == 6, what="the first one still does")
        try:
            await a.more(3)
            await wait_until(lambda: len(hook.got) == 9, 20, "the second one does")
            assert hook.got == a.all
        finally:
            await standby.__aexit__(None, None, None)


async def test_who_stands_by_is_not_behind(stores: Stores, tmp_path: Path) -> None:
    """Else it would be alarmed about for ever: it is the other one now that knows."""
    async with receiver() as hook, cameras(stores, tmp_path) as (a, _):
        hook.status = 503
        options = Webhook(name="alarms", url=f"http://127.0.0.1:{hook.port}/hook", begin="oldest")
        await a.more(1)
        async with delivering(stores, options, WebhookTarget(options)):

            def lag_s() -> float:
                return REGISTRY.get_sample_value("fishladder_sink_lag_seconds", {"sink": "alarms"}) or 0.0

            await wait_until(lambda: lag_s() > 0, 20, "it is behind")
            await stores.state.set(keys.sink_lease("alarms"), "another's", px=60_000)
            await wait_until(lambda: lag_s() == 0, 20, "it is not, once it has lost its place")


async def test_results_past_retention_are_counted(stores: Stores, tmp_path: Path) -> None:
    async with receiver() as hook, cameras(stores, tmp_path) as (a, _):
        options = Webhook(name="alarms", url=f"http://127.0.0.1:{hook.port}/hook", begin="oldest")
        await a.more(5)
        async with delivering(stores, options, WebhookTarget(options)):
            await wait_until(lambda: len(hook.got) == 5, what="the first five")
        await a.more(5)
        key = keys.results(partition_of("shop/a", stores.partitions), "shop/a")
        await stores.state.xtrim(key, maxlen=2, approximate=False)
        async with delivering(stores, options, WebhookTarget(options)):

            async def said() -> bool:
                it = await finding(stores, "alarms")
                return it is not None and it.what == "delivers; 3 frames were past retention"

            await wait_until(said, what="that three are missing is said")
        assert of(hook.got, a) == [1, 2, 3, 4, 5, 9, 10]


@needs_mosquitto
async def test_a_broker_that_stops_and_comes_back_misses_nothing(stores: Stores, tmp_path: Path) -> None:
    port = free_port()
    got: list[tuple[str, int]] = []
    subscribed = asyncio.Event()

    async def subscribe() -> None:
        # A subscription of its own, kept by the broker while it is away.
        while True:
            try:
                async with aiomqtt.Client("127.0.0.1", port, identifier="automation", clean_session=False) as client:
                    await client.subscribe("fishladder/#", qos=1)
                    subscribed.set()
                    async for message in client.messages:
                        assert isinstance(message.payload, bytes)
                        it = json.loads(message.payload)
                        assert message.topic.value == f"fishladder/{it['camera']}"
                        got.append((it["camera"], it["last"]))
            except (aiomqtt.MqttError, OSError):
                await asyncio.sleep(0.1)

    options = Mqtt(name="bus", host="127.0.0.1", port=port, begin="oldest", timeout_s=5)
    async with cameras(stores, tmp_path) as (a, b), AsyncExitStack() as until_all_came:
        await a.more(3)
        listening = asyncio.create_task(subscribe())
        try:
            async with broker(port, tmp_path):
                await asyncio.wait_for(subscribed.wait(), 20)
                await until_all_came.enter_async_context(delivering(stores, options, MqttTarget(options)))
                await wait_until(lambda: of(got, a) == [1, 2, 3], 20, "what was there before")
            assert (tmp_path / "mosquitto.db").exists()
            await a.more(30)
            await b.more(30)
            async with broker(port, tmp_path):

                def all_came() -> bool:
                    assert not listening.done(), listening.result()
                    return len(of(got, a)) == 33 and len(of(got, b)) == 30

                await wait_until(all_came, 60, "all of it")
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)
        assert of(got, a) == [seq for _, seq in a.all]


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({}, "no sink is named"),
        ({"webhook": [{"name": "a", "url": "ftp://x"}]}, "url is http"),
        ({"webhook": [{"name": "a", "url": "https://me:secret@x"}]}, "not in the url"),
        ({"webhook": [{"name": "A b", "url": "https://x"}]}, "sink name"),
        ({"webhook": [{"name": "a", "url": "https://x"}], "mqtt": [{"name": "a", "host": "x"}]}, "used twice"),
        ({"mqtt": [{"name": "a", "host": "x", "topic": "a/#"}]}, "wildcards"),
    ],
)
def test_settings_that_will_not_do_are_named(settings: dict[str, Any], says: str) -> None:
    with pytest.raises((ConfigError, msgspec.ValidationError), match=says):
        msgspec.convert(settings, SinkSettings, strict=False).check()


def test_a_secret_that_is_no_base64_is_said() -> None:
    with pytest.raises(ConfigError):
        signing_key("whsec_###")


def test_the_example_file_is_valid() -> None:
    example = Path(__file__).parent.parent.parent / "sinks" / "sinks.toml"
    settings = load_config(SinkSettings, "sinks", file=example, env={})
    settings.check()
    assert [one.name for one in settings.all()] == ["alarms", "bus"]
