"""ICE from the side of who is called: checks with the right password are answered, others are not, and a restart leaves
the way in use as it is until there is another.
"""

import pytest
from aioice import stun
from hypothesis import given
from hypothesis import strategies as st

from fishladder.gateway.webrtc.ice import Datagram, IceAgent, Path
from fishladder.gateway.webrtc.sdp import Candidate, Credentials
from fishladder.wire.errors import WireError

THEIRS = Credentials("them", "p" * 24)
HERE = Path(0, ("198.51.100.7", 4000))
THERE = Path(0, ("203.0.113.9", 5000))


def agent(**options: bool) -> IceAgent:
    return IceAgent(THEIRS, (4,), **options)  # type: ignore[arg-type]


def check(
    to: IceAgent, *, nominate: bool = False, password: str = "", priority: bool = True, role: str = "ICE-CONTROLLING"
) -> bytes:
    """A check of the client's, with the credentials the agent has given it."""
    request = stun.Message(stun.Method.BINDING, stun.Class.REQUEST)
    request.attributes["USERNAME"] = f"{to.local.ufrag}:{to.remote.ufrag}"
    if priority:
        request.attributes["PRIORITY"] = 1
    request.attributes[role] = 1
    if nominate:
        request.attributes["USE-CANDIDATE"] = None
    request.add_message_integrity((password or to.local.password).encode())
    return bytes(request)


def kinds(some: list[Datagram]) -> list[stun.Class]:
    return [stun.parse_message(one.data).message_class for one in some]


def reply(to: Datagram, password: str) -> bytes:
    asked = stun.parse_message(to.data)
    answer = stun.Message(stun.Method.BINDING, stun.Class.RESPONSE, asked.transaction_id)
    answer.attributes["XOR-MAPPED-ADDRESS"] = ("192.0.2.1", 1)
    answer.add_message_integrity(password.encode())
    return bytes(answer)


@pytest.mark.parametrize("priority", [True, False])
def test_a_check_is_answered_and_opens_the_way_with_or_without_priority(priority: bool) -> None:
    it = agent()
    out = it.received(check(it, priority=priority), HERE, 1.0)
    answer = stun.parse_message(out[0].data)
    assert answer.message_class is stun.Class.RESPONSE
    assert answer.check_message_integrity(it.local.password.encode())
    assert answer.attributes["XOR-MAPPED-ADDRESS"] == HERE.address
    assert (it.selected, it.heard_at) == (HERE, 1.0)


def test_media_goes_where_the_client_nominates() -> None:
    it = agent()
    it.received(check(it), HERE, 1.0)
    it.received(check(it, nominate=True), THERE, 1.1)
    assert it.selected == THERE
    it.received(check(it), HERE, 1.2)
    assert it.selected == THERE


def test_who_does_not_know_the_password_is_told_nothing() -> None:
    it = agent()
    out = it.received(check(it, password="guess" * 5), HERE, 1.0)
    assert kinds(out) == [stun.Class.ERROR]
    assert (it.selected, it.refused) == (None, 1)
    assert it.heard_at < 0
    bare = stun.Message(stun.Method.BINDING, stun.Class.REQUEST)
    assert stun.parse_message(it.received(bytes(bare), HERE, 1.0)[0].data).error_code == 400


def test_a_client_in_our_role_is_told_to_change() -> None:
    it = agent()
    [out] = it.received(check(it, role="ICE-CONTROLLED"), HERE, 1.0)
    assert stun.parse_message(out.data).error_code == 487


def test_an_address_is_the_clients_once_a_check_has_proved_it() -> None:
    it = agent()
    it.listed((Candidate("udp", *HERE.address),), 1.0)
    [asked] = it.poll(1.0)
    it.received(check(it, password="guess" * 5), THERE, 1.1)
    it.received(reply(asked, "x" * 24), HERE, 1.1)
    assert not it.knows(HERE.address)
    assert not it.knows(THERE.address)
    it.received(check(it), THERE, 1.2)
    it.received(reply(asked, THEIRS.password), HERE, 1.2)
    assert it.knows(HERE.address)
    assert it.knows(THERE.address)
    for port in range(1000):
        it.received(check(it), Path(0, ("198.51.100.8", port)), 1.3)
    assert not it.knows(HERE.address), "they are not collected for ever"
    assert it.knows(("198.51.100.8", 999))


def test_listed_addresses_are_checked_and_names_passed_over() -> None:
    it = agent()
    listed = [
        Candidate("udp", "198.51.100.7", 4000),
        Candidate("udp", "1a2b.local", 1),
        Candidate("tcp", "192.0.2.3", 9),
    ]
    it.listed((*listed, Candidate("udp", "2001:db8::1", 4), Candidate("udp", "0.0.0.0", 4)), 1.0)
    out = it.poll(1.0)
    assert [one.path for one in out] == [HERE]
    assert it.next_at == pytest.approx(1.1)
    for _ in range(20):
        it.poll(it.next_at)
    assert it.next_at == float("inf"), "it is not tried for ever"


def test_an_ice_lite_client_is_nominated_by_us() -> None:
    it = agent(controlling=True)
    it.listed((Candidate("udp", *HERE.address),), 1.0)
    [asked] = it.poll(1.0)
    assert "USE-CANDIDATE" in stun.parse_message(asked.data).attributes
    it.received(reply(asked, "x" * 24), HERE, 1.01)
    assert it.selected is None
    it.received(reply(asked, THEIRS.password), HERE, 1.02)
    assert it.selected == HERE


def test_a_silent_client_is_asked_for_a_sign_of_life() -> None:
    it = agent()
    it.received(check(it, nominate=True), HERE, 10.0)
    assert it.next_at <= 11.5
    while it.next_at < 11.4:
        it.poll(it.next_at)
    asked = [it.poll(at)[-1] for at in (11.5, 12.0, 12.5)]
    assert kinds(asked) == [stun.Class.REQUEST] * 3
    it.received(reply(asked[-1], THEIRS.password), HERE, 12.55)
    assert it.heard_at == 12.55
    assert it.next_at >= 14


def test_a_restart_keeps_the_old_way_until_the_client_has_taken_the_new() -> None:
    it = agent()
    it.received(check(it, nominate=True), HERE, 1.0)
    old = check(it)
    newer = Credentials("new1", "q" * 24)
    it.restart(newer, 2.0)
    assert it.selected == HERE
    assert kinds(it.received(old, HERE, 2.1))[0] is stun.Class.RESPONSE
    it.received(check(it, nominate=True), THERE, 2.2)
    assert it.selected == THERE
    assert kinds(it.received(old, HERE, 2.3)) == [stun.Class.ERROR]
    while not (asked := it.poll(it.next_at)):
        pass
    assert str(stun.parse_message(asked[0].data).attributes["USERNAME"]).startswith("new1:")


def test_restarts_whose_answers_are_lost_leave_the_old_way_as_it_is() -> None:
    it = agent()
    it.received(check(it, nominate=True), HERE, 1.0)
    old = check(it)
    for number in range(3):
        it.restart(Credentials(f"new{number}", "q" * 24), 2.0 + number)
        assert it.restarting
        assert kinds(it.received(old, HERE, 2.1 + number))[0] is stun.Class.RESPONSE
        assert it.heard_at == 2.1 + number
    it.received(check(it, nominate=True), THERE, 6.0)
    assert not it.restarting
    assert kinds(it.received(old, HERE, 6.1)) == [stun.Class.ERROR], "the newest holds alone once it is in use"


@given(st.binary(max_size=120))
def test_no_datagram_does_harm(data: bytes) -> None:
    it = agent()
    for some in (data, b"\0\1" + len(data).to_bytes(2, "big") + b"\x21\x12\xa4\x42" + bytes(12) + data):
        try:
            it.received(some, HERE, 1.0)
        except WireError:
            continue
    assert it.selected is None
