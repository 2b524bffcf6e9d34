"""Runs of the model on all cores. Workers are processes that end with their parent, however it ends."""

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from typing import Any, TypeVar

from fishladder.loadtest.model.run import Run, run_once
from fishladder.loadtest.scenario import Scenario

_LOOK_S = 1.0
T = TypeVar("T")


class Pool:
    """See `pool`."""

    def __init__(self, executor: ProcessPoolExecutor, workers: int) -> None:
        self.workers = workers
        self._executor = executor

    def runs(self, jobs: Iterable[tuple[Scenario, int, int]]) -> Iterator[Run]:
        """The runs of (scenario, cameras, seed), as they are done."""
        return self.results(run_once, jobs)

    def results(self, function: Callable[..., T], jobs: Iterable[tuple[Any, ...]]) -> Iterator[T]:
        """What a function of a module makes of each of the arguments, as it is done."""
        futures: list[Future[T]] = [self._executor.submit(function, *job) for job in jobs]
        try:
            for future in as_completed(futures):
                yield future.result()
        finally:
            for future in futures:
                future.cancel()


@contextmanager
def pool(workers: int | None = None) -> Iterator[Pool]:
    """`workers` None: as many as there are cores for us."""
    count = workers or available_cores()
    executor = ProcessPoolExecutor(
        count, multiprocessing.get_context("spawn"), initializer=_end_with, initargs=(os.getpid(),)
    )
    try:
        yield Pool(executor, count)
    finally:
        executor.shutdown(wait=True, cancel_futures=True)


def available_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _end_with(parent: int) -> None:
    """In a worker: a Ctrl-C is the parent's to handle, and without a parent there is nothing to work for."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_LOOK_S)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
