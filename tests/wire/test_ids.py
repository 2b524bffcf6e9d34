import pytest
from hypothesis import given
from hypothesis import strategies as st

from fishladder.wire import keys
from fishladder.wire.errors import WireError
from fishladder.wire.fates import DECLARABLE, Fate
from fishladder.wire.ids import MAX_SEQ, Position, check_camera, check_name, partition_of, site_of

NAMES = st.from_regex(r"[a-z0-9][a-z0-9._-]{0,63}", fullmatch=True)
NUMBERS = st.integers(0, MAX_SEQ)


@given(NAMES, NAMES)
def test_names_that_are_allowed(site: str, camera: str) -> None:
    assert check_name(site) == site
    assert check_camera(f"{site}/{camera}") == f"{site}/{camera}"
    assert site_of(f"{site}/{camera}") == site


@pytest.mark.parametrize(
    "camera",
    ["", "door", "/door", "shop/", "Shop/door", "shop/door/1", "shop/d{1}", "shop/-x", "s/d\n", "s/" + "d" * 65],
)
def test_cameras_that_are_not_allowed(camera: str) -> None:
    with pytest.raises(WireError, match="expected <site>/<camera>"):
        check_camera(camera)


def test_a_wrong_name_is_told_what_it_is_for() -> None:
    with pytest.raises(WireError, match="site 'No' is not allowed: use 1 to 64 of a-z"):
        check_name("No", "site")


@given(NUMBERS, NUMBERS)
def test_positions_come_back_as_they_were(epoch: int, seq: int) -> None:
    position = Position(epoch, seq)
    assert Position.parse(str(position)) == Position.parse(str(position).encode()) == position


@pytest.mark.parametrize("text", ["", "1", "1-", "-1", "1-2-3", "a-b", "1-\u0663", "1--2", "1-2\n", "9" * 5000 + "-1"])
def test_what_is_not_a_position(text: str) -> None:
    for given_as in (text, text.encode()):
        with pytest.raises(WireError, match="is not a position"):
            Position.parse(given_as)


@given(NUMBERS, NUMBERS, NUMBERS, NUMBERS)
def test_positions_order_as_the_log_does(a: int, b: int, c: int, d: int) -> None:
    assert (Position(a, b) < Position(c, d)) == ((a, b) < (c, d))


def test_partitions_are_for_ever() -> None:
    """What is stored lies where these say; they may never change."""
    assert [partition_of(camera, 64) for camera in ("shop-7/door", "a/b", "demo/square")] == [18, 28, 57]


@given(NAMES, NAMES, st.integers(0, 1000))
def test_all_keys_of_a_partition_share_its_hash_tag(site: str, camera: str, partition: int) -> None:
    """So that a cluster keeps them in one slot, whatever the camera is called."""
    name = f"{site}/{camera}"
    made = [
        *(key(partition, name) for key in (keys.owner, keys.log, keys.camera, keys.cursor, keys.ledger, keys.results)),
        *(key(partition) for key in (keys.cameras, keys.lease, keys.committed, keys.control)),
    ]
    assert len(set(made)) == len(made)
    assert {key[key.index("{") : key.index("}") + 1] for key in made} == {f"{{{partition}}}"}


def test_fates_are_never_renumbered() -> None:
    assert {fate.label: int(fate) for fate in Fate} == {
        "inferred": 1, "sampled_out": 16, "gated": 17, "no_picture": 18, "expired": 19,
        "shed": 32, "encoder": 33, "spool_full": 34, "spool_lost": 35, "undecodable": 36, "no_reference": 37,
        "log_lost": 38, "state_lost": 39, "removed": 40, "deferred": 255,
    }  # fmt: skip


def test_each_fate_has_a_group() -> None:
    groups = {fate: fate.group for fate in Fate}
    assert groups[Fate.INFERRED] == "inferred"
    assert {fate for fate, group in groups.items() if group == "skipped"} == {
        Fate.SAMPLED_OUT, Fate.GATED, Fate.NO_PICTURE, Fate.EXPIRED
    }  # fmt: skip
    assert groups[Fate.DEFERRED] == "deferred"
    assert groups[Fate.REMOVED] == "dropped"
    assert not DECLARABLE & {Fate.INFERRED, Fate.UNDECODABLE, Fate.NO_REFERENCE, Fate.REMOVED}
