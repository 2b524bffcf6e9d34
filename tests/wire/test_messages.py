import contextlib
import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.samples import AGENT, GATEWAY

from fishladder.wire import messages
from fishladder.wire.errors import TooLarge, VersionMismatch, WireError
from fishladder.wire.ids import MAX_SEQ
from fishladder.wire.messages import CameraHello, Hello, Policy, choose_version, encode, from_agent, from_gateway

NUMBERS = st.integers(0, MAX_SEQ)
HELLOS = st.builds(
    Hello,
    versions=st.tuples(st.integers(0, 9), st.integers(0, 9)),
    boot=st.text(min_size=1, max_size=64),
    hello=NUMBERS,
    cameras=st.lists(
        st.builds(
            CameraHello,
            camera=st.text(max_size=20),
            channel=st.integers(0, 0xFFFF),
            epoch=NUMBERS,
            position=NUMBERS,
            oldest=NUMBERS,
            clean=st.lists(NUMBERS, max_size=5),
            meta=st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=3),
        ),
        max_size=4,
    ),
    agent=st.text(max_size=20),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
)


@given(HELLOS)
def test_a_hello_comes_back_as_it_was(hello: Hello) -> None:
    assert from_agent(encode(hello)) == hello


@pytest.mark.parametrize("name", AGENT | GATEWAY)
def test_unknown_fields_are_ignored(name: str) -> None:
    """A newer peer may say more, at any depth."""

    def say_more(value: object) -> object:
        if isinstance(value, dict):
            return {key: say_more(inner) for key, inner in value.items() if key != "meta"} | {"later": [1]}
        return [say_more(inner) for inner in value] if isinstance(value, list) else value

    message = (AGENT | GATEWAY)[name]
    more = json.dumps(say_more(json.loads(encode(message))))
    read = from_agent(more) if name in AGENT else from_gateway(more)
    assert encode(read).replace(',"meta":{"codec":"h264"}', "") == encode(message).replace(
        ',"meta":{"codec":"h264"}', ""
    )


def test_messages_go_one_way() -> None:
    with pytest.raises(WireError, match="Invalid value 'welcome'"):
        from_agent(encode(GATEWAY["welcome"]))
    with pytest.raises(WireError, match="Invalid value 'hello'"):
        from_gateway(encode(AGENT["hello"]))


@given(JSON | st.fixed_dictionaries({"type": st.sampled_from([*AGENT, *GATEWAY])}, optional={"cameras": JSON}))
def test_any_json_is_a_message_or_an_error_of_the_wire(value: object) -> None:
    for read in (from_agent, from_gateway):
        with contextlib.suppress(WireError):
            read(json.dumps(value))


@given(st.text() | st.binary())
def test_any_text_is_a_message_or_an_error_of_the_wire(text: str | bytes) -> None:
    for read in (from_agent, from_gateway):
        with contextlib.suppress(WireError):
            read(text)


@pytest.mark.parametrize("name", AGENT | GATEWAY)
def test_a_truncated_message_is_an_error_of_the_wire(name: str) -> None:
    text = encode((AGENT | GATEWAY)[name])
    for cut in range(len(text)):
        with pytest.raises(WireError):
            (from_agent if name in AGENT else from_gateway)(text[:cut])


@pytest.mark.parametrize(
    "change",
    [
        {"hello": -1},
        {"boot": ""},
        {"boot": "b" * 65},
        {"cameras": [{"camera": "a/b", "channel": 65536}]},
        {"cameras": [{"camera": "a/b", "channel": -1}]},
        {"cameras": [{"camera": "a/b", "channel": 1, "epoch": 2**53}]},
        {"cameras": [{"camera": "a/b", "channel": 1, "position": -1}]},
        {"cameras": [{"camera": "a/b", "channel": 1, "clean": [1] * 257}]},
        {"cameras": [{"camera": "a/b", "channel": 1}] * 1025},
        {"versions": [1]},
    ],
)
def test_numbers_out_of_range_are_refused(change: dict[str, object]) -> None:
    """Whoever reads a message need not ask again whether its numbers can be."""
    with pytest.raises(WireError):
        from_agent(json.dumps({"type": "hello", "versions": [1, 1], "boot": "b", "hello": 1} | change))


@pytest.mark.parametrize("policy", [{"fps": 0}, {"fps": -1}, {"weight": 0}, {"deadline_ms": 0}, {"policy": "some"}])
def test_a_policy_that_cannot_be_is_refused(policy: dict[str, object]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(policy, Policy)


def test_a_text_over_the_limit_is_refused_unread() -> None:
    with pytest.raises(TooLarge, match="over the limit of 262144"):
        from_agent("x" * (messages.MAX_TEXT_BYTES + 1))


def test_deep_nesting_is_an_error_of_the_wire() -> None:
    with pytest.raises(WireError):
        from_agent('{"type":"hello","cameras":' + "[" * 100_000)


def test_the_highest_common_version_is_chosen() -> None:
    assert choose_version((1, 1)) == 1
    assert choose_version((1, 9), (2, 3)) == 3
    assert choose_version((2, 2), (1, 3)) == 2
    for peer, ours in (((2, 3), (1, 1)), ((1, 1), (2, 3)), ((3, 2), (1, 4))):
        with pytest.raises(VersionMismatch, match=f"{peer[0]} to {peer[1]}, this gateway {ours[0]} to {ours[1]}"):
            choose_version(peer, ours)
