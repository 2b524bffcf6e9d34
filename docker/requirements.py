"""What the named extras of pyproject.toml need, one requirement a line: for the image, where it is a layer."""

import sys
import tomllib
from pathlib import Path


def main() -> None:
    project = tomllib.loads(Path("pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    wanted = [*project["dependencies"], *(need for extra in sys.argv[1:] for need in extras[extra])]
    own = f"{project['name']}["  # an extra that is made of others of ours: they are named by themselves
    sys.stdout.write("\n".join(sorted({need for need in wanted if not need.startswith(own)})) + "\n")


main()
