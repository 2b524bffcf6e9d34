"""A site as its cameras and its agent's last report make it: how it does, what its uplink carries, how long its spool
would bridge. Pure.
"""

from collections.abc import Iterable, Sequence

from fishladder.view import findings
from fishladder.view.models import CameraView, Severity, SiteView, UplinkView
from fishladder.view.words import duration, size
from fishladder.wire.reports import UplinkReport

#: A share of the spool that is as good as none.
_EMPTY = 0.005


def worst_first(cameras: Iterable[CameraView]) -> list[CameraView]:
    return sorted(cameras, key=lambda it: (-it.finding.severity.rank, it.camera))


def site_view(site: str, cameras: Sequence[CameraView], report: UplinkReport | None, now_us: int) -> SiteView:
    uplink = uplink_view(sum(it.bps or 0.0 for it in cameras), report, now_us)
    return SiteView(
        site,
        findings.judge_site(worst_first(cameras), uplink),
        cameras=len(cameras),
        cameras_ok=sum(it.finding.severity.rank <= Severity.NOTE.rank for it in cameras),
        fps=round(sum(it.fps or 0.0 for it in cameras), 2),
        uplink=uplink,
        pending=sum(it.ledger.pending for it in cameras),
        deferred=sum(it.ledger.deferred for it in cameras),
        closes=all(it.ledger.closes for it in cameras),
    )


def uplink_view(used_bps: float, report: UplinkReport | None, now_us: int) -> UplinkView:
    """What a site's agent last said, carried on to now: while it is away its spool fills at the rate it sent before."""
    if report is None:
        return UplinkView(used_bps)
    said, age_s = report.status, max((now_us - report.at_us) / 1e6, 0.0)
    away = age_s > findings.AWAY_S
    spool, left_s = said.spool_bytes, None
    fills_bps = (said.sent_bps or 0.0) if away else max(used_bps, said.sent_bps or 0.0)
    if spool is not None and said.spool_limit_bytes and fills_bps:
        if away:
            spool = min(spool + int(fills_bps / 8 * age_s), said.spool_limit_bytes)
        left_s = (said.spool_limit_bytes - spool) * 8 / fills_bps
    return UplinkView(
        used_bps,
        estimate_bps=said.estimate_bps,
        rtt_ms=said.rtt_us / 1000 if said.rtt_us is not None else None,
        spool_bytes=spool,
        spool_limit_bytes=said.spool_limit_bytes,
        spool_left_s=left_s,
        spool=_spool(spool, said.spool_limit_bytes, left_s, away=away),
        limit_bps=said.limit_bps,
        limited_by=said.limited_by,
        month=said.month,
        agent=report.agent,
        age_s=age_s,
    )


def _spool(bytes_: int | None, limit_bytes: int | None, left_s: float | None, *, away: bool) -> str:
    """How the spool stands, as a sentence goes on after "spool"."""
    if bytes_ is None or not limit_bytes:
        return "none: of an outage only what fits into memory is kept"
    share = min(bytes_ / limit_bytes, 1.0)
    lasts = f"{duration(left_s)} left" if left_s is not None else ""
    if away:
        said = f"about {share:.0%} of {size(limit_bytes)} by now"
    elif share < _EMPTY:
        said, lasts = f"empty, of {size(limit_bytes)}", lasts and f"bridges {lasts[:-5]} without the uplink"
    else:
        said = f"{share:.0%} of {size(limit_bytes)}"
    return f"{said}, {lasts}" if lasts else said
