"""A folder for one run that is gone afterwards, also when this process is killed outright: a small process outlives it
just long enough to remove it.
"""

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

#: Those who still write there end with us, but not before us.
_REMOVE = 'cat; for n in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15; do rm -rf "$1" && sleep 1 && [ ! -e "$1" ] && exit; done'


@contextmanager
def run_folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="fishladder-loadtest-"))
    with subprocess.Popen(  # noqa: S603
        ["/bin/sh", "-c", _REMOVE, "sh", str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        cwd="/",
    ):
        yield folder
