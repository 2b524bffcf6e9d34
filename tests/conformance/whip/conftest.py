"""Whom the suite talks to: any WHIP endpoint by `--whip-url` (and `--whip-token`), else a gateway of our own."""

import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support.gateways import gateway
from support.whip_http import Endpoint


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--whip-url", help="WHIP endpoint to examine; {camera} in it becomes a new name each time")
    parser.addoption("--whip-token", default="", help="bearer token for it")


def foreign(config: pytest.Config) -> str | None:
    """The URL that was given; the option is unknown where this folder is one among many."""
    return config.getoption("--whip-url", None)  # type: ignore[no-any-return]


@pytest.fixture(scope="session", autouse=True)
def stores_of_our_own(request: pytest.FixtureRequest) -> None:
    if not foreign(request.config):
        request.getfixturevalue("shared_servers")


@pytest.fixture
async def endpoint(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Endpoint]:
    """A fresh endpoint; sessions begun through it are ended."""
    camera = f"conformance-{secrets.token_hex(4)}"
    if url := foreign(request.config):
        async with Endpoint(url.replace("{camera}", camera), request.config.getoption("--whip-token")) as it:
            yield it
        return
    servers = [{"url": "stun:stun.example.net"}, {"url": "turn:t.example.net", "username": "u", "credential": "c"}]
    urls = request.getfixturevalue("shared_servers")
    async with (
        gateway(tmp_path, urls, whip={"ice_servers": servers}) as server,
        Endpoint(f"{server.url}/whip/lab/{camera}", server.token("lab")) as it,
    ):
        yield it
