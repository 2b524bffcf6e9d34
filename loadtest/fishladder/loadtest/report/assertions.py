"""`--assert 'decodable>=0.99@N=8'`: a wish about a measured number, checked at the end, for pipelines."""

import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from fishladder.loadtest.model.run import Run
from fishladder.loadtest.report.summary import LinkAnswer
from fishladder.wire.errors import ConfigError

_FORM = re.compile(
    r"\s*(\w+)\s*(>=|<=|>|<|==)\s*(\d+(?:\.\d*)?|\.\d+)\s*"
    r"(?:@\s*N\s*=\s*([1-9]\d{0,6}))?\s*(?:@\s*link\s*=\s*(\S+))?\s*"
)
_OPERATORS: dict[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
    "==": operator.eq,
}
#: Of a run at some N, averaged over its seeds.
AT_N = ("decodable", "age_p50_ms", "age_p95_ms", "age_p99_ms", "queue_p95_ms", "dropped_share", "lost_share")
#: Of a link.
OF_LINK = ("passing", "fluid")


@dataclass(frozen=True)
class Assertion:
    text: str
    name: str
    sign: str
    value: float
    cameras: int | None
    link: str | None

    def check(self, answer: LinkAnswer, runs: Sequence[Run]) -> dict[str, Any]:
        """What was found on this link, and whether it holds; one that was not measured does not."""
        if self.name in OF_LINK:
            found: float | None = float(getattr(answer, self.name))
        else:
            values = [float(getattr(run, self.name)) for run in runs if run.cameras == self.cameras]
            found = sum(values) / len(values) if values else None
        holds = found is not None and _OPERATORS[self.sign](found, self.value)
        return {"assertion": self.text, "link": answer.link, "found": found, "holds": holds}


def check_links(wishes: Sequence[Assertion], links: Sequence[str]) -> None:
    """Insist that each assertion about one link is about one of those asked for. Raises `ConfigError`."""
    for wish in wishes:
        if wish.link is not None and wish.link not in links:
            raise ConfigError(f"--assert {wish.text!r}: no link {wish.link!r} is tried here, only {', '.join(links)}")


def parse_assertion(text: str) -> Assertion:
    """Raises `ConfigError`."""
    found = _FORM.fullmatch(text)
    known = ", ".join((*AT_N, *OF_LINK))
    if found is None:
        raise ConfigError(f"--assert {text!r}: expected NAME>=VALUE@N=CAMERAS, such as decodable>=0.99@N=8 ({known})")
    name, sign, value, cameras, link = found.groups()
    if name not in (*AT_N, *OF_LINK):
        raise ConfigError(f"--assert {text!r}: there is no {name!r}; known are {known}")
    if name in AT_N and cameras is None:
        raise ConfigError(f"--assert {text!r}: say at how many cameras, such as {name}{sign}{value}@N=8")
    if name in OF_LINK and cameras is not None:
        raise ConfigError(f"--assert {text!r}: {name} is of the link, at no number of cameras: {name}{sign}{value}")
    return Assertion(text, name, sign, float(value), int(cameras) if cameras else None, link)
