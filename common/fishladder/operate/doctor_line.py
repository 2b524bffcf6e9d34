"""One line of what `fishladder doctor` finds. Finding things out is done by the other `doctor_` files."""

from typing import Literal

import msgspec

Status = Literal["ok", "warn", "fail"]


class Line(msgspec.Struct, frozen=True):
    """`fail` is something a part of fishladder cannot do without, `warn` something it does worse or some do without."""

    topic: str
    status: Status
    text: str
