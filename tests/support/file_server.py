"""A small real HTTP server of files, on a free port of this machine, that remembers what it was asked for."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread


class FileServer:
    """Serves `files` by path. `announce` makes a path claim more bytes than it sends."""

    def __init__(self, server: ThreadingHTTPServer, asked: list[str]) -> None:
        self.url = f"http://127.0.0.1:{server.server_address[1]}"
        self.asked = asked


@contextmanager
def serve_files(files: Mapping[str, bytes], announce: Mapping[str, int] | None = None) -> Iterator[FileServer]:
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            if self.path not in files:
                self.send_error(404)
                return
            body = files[self.path]
            self.send_response(200)
            self.send_header("Content-Length", str((announce or {}).get(self.path, len(body))))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield FileServer(server, asked)
        finally:
            server.shutdown()
            thread.join()
