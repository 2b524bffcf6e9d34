"""Bookmarks in results: whoever resumes with one gets what he has not had, and nothing he has."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fishladder.view.bookmark import Bookmark
from fishladder.wire.errors import WireError

NAMES = ["a/one", "a/two", "b/three"]
ENTRIES = st.lists(
    st.tuples(st.sampled_from(NAMES), st.integers(100, 106), st.integers(0, 2)), unique=True, max_size=30
).map(lambda all_: sorted(all_, key=lambda it: (it[1], it[2])))


@given(entries=ENTRIES, cut=st.integers(0, 30))
def test_what_is_read_before_and_after_a_bookmark_is_all_of_it_once(
    entries: list[tuple[str, int, int]], cut: int
) -> None:
    mark = Bookmark(100)
    before = entries[:cut]
    for camera, ms, n in before:
        mark = mark.past(camera, (ms, n))
    again = Bookmark.parse(str(mark))
    after = [(camera, ms, n) for camera, ms, n in entries if (ms, n) > again.seen(camera)]
    # Of one millisecond and one camera ids ascend; `before` may have cut a camera's run there, never skipped in it.
    assert sorted(before + after) == sorted(entries)


@pytest.mark.parametrize(
    "text", ["", "x", "1,", "1,a/b", "1,a/b=", "1,A/b=1", "1,a=1", "-1", "1" * 20, "1,a/b=1" * 4000]
)
def test_what_is_no_bookmark_is_refused(text: str) -> None:
    with pytest.raises(WireError):
        Bookmark.parse(text)
