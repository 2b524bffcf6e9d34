from support import clips

from fishladder.inference.decode_queue import MAX_PENDING, DecodeQueue, Picture, Settled
from fishladder.wire.bitstream import Access
from fishladder.wire.fates import Fate

FRAME = clips.scene(0, 64, 64)


def test_a_picture_waits_for_the_units_before_it() -> None:
    queue = DecodeQueue()
    first, second = (queue.add(seq, context=False, wanted=True) for seq in (7, 8))
    for entry in (first, second):
        queue.expect(entry)
    second.show(FRAME)
    assert queue.release() == []
    first.fate = Fate.NO_PICTURE
    assert queue.release() == [Settled(7, Fate.NO_PICTURE), Picture(8, FRAME)]
    assert queue.pending == 0


def test_a_unit_whose_picture_never_comes_is_undecodable_in_the_end() -> None:
    queue = DecodeQueue()
    queue.expect(queue.add(1, context=False, wanted=True))
    for seq in range(2, MAX_PENDING + 1):
        queue.add(seq, context=False, wanted=True).show(FRAME)
        assert queue.release() == []
    queue.add(MAX_PENDING + 1, context=False, wanted=True).show(FRAME)
    outcomes = queue.release()
    assert outcomes[0] == Settled(1, Fate.UNDECODABLE)
    assert [outcome.seq for outcome in outcomes] == list(range(1, MAX_PENDING + 2))
    assert queue.take(0) is None


def test_context_is_neither_counted_nor_given_out() -> None:
    queue = DecodeQueue()
    entry = queue.add(1, context=True, wanted=True)
    assert queue.pending == 0
    entry.show(FRAME)
    assert queue.release() == []


def test_damage_spoils_what_follows_up_to_what_refers_to_nothing_before() -> None:
    queue = DecodeQueue()
    entries = [queue.add(seq, context=False, wanted=seq != 3) for seq in range(1, 7)]
    for entry in entries:
        queue.expect(entry)
    entries[4].access = Access(idr=True)
    for index in (1, 2, 3, 5):
        assert queue.take(index) is entries[index]
        entries[index].show(FRAME)
    entries[1].frame, entries[1].fate = None, Fate.UNDECODABLE
    assert queue.spoil(entries[1])
    queue.settle_expected(Fate.UNDECODABLE)
    assert queue.release() == [
        Settled(1, Fate.UNDECODABLE),
        Settled(2, Fate.UNDECODABLE),
        Settled(3, Fate.NO_REFERENCE),
        Settled(4, Fate.NO_REFERENCE),
        Settled(5, Fate.UNDECODABLE),
        Picture(6, FRAME),
    ]
