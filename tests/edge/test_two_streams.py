"""A camera's two streams as one, from real files through the capture process's own loop: changes at keyframes, nothing
counted twice, everything decodable; and a sub-stream that cannot be had.
"""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from support.passed import X264, Made, make

from fishladder.edge.cameras.kinds import CameraSettings
from fishladder.edge.capture import CaptureSettings, Orders, capture
from fishladder.edge.capture_records import Captured, CapturedUnit, Flows, Left, Opened, Record, Trouble
from fishladder.inference.decode import CameraDecoder, Picture
from fishladder.wire.fates import Fate
from fishladder.wire.unit import Codec, Flag

SPEED = 8.0
B_FRAMES = (("preset", "veryfast"),)
X265 = (("preset", "ultrafast"), ("x265-params", "log-level=none:open-gop=0:bframes=0"))
OPEN = (("preset", "ultrafast"), ("x265-params", "log-level=none:open-gop=1"))
MAIN = Made("libx264", "main.mp4", 2, options=B_FRAMES, width=320, height=192)
SUBS = [Made("libx264", "sub.mp4", options=X264), Made("libx265", "sub5.mp4", options=X265)]
OVER_TS = Made("libx264", "sub.ts", options=X264)


def filmed(
    main: Path, sub: Path, steer: Callable[[int, Orders], None], *, length: int = 150, loop: bool = True
) -> list[Record]:
    """`steer` is called with the number of pictures so far."""
    records: list[Record] = []
    orders = Orders(None, 1_000_000)
    count = 0

    def emit(record: Record) -> None:
        nonlocal count
        records.append(record)
        if isinstance(record, CapturedUnit | Left):
            count += 1
            steer(count, orders)
            orders.stop = count >= length

    stream = [CameraSettings(str(file), loop=loop, speed=SPEED) for file in (main, sub)]
    capture(CaptureSettings(stream[0], mode="passthrough", sub=stream[1]), orders, emit)
    return records


def there_and_back(count: int, orders: Orders) -> None:
    orders.sub = 40 <= count < 90


def inferred(records: list[Record]) -> tuple[int, int]:
    """Units, and how many of them a worker gets the exact picture of."""
    decoder, outcomes, units, gap = CameraDecoder(), [], 0, False
    for seq, record in enumerate((it for it in records if isinstance(it, CapturedUnit | Left)), 1):
        if isinstance(record, Left):
            gap = True
            continue
        if gap and not record.flags & Flag.CLEAN:
            outcomes += decoder.lose()
        gap, units = False, units + 1
        outcomes += decoder.push(seq, codec=record.codec, payload=record.payload)
    outcomes += decoder.drain()
    assert len(outcomes) == units
    return units, sum(isinstance(it, Picture) for it in outcomes)


@pytest.mark.parametrize("sub", [*SUBS, OVER_TS], ids=lambda made: made.name)
def test_the_stream_changes_at_keyframes_and_everything_decodes(sub: Made, tmp_path: Path) -> None:
    records = filmed(make(tmp_path, MAIN, 60), make(tmp_path, sub, 60), there_and_back)
    units = [it for it in records if isinstance(it, CapturedUnit)]
    changes = [at for at, (one, other) in enumerate(pairwise(units), 1) if one.width != other.width]
    assert len(changes) == 2
    assert all(units[at].flags & Flag.CLEAN for at in changes)
    assert [units[at].width for at in (0, *changes)] == [320, 160, 320]
    assert (40 <= changes[0] < 70, 90 <= changes[1] < 120) == (True, True)
    assert inferred(records) == (len(units), len(units))
    times = [it.mono_us for it in records if isinstance(it, Captured | CapturedUnit)]
    assert all(one <= other for one, other in pairwise(times))
    assert max(other - one for one, other in pairwise(times)) < 1_000_000
    opened = [it for it in records if isinstance(it, Opened)]
    assert [it.width for it in opened] == [320, 160, 320]
    assert opened[1].note == "sub-stream"


def test_until_the_sub_stream_comes_groups_are_cut(tmp_path: Path) -> None:
    def thin(count: int, orders: Orders) -> None:
        orders.sub, orders.bitrate_bps = count >= 40, 20_000

    records = filmed(make(tmp_path, MAIN, 60), make(tmp_path, SUBS[0]._replace(gop=60), 60), thin)
    told = [it for it in records if isinstance(it, CapturedUnit | Left)]
    assert not any(isinstance(it, Left) for it in told[:40])
    left = [at for at, it in enumerate(told) if isinstance(it, Left)]
    assert left
    assert {it.fate for it in told if isinstance(it, Left)} == {Fate.SHED}
    first_of_sub = next(at for at, it in enumerate(told) if isinstance(it, CapturedUnit) and it.width == 160)
    assert max(left) < first_of_sub
    units, pictures = inferred(records)
    assert units == pictures


def test_into_open_groups_only_behind_a_gap(tmp_path: Path) -> None:
    """Pictures in front of such a keyframe refer to what was before it: a decoder that goes on would make them up."""
    sub = make(tmp_path, Made("libx265", "open.mp4", 3, options=OPEN), 60)

    def late(count: int, orders: Orders) -> None:
        orders.sub = count >= 75

    records = filmed(make(tmp_path, MAIN, 60), sub, late, length=200)
    told = [it for it in records if isinstance(it, CapturedUnit | Left)]
    at = next(at for at, it in enumerate(told) if isinstance(it, CapturedUnit) and it.codec is Codec.H265)
    entered = told[at]
    assert isinstance(entered, CapturedUnit)
    assert entered.entry_point
    assert entered.flags & Flag.CLEAN or isinstance(told[at - 1], Left)
    units, pictures = inferred(records)
    assert pictures > 0.8 * units


@pytest.mark.parametrize("broken", ["missing.mp4", "noise.mp4"])
def test_a_sub_stream_that_cannot_be_had_is_said_and_hurts_nothing(broken: str, tmp_path: Path) -> None:
    (tmp_path / "noise.mp4").write_bytes(bytes(range(256)) * 40)
    records = filmed(make(tmp_path, MAIN, 60), tmp_path / broken, there_and_back, length=100)
    assert [it for it in records if isinstance(it, Trouble)]
    units = [it for it in records if isinstance(it, CapturedUnit)]
    assert len(units) == 100
    assert {it.width for it in units} == {320}
    assert inferred(records) == (100, 100)


def test_a_sub_stream_that_ends_gives_way_to_the_main_one(tmp_path: Path) -> None:
    main, sub = make(tmp_path, MAIN, 200), make(tmp_path, SUBS[0], 60)

    def sub_at_once(count: int, orders: Orders) -> None:
        orders.sub = True

    records = filmed(main, sub, sub_at_once, loop=False)
    assert [it for it in records if isinstance(it, Trouble)]
    widths = [it.width for it in records if isinstance(it, CapturedUnit)]
    assert {160, 320} <= set(widths[10:])
    assert widths[-1] == 320
    units, pictures = inferred(records)
    assert units == pictures


def test_both_streams_are_measured(tmp_path: Path) -> None:
    records = filmed(make(tmp_path, MAIN, 60), make(tmp_path, SUBS[0], 60), lambda count, orders: None, length=320)
    flows = [it for it in records if isinstance(it, Flows)]
    assert flows
    last = flows[-1]
    assert last.sub is not None
    assert min(last.main.bps, last.sub.bps) > 0
    assert last.main.keyframe_bps > 0
