"""Our end of a relay: starts it in the medium's namespace, tells it to begin, asks for its counts."""

import subprocess
import sys
from contextlib import suppress

import msgspec

from fishladder.loadtest.emulation.namespaces import Namespace
from fishladder.loadtest.emulation.relay import RelayReport, RelaySpec
from fishladder.loadtest.errors import CannotEmulate


class RelayProcess:
    """Its input ends with us, and so does it. Every method raises `CannotEmulate` if it has ended before."""

    def __init__(self, medium: Namespace, spec: RelaySpec) -> None:
        self._way = spec.way
        self._process = subprocess.Popen(  # noqa: S603
            medium.command(sys.executable, "-m", "fishladder.loadtest.emulation.relay"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        try:
            self._say(msgspec.json.encode(spec))
            self._hear()  # that it is ready
        except CannotEmulate:
            self.close()
            raise

    def begin(self, start_ns: int, *, still: bool) -> None:
        self._say(b"begin %d %d" % (start_ns, still))
        self._hear()

    def report(self) -> RelayReport:
        self._say(b"report")
        return msgspec.json.decode(self._hear(), type=RelayReport)

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()

    def _say(self, line: bytes) -> None:
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # its silence is noticed next
            self._process.stdin.write(line + b"\n")
            self._process.stdin.flush()

    def _hear(self) -> bytes:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise CannotEmulate(f"the relay of the {self._way}link has ended; its message is above")
        return line.rstrip(b"\n")
