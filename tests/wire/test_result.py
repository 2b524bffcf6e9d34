import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.samples import RESULT

from fishladder.wire import result
from fishladder.wire.errors import WireError


def test_a_result_comes_back_as_it_was() -> None:
    assert result.decode(result.encode(RESULT)) == RESULT


def test_a_truncated_result_is_an_error_of_the_wire() -> None:
    data = result.encode(RESULT)
    for cut in range(len(data)):
        with pytest.raises(WireError, match="not a result"):
            result.decode(data[:cut])


@given(st.binary() | st.text().map(str.encode))
def test_any_bytes_are_a_result_or_an_error_of_the_wire(data: bytes) -> None:
    with contextlib.suppress(WireError):
        result.decode(data)
