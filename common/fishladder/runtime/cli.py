"""The `fishladder` command. Sub-commands live with the part they start and are imported when they are called, so
that a camera host without redis or onnxruntime can run `fishladder edge`.
"""

import sys
from collections.abc import Mapping
from importlib import import_module, metadata
from typing import Any, NamedTuple

import click

from fishladder.wire.errors import FishladderError, MissingExtra


class Lazy(NamedTuple):
    """Where a sub-command is, what it does in a line, and which extra brings what it imports."""

    target: str
    help: str
    extra: str


COMMANDS = {
    "edge": Lazy("fishladder.edge.cli:edge", "Send cameras to a gateway (runs on camera hosts).", "edge"),
    "gateway": Lazy("fishladder.gateway.cli:gateway", "Take in units from agents and WHIP clients.", "gateway"),
    "worker": Lazy("fishladder.inference.cli:worker", "Decode, detect and commit results.", "inference"),
    "sink": Lazy("fishladder.sinks.cli:sink", "Deliver results to webhooks and MQTT brokers.", "sinks"),
    "demo": Lazy("fishladder.operate.demo:demo", "Run all of it on this machine, with real footage.", "all"),
    "status": Lazy("fishladder.operate.status:status", "Say how sites, cameras and workers do.", "gateway"),
    "control": Lazy("fishladder.operate.control:control", "Say what is wanted of a camera.", "gateway"),
    "results": Lazy("fishladder.operate.results:results", "Print detections, or follow them with -f.", "gateway"),
    "ledger": Lazy("fishladder.operate.ledger:ledger", "Show what became of every captured frame.", "gateway"),
    "forget": Lazy("fishladder.operate.forget:forget", "Remove what was seen in a span of time.", "gateway"),
    "retire": Lazy("fishladder.operate.retire:retire", "Speak no more of what is not coming back.", "gateway"),
    "token": Lazy("fishladder.gateway.tokens_cli:token", "Make tokens for agents and WHIP clients.", "gateway"),
    "assets": Lazy(
        "fishladder.inference.assets.cli:assets", "List or fetch the default model and footage.", "inference"
    ),
    "loadtest": Lazy("fishladder.loadtest.cli:loadtest", "Find out where an uplink saturates, and why.", "loadtest"),
    "doctor": Lazy("fishladder.operate.doctor:doctor", "Say what this machine can do, and what is missing.", "all"),
}


class LazyGroup(click.Group):
    """A click group whose commands are imported on use."""

    def __init__(self, *args: Any, lazy: Mapping[str, Lazy], **options: Any) -> None:
        super().__init__(*args, **options)
        self._lazy = lazy

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self._lazy)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        lazy = self._lazy.get(name)
        if lazy is None:
            return None
        module, _, attribute = lazy.target.partition(":")
        try:
            command = getattr(import_module(module), attribute)
        except ModuleNotFoundError as error:
            missing = (error.name or "").partition(".")[0]
            if not missing or missing == "fishladder":
                raise
            raise MissingExtra(f"{name} {' '.join(sys.argv[2:3])}".strip(), lazy.extra, missing) from None
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, lazy.help) for name, lazy in self._lazy.items()])


@click.group(
    cls=LazyGroup, lazy=COMMANDS, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110}
)
@click.version_option(metadata.version("fishladder"), prog_name="fishladder")
def fishladder() -> None:
    """Camera video upstream, over thin uplinks, into ONNX models, with every frame accounted for.

    Start with `fishladder demo`, which runs everything on this machine. `fishladder COMMAND --help` explains each
    part; flags override FISHLADDER_... environment variables, which override the TOML file given by --config.
    """


def main() -> None:
    """Entry point: the errors we raise on purpose become one line and an exit status."""
    try:
        fishladder(standalone_mode=False)
    except FishladderError as error:
        click.echo(f"fishladder: {error}", err=True)
        sys.exit(error.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(130)
