"""`make bench` and `make bench-whip`: a suite's benchmarks in turn, each in a process of its own, with one JSON file of
all figures at the end.

python tests/bench/run.py [--suite whip] [--json bench.json] [--quick] [--only NAME]
"""

import argparse
import json
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
#: Script, flags of a quick look.
SUITES = {
    "paths": (
        ("gateway", ("--rounds", "1", "--seconds", "5")),
        ("worker", ("--rounds", "1")),
        ("latency", ("--seconds", "15")),
        ("gate", ("--minutes", "10")),
        ("page", ("--minutes", "1")),
    ),
    "whip": (
        ("whip_conformance", ()),
        ("whip_clients", ("--times", "1")),
        ("whip_links", ("--seconds", "12")),
        ("whip_cpu", ("--rounds", "1", "--seconds", "6")),
        ("whip_scale", ("--sessions", "10", "--seconds", "5")),
        ("whip_sessions", ("--sessions", "40")),
        ("whip_fuzz", ("--offers", "200", "--fragments", "200", "--datagrams", "2000")),
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--suite", choices=SUITES, default="paths")
    parser.add_argument("--json", type=Path, help="bench.json, or bench-whip.json, unless told")
    parser.add_argument("--quick", action="store_true", help="short runs, to see that it works")
    parser.add_argument("--only", choices=[name for suite in SUITES.values() for name, _ in suite])
    args = parser.parse_args()
    if args.only:
        args.suite = next(suite for suite, benches in SUITES.items() if args.only in dict(benches))
    report: dict[str, object] = {"machine": platform.platform(), "python": platform.python_version()}
    failed = []
    for name, quick in SUITES[args.suite]:
        if args.only not in (None, name):
            continue
        with tempfile.NamedTemporaryFile(suffix=".json") as out:
            command = [sys.executable, str(HERE / f"{name}.py"), "--json", out.name, *(quick if args.quick else ())]
            if subprocess.run(command).returncode:
                failed.append(name)
            if told := Path(out.name).read_text():
                report[name] = json.loads(told)
        print()
    place = args.json or Path("bench.json" if args.suite == "paths" else f"bench-{args.suite}.json")
    place.write_text(json.dumps(report, indent=1) + "\n")
    print(f"figures: {place}")
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
