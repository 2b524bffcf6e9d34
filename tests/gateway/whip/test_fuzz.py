"""Whatever is posted or patched is answered with 2xx or 4xx; what comes after is served as ever."""

import asyncio
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from support.gateways import gateway
from support.offers import AUDIO, VIDEO, offer
from support.whip_http import FRAGMENT, PLAIN, SDP, Endpoint, answers_checks, fragment, whole

from fishladder.runtime.store import Stores

LINES = whole(offer(AUDIO, VIDEO)).split("\r\n")
FRAGMENTS = fragment("a=candidate:1 1 udp 1 192.0.2.7 9 typ host", "a=end-of-candidates").split("\r\n")


def spoilt(lines: list[str]) -> st.SearchStrategy[bytes]:
    """A text with a few lines lost, doubled, cut or replaced."""

    @st.composite
    def draw(take: st.DrawFn) -> bytes:
        made = list(lines)
        for _ in range(take(st.integers(0, 5))):
            at = take(st.integers(0, max(len(made) - 1, 0)))
            what = take(st.integers(0, 3))
            if what == 0:
                del made[at : at + 1]
            elif what == 1:
                made.insert(at, take(st.sampled_from(lines)))
            elif made:
                cut = take(st.integers(0, len(made[at])))
                made[at] = made[at][:cut] + take(st.text(max_size=6)) + made[at][cut + take(st.integers(0, 9)) :]
        return "\r\n".join(made).encode(errors="surrogatepass")

    return draw()


async def test_no_offer_or_fragment_makes_a_5xx_or_harms_a_session(stores: Stores, tmp_path: Path) -> None:
    limits = {"whip_burst": 100_000, "whip_posts_per_s": 10_000, "whip_sessions": 1000, "connections_per_token": 1000}
    async with gateway(tmp_path, stores.urls, limits=limits) as it:
        token = it.token("lab")
        loop = asyncio.get_running_loop()
        async with (
            Endpoint(f"{it.url}/whip/lab/steady", token) as steady,
            Endpoint(f"{it.url}/whip/lab/fuzzed", token) as fuzzed,
        ):
            alive = await steady.begin()

            async def ask(method: str, body: bytes, headers: dict[str, str]) -> None:
                url = "" if method == "POST" else alive.session
                reply = await fuzzed.ask(method, url, body, headers)
                assert 200 <= reply.status < 500, (reply.status, reply.body, body)
                if reply.status == 201:
                    assert (await fuzzed.ask("DELETE", reply.session)).status in (200, 404)
                elif reply.status >= 400:
                    assert reply.kind == "application/problem+json"

            bodies = st.one_of(spoilt(LINES), spoilt(FRAGMENTS), st.binary(max_size=300), st.just(PLAIN.encode()))
            quick = settings(
                max_examples=120, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate]
            )

            @quick
            @given(
                st.sampled_from(["POST", "POST", "PATCH"]), bodies, st.sampled_from(["*", alive.etag, '"x"', "", None])
            )
            def fuzz(method: str, body: bytes, match: str | None) -> None:
                kind = SDP if method == "POST" else FRAGMENT
                headers = {"Content-Type": kind} | ({} if match is None else {"If-Match": match})
                asyncio.run_coroutine_threadsafe(ask(method, body, headers), loop).result(30)

            await asyncio.to_thread(fuzz)
            state = await steady.patch(alive.session, fragment(ufrag="last", password="y" * 24), "*")
            assert state.status == 200, "the session has lived through all of it"
            assert await answers_checks(await fuzzed.begin())
