"""kill -9 of one of two workers at random moments, over the whole path; afterwards every frame must have been inferred
once, with the detections of an offline loop.

    python tests/chaos/kill_workers.py [--kills 50] [--seed 7]
"""

import argparse
import asyncio
import random
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from chaos.ending import run_to_its_end
from support import clips
from support.files import read_units, write_ts
from support.fleet import fleet
from support.models import strips_model
from support.offline import offline

from fishladder.wire.unit import Codec

FPS = 15
CAMERAS = ("a", "b", "c")


async def run(kills: int, seed: int) -> bool:
    """Whether every camera's results equal the offline ones."""
    rng = random.Random(seed)
    pictures = (kills * 3 + 30) * FPS
    clip = clips.encode(Codec.H264, pictures, b_frames=3, options={"preset": "veryfast", "x264-params": "b-adapt=0"})
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        file = write_ts(place / "clip.ts", Codec.H264, clip, fps=FPS)
        model = strips_model(place / "strips.onnx")
        units = read_units(file)
        expected = {(1, seq): found for seq, found in offline(model, Codec.H264, units).items()}
        async with fleet(place) as (system, stores):
            workers = [await system.worker(model, "--lease-ms", "1000") for _ in range(2)]
            sources = dict.fromkeys(CAMERAS, f"file:{file}")
            edge = await system.edge("shop", sources, "--mode", "passthrough", "--once")
            await asyncio.sleep(6)
            for kill in range(kills):
                await asyncio.sleep(rng.uniform(0.5, 4.0))
                which = rng.randrange(2)
                workers[which].kill()
                await workers[which].ended()
                workers[which] = await system.worker(model, "--lease-ms", "1000")
                print(f"kill {kill + 1} of {kills}", flush=True)
            print("the agent ends with", await edge.ended(pictures / FPS))
            equal = True
            for name in CAMERAS:
                ledger = await system.settled(stores, f"shop/{name}", len(units))
                same = (await system.account(stores, f"shop/{name}")).frames() == expected
                fates = {fate.label: count for fate, count in ledger.fates.items()}
                print(f"shop/{name}: captured {ledger.captured}, {fates}, equal to the offline loop: {same}")
                equal &= same
            return equal


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=7)
    args = parser.parse_args()
    sys.exit(0 if run_to_its_end(run(args.kills, args.seed)) else 1)


if __name__ == "__main__":
    main()
