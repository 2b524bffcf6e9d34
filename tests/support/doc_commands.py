"""The shell commands that the documents show, one logical line each; and which test runs which of them."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
_BLOCK = re.compile(r"^```\w*\n(.*?)^```", re.MULTILINE | re.DOTALL)
_SHELL = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
_SPAN = re.compile(r"`([^`\n]+)`")
_PROGRAMS = {"docker", "fishladder", "make", "openssl", "pip", "pytest", "python", "sudo", "systemctl"}
_OURS = {"control", "doctor", "edge", "forget", "gateway", "ledger", "results", "retire", "sink", "status", "token"} | {
    "loadtest",
    "worker",
}
_LOADTEST = {"accuracy", "calibrate", "compare", "fanin", "links", "measure", "saturate", "selftest"}

#: Which test module runs a command: the first pattern that fits. What it runs it takes from `Shown`, whose `left` its
#: last test looks at, so a command that comes to the documents is run, or a test fails.
RUN_BY: tuple[tuple[str, str], ...] = (
    ("tests/docs/test_load_testing.py", r"fishladder loadtest"),
    ("tests/docs/test_without_docker.py", r"fishladder|pytest"),
    ("tests/e2e/test_demo.py", r"make demo"),
    ("tests/edge/test_service.py", r"sudo systemctl enable"),
    ("tests/compose/test_swarm.py", r"docker (stack|service)|.*docker/swarm\.py"),
    ("tests/compose/test_stack.py", r".*backup\.tgz|.*auto-aof-rewrite|.*privkey\.pem"),
    ("tests/compose/test_documents.py", r"docker|openssl|echo|sudo"),
)
NOT_RUN: dict[str, str] = {
    r"git pull": "it is about a clone of the reader's, and its remote",
    r"make (check|test)": ".ci/run runs it, and with it this test",
    r"make bench(-links|-whip)?": "measures for up to hours; tests/bench/test_benchmarks.py runs its scripts",
    r"make chaos( .*)?": "a quarter of an hour of faults; tests/chaos/test_chaos.py has a short run",
    r"make fuzz( .*)?": "its tools have no place in the tests' environment; tests/fuzz/test_targets.py has a short run",
    r"python tests/chaos/strangers\.py": "minutes; tests/gateway/test_strangers.py makes each of its attempts once",
    r"(sudo )?systemctl (daemon-reload|reload|restart|status).*|sudo journalctl .*": (
        "systemd does not manage a test machine; tests/edge/test_service.py has the unit verified and enabled, and "
        "the agent speaks systemd's protocol there; tests/edge/test_reload.py sends it the reload's signal"
    ),
    r"fishladder loadtest fanin --gateway \.\.\.": "4, 8 and 16 real cameras one after the other take minutes",
    r"pip install 'fishladder\[\w+\]'": "no index here has it; tests/compose runs a camera host's",
}


def documents() -> list[Path]:
    return [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def commands(document: Path) -> list[str]:
    """Lines of its `sh` blocks, those that are continued put together."""
    text = document.read_text()
    return [
        _plain(line)
        for block in _SHELL.findall(text)
        for line in block.replace("\\\n", " ").splitlines()
        if line.strip() and not line.lstrip().startswith("#")
    ]


def mentioned(document: Path) -> list[str]:
    """Commands with something to them in running text and tables, where what goes without saying is left out:
    `token list` is `fishladder token list`.
    """
    if document.name == "decisions.md":  # says why, not what to do
        return []
    found = []
    for span in _SPAN.findall(_BLOCK.sub("", document.read_text())):
        words = span.split()
        if len(words) < 2 or words[1] == "=":
            continue
        if words[0] in _PROGRAMS:
            found.append(span)
        elif words[0] in _OURS:
            found.append(f"fishladder {span}")
        elif words[0] in _LOADTEST:
            found.append(f"fishladder loadtest {span}")
    return found


def shown() -> Iterator[str]:
    """Every command of all documents, once; a mention that says no more than the beginning of another is that one."""
    lines = dict.fromkeys(line for document in documents() for line in commands(document))
    for line in lines:
        yield line
    for line in dict.fromkeys(line for document in documents() for line in mentioned(document)):
        if not any(other == line or other.startswith(f"{line} ") for other in lines):
            yield line


def run_by(line: str) -> str | None:
    """The test module; None if none does."""
    if why_not_run(line) is not None:
        return None
    return next((module for module, pattern in RUN_BY if re.match(pattern, line)), None)


def why_not_run(line: str) -> str | None:
    return next((why for pattern, why in NOT_RUN.items() if re.fullmatch(pattern, line)), None)


class Shown:
    """The commands that one test module has to run, and those it has not yet taken."""

    def __init__(self, file: str) -> None:
        module = str(Path(file).relative_to(ROOT))
        self.all = [line for line in shown() if run_by(line) == module]
        self.left = list(self.all)

    def take(self, pattern: str) -> list[str]:
        """Those that begin so; there must be one. They may be taken again."""
        found = [line for line in self.all if re.match(pattern, line)]
        assert found, f"no document shows {pattern!r} any more"
        self.left = [line for line in self.left if line not in found]
        return found


def _plain(line: str) -> str:
    """Without what is said about it, and with single blanks where the shell would see one."""
    return re.sub(r"\s+", " ", re.sub(r"\s+#\s.*", "", line)).strip()


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
