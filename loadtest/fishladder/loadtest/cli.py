"""`fishladder loadtest`: its sub-commands, each in a file of its own and imported when it is called."""

import signal

import click

from fishladder.runtime.cli import Lazy, LazyGroup
from fishladder.runtime.logs import configure_logging

COMMANDS = {
    "saturate": Lazy("fishladder.loadtest.commands.saturate:saturate", "How many cameras fit on a link?", "loadtest"),
    "accuracy": Lazy("fishladder.loadtest.commands.accuracy:accuracy", "What do bits cost in detections?", "loadtest"),
    "fanin": Lazy("fishladder.loadtest.commands.fanin:fanin", "Fast and jittery, or slower and steady?", "loadtest"),
    "compare": Lazy("fishladder.loadtest.commands.compare:compare", "What changed between two reports?", "loadtest"),
    "calibrate": Lazy("fishladder.loadtest.commands.calibrate:calibrate", "How wrong is the model?", "loadtest"),
    "links": Lazy("fishladder.loadtest.links.cli:links", "List link presets, or show one with sources.", "loadtest"),
    "measure": Lazy(
        "fishladder.loadtest.measure.cli:measure_command", "Write a link from the line you are on.", "loadtest"
    ),
    "selftest": Lazy("fishladder.loadtest.emulation.cli:selftest", "Emulate links and measure them.", "loadtest"),
}


@click.group(cls=LazyGroup, lazy=COMMANDS)
def loadtest() -> None:
    """Find out where an uplink saturates, what breaks first, and what that costs in detections.

    Real agents, gateway and workers run over links that are modelled (fast, anywhere) or emulated (Linux, with kernel
    queues, in network namespaces; root or not). A link is a preset (`loadtest links`), a TOML file of yours
    (`loadtest links docsis30 --toml > mine.toml` to begin with), or one measured on a real line (`loadtest measure`).

    \b
    Exit status:
      0    done, and every --assert holds
      99   an --assert does not hold
      2    a flag or file is wrong
      3    this machine cannot do it, or the emulated link is not the one asked for
      4    no answer: too few runs, or the generator of traffic was the limit
      130  interrupted
    """
    configure_logging("warning")
    signal.signal(signal.SIGTERM, _interrupt)  # a pipeline's time-out cleans up as Ctrl-C does


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt
