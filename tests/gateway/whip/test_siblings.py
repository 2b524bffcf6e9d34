"""Several gateway processes on one port: whichever a PATCH or DELETE reaches, the one that has the session gets it."""

from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

from support.fleet import fleet
from support.stores import wait_until
from support.whip_http import CANDIDATE, Endpoint, Reply, answers_checks, fragment

PROCESSES = 3


async def when_ready(ask: Callable[[], Awaitable[Reply]]) -> Reply:
    """The first answer that is not 503: a process may not have its stores yet."""

    async def answered() -> Reply | None:
        reply = await ask()
        return None if reply.status == 503 else reply

    return await wait_until(answered, 30)


async def test_requests_reach_the_process_that_has_the_session(tmp_path: Path) -> None:
    async with fleet(tmp_path, ["--processes", str(PROCESSES)]) as (system, _):
        token = await system.token("lab")
        homes = set()
        for number in range(12):
            url = f"{system.url}/whip/lab/c{number}"
            async with Endpoint(url, token) as first:  # each of its own connection, so that the kernel chooses anew
                reply = await when_ready(first.post)
                assert reply.status == 201
                homes.add(reply.session.rpartition("/")[2].partition("-")[0])
                first._begun.clear()
            for turn in range(3):
                async with Endpoint(url, token) as later:
                    row = CANDIDATE.replace("61764", str(6000 + turn))
                    changed = await when_ready(partial(later.patch, reply.session, fragment(row), reply.etag))
                    assert changed.status == 204
            async with Endpoint(url, token) as later:
                again = await later.patch(reply.session, fragment(ufrag="newer", password="x" * 24), "*")
                assert again.status == 200
                assert again.etag not in ("", reply.etag)
            async with Endpoint(url, token) as later:
                assert (await later.patch(reply.session, fragment(CANDIDATE), reply.etag)).status == 412
                assert (await later.ask("DELETE", reply.session, anonymous=True)).status == 401
            async with Endpoint(url, token) as later:
                assert await answers_checks(reply)
                assert (await later.ask("DELETE", reply.session)).status == 200
            async with Endpoint(url, token) as later:
                assert (await later.ask("DELETE", reply.session)).status == 404
        assert len(homes) > 1, "the sessions are spread"
