"""The shell commands that the documents show, one logical line each."""

import re
import shlex
from pathlib import Path

ROOT = Path(__file__).parents[2]
_BLOCK = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)


def documents() -> list[Path]:
    return [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def commands(document: Path) -> list[str]:
    """Lines of its `sh` blocks, those that are continued put together."""
    text = document.read_text()
    return [
        line.strip()
        for block in _BLOCK.findall(text)
        for line in block.replace("\\\n", " ").splitlines()
        if line.strip() and not line.lstrip().startswith("#")
    ]


def stages(command: str) -> list[list[str]]:
    """The words of each program in a pipeline, without redirections. Raises `ValueError` if no shell can read it."""
    lexer = shlex.shlex(command, posix=True, punctuation_chars="|<>;&")
    lexer.whitespace_split = True
    lexer.commenters = "#"
    found: list[list[str]] = [[]]
    skip = False
    for word in lexer:
        if word in ("|", "&&", ";"):
            found.append([])
        elif word in (">", ">>", "<"):
            skip = True
        elif skip:
            skip = False
        else:
            found[-1].append(word)
    return found
