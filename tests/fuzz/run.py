"""Coverage-guided fuzzing of every parser that faces the network: `make fuzz [SECONDS=60]`. Each target runs in a
process of its own for so long; what crashes one is kept in `crashers/`, where pytest replays it for ever.
"""

import argparse
import re
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
CRASHERS = HERE / "crashers"
sys.path.insert(0, str(HERE.parent))


def fuzz(name: str, arguments: list[str]) -> None:
    """Fuzz one target in this process; libFuzzer ends it."""
    import atheris

    with atheris.instrument_imports(include=["fishladder.wire", "fishladder.gateway", "aiortc.sdp"]):
        import aiortc.sdp  # noqa: F401
        from fuzz.targets import TARGETS
    atheris.Setup([sys.argv[0], *arguments], TARGETS[name])
    atheris.Fuzz()


def run(name: str, seconds: int, corpus: Path, inputs: list[bytes]) -> tuple[int, int, str]:
    """One target in a child: how often it ran, exit status, what it said last."""
    place, kept = corpus / name, CRASHERS / name
    place.mkdir(parents=True, exist_ok=True)
    kept.mkdir(parents=True, exist_ok=True)
    for number, data in enumerate(inputs):
        (place / f"seed-{number}").write_bytes(data)
    told = [f"-max_total_time={seconds}", "-timeout=10", "-rss_limit_mb=1024", "-max_len=8192", "-print_final_stats=1"]
    command = [sys.executable, __file__, "--one", name, *told, f"-artifact_prefix={kept}/", str(place)]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    count = re.search(r"stat::number_of_executed_units: (\d+)", done.stderr)
    if not any(kept.iterdir()):
        kept.rmdir()
    return int(count[1]) if count else 0, done.returncode, (done.stdout + done.stderr)[-3000:]


def main() -> None:
    if sys.argv[1:2] == ["--one"]:
        fuzz(sys.argv[2], sys.argv[3:])
        return
    from fuzz.seeds import seeds
    from fuzz.targets import TARGETS

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("targets", nargs="*", help=f"of {', '.join(TARGETS)}; default all")
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    parser.add_argument("--corpus", type=Path, default=HERE.parents[1] / ".fuzz", help="grows from run to run")
    told = parser.parse_args()
    if unknown := set(told.targets) - set(TARGETS):
        parser.error(f"no target {', '.join(sorted(unknown))}")
    total, failed = 0, []
    for name in told.targets or TARGETS:
        count, status, said = run(name, told.seconds, told.corpus, seeds()[name])
        total += count
        print(f"{name:16} {count:>11,} executions  {'ok' if not status else 'CRASHED'}", flush=True)
        if status:
            failed.append(name)
            print(said)
    print(f"{'all':16} {total:>11,} executions  {len(failed)} crashed")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
