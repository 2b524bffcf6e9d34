"""Programs that pip cannot bring (tests/system-packages does), and the marks of tests that need one."""

import shutil

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
PROMETHEUS, PROMTOOL = shutil.which("prometheus"), shutil.which("promtool")


def _needs(found: str | None, package: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(found is None, reason=f"the package {package} is not installed: tests/system-packages")


needs_chromium = _needs(CHROMIUM, "chromium")
needs_prometheus = _needs(PROMETHEUS and PROMTOOL, "prometheus")
