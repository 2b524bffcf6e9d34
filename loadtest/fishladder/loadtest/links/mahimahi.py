"""Traces in mahimahi's format: a text file with one time in ms on each line, at which one packet of 1500 bytes can be
delivered; a time that occurs n times delivers n. They are used as they are, and begin again after the last line.
"""

from pathlib import Path

from fishladder.loadtest.links.link import Trace
from fishladder.wire.errors import ConfigError

_MAX_BYTES = 256 * 1024 * 1024
_MAX_MS = 7 * 24 * 3600 * 1000


def load_trace(path: Path) -> Trace:
    """Raises `ConfigError` with the file and the line."""
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise ConfigError(f"trace {path}: is larger than {_MAX_BYTES >> 20} MiB")
        text = path.read_text("ascii")
    except OSError as error:
        raise ConfigError(f"trace {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"trace {path}: is not text") from None
    times: list[int] = []
    last = 0
    for number, line in enumerate(text.splitlines(), start=1):
        word = line.strip()
        if not word:
            continue
        if not word.isdigit() or int(word) > _MAX_MS:
            raise ConfigError(f"trace {path}, line {number}: {word[:40]!r} is not a time in ms")
        at_ms = int(word)
        if at_ms < last:
            raise ConfigError(f"trace {path}, line {number}: {at_ms} comes after {last}; times must not go back")
        times.append(at_ms)
        last = at_ms
    if not times:
        raise ConfigError(f"trace {path}: has no line")
    if last == 0:
        raise ConfigError(f"trace {path}: ends at 0 ms, so it has no length")
    return Trace(path.name, tuple(times))
