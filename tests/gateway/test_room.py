"""That agents wait for room is said once, and once when it is over, however it flickers in between."""

from structlog.testing import capture_logs

from fishladder.gateway.room import OVER_AFTER_S, RoomWatch


def test_no_room_is_said_once_and_room_again_once() -> None:
    watch, now = RoomWatch(), 100.0
    with capture_logs() as said:
        for waiting in (0, 0, 3, 2, 0, 3, 0, 1, 0):
            now += 1
            watch.look(waiting, now, used_bytes=90, limit_bytes=100)
        assert [line["log_level"] for line in said] == ["warning"]
        assert (said[0]["waiting"], said[0]["used_bytes"], said[0]["limit_bytes"]) == (3, 90, 100)
        for _ in range(20):
            now += OVER_AFTER_S / 4
            watch.look(0, now, used_bytes=10, limit_bytes=100)
        assert [line["log_level"] for line in said] == ["warning", "info"]
        watch.look(1, now, used_bytes=90, limit_bytes=100)
        assert [line["log_level"] for line in said] == ["warning", "info", "warning"]


def test_the_sentence_says_how_many_wait() -> None:
    watch = RoomWatch()
    assert str(watch) == ""
    watch.look(7, 1.0, used_bytes=90, limit_bytes=100)
    assert "7 connection(s) wait" in str(watch)
