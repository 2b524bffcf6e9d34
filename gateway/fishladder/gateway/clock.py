"""The gateway's wall clock, to which every capture time is brought."""

import time


def wall_us() -> int:
    """Unix microseconds."""
    return time.time_ns() // 1000
