"""Starting, repeating and stopping: a main coroutine that ends on SIGTERM or Ctrl-C, loops that are begun again with
back-off when they fail, and groups of worker processes.
"""

import asyncio
import contextlib
import os
import random
import signal
import sys
from asyncio.subprocess import Process
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any

import structlog
from prometheus_client import Gauge

from fishladder.runtime.notify import Notifier
from fishladder.wire.errors import FishladderError

log = structlog.get_logger(__name__)
_tasks = Gauge("fishladder_process_tasks", "Tasks of the event loop: what grows here without end is leaked.")


class Backoff:
    """Delays that double from `first_s` to `most_s`, each drawn from its upper half so that a fleet spreads out."""

    def __init__(self, first_s: float = 0.5, most_s: float = 30.0, rng: random.Random | None = None) -> None:
        self.first_s = first_s
        self.most_s = most_s
        self._next_s = first_s
        self._rng = rng or random.Random()  # noqa: S311 - spreads load, guards nothing

    def next(self) -> float:
        """The delay before the next try, in seconds."""
        delay = self._next_s
        self._next_s = min(self._next_s * 2, self.most_s)
        return delay * self._rng.uniform(0.5, 1.0)

    def reset(self) -> None:
        """Begin again from `first_s`, after something worked."""
        self._next_s = self.first_s


async def supervise(
    name: str,
    loop: Callable[[], Awaitable[None]],
    *,
    backoff: Backoff | None = None,
    retry_on: tuple[type[Exception], ...] = (FishladderError, OSError),
) -> None:
    """Run `loop` for ever; when it fails with one of `retry_on`, say so and begin again after a delay.

    A loop that lasted a minute counts as having worked. Other exceptions are bugs and escape. Returns when `loop`
    returns.
    """
    backoff = backoff or Backoff()
    clock = asyncio.get_running_loop().time
    while True:
        began = clock()
        try:
            await loop()
        except retry_on as error:
            if clock() - began > 60:
                backoff.reset()
            delay = backoff.next()
            log.warning("failed, will retry", what=name, error=str(error) or repr(error), retry_s=round(delay, 1))
            await asyncio.sleep(delay)
        else:
            return


def run_until_signal(
    main: Callable[[asyncio.Event], Coroutine[Any, Any, None]],
    *,
    fast_loop: bool = False,
    reload: Callable[[], None] | None = None,
) -> None:
    """Run `main(stopping)`; SIGTERM and Ctrl-C set `stopping`, a second Ctrl-C cancels `main`, SIGHUP calls `reload`.

    Only that: one Ctrl-C reaches every process of a terminal's group, and each then gets its parent's SIGTERM as well.
    `fast_loop` uses uvloop where it is installed. A service manager that asks for it is kept informed.
    """
    notifier = Notifier(os.environ)

    async def body() -> None:
        stopping = asyncio.Event()
        task = asyncio.current_task()
        assert task is not None

        interrupted = False

        def interrupt() -> None:
            nonlocal interrupted
            if interrupted:
                task.cancel()
            interrupted = True
            stopping.set()

        loop = asyncio.get_running_loop()
        _tasks.set_function(lambda: len(asyncio.all_tasks(loop)))
        loop.add_signal_handler(signal.SIGTERM, stopping.set)
        loop.add_signal_handler(signal.SIGINT, interrupt)
        if reload is not None:
            loop.add_signal_handler(signal.SIGHUP, lambda: _reload(reload, notifier))
        async with notifier.alive():
            await main(stopping)

    try:
        if fast_loop and sys.platform != "win32":
            import uvloop

            uvloop.run(body())
        else:
            asyncio.run(body())
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None


def _reload(reload: Callable[[], None], notifier: Notifier) -> None:
    notifier.reloading()
    try:
        reload()
    except FishladderError as error:  # what runs goes on as it was
        log.error("not reloaded", error=str(error))
    finally:
        notifier.ready()


async def end_process(process: Process, grace_s: float) -> None:
    """SIGTERM, `grace_s` to finish, SIGKILL. Returns when it has ended, which it may have done before."""
    if process.returncode is not None:
        return
    with contextlib.suppress(ProcessLookupError):  # it has ended, and nobody has been told yet
        process.terminate()
    try:
        async with asyncio.timeout(grace_s):
            await process.wait()
    except TimeoutError:
        kill(process)
        await process.wait()


def kill(process: Process) -> None:
    """SIGKILL, or nothing if it has ended."""
    with contextlib.suppress(ProcessLookupError):
        process.kill()


async def run_processes(
    commands: Sequence[Sequence[str]],
    stopping: asyncio.Event,
    *,
    grace_s: float = 15.0,
    backoff_s: float = 1.0,
    start_s: float = 30.0,
) -> None:
    """Keep one child process for each command until `stopping`; one that ends is started again after a delay.

    Then SIGTERM, `grace_s` to finish, SIGKILL. A child whose first run ends within `start_s` with exit status 2 or 3 (a
    setting or an environment that will not mend itself) ends the group: raises `ChildFailed`.
    """

    async def keep(command: Sequence[str]) -> None:
        backoff = Backoff(backoff_s)
        clock = asyncio.get_running_loop().time
        first = True
        while not stopping.is_set():
            child = await asyncio.create_subprocess_exec(*command)
            began = clock()
            ended = asyncio.create_task(child.wait())
            stop = asyncio.create_task(stopping.wait())
            try:
                await asyncio.wait({ended, stop}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                stop.cancel()
                await end_process(child, grace_s)
                await ended
            if stopping.is_set():
                return
            if first and clock() - began < start_s and child.returncode in (2, 3):
                raise ChildFailed(child.returncode)
            first = False
            if clock() - began > 60:
                backoff.reset()
            delay = backoff.next()
            log.error("process ended, will restart", pid=child.pid, status=child.returncode, retry_s=round(delay, 1))
            try:
                await asyncio.wait_for(stopping.wait(), delay)
            except TimeoutError:
                continue

    try:
        async with asyncio.TaskGroup() as group:
            for command in commands:
                group.create_task(keep(command))
    except ExceptionGroup as failures:
        failed, others = failures.split(ChildFailed)
        if failed is None or others is not None:
            raise
        raise failed.exceptions[0] from None


class ChildFailed(FishladderError):
    """A child process could not start; it has said why."""

    def __init__(self, status: int) -> None:
        super().__init__("a process could not start; its message is above")
        self.exit_code = status
