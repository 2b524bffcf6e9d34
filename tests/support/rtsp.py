"""A real RTSP camera for tests: GStreamer's RTSP server in a process of its own (run by the system's Python, which
has its bindings), showing a moving ball with sound beside it, with or without a digest login. It can be stopped and
started again on the same port.

Debian packages: gir1.2-gst-rtsp-server-1.0 python3-gi gstreamer1.0-plugins-base gstreamer1.0-plugins-good
gstreamer1.0-plugins-ugly (x264enc).
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

SYSTEM_PYTHON = "/usr/bin/python3"


class RtspServer:
    """`setups` names the streams (`stream=0` is video) that clients have set up so far."""

    def __init__(
        self, *, port: int = 0, codec: str = "h264", user: str = "", password: str = "", gop: int = 15
    ) -> None:
        self.codec = codec
        self.gop = gop
        self.user = user
        self.password = password
        self.port = port
        self._process: subprocess.Popen[str] | None = None
        self.start()

    @property
    def url(self) -> str:
        return f"rtsp://127.0.0.1:{self.port}/camera"

    def start(self) -> None:
        """Returns when it listens."""
        command = [SYSTEM_PYTHON, __file__, str(self.port), self.codec, self.user, self.password, str(self.gop)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the RTSP server did not start"
        self.port = int(line)

    def stop(self) -> list[str]:
        """End it at once, as when the camera loses power; the streams that were set up. Nothing if it has ended."""
        assert self._process is not None
        if self._process.returncode is not None:
            return []
        self._process.kill()
        out, _ = self._process.communicate()
        return out.split()


@cache
def missing() -> str:
    """Why there can be no RTSP server on this machine; '' if there can."""
    if not Path(SYSTEM_PYTHON).exists():
        return f"no {SYSTEM_PYTHON}"
    found = subprocess.run([SYSTEM_PYTHON, __file__, "probe"], capture_output=True, text=True, check=False)
    return json.loads(found.stdout) if found.returncode == 0 else "no GStreamer RTSP server with its Python bindings"


@contextmanager
def rtsp_server(**options: str | int) -> Iterator[RtspServer]:
    server = RtspServer(**options)  # type: ignore[arg-type]
    try:
        yield server
    finally:
        server.stop()


def _serve(port: str, codec: str, user: str, password: str, gop: str) -> None:
    import gi

    gi.require_version("Gst", "1.0")
    gi.require_version("GstRtspServer", "1.0")
    gi.require_version("GstRtsp", "1.0")
    from gi.repository import GLib, Gst, GstRtsp, GstRtspServer

    Gst.init(None)
    encoder = {
        "h264": (
            f"x264enc tune=zerolatency speed-preset=ultrafast key-int-max={gop} ! rtph264pay pt=96 config-interval=0"
        ),
        "jpeg": "jpegenc ! rtpjpegpay pt=26",
    }
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(port)
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_launch(
        "( videotestsrc is-live=true pattern=ball ! video/x-raw,format=I420,width=320,height=192,framerate=15/1 ! "
        f"{encoder[codec]} name=pay0  audiotestsrc is-live=true ! alawenc ! rtppcmapay name=pay1 pt=8 )"
    )
    factory.set_shared(True)
    if user:
        auth = GstRtspServer.RTSPAuth()
        auth.set_supported_methods(GstRtsp.RTSPAuthMethod.DIGEST)
        token = GstRtspServer.RTSPToken()
        token.set_string("media.factory.role", "viewer")
        auth.add_digest(user, password, token)
        server.set_auth(auth)
        permissions = GstRtspServer.RTSPPermissions()
        for what in ("media.factory.access", "media.factory.construct"):
            permissions.add_permission_for_role("viewer", what, True)
        factory.set_permissions(permissions)
    server.get_mount_points().add_factory("/camera", factory)
    server.attach(None)

    def connected(_: object, client: "GstRtspServer.RTSPClient") -> None:
        client.connect("setup-request", lambda _, context: print(context.uri.abspath, flush=True))

    server.connect("client-connected", connected)
    print(server.get_bound_port(), flush=True)
    GLib.MainLoop().run()


def _probe() -> None:
    import gi

    gi.require_version("Gst", "1.0")
    gi.require_version("GstRtspServer", "1.0")
    from gi.repository import Gst, GstRtspServer  # noqa: F401

    Gst.init(None)
    wanted = ("x264enc", "rtph264pay", "jpegenc", "rtpjpegpay", "videotestsrc", "audiotestsrc", "alawenc")
    absent = [name for name in wanted if Gst.ElementFactory.find(name) is None]
    print(json.dumps(f"GStreamer lacks {', '.join(absent)}" if absent else ""))


if __name__ == "__main__":
    if sys.argv[1] == "probe":
        _probe()
    else:
        _serve(*sys.argv[1:])
