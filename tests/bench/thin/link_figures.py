"""The figures of a line and of others' TCP on it: how long its queue was, what it carried, and what TCP got. Pure."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from thin.cases import Case
from thin.figures import SETTLED_S, capacity_bits, jain, together_s


class Look(NamedTuple):
    """At a queue, at a Unix time; `sent_bytes` is all it ever let go."""

    at_s: float
    backlog_bytes: int
    sent_bytes: int


class Swallowed(NamedTuple):
    """What one TCP connection brought at a Unix time: `OPENED`, `CLOSED`, or so many bytes."""

    at_s: float
    flow: int
    size: int


OPENED, CLOSED = 0, -1


def queue_figures(case: Case, looks: Sequence[Look], began_s: float, seconds: float) -> dict[str, Any]:
    """95th percentile of how long a byte that came then would have waited, over looks at even intervals, and what the
    queue let go, all of it, transport and others' traffic included."""
    rates = [(0.0, case.rate), *case.steps]
    seen = [look for look in looks if SETTLED_S <= look.at_s - began_s < seconds]
    if len(seen) < 2:
        return {}
    waits_ms = sorted(
        look.backlog_bytes * 8 / ([rate for at, rate in rates if at <= look.at_s - began_s][-1] * 1e6) * 1000
        for look in seen
    )
    carried = (seen[-1].sent_bytes - seen[0].sent_bytes) * 8 / (seen[-1].at_s - seen[0].at_s)
    return {
        "queue_p95_ms": round(waits_ms[min(int(len(waits_ms) * 0.95), len(waits_ms) - 1)]),
        "uplink_kbps": round(carried / 1000, 1),
    }


def tcp_figures(
    case: Case, swallowed: Sequence[Swallowed], kbps: Sequence[float], used: float, began_s: float, seconds: float
) -> dict[str, Any]:
    """Beside media flows of `kbps` and with `used` of the link. `tcp_flow_kbps` is what a connection got while it was
    open, so that ten that are open now and then compare with one that always is; fairness is between that and each
    media flow.
    """
    pieces = [it._replace(at_s=it.at_s - began_s) for it in swallowed]
    [(since_s, until_s)] = together_s(case, SETTLED_S, seconds)

    def bits(since: float, until: float) -> int:
        return sum(it.size for it in pieces if it.size > 0 and since <= it.at_s < until) * 8

    opened = {it.flow: it.at_s for it in pieces if it.size == OPENED}
    closed = {it.flow: it.at_s for it in pieces if it.size == CLOSED}
    open_s = sum(
        max(min(closed.get(flow, until_s), until_s) - max(at_s, since_s), 0.0) for flow, at_s in opened.items()
    )
    together_bits, long_s = bits(since_s, until_s), until_s - since_s
    flow_kbps = together_bits / open_s / 1000 if open_s else 0.0
    tcp_kbps = together_bits / long_s / 1000
    return {
        "utilisation": round(used + bits(SETTLED_S, seconds) / capacity_bits(case, SETTLED_S, seconds), 3),
        "tcp_kbps": round(tcp_kbps),
        "tcp_share": round(tcp_kbps / max(tcp_kbps + sum(kbps), 1e-9), 3),
        "tcp_flow_kbps": round(flow_kbps),
        "tcp_fairness": jain([*kbps, flow_kbps]),
    }
