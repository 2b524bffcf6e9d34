"""A process's own small HTTP port: /metrics for Prometheus, /healthz (the process is alive) and /readyz (it can do
its work). It runs in threads of its own, so that a busy event loop still answers, and one who asks slowly keeps nobody
else waiting.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from socketserver import ThreadingMixIn
from threading import BoundedSemaphore, Thread
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import REGISTRY, make_wsgi_app

from fishladder.wire.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Health:
    """`ready` with a sentence that says why not, or what is worth knowing."""

    ready: bool
    detail: str = "ok"


#: Connections served at once; whoever comes then waits so long for a place, and is hung up on.
_AT_ONCE = 16
_WAIT_S = 1.0


class _Threads(ThreadingMixIn, WSGIServer):
    daemon_threads = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._places = BoundedSemaphore(_AT_ONCE)
        super().__init__(*args, **kwargs)

    def process_request(self, request: Any, client_address: Any) -> None:
        if self._places.acquire(timeout=_WAIT_S):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()


class _Quiet(WSGIRequestHandler):
    timeout = 10

    def log_message(self, format: str, *args: Any) -> None:
        pass


class Admin:
    """The admin port while it is open; use as a context manager."""

    def __init__(self, host: str, port: int, readiness: Callable[[], Health]) -> None:
        metrics = make_wsgi_app(REGISTRY)

        def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
            path = environ.get("PATH_INFO", "")
            if path == "/metrics":
                body: Iterable[bytes] = metrics(environ, start_response)
                return body
            if path == "/healthz":
                health = Health(True)
            elif path == "/readyz":
                health = readiness()
            else:
                start_response("404 Not Found", [("Content-Type", "text/plain")])
                return [b"/metrics /healthz /readyz\n"]
            status = "200 OK" if health.ready else "503 Service Unavailable"
            start_response(status, [("Content-Type", "text/plain; charset=utf-8")])
            return [health.detail.encode() + b"\n"]

        try:
            self._server = make_server(host, port, app, server_class=_Threads, handler_class=_Quiet)
        except OSError as error:
            raise ConfigError(f"cannot listen on {host}:{port} for metrics: {error.strerror}") from None
        self.port = self._server.server_port
        self._thread = Thread(target=self._server.serve_forever, name="admin", daemon=True)

    def __enter__(self) -> "Admin":
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._server.shutdown()
        self._server.server_close()
