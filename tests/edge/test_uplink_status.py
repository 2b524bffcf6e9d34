"""What an agent tells of its uplink and its spool."""

from fishladder.edge.spool.keeper import Filling
from fishladder.edge.uplink_status import SentRate
from fishladder.wire.messages import Positions, UplinkStatus, encode, from_agent


def test_what_is_sent_is_the_rate_of_the_last_seconds() -> None:
    rate = SentRate()
    assert rate.status(0, 0.0).sent_bps is None
    for second in range(1, 20):
        status = rate.status(min(second, 10) * 125_000, float(second))
        if second == 10:
            assert status.sent_bps == 1_000_000
    assert status.sent_bps == 0


def test_a_spool_is_told_of_where_there_is_one() -> None:
    filling = Filling(38, 100, 50, None, 1.0, "")
    status = SentRate().status(0, 0.0, rtt_us=41_000, spool=filling)
    assert status == UplinkStatus(rtt_us=41_000, spool_bytes=38, spool_limit_bytes=100)
    assert from_agent(encode(Positions([(0, 7)], status))) == Positions([(0, 7)], status)


def test_agents_of_before_say_nothing_of_it() -> None:
    assert from_agent('{"type":"positions","cameras":[[0,7]]}') == Positions([(0, 7)])
    assert encode(Positions([(0, 7)])) == '{"type":"positions","cameras":[[0,7]]}'
