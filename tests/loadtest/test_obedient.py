"""Cameras that obey their agent, without one: what orders make of a second of pictures."""

from fishladder.edge.capture import Command
from fishladder.loadtest.sites.obedient import Made, Obedient
from fishladder.loadtest.sources.camera import CameraSpec
from fishladder.loadtest.sources.ladder import Rung, rung_rates

SPEC = CameraSpec(fps=10, bitrate_bps=1_000_000, sigma=0)


def rung(bitrate_bps: int, fps: float = 10) -> Rung:
    """Four seconds of units that name their rung; a keyframe each second."""
    count = int(4 * fps)
    units = [b"%d/%d" % (bitrate_bps, index) for index in range(count)]
    return Rung(units, [index % int(fps) == 0 for index in range(count)], bitrate_bps, fps, 640, 360)


def seconds(camera: Obedient, begin_s: float, count: float) -> list[Made | None]:
    return [camera.take(round((begin_s + index / 10) * 1e6), 1.0) for index in range(round(count * 10))]


def rate_bps(made: list[Made | None]) -> float:
    return sum(it.size_bytes for it in made if it) * 8 / (len(made) / 10)


def test_sizes_follow_the_orders() -> None:
    camera = Obedient(SPEC)
    usual = seconds(camera, 0, 10)
    assert abs(rate_bps(usual) / 1e6 - 1) < 0.02
    assert [index for index, it in enumerate(usual) if it and it.key] == [0, 20, 40, 60, 80]
    camera.orders.take(Command(bitrate_bps=250_000, thin_fps=5.0, keyframe_s=5.0, width=640))
    thin = seconds(camera, 10, 20)
    assert sum(it is None for it in thin) == 100
    assert abs(rate_bps(thin) / 250_000 - 1) < 0.05
    assert sum(bool(it and it.key) for it in thin) == 4
    assert {(it.width, it.height) for it in thin if it} == {(640, 360)}
    camera.orders.take(Command(hold=True))
    assert seconds(camera, 30, 1) == [None] * 10
    camera.orders.take(Command(hold=False, keyframe=True))
    first = next(it for it in seconds(camera, 31, 1) if it)
    assert first.key


def test_a_ladder_changes_its_rung_at_keyframes() -> None:
    camera = Obedient(SPEC, [rung(1_000_000), rung(500_000), rung(250_000, fps=5)])
    assert {it.payload.partition(b"/")[0] for it in seconds(camera, 0, 1.5) if it and it.payload} == {b"1000000"}
    camera.orders.take(Command(bitrate_bps=900_000))  # a little less: the next keyframe will do
    then = [it for it in seconds(camera, 1.5, 1) if it and it.payload]
    change = next(index for index, it in enumerate(then) if it.payload and it.payload.startswith(b"500000/"))
    assert change == 5
    assert then[change].key
    camera.orders.take(Command(bitrate_bps=260_000))  # far less: at once
    thin = [it for it in seconds(camera, 3.1, 2) if it and it.payload]
    assert thin[0].key
    assert all(it.payload and it.payload.startswith(b"250000/") for it in thin)
    assert 9 <= len(thin) <= 11
    camera.orders.take(Command(bitrate_bps=10_000))  # less than there is
    assert all(it.payload and it.payload.startswith(b"250000/") for it in seconds(camera, 5.1, 1) if it)


def test_a_ladder_goes_down_to_the_floor() -> None:
    rates = rung_rates(2_000_000, 400_000)
    assert rates[0] == 2_000_000
    assert rates[-1] == 400_000
    assert rates == sorted(rates, reverse=True)
    assert rung_rates(400_000, 400_000) == [400_000]
