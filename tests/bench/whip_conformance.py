"""Runs the WHIP conformance suite against our gateway and against a minimal server on stock aiortc, and tables where
they differ.

python tests/bench/whip_conformance.py [--json FILE]
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from pathlib import Path

TESTS = Path(__file__).parents[1]
SUITE = TESTS / "conformance" / "whip"


def outcomes(*options: str) -> dict[str, str]:
    """Test -> passed, failed, skipped."""
    with tempfile.TemporaryDirectory() as place:
        report = Path(place) / "report.xml"
        command = [sys.executable, "-m", "pytest", str(SUITE), "-q", "-p", "no:cacheprovider", f"--junitxml={report}"]
        subprocess.run([*command, *options], cwd=TESTS.parent, stdout=subprocess.DEVNULL, check=False)
        found = {}
        for case in ElementTree.parse(report).iter("testcase"):
            wrong = any(case.find(kind) is not None for kind in ("failure", "error"))
            skipped = case.find("skipped") is not None
            found[case.attrib["name"]] = "failed" if wrong else "skipped" if skipped else "passed"
        return found


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--json", type=Path)
    told = options.parse_args()
    ours = outcomes()
    stock = subprocess.Popen(
        [sys.executable, TESTS / "support" / "stock_whip.py"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert stock.stdout is not None
        url = json.loads(stock.stdout.readline())["url"]
        theirs = outcomes("--whip-url", f"{url}/whip/lab/{{camera}}")
    finally:
        stock.terminate()
        stock.wait()
    print(f"{'clause':<12}{'test':<84}{'ours':<9}stock aiortc")
    for name, outcome in ours.items():
        other = theirs.get(name, "absent")
        if outcome == other == "passed":
            continue
        clause = re.match(r"test_((?:rfc\d+_)?\d+(?:_\d+)*)_", name)
        label = clause[1].replace("_", ".") if clause else ""
        print(f"{label:<12}{name[len(clause[0]) if clause else 0 :][:82].replace('_', ' '):<84}{outcome:<9}{other}")
    for who, found in (("ours", ours), ("stock aiortc", theirs)):
        counts = {kind: list(found.values()).count(kind) for kind in ("passed", "failed", "skipped")}
        print(f"{who}: " + ", ".join(f"{count} {kind}" for kind, count in counts.items() if count))
    if told.json:
        told.json.write_text(json.dumps({"ours": ours, "stock aiortc": theirs}, indent=1) + "\n")
    return int(any(outcome == "failed" for outcome in ours.values()))


if __name__ == "__main__":
    sys.exit(main())
