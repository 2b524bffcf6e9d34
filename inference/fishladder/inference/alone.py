"""Decodes some units in a process of its own, and shows their pictures to the model, to see which of them ends it:
`python -m fishladder.inference.alone SETTINGS` reads them from stdin, says the number of each before it is decoded and
again before the model sees it, and ends with status 0 if none does. What they show is of no interest here.
"""

import asyncio
import contextlib
import os
import struct
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import msgspec

from fishladder.inference.config import WorkerSettings
from fishladder.wire.errors import ModelError
from fishladder.wire.unit import Codec

#: Of each unit: its codec, and its payload's length.
_HEAD = struct.Struct(">BI")
#: For the model to be loaded, and for any one unit.
_LOAD_S, _PATIENCE_S = 60.0, 20.0


def pack(units: Sequence[tuple[Codec, bytes | memoryview]]) -> bytes:
    """Units in decode order, as the process reads them; a sample that was kept can be given to it again."""
    return b"".join(part for codec, data in units for part in (_HEAD.pack(codec, len(data)), bytes(data)))


def unpack(stream: BinaryIO) -> Iterator[tuple[Codec, bytes]]:
    while head := stream.read(_HEAD.size):
        codec, length = _HEAD.unpack(head)
        yield Codec(codec), stream.read(length)


async def victim(units: bytes, settings: WorkerSettings) -> int | None:
    """Which of packed units, counted from 1, ends a process that decodes them and shows them to the model, or keeps it
    for ever; None if none does. Where the model of the settings is no file, or cannot be loaded once more, they are
    decoded alone.
    """
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "fishladder.inference.alone", msgspec.json.encode(settings).decode()),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    feeding = asyncio.create_task(_feed(process.stdin, units))
    at = None
    try:
        async with asyncio.timeout(_LOAD_S) as limit:
            while line := await process.stdout.readline():
                at = int(line)
                limit.reschedule(asyncio.get_running_loop().time() + _PATIENCE_S)
            await process.wait()
    except TimeoutError:
        pass
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        await feeding
    return None if process.returncode == 0 or not at else at


async def _feed(stdin: asyncio.StreamWriter, units: bytes) -> None:
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        stdin.write(units)
        await stdin.drain()
        stdin.close()
        await stdin.wait_closed()


def main() -> None:
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what a model, or a library of its, says is no answer

    from fishladder.inference.decode import CameraDecoder
    from fishladder.inference.decode_queue import Outcome, Picture
    from fishladder.inference.load import load

    settings = msgspec.json.decode(sys.argv[1], type=WorkerSettings)
    detector = None
    if Path(settings.model).is_file():
        with contextlib.suppress(ModelError):  # there may be no memory for a second one
            detector = load(settings)

    def say(number: int) -> None:
        answers.write(f"{number}\n")
        answers.flush()

    def show(outcomes: Sequence[Outcome]) -> None:
        for outcome in outcomes:
            if isinstance(outcome, Picture) and detector is not None:
                say(outcome.seq)
                detector.infer([detector.prepare(outcome.frame)])

    say(0)
    decoder, number = CameraDecoder(), 0
    for number, (codec, data) in enumerate(unpack(sys.stdin.buffer), 1):
        say(number)
        show(decoder.push(number, codec=codec, payload=data))
    say(number)
    show(decoder.drain())


if __name__ == "__main__":
    main()
