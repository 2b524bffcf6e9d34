"""Decodes some units in a process of its own, to see whether they crash it: `python -m fishladder.inference.alone`
reads them from stdin and ends with status 0 if they do not. What they show is of no interest here.
"""

import asyncio
import struct
import sys
from collections.abc import Iterator, Sequence
from typing import BinaryIO

from fishladder.wire.unit import Codec

#: Of each unit: its codec, and its payload's length.
_HEAD = struct.Struct(">BI")
_PATIENCE_S = 20.0


def pack(units: Sequence[tuple[Codec, bytes | memoryview]]) -> bytes:
    """Units in decode order, as the process reads them; a sample that was kept can be given to it again."""
    return b"".join(part for codec, data in units for part in (_HEAD.pack(codec, len(data)), bytes(data)))


def unpack(stream: BinaryIO) -> Iterator[tuple[Codec, bytes]]:
    while head := stream.read(_HEAD.size):
        codec, length = _HEAD.unpack(head)
        yield Codec(codec), stream.read(length)


async def survives(units: bytes) -> bool:
    """Whether a process of its own decodes packed units without being ended by them."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "fishladder.inference.alone"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(_PATIENCE_S):
            await process.communicate(units)
    except (TimeoutError, BrokenPipeError, ConnectionResetError):
        pass
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
    return process.returncode == 0


def main() -> None:
    from fishladder.inference.decode import CameraDecoder

    decoder = CameraDecoder()
    for number, (codec, data) in enumerate(unpack(sys.stdin.buffer), 1):
        decoder.push(number, codec=codec, payload=data)
    decoder.drain()


if __name__ == "__main__":
    main()
