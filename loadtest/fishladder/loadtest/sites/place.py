"""A folder for one run that is gone afterwards, also when this process is killed outright: a small process makes it,
and outlives us just long enough to remove it.
"""

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fishladder.loadtest.errors import CannotEmulate

#: Those who still write there end with us, but not before us.
_KEEP = """
folder=$(mktemp -d "$1") || exit
echo "$folder"
cat
for n in $(seq 50); do rm -rf "$folder" && sleep 0.3 && [ ! -e "$folder" ] && exit; done
"""


@contextmanager
def run_folder() -> Iterator[Path]:
    """Raises `CannotEmulate` if there can be none."""
    template = str(Path(tempfile.gettempdir()) / "fishladder-loadtest-XXXXXXXX")
    with subprocess.Popen(  # noqa: S603
        ["/bin/sh", "-c", _KEEP, "sh", template],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        cwd="/",
        text=True,
    ) as keeper:
        assert keeper.stdout is not None
        assert keeper.stderr is not None
        folder = keeper.stdout.readline().rstrip("\n")
        if not folder:
            raise CannotEmulate(f"no folder for the run: {keeper.stderr.read().strip()}")
        yield Path(folder)
