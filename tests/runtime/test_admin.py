"""The admin port answers whoever asks, also beside others who ask and never finish."""

import socket
import urllib.request
from contextlib import ExitStack

from fishladder.runtime.admin import Admin, Health


def get(port: int, path: str) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=8) as reply:
        return str(reply.read().decode())


def test_scrapers_that_stall_keep_nobody_else_waiting() -> None:
    with Admin("127.0.0.1", 0, lambda: Health(True, "all well")) as admin, ExitStack() as stack:
        for _ in range(8):
            stalled = stack.enter_context(socket.create_connection(("127.0.0.1", admin.port)))
            stalled.sendall(b"GET /metrics HTTP/1.0\r\n")
        assert get(admin.port, "/readyz") == "all well\n"
        assert "process_cpu_seconds_total" in get(admin.port, "/metrics")


def test_it_ends_while_somebody_stalls() -> None:
    with Admin("127.0.0.1", 0, lambda: Health(True)) as admin:
        stalled = socket.create_connection(("127.0.0.1", admin.port))
    stalled.close()
