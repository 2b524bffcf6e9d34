"""Bytes of released versions, checked in: agents in the field lag behind gateways, and logs and results outlive a
deploy. A change that alters one of these files breaks somebody who is already out there.
"""

from pathlib import Path

import pytest
from support.samples import AGENT, BINARY, GATEWAY, RANGE, RESULT, STAMP, UNIT

from fishladder.wire import messages, result
from fishladder.wire.entry import EpochStart, LoggedUnit, read_entry
from fishladder.wire.framing import Reassembler, UnitMessage
from fishladder.wire.ids import Position
from fishladder.wire.unit import UNIT_HEADER_BYTES, Range, Unit

GOLDEN = Path(__file__).parent / "golden" / "v1"


def golden_bytes(name: str) -> bytes:
    return bytes.fromhex((GOLDEN / f"{name}.hex").read_text())


def golden_json(name: str) -> str:
    return (GOLDEN / f"{name}.json").read_text().strip()


@pytest.mark.parametrize("name", BINARY)
def test_binary_forms_are_written_as_released(name: str) -> None:
    assert BINARY[name].hex() == golden_bytes(name).hex()


@pytest.mark.parametrize("name", AGENT | GATEWAY)
def test_messages_are_written_as_released(name: str) -> None:
    assert messages.encode((AGENT | GATEWAY)[name]) == golden_json(name)


@pytest.mark.parametrize("name", AGENT)
def test_released_agents_are_understood(name: str) -> None:
    assert messages.from_agent(golden_json(name)) == AGENT[name]


@pytest.mark.parametrize("name", GATEWAY)
def test_released_gateways_are_understood(name: str) -> None:
    assert messages.from_gateway(golden_json(name)) == GATEWAY[name]


def test_a_released_unit_and_range_are_understood() -> None:
    assert Unit.unpack(golden_bytes("unit")) == UNIT
    assert Range.unpack(golden_bytes("range")) == RANGE


def test_released_fragments_are_understood() -> None:
    inbox = Reassembler()
    assert inbox.feed(golden_bytes("fragment-whole")) == UnitMessage(7, UNIT.pack())
    assert inbox.feed(golden_bytes("fragment-first")) is None
    assert inbox.feed(golden_bytes("fragment-last")) == UnitMessage(7, UNIT.pack())
    assert inbox.feed(golden_bytes("fragment-abandon")) is None
    assert inbox.feed(golden_bytes("fragment-range")) == (258, RANGE, False)


def test_released_log_entries_are_understood() -> None:
    entry = read_entry(str(UNIT.position).encode(), [b"u", golden_bytes("entry-unit")])
    assert isinstance(entry, LoggedUnit)
    assert (entry.stamp, entry.position, bytes(entry.data)) == (STAMP, UNIT.position, UNIT.payload)
    assert read_entry(b"3-9", {b"r": golden_bytes("range")}) == RANGE
    assert read_entry(b"3-0", [b"e", golden_bytes("entry-epoch")]) == EpochStart(3, Position(2, 77))


def test_released_results_are_read_and_written() -> None:
    assert result.encode(RESULT).decode() == golden_json("result")
    assert result.decode(golden_json("result").encode()) == RESULT


def test_no_golden_file_is_forgotten() -> None:
    names = {path.stem for path in GOLDEN.iterdir()}
    assert names == {*BINARY, *AGENT, *GATEWAY, "entry-epoch", "result"}
    assert len(golden_bytes("unit")) == UNIT_HEADER_BYTES + len(UNIT.payload)
