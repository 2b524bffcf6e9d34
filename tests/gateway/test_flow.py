"""What a gateway says of a camera's flow, from what its session knows."""

from support.agent_client import unit
from support.gateways import Nobody

from fishladder.gateway.flow import FlowMeter
from fishladder.gateway.session import LogSession
from fishladder.wire.unit import UNIT_HEADER_BYTES

S = 1_000_000
T0 = 1_800_000_000 * S


def session(**fields: int) -> LogSession:
    return LogSession("a/one", 0, "token", 1, 1, 0, Nobody(), **fields)


def log(it: LogSession, seq: int) -> None:
    packed = unit(1, seq, size=1000).pack()
    it.units += 1
    it.unit_bytes += len(packed)
    it.header = packed[: UNIT_HEADER_BYTES + 1]
    it.position = it.logged = seq


def test_rates_are_those_of_the_last_seconds() -> None:
    it, meter = session(), FlowMeter("gw")
    seq = 0
    for second in range(20):
        for _ in range(5 if second < 10 else 1):
            seq += 1
            log(it, seq)
        flow = meter.sample(it, T0 + second * S)
    assert flow.fps == 1.0
    assert flow.bps == round(len(unit(1, seq, size=1000).pack()) * 8)
    assert (flow.codec, flow.gateway) == ("h264", "gw")


def test_the_oldest_uncommitted_frame_is_as_old_as_when_it_was_first_heard_of() -> None:
    it, meter = session(), FlowMeter()
    for second in range(10):
        log(it, second + 1)
        it.committed = min(it.position, 4)
        flow = meter.sample(it, T0 + second * S)
    assert flow.oldest_us == T0 + 4 * S
    assert flow.moved_us == T0 + 9 * S
    it.committed = it.position
    flow = meter.sample(it, T0 + 30 * S)
    assert (flow.oldest_us, flow.moved_us) == (0, T0 + 9 * S)


def test_a_camera_that_waits_for_days_costs_no_memory() -> None:
    it, meter = session(), FlowMeter()
    for second in range(5000):
        log(it, second + 1)
        flow = meter.sample(it, T0 + second * S)
    assert len(meter._heard) <= 512
    assert flow.oldest_us == T0


def test_another_session_begins_anew() -> None:
    one, meter = session(), FlowMeter()
    log(one, 1)
    meter.sample(one, T0)
    two = session()
    two.token = "other"
    assert meter.sample(two, T0 + S).fps == 0.0
