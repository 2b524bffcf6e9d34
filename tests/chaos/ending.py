"""Ends what a command has started, however it is told to stop."""

import asyncio
import signal
import sys
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


def run_to_its_end(work: Coroutine[Any, Any, T]) -> T:
    """`asyncio.run`, where SIGTERM is as good as Ctrl-C: processes, namespaces and files go, and the status is 130."""
    signal.signal(signal.SIGTERM, lambda number, frame: signal.raise_signal(signal.SIGINT))
    try:
        return asyncio.run(work)
    except KeyboardInterrupt:
        print("interrupted: nothing is left of it", flush=True)
        sys.exit(130)
