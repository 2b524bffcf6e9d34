"""What waits in a spool, read beside its agent or from the disk of a host that is dead."""

import shutil
import subprocess
import sys
from pathlib import Path

from fishladder.edge.capture_records import CapturedUnit
from fishladder.edge.held import HeldUnit
from fishladder.edge.spool.store import Life, SpoolStore
from fishladder.edge.spool.waiting import units_in, waiting
from fishladder.wire.unit import Codec, Flag

UNIT = CapturedUnit(Codec.H264, Flag.CLEAN, 64, 48, 40_000, 1, 1, b"x")


def held(*seqs: int) -> list[HeldUnit]:
    return [HeldUnit(seq, UNIT, 0, 0) for seq in seqs]


def test_it_is_read_beside_the_agent(tmp_path: Path) -> None:
    store = SpoolStore(tmp_path / "door.sqlite", 1)
    store.put(Life(1, 1, 9), held(4, 5, 7))
    [found] = waiting(tmp_path, "shop-7")
    assert (found.camera, found.units) == ("shop-7/door", 3)
    assert [(it.epoch, it.first, it.last) for it in found.ranges] == [(1, 4, 5), (1, 7, 7)]
    assert units_in(tmp_path / "door.sqlite") == 3
    store.close()


def test_a_disk_that_cannot_be_written_is_read_with_what_was_logged_last(tmp_path: Path) -> None:
    """As it was left by a power cut, in a mount namespace where it is read-only."""
    alive, dead = tmp_path / "alive", tmp_path / "dead"
    store = SpoolStore(alive / "door.sqlite", 1)
    store.put(Life(1, 1, 9), held(4, 5, 6))
    shutil.copytree(alive, dead, ignore=shutil.ignore_patterns("*-shm"))
    store.close()
    assert (dead / "door.sqlite-wal").stat().st_size
    looked = (
        "mount --bind -o ro $1 $1 && exec $2 -c 'import sys, pathlib; from fishladder.edge.spool.waiting import"
        ' waiting; print(waiting(pathlib.Path(sys.argv[1]), "shop-7")[0].units)\' $1'
    )
    command = ["unshare", "-Urm", "sh", "-ec", looked, "sh", str(dead), sys.executable]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("3\n", "")
    assert sorted(it.name for it in dead.iterdir()) == ["door.sqlite", "door.sqlite-wal"]
