"""The `fishladder edge` command as tests start it, and a clip for it to play."""

import asyncio
import os
import sys
from asyncio.subprocess import PIPE, Process
from pathlib import Path

import av
from support.clips import scene


async def fishladder(*arguments: str, token: str = "good") -> Process:
    environment = {**os.environ, "FISHLADDER_EDGE_TOKEN": token, "NO_PROXY": "*"}
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "fishladder.runtime", "edge", *arguments, stdout=PIPE, stderr=PIPE, env=environment
    )


async def ended(process: Process) -> tuple[int, str, str]:
    out, err = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


def clip(path: Path, pictures: int = 20) -> Path:
    with av.open(path, "w") as out:
        stream = out.add_stream("libx264", rate=20, options={"preset": "ultrafast", "bf": "0"})
        stream.width, stream.height, stream.pix_fmt = 160, 96, "yuv420p"
        for index in range(pictures):
            out.mux(stream.encode(scene(index, 160, 96)))
        out.mux(stream.encode(None))
    return path
