"""`fishladder results`: what was seen in each frame, in plain words or as JSON lines, of the past or as it comes."""

import asyncio
import os
import re
import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path

import click

from fishladder.operate.state_reader import reader_options, state_url
from fishladder.view.commits import Commit, follow, newest, stored
from fishladder.view.reader import StateReader, open_reader
from fishladder.wire.ids import Position
from fishladder.wire.result import FrameResult

_LAST = 20
#: The largest second part of a stream id.
_LAST_OF_MS = 2**64 - 1
_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def parse_since(since: str, now_s: float) -> int:
    """`90s`, `15m`, `2h`, `1d` ago, or a time (ISO 8601, local unless it says), as Unix ms. Raises `ValueError`."""
    if ago := re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", since):
        return int((now_s - float(ago[1]) * _UNITS_S[ago[2]]) * 1000)
    return int(datetime.fromisoformat(since).timestamp() * 1000)


def _since(_: click.Context, __: click.Parameter, since: str | None) -> int | None:
    if since is None:
        return None
    try:
        return max(parse_since(since, time.time()), 1)
    except (ValueError, OverflowError):
        raise click.BadParameter(f"{since!r}: give 90s, 15m, 2h, 1d, or a time like 2026-03-01T08:00") from None


@click.command(short_help="Print detections, or follow them with -f.")
@reader_options
# Not needed, but one pair of flags shall do for all commands.
@click.option("--frames", envvar="FISHLADDER_FRAMES", hidden=True, expose_value=False)
@click.option("-f", "--follow", "following", is_flag=True, help="Go on with what comes, until Ctrl-C.")
@click.option("--json", "as_json", is_flag=True, help="JSON lines, one commit each: all its frames and fates.")
@click.option("--since", "since_ms", callback=_since, help="From 90s, 15m, 2h, 1d ago, or from a time (ISO 8601).")
@click.option(
    "-n", "--lines", type=click.IntRange(min=0), help=f"The last N lines only  [default: {_LAST}, all with --since]"
)
def results(
    which: str | None,
    redis: str | None,
    data_dir: Path | None,
    following: bool,
    as_json: bool,
    since_ms: int | None,
    lines: int | None,
) -> None:
    """Print what was seen in each analysed frame, in the order in which results were committed."""
    limit = _LAST if lines is None and since_ms is None else lines
    try:
        asyncio.run(_print(state_url(redis, data_dir), which, since_ms or 0, limit, following, as_json))
    except BrokenPipeError:
        # Whoever read us has had enough. What is still buffered must not be flushed at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


async def _print(url: str, which: str | None, since_ms: int, limit: int | None, following: bool, as_json: bool) -> None:
    async with open_reader(url) as reader:
        cameras = await (reader.known_cameras(which) if following else reader.cameras(which))
        if limit is None:
            seen = dict.fromkeys(cameras, (since_ms - 1, _LAST_OF_MS))
            async for commit in stored(reader, cameras, since_ms):
                seen[commit.camera] = commit.at
                _echo(_lines(commit, as_json))
        else:
            seen = {camera: await newest(reader, camera) for camera in cameras}
            _echo(await _last(reader, seen, since_ms, limit, as_json))
        if following:
            if which and not cameras:
                _say(f"{which} has not been heard of yet, waiting for it")
            async for commits in follow(reader, which, seen, _say):
                for commit in commits:
                    _echo(_lines(commit, as_json))


async def _last(
    reader: StateReader, seen: dict[str, tuple[int, int]], since_ms: int, limit: int, as_json: bool
) -> Iterable[str]:
    """The last `limit` lines up to where the cameras stand in `seen`: what comes after that is for following."""
    found: deque[str] = deque()
    async for commit in stored(reader, list(seen), since_ms, newest_first=True):
        if len(found) >= limit:
            break
        if commit.at <= seen[commit.camera]:
            found.extendleft(reversed(_lines(commit, as_json)[len(found) - limit :]))
    return found


def _lines(commit: Commit, as_json: bool) -> list[str]:
    return [commit.raw.decode()] if as_json else list(in_words(commit))


def in_words(commit: Commit) -> Iterator[str]:
    """A line for each analysed frame: when it was captured, which it is, what was seen in it."""
    result = commit.result
    for frame in result.frames:
        at = datetime.fromtimestamp(frame.captured_us / 1e6).astimezone()
        when = at.isoformat(sep=" ", timespec="milliseconds")[:23]
        yield f"{when}  {commit.camera}  {Position(result.epoch, frame.seq)}  {sights(frame)}"


def sights(frame: FrameResult) -> str:
    """What was seen, surest first: `2 person (88 %, 61 %), 1 car (70 %)`, or `nothing`."""
    scores: dict[str, list[float]] = {}
    for one in sorted(frame.detections, key=lambda one: -one.score):
        scores.setdefault(_printable(one.label), []).append(one.score)
    said = [
        f"{len(those)} {label} ({', '.join(f'{s:.0%}'.replace('%', ' %') for s in those)})"
        for label, those in scores.items()
    ]
    return ", ".join(said) or "nothing"


def _printable(label: str) -> str:
    """A model file may name its classes as it likes; a terminal shall not obey it."""
    return "".join(character if character.isprintable() else "?" for character in label)


def _echo(lines: Iterable[str]) -> None:
    if text := "\n".join(lines):
        click.echo(text)


def _say(what: str) -> None:
    click.echo(what, err=True)
