"""`fishladder forget`: takes what was seen in a span of time out of a camera's results. That frames were inferred
stays, and so does the account; what was in them is gone.
"""

import asyncio
import contextlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import msgspec
from redis.asyncio import Redis
from redis.asyncio.client import Pipeline
from redis.exceptions import RedisError, WatchError

from fishladder.runtime.embedded import default_urls
from fishladder.runtime.logs import configure_logging
from fishladder.runtime.secret_files import SecretOption
from fishladder.runtime.store import check, connect, redacted
from fishladder.wire import keys, result
from fishladder.wire.errors import ConfigError, StoreError, StoreUnavailable, WireError
from fishladder.wire.ids import check_camera, partition_of

_AT_ONCE = 500
_TRIES = 100


@click.command()
@click.argument("camera")
@click.option("--from", "since", help="First moment, such as 2026-01-31T14:00Z; without a zone, local time.")
@click.option("--to", "until", help="Last moment  [default, with --from: now]")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--redis", cls=SecretOption, envvar="FISHLADDER_REDIS", help="State store URL.")
@click.option("--frames", cls=SecretOption, envvar="FISHLADDER_FRAMES", hidden=True, expose_value=False)
@click.option(
    "--data-dir", type=click.Path(file_okay=False, path_type=Path), help="Data directory of the gateway here."
)
def forget(
    camera: str, since: str | None, until: str | None, yes: bool, redis: str | None, data_dir: Path | None
) -> None:
    """Remove what was detected by CAMERA, in a span of time or ever.

    Its account stays: captured, inferred, skipped and dropped frames are counted as before. By the time of capture.
    """
    configure_logging("error")
    try:
        check_camera(camera)
    except WireError as error:
        raise ConfigError(str(error)) from None
    first_us, last_us = moment_us(since, 0), moment_us(until, 2**62)
    if first_us > last_us:
        raise ConfigError(f"--from {since} is after --to {until}")
    when = f"from {since or 'the beginning'} to {until or 'now'}"
    if not yes:
        click.confirm(f"Remove what {camera} has detected {when}, for good?", abort=True)

    url = redis or default_urls(data_dir).state
    frames = asyncio.run(_run(url, camera, first_us, last_us))
    click.echo(f"{camera}: removed what was seen in {frames} frames, {when}")


async def _run(url: str, camera: str, first_us: int, last_us: int) -> int:
    state = connect(url)
    try:
        partition = partition_of(camera, await check(state, url, "state", create=False))
        if not await state.sismember(keys.cameras(partition), camera):
            raise ConfigError(f"no camera {camera} has ever been heard of in this store")
        return await take_out(state, partition, camera, first_us, last_us)
    except (RedisError, OSError) as error:
        raise StoreUnavailable(f"the state store {redacted(url)}: {error}") from None
    finally:
        await state.aclose()


def moment_us(text: str | None, default: int) -> int:
    """Unix microseconds of an ISO 8601 time. Raises `ConfigError`."""
    if text is None:
        return default
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"{text!r} is no time such as 2026-01-31T14:00Z") from None
    return int(moment.astimezone(UTC).timestamp() * 1_000_000)


async def take_out(state: Redis, partition: int, camera: str, first_us: int, last_us: int) -> int:
    """How many frames with detections there were. A stream's entries cannot be changed, so a copy under the same ids
    takes the place of the old one, once nothing was added meanwhile. Raises `StoreError` if that never happens.
    """
    source, copy = keys.results(partition, camera), keys.forgetting(partition, camera)
    await state.delete(copy)
    work = _Copy(state, source, copy, first_us, last_us)
    try:
        while await work.some(state):
            pass
        for _ in range(_TRIES):
            async with state.pipeline() as pipe:
                await pipe.watch(source)
                with contextlib.suppress(WatchError):
                    if not await work.some(pipe):
                        return await work.put(pipe, keys.cursor(partition, camera))
        raise StoreError(f"{camera}: its results change too fast to be replaced: stop its worker, and try again")
    finally:
        await state.delete(copy)


class _Copy:
    """Copies results on, from where it came to."""

    def __init__(self, state: Redis, source: str, copy: str, first_us: int, last_us: int) -> None:
        self._state, self._source, self._copy = state, source, copy
        self._first_us, self._last_us = first_us, last_us
        self._after = "-"
        self._saved: dict[bytes, tuple[int, int]] = {}  # id -> bytes saved, frames emptied

    async def some(self, reader: "Redis | Pipeline") -> bool:
        """Copy the next entries; False if there are none."""
        entries: Any = await reader.xrange(self._source, self._after, count=_AT_ONCE)
        if not entries:
            return False
        pipe = self._state.pipeline(transaction=False)
        for entry_id, fields in entries:
            emptied, frames = self._emptied(fields[b"r"])
            if frames:
                self._saved[entry_id] = len(fields[b"r"]) - len(emptied), frames
            pipe.xadd(self._copy, {**fields, b"r": emptied}, id=entry_id)
        await pipe.execute()
        self._after = f"({entries[-1][0].decode()}"
        return True

    async def put(self, pipe: "Pipeline", cursor: str) -> int:
        """Put the copy in the place of the original, which is watched. Raises `WatchError` if that has changed."""
        oldest: Any = await pipe.xrange(self._source, count=1)
        ttl_ms = await pipe.pttl(self._source)
        if not oldest or not self._saved:
            return 0
        gone = oldest[0][0]  # what was trimmed meanwhile is not to come back
        saved = [it for entry_id, it in self._saved.items() if _order(entry_id) >= _order(gone)]
        pipe.multi()  # type: ignore[no-untyped-call]
        pipe.xtrim(self._copy, minid=gone, approximate=False)
        if ttl_ms > 0:
            pipe.pexpire(self._copy, ttl_ms)
        pipe.rename(self._copy, self._source)
        pipe.hincrby(cursor, "bytes", -sum(size for size, _ in saved))
        await pipe.execute()
        return sum(frames for _, frames in saved)

    def _emptied(self, data: bytes) -> tuple[bytes, int]:
        """A result without what was seen in the span, and in how many frames that was."""
        one = result.decode(data)
        frames, emptied = [], 0
        for frame in one.frames:
            if self._first_us <= frame.captured_us <= self._last_us and frame.detections:
                emptied += 1
                frames.append(msgspec.structs.replace(frame, detections=[]))
            else:
                frames.append(frame)
        return (result.encode(msgspec.structs.replace(one, frames=frames)), emptied) if emptied else (data, 0)


def _order(entry_id: bytes) -> tuple[int, int]:
    moment, _, number = entry_id.partition(b"-")
    return int(moment), int(number)
