"""The shape of the repository: what packaging, namespaces and newcomers rely on."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PARTS = ["common", "edge", "gateway", "inference", "sinks", "loadtest"]


@pytest.mark.parametrize("part", PARTS)
def test_namespace_folders_have_no_init(part: str) -> None:
    """An __init__.py directly in a fishladder/ folder would hide the packages of the other parts."""
    assert (ROOT / part / "fishladder").is_dir()
    assert not (ROOT / part / "fishladder" / "__init__.py").exists()


def _imported_by(statement: str) -> set[str]:
    code = f"import sys; {statement}; print(chr(10).join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return {name.partition(".")[0] for name in done.stdout.split()}


def test_edge_needs_neither_redis_nor_onnxruntime() -> None:
    loaded = _imported_by("import fishladder.edge.cli, fishladder.edge.agent, fishladder.edge.capture")
    assert not loaded & {"redis", "onnxruntime", "onnx"}


def test_help_is_quick_to_load() -> None:
    """`fishladder --help` imports none of the heavy parts."""
    loaded = _imported_by("import fishladder.runtime.cli")
    assert not loaded & {"redis", "onnxruntime", "av", "aiortc", "aiohttp", "numpy"}


def test_a_missing_extra_is_named() -> None:
    """Where a part's dependency is absent, one line says which extra brings it, and the exit status is 3."""
    code = (
        "import sys; sys.modules['redis'] = None; sys.argv = ['fishladder', 'gateway', 'run'];"
        "from fishladder.runtime.cli import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 3
    assert done.stderr.strip() == (
        "fishladder: `fishladder gateway run` needs redis, which is not installed: pip install 'fishladder[gateway]'"
    )


def test_every_command_explains_itself() -> None:
    from fishladder.runtime.cli import COMMANDS

    for name in COMMANDS:
        done = subprocess.run(
            [sys.executable, "-m", "fishladder.runtime", name, "--help"], capture_output=True, text=True
        )
        assert done.returncode == 0, (name, done.stderr)
        assert "Usage:" in done.stdout
