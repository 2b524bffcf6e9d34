"""`make bench`: every benchmark in turn, each in a process of its own, with one JSON file of all figures at the end.

python tests/bench/run.py [--json bench.json] [--quick]
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
BENCHES = (
    ("gateway", ("--rounds", "1", "--seconds", "5")),
    ("worker", ("--rounds", "1")),
    ("latency", ("--seconds", "15")),
    ("gate", ("--minutes", "10")),
    ("page", ("--minutes", "1")),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, default=Path("bench.json"))
    parser.add_argument("--quick", action="store_true", help="short runs, to see that it works")
    parser.add_argument("--only", choices=[name for name, _ in BENCHES])
    args = parser.parse_args()
    report: dict[str, object] = {"machine": platform.platform(), "python": platform.python_version()}
    failed = []
    for name, quick in BENCHES:
        if args.only not in (None, name):
            continue
        with tempfile.NamedTemporaryFile(suffix=".json") as out:
            command = [sys.executable, str(HERE / f"{name}.py"), "--json", out.name, *(quick if args.quick else ())]
            if subprocess.run(command).returncode:
                failed.append(name)
                continue
            report[name] = json.loads(Path(out.name).read_text())
        print()
    args.json.write_text(json.dumps(report, indent=1) + "\n")
    print(f"figures: {args.json}")
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
