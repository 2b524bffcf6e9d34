"""`fishladder loadtest measure`: writes a link's TOML from the line this machine is on."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import click

from fishladder.edge.config import load
from fishladder.loadtest.errors import Inconclusive
from fishladder.loadtest.links.load import parse_link
from fishladder.loadtest.measure.line import CAMERA, Measurement, measure
from fishladder.loadtest.sites.agents import camera_to_play
from fishladder.runtime.logs import configure_logging

_LEAST_SEGMENTS = 100


@click.command("measure")
@click.option("--gateway", required=True, help="The gateway, such as https://stack.example:8889.")
@click.option("--site", required=True, help="The site the token is for.")
@click.option(
    "--token-file", required=True, type=click.Path(), help="File with the token from `fishladder token create`."
)
@click.option("--ca-file", help="CA to trust for the gateway's certificate.")
@click.option("--proxy", help="HTTP proxy to CONNECT through; `none` ignores HTTPS_PROXY.")
@click.option("--seconds", type=click.FloatRange(3, 300), default=15.0, show_default=True, help="How long to fill it.")
@click.option("--down-mbps", type=click.FloatRange(0.01), help="What you know of the rate downstream.")
@click.option(
    "--out", "-o", type=click.Path(dir_okay=False, path_type=Path), default="measured.toml", show_default=True
)
def measure_command(
    gateway: str,
    site: str,
    token_file: str,
    ca_file: str | None,
    proxy: str | None,
    seconds: float,
    down_mbps: float | None,
    out: Path,
) -> None:
    """Write a link's TOML from the real line this machine is on, through a gateway's own door.

    It fills the uplink for some seconds: whoever shares it will notice. What is measured is the way upstream: rate,
    round trip, how deep the queue is (with a congestion control that fills it, where the kernel allows), loss at a
    quarter of the rate. What cannot be seen from here is written as an assumption: the rate downstream, how the round
    trip is divided between the ways, the queue's discipline, what is lost downstream. Pictures of nothing appear as the
    camera loadtest-measure of the site.

    \b
    fishladder loadtest measure --gateway https://gw.example:8889 --site shop-7 --token-file token -o shop-7.toml
    fishladder loadtest links shop-7.toml
    """
    flags = {"gateway": gateway, "site": site, "token_file": token_file, "ca_file": ca_file, "proxy": proxy}
    config = load(
        None, {**flags, "drain_s": 1.0, "metrics_port": 0}, [camera_to_play(CAMERA)], spool={"enabled": False}
    )
    configure_logging("error")
    found = asyncio.run(measure(config, seconds, lambda text: click.echo(text, err=True)))
    if found.rate_bps <= 0:
        raise Inconclusive(f"nothing went through to {gateway} in {seconds:g} s: is the line up? Try --seconds 60")
    text = _toml(found, gateway, down_mbps, datetime.now(UTC))
    parse_link(text, out.stem, where=str(out), beside=out.parent)
    out.write_text(text)
    click.echo(text, nl=False)
    click.echo(f"written to {out}", err=True)


def _toml(found: Measurement, gateway: str, down_mbps: float | None, now: datetime) -> str:
    when = f"measured {now:%Y-%m-%d %H:%M} UTC"
    rate = found.rate_bps / 1e6
    control = found.congestion_control
    if found.overflowed:
        depth = f'source = "{when}: longest round trip under {control}, less the usual one"'
    else:
        why = f"{control} did not fill the queue until it dropped, so it may be deeper"
        depth = f'assumed = "{when}: at least this; {why}"'
    share = found.lost / found.segments if found.segments else 0.0
    loss = f"{found.lost} of {found.segments} segments sent again at a quarter of the rate"
    few = found.segments < _LEAST_SEGMENTS
    down, down_from = (
        (down_mbps, "as given with --down-mbps")
        if down_mbps
        else (max(rate, 1.0), "not measured: nothing large comes downstream from a gateway; give --down-mbps")
    )
    jitter = f"{when}: TCP's deviation, which is of both ways"
    early = 'early_sigmas = { value = 1, assumed = "what waits on the way is late: little is faster than usual" }'
    half = "half of the round trip; how it is divided between the ways cannot be seen"
    return f"""\
title = "The line to {gateway}, {when}"

[up]
rate_mbps = {{ value = {rate:.4g}, source = "{when}: IP bytes acknowledged in a second" }}
queue_ms = {{ value = {max(found.queue_ms, 2 * 1514 * 8 / found.rate_bps * 1000):.4g}, {depth} }}
delay_ms = {{ value = {found.rtt_ms / 2:.4g}, assumed = "{half}" }}
jitter = {{ kind = "normal", ms = {{ value = {found.jitter_ms:.3g}, assumed = "{jitter}" }}, {early} }}
loss = {{ rate = {{ value = {min(share, 0.9):.3g}, {"assumed" if few else "source"} = "{when}: {loss}" }} }}

[down]
rate_mbps = {{ value = {down:.4g}, assumed = "{down_from}" }}
queue_ms = {{ value = 100, assumed = "not measured" }}
delay_ms = {{ value = {found.rtt_ms / 2:.4g}, assumed = "{half}" }}
"""
