"""The agent's side of a capture process: start it, hand its records on, end it when it hangs, start it again when it
died. What the records mean is `feed`'s business.
"""

import asyncio
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable
from signal import Signals

import msgspec
import structlog

from fishladder.edge.capture import LASTING, CaptureSettings, Command
from fishladder.edge.capture_records import HEAD_BYTES, Ended, Opened, Record, read_head, unpack
from fishladder.runtime.lifecycle import Backoff, kill
from fishladder.wire.errors import CameraError, WireError

log = structlog.get_logger(__name__)

#: A process that delivered this long has worked: the next failure is a new one.
_WORKED_S = 10.0
_GRACE_S = 3.0


class Child:
    """Keeps one camera's capture process going. `on_record` gets each record, `on_gone` is told after each death.

    `stall_s`: a process that says nothing for that long hangs, and is killed.
    """

    def __init__(
        self,
        name: str,
        settings: CaptureSettings,
        on_record: Callable[[Record], None],
        on_gone: Callable[[], None],
        *,
        stall_s: float = 20.0,
        once: bool = False,
        backoff: Backoff | None = None,
    ) -> None:
        self.name = name
        self.restarts = 0
        self.error = ""  #: why the last process ended, '' if it ended well
        self.failed = False  #: `run` has returned because of that (with `once`)
        self.pid: int | None = None
        self.settings = settings
        self._on_record = on_record
        self._on_gone = on_gone
        self._stall_s = max(stall_s, settings.camera.timeout_s + 5)
        self._once = once
        self._backoff = backoff or Backoff(0.5, 30.0)
        self._lasting = Command()  # what holds, for the next process
        self._process: Process | None = None
        self._stopping = asyncio.Event()
        self._opened_at: float | None = None

    def command(self, command: Command) -> None:
        """Tell the process; what must outlive it is kept for the next one."""
        if command.fps is not None:
            self.settings = msgspec.structs.replace(self.settings, fps=command.fps or None)
        for name in LASTING:
            if (value := getattr(command, name)) is not None:
                self._lasting = msgspec.structs.replace(self._lasting, **{name: value})
        if self._process is not None and self._process.stdin is not None and not self._process.stdin.is_closing():
            self._process.stdin.write(msgspec.json.encode(command) + b"\n")

    def stop(self) -> None:
        """Capture no more; `run` then returns."""
        self._stopping.set()
        self.command(Command(stop=True))

    async def run(self) -> None:
        """Returns when the camera has no more to give, after `stop`, or after the first failure with `once`."""
        clock = asyncio.get_running_loop().time
        while not self._stopping.is_set():
            self._opened_at = None
            ended: Ended | None = None
            try:
                ended = await self._one_process()
                self.error = ended.error or ""
            except CameraError as failure:
                self.error = str(failure)
            finally:
                self._on_gone()
            if self._stopping.is_set():
                return
            if ended is not None and ended.error is None:
                log.info("camera has ended", camera=self.name)
                return
            if self._once:
                self.failed = True
                log.error("camera failed", camera=self.name, error=self.error)
                return
            if self._opened_at is not None and clock() - self._opened_at > _WORKED_S:
                self._backoff.reset()
            delay_s = self._backoff.next()
            self.restarts += 1
            log.warning("camera failed, will retry", camera=self.name, error=self.error, retry_s=round(delay_s, 1))
            try:
                await asyncio.wait_for(self._stopping.wait(), delay_s)
            except TimeoutError:
                continue

    async def _one_process(self) -> Ended:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "fishladder.edge.capture", stdin=PIPE, stdout=PIPE, stderr=PIPE
        )
        assert process.stdin is not None
        assert process.stderr is not None
        process.stdin.write(msgspec.json.encode(self.settings) + b"\n" + msgspec.json.encode(self._lasting) + b"\n")
        self._process, self.pid = process, process.pid
        says = asyncio.create_task(self._log_stderr(process.stderr))
        try:
            return await self._records(process)
        finally:
            self._process = self.pid = None
            process.stdin.close()
            try:
                await asyncio.wait_for(asyncio.shield(process.wait()), _GRACE_S)
            except TimeoutError:
                kill(process)
                await process.wait()
            except asyncio.CancelledError:
                kill(process)
                raise
            finally:
                says.cancel()

    async def _records(self, process: Process) -> Ended:
        """Hand on records until the last one. Raises `CameraError` when the process dies or hangs before that."""
        loop = asyncio.get_running_loop()
        assert process.stdout is not None
        stall_s = self._stall_s
        try:
            async with asyncio.timeout(stall_s) as patience:
                while True:
                    kind, length = read_head(await process.stdout.readexactly(HEAD_BYTES))
                    record = unpack(kind, await process.stdout.readexactly(length) if length else b"")
                    if isinstance(record, Ended):
                        return record
                    if isinstance(record, Opened):
                        self._opened_at = loop.time()
                    self._on_record(record)
                    if self._stopping.is_set() and stall_s > _GRACE_S:
                        stall_s = _GRACE_S
                    patience.reschedule(loop.time() + stall_s)
        except TimeoutError:
            kill(process)
            raise CameraError(f"its capture process said nothing for {stall_s:g} s and was ended") from None
        except asyncio.IncompleteReadError:
            status = await process.wait()
            raise CameraError(f"its capture process died ({_fate(status)})") from None
        except WireError as error:
            kill(process)
            raise CameraError(f"its capture process sent nonsense: {error}") from None

    async def _log_stderr(self, stderr: asyncio.StreamReader) -> None:
        while text := await stderr.read(4096):
            log.warning("capture process says", camera=self.name, text=text.decode(errors="replace").rstrip())


def _fate(status: int) -> str:
    if status >= 0:
        return f"exit status {status}"
    try:
        return Signals(-status).name
    except ValueError:
        return f"signal {-status}"
