"""What an agent tells of its uplink, its spool and its cameras."""

import msgspec

from fishladder.edge.rate.orders import Order, Wish
from fishladder.edge.rate.passing import ENCODED_STEPS, Flow, Passing, PassingRung
from fishladder.edge.spool.keeper import Filling
from fishladder.edge.uplink_status import SenderNews, Sending, SentRate, sender_status
from fishladder.view.sending import sending_view
from fishladder.wire.messages import Positions, SenderStatus, UplinkStatus, encode, from_agent


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


WISH = Wish(1.0, 600_000, 5.0, 640, 480)
ALL = SenderStatus("encode", bitrate_bps=600_000, of_bps=600_000, fps=5.0, of_fps=5.0, width=640, of_width=640)


def test_what_is_sent_of_a_camera_is_said_beside_what_would_be() -> None:
    assert sender_status(Sending("encode"), WISH, None) == ALL
    thin = sender_status(Sending("encode", True), WISH, Order(90_000, 2.5, 320, True))
    assert thin == SenderStatus("encode", "open", 90_000, 600_000, 2.5, 5.0, 320, 640, True)
    assert sender_status(Sending("passthrough", None), None, None) == SenderStatus("passthrough")
    positions = Positions([(0, 7)], None, [(0, thin)])
    assert from_agent(encode(positions)) == positions


def test_only_what_is_new_is_said_and_now_and_then_all_of_it() -> None:
    news = SenderNews()
    other = msgspec.structs.replace(ALL, bitrate_bps=300_000)
    held = msgspec.structs.replace(ALL, hold=True)
    assert news.of({0: ALL, 1: ALL}, 0.0) == [(0, ALL), (1, ALL)]
    assert news.of({0: other, 1: ALL}, 1.0) == []
    assert news.of({0: other, 1: held}, 2.0) == [(1, held)]
    assert news.of({0: other, 1: held, 2: ALL}, 3.0) == [(2, ALL)]
    assert news.of({0: other, 1: held}, 5.0) == [(0, other), (1, held)]


def test_what_is_to_be_encoded_anew_is_said_in_words_older_gateways_know() -> None:
    wish = Wish(1.0, 3e6, 15, 640, 360, Passing(Flow(3e6, 3e5), None, ENCODED_STEPS, 1.5e6))
    order = Order(200_000, fps=5.0, width=320, passing=PassingRung(keep="transcode"))
    said = [sender_status(Sending(mode), wish, order).keep for mode in ("passthrough", "encode")]
    assert said == ["tail", "all"]
    assert sending_view(sender_status(Sending("encode"), wish, order)).step == "size"
