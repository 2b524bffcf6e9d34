"""What the demo shows of a camera follows from its results alone."""

from fishladder.operate.demo_view import account, plain_line
from fishladder.runtime.ledger import Ledger
from fishladder.view.recent import HOPS, Recent
from fishladder.wire.fates import Fate
from fishladder.wire.result import Detection, FrameResult, Hops, Result

PERSON = Detection("person", 0.9, 0.1, 0.1, 0.2, 0.4)


def committed(view: Recent, at_ms: int, age_ms: int, detections: list[Detection]) -> None:
    hops = Hops(capture=10, uplink=5, log=1, wait=2, decode=4, batch=3, infer=40)
    frame = FrameResult(1, 0, (at_ms - age_ms) * 1000, detections, hops)
    view.add(at_ms, Result("shop/door", 1, 1, 1, [(1, 1, 1)], [frame]))


def test_what_is_left_of_the_age_is_the_commit() -> None:
    view = Recent()
    committed(view, 100_000, 70, [PERSON])
    hops = view.hops_ms()
    assert hops is not None
    assert dict(zip(HOPS, hops, strict=True))["commit"] == 5
    assert sum(hops) == 70


def test_frames_a_second_over_the_window() -> None:
    view = Recent(window_s=10)
    for at_ms in range(0, 20_000, 200):
        committed(view, at_ms, 70, [])
    assert view.fps(20_000) == 5.0
    assert view.fps(60_000) == 0.0, "a camera that stopped is shown as stopped"
    assert view.frames == 100


def test_a_line_says_what_is_seen_and_accounts_for_every_frame() -> None:
    view = Recent()
    committed(view, 100_000, 70, [PERSON, PERSON])
    ledger = Ledger("shop/door", captured=10, pending=2, fates={Fate.INFERRED: 5, Fate.SAMPLED_OUT: 2, Fate.SHED: 1})
    line = plain_line(view, ledger, 3.0)
    assert "sees person x2" in line
    assert account(ledger) in line
    assert account(ledger) == ("captured 10 = inferred 5 + skipped 2 + dropped 1 + pending 2  (sampled_out 2, shed 1)")
