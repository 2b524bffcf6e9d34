"""Every command in the documents is one that exists, with flags that exist; and each is run by a test, or it is said
why not (`support.doc_commands` has both).
"""

import re
import tomllib
from pathlib import Path

import click
import pytest
from support.doc_commands import NOT_RUN, ROOT, RUN_BY, commands, documents, run_by, shown, stages, why_not_run

from fishladder.runtime.cli import fishladder

#: Programs that are not ours and take what is shown: their arguments are looked at only for files of this repository.
OTHERS = {"echo", "git", "openssl", "python3", "sudo", "docker"}
COMPOSE = {"up", "down", "exec", "logs", "ps", "cp", "build", "run", "config"}
ALL = [pytest.param(path, line, id=f"{path.name}: {line[:70]}") for path in documents() for line in commands(path)]


def parse(arguments: list[str]) -> None:
    """Read a `fishladder` command line as it would be, and do nothing."""
    command: click.Command = fishladder
    context = click.Context(command, info_name="fishladder")
    rest = list(arguments)
    while isinstance(command, click.Group):
        if not rest or rest[0] in ("--help", "--version"):
            return
        name = rest.pop(0)
        found = command.get_command(context, name)
        assert found is not None, f"there is no command {name!r}"
        command = found
        context = click.Context(command, parent=context, info_name=name)
    if rest == ["..."]:
        return
    # Not `parse_args` of the command: that would want the files named to be here.
    values, left, _ = command.make_parser(context).parse_args(list(rest))
    assert not left, f"{left} are too many"
    for option in command.params:
        if isinstance(option.type, click.Choice):
            given = values.get(option.name or "")
            for value in given if isinstance(given, list) else [given]:
                if isinstance(value, str):
                    option.type.convert(value, option, context)


def check_compose(words: list[str], services: dict[str, object]) -> None:
    while words[0].startswith("--"):
        assert words[0].partition("=")[0] == "--profile"
        words = words[1 if "=" in words[0] else 2 :]
    action, *rest = words
    assert action in COMPOSE
    named = [word for word in rest if word in services]
    if action in ("exec", "run"):
        assert named, f"{action} needs a service"
        inner = rest[rest.index(named[0]) + 1 :]
        if action == "run" and inner:
            parse([*(["loadtest"] if named[0] == "loadtest" else []), *inner])
        elif inner[0] == "fishladder":
            parse(inner[1:])
    if action == "cp":
        assert rest[0].partition(":")[0] in services


@pytest.fixture(scope="module")
def services() -> dict[str, object]:
    """Names of the services in compose.yaml."""
    text = (ROOT / "compose.yaml").read_text()
    block = text[text.index("\nservices:\n") : text.index("\nnetworks:\n")]
    return dict.fromkeys(re.findall(r"^  ([a-z-]+):$", block, re.MULTILINE))


@pytest.mark.parametrize(("document", "line"), ALL)
def test_it_is_a_command_that_exists(document: Path, line: str, services: dict[str, object]) -> None:
    for words in stages(line):
        program, *rest = words
        if program == "fishladder":
            parse(rest)
        elif (program, rest[:1]) == ("docker", ["compose"]):
            check_compose(rest[1:], services)
        elif program == "make":
            targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
            assert rest[0] in targets
        elif program == "pip" or rest[:2] == ["/opt/fishladder/bin/pip", "install"]:
            extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
            [extra] = re.findall(r"^fishladder\[([a-z,]+)\]$", rest[-1])
            assert set(extra.split(",")) <= set(extras)
        else:
            assert program in OTHERS, f"{program} is not known to this test"
        for word in rest:
            if re.match(r"(edge|docker|docs|observe|sinks|tests)/[\w./-]+\.\w+$", word):
                assert (ROOT / word).exists(), word


@pytest.mark.parametrize(
    "wrong", ["fishladder nonsense", "fishladder token create --sight x", "fishladder edge run --mode odd"]
)
def test_a_wrong_command_would_be_noticed(wrong: str) -> None:
    with pytest.raises((AssertionError, click.ClickException)):
        parse(stages(wrong)[0][1:])


@pytest.mark.parametrize("document", documents(), ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    text = document.read_text()
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        path, _, anchor = target.partition("#")
        if "://" in target:
            continue
        found = (document.parent / path) if path else document
        assert found.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.+)$", found.read_text(), re.MULTILINE)
            slugs = {re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-") for heading in headings}
            assert anchor in slugs, target


def test_each_setting_of_the_stack_is_explained_and_exists() -> None:
    used = set(re.findall(r"\$\{(FISHLADDER_[A-Z_]+)", (ROOT / "compose.yaml").read_text()))
    text = (ROOT / "docs" / "operating.md").read_text()
    shown = set(re.findall(r"`(FISHLADDER_[A-Z_]+)`", text))
    assert used - shown <= {"FISHLADDER_GPU_IMAGE", "FISHLADDER_METRICS_KEPT"}
    assert shown - used <= {"FISHLADDER_REDIS", "FISHLADDER_FRAMES"}


@pytest.mark.parametrize("line", [pytest.param(line, id=line[:70]) for line in shown()])
def test_it_is_run_by_a_test_or_it_is_said_why_not(line: str) -> None:
    module = run_by(line)
    assert (module is None) != (why_not_run(line) is None), f"no test runs {line!r}: see tests/support/doc_commands.py"
    if module:
        text = (ROOT / module).read_text()
        assert "SHOWN = Shown(__file__)" in text
        assert "assert SHOWN.left == []" in text


def test_nothing_is_excused_that_no_document_shows() -> None:
    for pattern in NOT_RUN:
        assert any(re.fullmatch(pattern, line) for line in shown()), pattern
    assert {module for module, _ in RUN_BY} == {run_by(line) for line in shown()} - {None}


def test_a_new_command_is_run_by_nobody() -> None:
    assert run_by("helm install fishladder") is why_not_run("helm install fishladder") is None
