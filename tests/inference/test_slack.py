"""When a worker gives memory back."""

from fishladder.inference.slack import Slack
from fishladder.runtime.heap import trim

MB = 1 << 20


def test_after_a_backlog_and_once() -> None:
    slack = Slack()
    assert [slack.due(size) for size in (0, 2 * MB, 24 * MB, 8 * MB, 3 * MB, MB // 2, 0)] == [False] * 4 + [True] + [
        False
    ] * 2


def test_not_for_what_a_worker_always_has_in_hand() -> None:
    slack = Slack()
    assert not any(slack.due(size) for size in (0, 200_000, 900_000, 0) * 3)


def test_each_backlog_counts_anew() -> None:
    slack = Slack()
    assert [slack.due(size) for size in (9 * MB, 0, 9 * MB, 9 * MB, 0)] == [False, True, False, False, True]


def test_it_can_be_done_on_any_system() -> None:
    trim()
