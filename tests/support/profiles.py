"""Tables of accuracy as the load tester writes them, for detectors to which one thing matters more than another."""

import msgspec

from fishladder.wire.accuracy import Measured, Rung

WIDTH, HEIGHT, FPS = 640, 360, 20.0
_PLENTY = 0.16


def measured(
    *,
    bits: dict[float, float] | None = None,
    fps: dict[float, float] | None = None,
    width: dict[int, float] | None = None,
) -> Measured:
    """F1 by bits per pixel, and at fewer pictures a second or smaller ones; of one clip of 640x360 at 20 fps."""

    def row(varied: str, f1: float, bits: float = _PLENTY, wide: int = WIDTH, rate: float = FPS) -> Rung:
        high = wide * HEIGHT // WIDTH
        return Rung("street", varied, wide, high, rate, bits * wide * high * rate, f1, f1, f1, 100)  # type: ignore[arg-type]

    rows = [row("rate", f1, bits=it) for it, f1 in (bits or {0.01: 0.5, 0.04: 0.9, 0.16: 1.0}).items()]
    rows += [row("fps", f1, rate=it) for it, f1 in (fps or {}).items()]
    rows += [row("width", f1, wide=it) for it, f1 in (width or {}).items()]
    return Measured("detector", "0" * 64, "cpu", ["street"], rows)


#: A still scene of small things, and a busy one of large things.
SHARP = measured(fps={1.0: 0.97, 5.0: 0.99}, width={160: 0.1, 320: 0.4})
QUICK = measured(fps={1.0: 0.1, 5.0: 0.5}, width={160: 0.95, 320: 0.99})


def written(table: Measured) -> bytes:
    return msgspec.json.encode(table)
