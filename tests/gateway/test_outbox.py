"""What an agent is told, and how soon it has to be."""

from fishladder.gateway.outbox import Outbox
from fishladder.wire.messages import Ack, from_gateway


def acks(outbox: Outbox) -> list[list[tuple[int, int, int]]]:
    return [it.cameras for text in outbox.take() if isinstance(it := from_gateway(text), Ack)]


def test_what_is_committed_alone_waits_for_company_and_is_said_with_what_is_logged() -> None:
    outbox = Outbox()
    assert outbox.ack(1, logged=1, committed=0)
    assert acks(outbox) == [[(1, 1, 0)]]
    assert not outbox.ack(1, logged=1, committed=1)
    assert outbox.ack(2, logged=7, committed=0), "each channel has its own"
    assert outbox.ack(1, logged=2, committed=1)
    assert acks(outbox) == [[(1, 2, 1), (2, 7, 0)]]
    assert not outbox.ack(1, logged=2, committed=2)
    assert acks(outbox) == [[(1, 2, 2)]]


def test_a_camera_that_says_hello_anew_hears_of_what_it_sends_at_once() -> None:
    outbox = Outbox()
    outbox.ack(1, logged=1, committed=1)
    outbox.forget(1)
    assert not outbox
    assert outbox.ack(1, logged=1, committed=1)
