"""With `yield` a phone call beside the agent notices nothing, and the agent still uses what is left."""

from statistics import median

import pytest
from support.fluid_site import Camera
from support.gentle_site import GentleSite

from fishladder.edge.rate.orders import Wish


def camera(kbps: int = 3000, fps: float = 30) -> Camera:
    return Camera(Wish(1.0, kbps * 1000.0, fps, 640, 360))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("mbps", [1, 4, 20])
def test_a_call_beside_it_waits_little(seed: int, mbps: int) -> None:
    site = GentleSite([camera(1200 * mbps)], lambda _: mbps * 1e6, seed=seed)
    site.run(40)
    assert site.voice(3, 0.95) <= 30
    assert site.used_bps(10) > 0.6 * mbps * 1e6


def test_without_it_the_call_notices() -> None:
    site = GentleSite([camera()], lambda _: 1e6, yields=False)
    site.run(40)
    assert site.voice(3, 0.95) > 30


def test_it_makes_room_for_somebody_who_comes_and_takes_it_again() -> None:
    """Who comes meets it by chance, so it is several times that are looked at."""
    waits_ms = []
    for seed in range(9):
        site = GentleSite(
            [camera()], lambda _: 2e6, beside_bps=lambda now_s: 1.2e6 if 15 < now_s < 30 else 0.0, seed=seed
        )
        site.run(55)
        busy = sorted(ms for at_s, ms in site.voice_ms if 17 < at_s < 30)
        waits_ms.append(busy[int(len(busy) * 0.95)])
        assert site.used_bps(45) > 0.6 * 2e6
    assert median(waits_ms) <= 40, waits_ms
    assert max(waits_ms) <= 65, waits_ms


def test_on_a_free_link_a_camera_gets_what_it_wants() -> None:
    site = GentleSite([camera(1500)], lambda _: 50e6)
    site.run(15)
    assert site.used_bps(8) > 0.8 * 1.5e6
    assert site.cameras[0].shed == 0
