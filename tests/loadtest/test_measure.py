"""The real line, here an emulated one, is measured through the door of a real gateway."""

import subprocess
import sys
from pathlib import Path

import pytest
from support.links import link, needs_links_here

from fishladder.loadtest.emulation.network import emulate
from fishladder.loadtest.links.load import load_link
from fishladder.loadtest.sites.stack import SITE, run_stack


@needs_links_here
def test_a_line_is_measured(tmp_path: Path) -> None:
    line = link("rate_mbps = 6\nqueue_ms = 200\ndelay_ms = 15", "rate_mbps = 30\nqueue_ms = 50\ndelay_ms = 15")
    out = tmp_path / "shop.toml"
    with emulate(line) as network, run_stack(tmp_path, network) as stack:
        (tmp_path / "token").write_text(stack.token)
        command = [sys.executable, "-m", "fishladder.runtime", "loadtest", "measure", "--gateway", stack.url]
        command += ["--site", SITE, "--token-file", str(tmp_path / "token"), "--seconds", "8", "--out", str(out)]
        done = subprocess.run(network.site.command(*command), capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    found = load_link(str(out))
    assert found.up.rate_bps == pytest.approx(6e6, rel=0.1)
    assert found.rtt_ms == pytest.approx(30, abs=10)
    assert 50 < found.up.queue_ms < 400
    assert found.up.loss.rate < 0.02
    assert {"down.rate_bps", "up.delay_ms"} <= set(found.assumed())
    assert "up.rate_bps" not in found.assumed()


def test_a_site_has_to_be_named(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("x.y.z")
    command = [sys.executable, "-m", "fishladder.runtime", "loadtest", "measure", "--gateway", "http://127.0.0.1"]
    done = subprocess.run([*command, "--token-file", str(tmp_path / "token")], capture_output=True, text=True)
    assert done.returncode == 2
    assert "--site" in done.stderr
