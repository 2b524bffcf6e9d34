"""Every reply of the frame store's scripts, and what they leave behind."""

import pytest
from redis.exceptions import OutOfMemoryError
from support.protocol import Frame, P, range_entry, read_log, unit_entry

from fishladder.runtime import frames
from fishladder.runtime.frames import Appended, Batch, Entry, EpochInUse, Opened, Stale, Status, open_log
from fishladder.runtime.store import Stores
from fishladder.wire import keys
from fishladder.wire.entry import EpochStart, LoggedUnit
from fishladder.wire.fates import Fate
from fishladder.wire.ids import MAX_SEQ, ORIGIN, Position
from fishladder.wire.unit import Range

CAMERA = "shop-7/door"


def unit(seq: int, epoch: int = 1, *, clean: bool = True) -> Entry:
    return unit_entry(epoch, seq, Frame(None, clean=clean))


async def opened(
    stores: Stores,
    session: str = "s1",
    *,
    camera: str = CAMERA,
    boot: str = "boot",
    hello: int = 1,
    epoch: int = 1,
    remembers: bool = False,
    cursor: Position = ORIGIN,
    rewind_to: int = 1,
    earlier: tuple[Position, ...] = (),
) -> Opened | Stale | EpochInUse:
    return await open_log(
        stores.frames,
        P,
        camera,
        boot=boot,
        hello=hello,
        session=session,
        epoch=epoch,
        remembers=remembers,
        cursor=cursor,
        rewind_to=rewind_to,
        earlier=earlier,
    )


async def append(stores: Stores, *entries: Entry, session: str = "s1", epoch: int = 1) -> Appended:
    [reply] = await frames.append(stores.frames, P, [Batch(CAMERA, session, epoch, entries)])
    return reply


async def covered(stores: Stores) -> list[str]:
    """The log in short: 1-5 a unit, 1-6..9 a range with its fate, 2-0 < 1-9 the start of an epoch."""
    said = []
    for entry in await read_log(stores.frames, CAMERA):
        match entry:
            case LoggedUnit():
                said.append(str(entry.position))
            case Range(epoch=epoch, first=first, last=last, fate=fate):
                said.append(f"{epoch}-{first}..{last} {fate.label}")
            case EpochStart():
                said.append(f"{entry.position} < {entry.after}")
    return said


async def test_a_new_cameras_log_begins_with_its_epoch(stores: Stores) -> None:
    assert await opened(stores) == Opened(kept=False, next=1)
    assert await append(stores, unit(1), unit(2), range_entry(1, 3, 9, Fate.GATED)) == (Status.ACCEPTED, 10)
    assert await covered(stores) == ["1-0 < 0-0", "1-1", "1-2", "1-3..9 gated"]
    assert await frames.owner_session(stores.frames, P, CAMERA) == "s1"


async def test_append_answers_duplicates_and_gaps(stores: Stores) -> None:
    await opened(stores)
    assert await append(stores, unit(1), unit(2)) == (Status.ACCEPTED, 3)
    assert await append(stores, unit(1)) == (Status.DUPLICATE, 3)
    assert await append(stores) == (Status.DUPLICATE, 3)
    assert await append(stores, unit(5)) == (Status.GAP, 3)
    assert await append(stores, unit(2), unit(3), unit(5), unit(6)) == (Status.GAP, 4)
    assert await covered(stores) == ["1-0 < 0-0", "1-1", "1-2", "1-3"]


async def test_a_range_that_overlaps_what_is_logged_moves_on_to_its_end(stores: Stores) -> None:
    await opened(stores)
    await append(stores, unit(1), unit(2))
    assert await append(stores, range_entry(1, 1, 4, Fate.SHED)) == (Status.ACCEPTED, 5)
    assert await append(stores, range_entry(1, 2, 4, Fate.SHED)) == (Status.DUPLICATE, 5)
    assert await append(stores, range_entry(1, 6, 7, Fate.SHED)) == (Status.GAP, 5)


async def test_one_call_for_many_cameras_answers_each(stores: Stores) -> None:
    others = ["shop-7/till", "shop-7/yard", "shop-7/roof"]
    await opened(stores)
    for camera in others[:2]:
        await opened(stores, camera=camera)
    batches = [
        Batch(others[2], "s1", 1, [unit(1)]),
        Batch(CAMERA, "s1", 1, [unit(1)]),
        Batch(others[0], "other", 1, [unit(1), unit(2)]),
        Batch(others[1], "s1", 1, [unit(2)]),
    ]
    assert await frames.append(stores.frames, P, batches) == [
        (Status.FENCED, 0),  # never opened
        (Status.ACCEPTED, 2),
        (Status.FENCED, 0),
        (Status.GAP, 1),
    ]


async def test_a_new_session_fences_the_old_one(stores: Stores) -> None:
    await opened(stores, "s1", hello=1)
    await append(stores, unit(1))
    assert await opened(stores, "s2", hello=2, remembers=True) == Opened(kept=True, next=2)
    assert await append(stores, unit(2), session="s1") == (Status.FENCED, 0)
    assert await append(stores, unit(2), session="s2") == (Status.ACCEPTED, 3)


async def test_a_hello_that_comes_after_a_later_one_is_stale(stores: Stores) -> None:
    await opened(stores, "s2", hello=2)
    assert await opened(stores, "s1", hello=1) == Stale()
    assert await frames.owner_session(stores.frames, P, CAMERA) == "s2"
    assert isinstance(await opened(stores, "s2b", hello=2, remembers=True), Opened), "its gateway may try again"


@pytest.mark.parametrize(("epoch", "remembers"), [(2, False), (1, False), (1, True)])
async def test_an_epoch_in_use_is_not_given_out_again(stores: Stores, epoch: int, remembers: bool) -> None:
    """As when the state store went back, and grants what it has forgotten."""
    await opened(stores, epoch=2)
    reply = await opened(stores, "s2", boot="other", epoch=epoch, remembers=remembers)
    assert reply == EpochInUse(2)
    assert await frames.owner_session(stores.frames, P, CAMERA) == "s1"


async def test_an_agent_that_remembers_goes_on_after_a_restart(stores: Stores) -> None:
    await opened(stores)
    await append(stores, unit(1))
    assert await opened(stores, "s2", boot="next", remembers=True) == Opened(kept=True, next=2)


async def test_a_lost_log_begins_anew_at_the_clean_point(stores: Stores) -> None:
    await opened(stores)
    await append(stores, *(unit(seq) for seq in range(1, 10)))
    await stores.frames.flushall()
    assert await append(stores, unit(10)) == (Status.FENCED, 0)
    reply = await opened(stores, "s2", hello=2, remembers=True, cursor=Position(1, 6), rewind_to=4)
    assert reply == Opened(kept=False, next=4)
    assert await append(stores, unit(4), session="s2") == (Status.ACCEPTED, 5)
    assert await covered(stores) == ["1-4"]


@pytest.mark.parametrize(
    ("cursor", "kept"),
    [
        (Position(1, 4), True),  # the next one, 5, is the first logged
        (Position(1, 9), True),  # all is committed
        (Position(1, 3), False),  # 4 is trimmed: the state store went back
        (Position(1, 10), False),  # 10 is committed but not logged: the frame store went back
    ],
)
async def test_a_log_is_kept_if_it_reaches_back_to_the_cursor(stores: Stores, cursor: Position, kept: bool) -> None:
    await opened(stores)
    await append(stores, *(unit(seq) for seq in range(1, 10)))
    await frames.trim(stores.frames, P, CAMERA, Position(1, 5))
    reply = await opened(stores, "s2", hello=2, remembers=True, cursor=cursor, rewind_to=3)
    assert reply == Opened(kept, 10 if kept else 3)


@pytest.mark.parametrize(("cursor", "kept"), [(Position(1, 9), True), (Position(1, 8), False)])
async def test_a_log_trimmed_to_nothing_is_kept_if_all_is_committed(
    stores: Stores, cursor: Position, kept: bool
) -> None:
    await opened(stores)
    await append(stores, range_entry(1, 1, 9, Fate.GATED))
    await frames.trim(stores.frames, P, CAMERA, Position(1, 10))
    assert await covered(stores) == []
    reply = await opened(stores, "s2", hello=2, remembers=True, cursor=cursor, rewind_to=9)
    assert reply == Opened(kept, 10 if kept else 9)


@pytest.mark.parametrize(("cursor", "kept"), [(Position(1, 2), True), (Position(1, 1), False)])
async def test_a_range_reaches_back_to_its_first_seq(stores: Stores, cursor: Position, kept: bool) -> None:
    await opened(stores)
    await append(stores, unit(1), unit(2), range_entry(1, 3, 9, Fate.GATED))
    await frames.trim(stores.frames, P, CAMERA, Position(1, 3))
    assert await covered(stores) == ["1-3..9 gated"]
    reply = await opened(stores, "s2", hello=2, remembers=True, cursor=cursor, rewind_to=1)
    assert reply == Opened(kept, 10 if kept else 1)


@pytest.mark.parametrize(("cursor", "kept"), [(Position(1, 9), True), (Position(1, 8), False)])
async def test_an_epochs_start_reaches_back_to_the_end_of_the_one_before(
    stores: Stores, cursor: Position, kept: bool
) -> None:
    await opened(stores)
    await append(stores, range_entry(1, 1, 9, Fate.GATED))
    await opened(stores, "s2", boot="next", epoch=2)
    await frames.trim(stores.frames, P, CAMERA, Position(2, 0))
    assert await covered(stores) == ["2-0 < 1-9"]
    reply = await opened(stores, "s3", boot="next", hello=2, epoch=2, remembers=True, cursor=cursor, rewind_to=9)
    assert reply == Opened(kept, 1)
    if not kept:
        assert await covered(stores) == ["2-0 < 1-8"]


async def test_what_an_agent_without_memory_leaves_behind_is_declared(stores: Stores) -> None:
    """Epoch 1 is logged to 3 and was captured to 7; epoch 2 was granted and captured to 4, but never opened."""
    await opened(stores)
    await append(stores, unit(1), unit(2), unit(3))
    reply = await opened(
        stores, "s2", boot="third", epoch=3, cursor=Position(1, 1), earlier=(Position(1, 7), Position(2, 4))
    )
    assert reply == Opened(kept=True, next=1)
    assert await covered(stores) == [
        *("1-0 < 0-0", "1-1", "1-2", "1-3", "1-4..7 spool_lost"),
        *("2-0 < 1-7", "2-1..4 spool_lost", "3-0 < 2-4"),
    ]


async def test_what_nobody_can_send_again_is_declared_when_the_log_is_lost_too(stores: Stores) -> None:
    reply = await opened(stores, epoch=3, cursor=Position(1, 5), earlier=(Position(1, 7), Position(2, 0)))
    assert reply == Opened(kept=False, next=1)
    assert await covered(stores) == ["1-6..7 log_lost", "2-0 < 1-7", "3-0 < 2-0"]


async def test_an_epoch_whose_recorded_position_is_old_ends_where_the_log_does(stores: Stores) -> None:
    await opened(stores)
    await append(stores, *(unit(seq) for seq in range(1, 10)))
    await opened(stores, "s2", boot="next", epoch=2, earlier=(Position(1, 6),))
    assert (await covered(stores))[-2:] == ["1-9", "2-0 < 1-9"]


async def test_a_full_store_refuses_a_whole_call(stores: Stores) -> None:
    await opened(stores)
    await append(stores, unit(1))
    await opened(stores, camera="shop-7/till")
    await stores.frames.config_set("maxmemory", "1")
    batches = [Batch(CAMERA, "s1", 1, [unit(2)]), Batch("shop-7/till", "s1", 1, [unit(1)])]
    with pytest.raises(OutOfMemoryError):
        await frames.append(stores.frames, P, batches)
    with pytest.raises(OutOfMemoryError):
        await opened(stores, "s2", hello=2, remembers=True)
    await frames.trim(stores.frames, P, CAMERA, Position(1, 2))  # room is made even so
    assert await covered(stores) == []
    await stores.frames.config_set("maxmemory", "0")
    replies = await frames.append(stores.frames, P, batches)
    assert replies == [(Status.ACCEPTED, 3), (Status.ACCEPTED, 2)]


async def test_a_log_is_forgotten_only_as_it_was_seen(stores: Stores) -> None:
    await opened(stores)
    await append(stores, unit(1))
    assert not await frames.forget(stores.frames, P, CAMERA, "an earlier session")
    assert not await frames.forget(stores.frames, P, CAMERA, "")
    assert await frames.forget(stores.frames, P, CAMERA, "s1")
    assert await frames.owner_session(stores.frames, P, CAMERA) == ""
    assert await append(stores, unit(2)) == (Status.FENCED, 0)
    assert await frames.forget(stores.frames, P, CAMERA, ""), "a log without owner is nobody's"


async def test_the_largest_numbers_are_exact(stores: Stores) -> None:
    """Lua counts in doubles: seqs and epochs stay below 2**53."""
    last, epoch = MAX_SEQ - 1, MAX_SEQ - 1
    cursor = Position(epoch, last - 4)
    reply = await opened(stores, epoch=epoch, remembers=True, cursor=cursor, rewind_to=last - 3)
    assert reply == Opened(kept=False, next=last - 3)
    entries = unit(last - 3, epoch), unit(last - 2, epoch), range_entry(epoch, last - 1, last, Fate.SHED)
    assert await append(stores, *entries, epoch=epoch) == (Status.ACCEPTED, MAX_SEQ)
    assert await append(stores, *entries[1:], epoch=epoch) == (Status.DUPLICATE, MAX_SEQ)
    assert await covered(stores) == [
        *(f"{epoch}-{last - 3}", f"{epoch}-{last - 2}", f"{epoch}-{last - 1}..{last} shed"),
    ]
    reply = await opened(stores, "s2", boot="next", epoch=MAX_SEQ, cursor=cursor, earlier=(Position(epoch, last + 1),))
    assert reply == Opened(kept=True, next=1)
    assert (await covered(stores))[-2:] == [
        f"{epoch}-{MAX_SEQ}..{MAX_SEQ} spool_lost",
        f"{MAX_SEQ}-0 < {epoch}-{MAX_SEQ}",
    ]


async def test_scripts_are_loaded_again_into_a_server_that_lost_them(stores: Stores) -> None:
    await opened(stores)
    await stores.frames.script_flush()
    assert await append(stores, unit(1)) == (Status.ACCEPTED, 2)
    assert await stores.frames.exists(keys.log(P, CAMERA))
