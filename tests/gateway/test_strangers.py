"""A short run of `tests/chaos/strangers.py`: each attempt at the door once, and some thousand malformed messages."""

from pathlib import Path

import pytest
from support.attempts import ATTEMPTS, Door
from support.gateways import Gateway, gateway
from support.honest import honest_camera
from support.malformed import attack

from fishladder.gateway.tokens import KeyFile
from fishladder.runtime.store import Stores

QUICK = {"hello_s": 2.0, "strangers": 100, "strangers_per_address": 50}


def door_of(it: Gateway) -> Door:
    return Door(it.url, it.server.port, KeyFile(it.settings.keys_path), hello_s=2.0, crowd=300)


@pytest.mark.parametrize("name", ATTEMPTS)
async def test_each_attempt_at_the_door_is_denied(
    name: str, stores: Stores, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    attempt, wanted = ATTEMPTS[name]
    async with gateway(tmp_path, stores.urls, limits=QUICK) as it:
        assert await attempt(door_of(it)) == wanted
    assert not [record for record in caplog.records if record.exc_info]  # nobody fills the log


async def test_malformed_messages_disturb_nobody(
    stores: Stores, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with gateway(tmp_path, stores.urls) as it:
        door = door_of(it)
        async with honest_camera(it.url, door.token("honest"), "honest/door") as latencies_ms:
            before = len(latencies_ms)
            sent, connections = await attack(it.url, door.token("bad"), 3000, seed=1)
            assert (sent, connections > 10) == (3000, True)
        assert len(latencies_ms) > before
    said = capsys.readouterr().out
    assert "Traceback" not in said
    assert "[error" not in said
