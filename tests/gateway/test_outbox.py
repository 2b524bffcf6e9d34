"""What an agent is told, and how soon."""

from fishladder.gateway.outbox import AT_ONCE, SOON, WITH_OTHERS, Outbox
from fishladder.wire.messages import Ack, Drain, from_gateway


def test_what_is_committed_waits_for_company_and_only_the_newest_is_said() -> None:
    soon: list[float] = []
    outbox = Outbox(soon.append)
    outbox.ack(1, logged=2, committed=1, after_s=WITH_OTHERS)
    outbox.ack(2, logged=7, committed=0)
    outbox.ack(1, logged=2, committed=2, after_s=WITH_OTHERS)
    assert soon == [WITH_OTHERS, SOON, WITH_OTHERS]
    assert AT_ONCE < SOON < WITH_OTHERS
    assert [from_gateway(it) for it in outbox.take()] == [Ack([(1, 2, 2), (2, 7, 0)])]
    assert not outbox


def test_what_is_urgent_is_said_at_once() -> None:
    soon: list[float] = []
    outbox = Outbox(soon.append)
    outbox.credit(1000)
    outbox.say(Drain("it ends"))
    assert soon == [SOON, AT_ONCE]
