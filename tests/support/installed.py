"""Programs that pip cannot bring (tests/system-packages does), and the marks of tests that need one. Without it a test
is skipped with its reason; in CI, where nobody reads what was skipped, it fails with it.
"""

import os
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import NoReturn

import pytest
from support import rtsp

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
PROMETHEUS, PROMTOOL = shutil.which("prometheus"), shutil.which("promtool")
MOSQUITTO = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
FAKETIME = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)

#: What makes it a failure instead of a skipped test that something is not installed.
MUST_BE_THERE = os.environ.get("CI") == "true"


def lacking(why: str) -> NoReturn:
    """End the test that runs; `why` says what to install."""
    if MUST_BE_THERE:
        pytest.fail(why, pytrace=False)
    pytest.skip(why)


def look(mark: pytest.Mark) -> None:
    """conftest.py calls this for each mark of a test, before it begins."""
    found, packages = mark.args
    if not found():
        lacking(f"not installed: {packages} (Debian's packages; tests/system-packages lists all)")


@cache
def _webrtcbin() -> bool:
    """Whether the system's Python can drive it."""
    probe = (
        "import gi; gi.require_version('GstWebRTC', '1.0'); from gi.repository import Gst, GstWebRTC; Gst.init(None);"
        "exit(not all(map(Gst.ElementFactory.find, ('webrtcbin', 'nicesrc', 'x264enc'))))"
    )
    python = Path(rtsp.SYSTEM_PYTHON)
    return python.exists() and not subprocess.run([python, "-c", probe], stderr=subprocess.DEVNULL).returncode


_GSTREAMER = "python3-gi gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-ugly"
_WEBRTC = "gir1.2-gst-plugins-bad-1.0 gstreamer1.0-plugins-bad gstreamer1.0-nice"

needs_chromium = pytest.mark.needs(lambda: CHROMIUM, "chromium")
needs_prometheus = pytest.mark.needs(lambda: PROMETHEUS and PROMTOOL, "prometheus")
needs_mosquitto = pytest.mark.needs(lambda: MOSQUITTO, "mosquitto")
needs_faketime = pytest.mark.needs(lambda: FAKETIME, "libfaketime")
needs_systemd = pytest.mark.needs(lambda: shutil.which("systemd-analyze"), "systemd")
needs_rtsp_server = pytest.mark.needs(lambda: not rtsp.missing(), f"gir1.2-gst-rtsp-server-1.0 {_GSTREAMER}")
needs_webrtcbin = pytest.mark.needs(_webrtcbin, f"{_WEBRTC} {_GSTREAMER}")
