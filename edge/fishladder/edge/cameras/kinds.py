"""Which kind of camera a source names, and the settings all kinds share."""

from typing import Literal

import msgspec

from fishladder.edge.cameras.camera import Camera
from fishladder.wire.errors import ConfigError


class CameraSettings(msgspec.Struct, frozen=True):
    """`source` with neither user nor password in it; `timeout_s` bounds opening and each read."""

    source: str
    user: str = ""
    password: str = ""
    loop: bool = False
    speed: float = 1.0
    timeout_s: float = 10.0
    size: str = ""  #: v4l2: WIDTHxHEIGHT to ask for
    camera_fps: float = 0.0  #: v4l2: rate to ask for


Kind = Literal["rtsp", "v4l2", "file", "test"]


def kind_of(source: str) -> Kind:
    """Raises `ConfigError` for a source of no known kind."""
    scheme, colon, _ = source.partition(":")
    if scheme in ("rtsp", "rtsps") and "://" in source:
        return "rtsp"
    if colon and scheme in ("v4l2", "test", "file"):
        return scheme  # type: ignore[return-value]
    if "://" in source:
        raise ConfigError(f"camera source {scheme}://: expected rtsp://, rtsps://, v4l2:, file: or test:")
    if not source:
        raise ConfigError("a camera's source is empty: expected rtsp://, rtsps://, v4l2:, file: or test:")
    return "file"


def open_camera(settings: CameraSettings) -> Camera:
    """Open a camera. Raises `ConfigError` and `CameraError`."""
    source = settings.source
    match kind_of(source):
        case "test":
            from fishladder.edge.cameras.pattern import PatternCamera

            return PatternCamera(source.removeprefix("test:"))
        case "file":
            from fishladder.edge.cameras.file import FileCamera

            return FileCamera(source.removeprefix("file://").removeprefix("file:"), settings)
        case "rtsp":
            from fishladder.edge.cameras.rtsp import RtspCamera

            return RtspCamera(settings)
        case "v4l2":
            from fishladder.edge.cameras.v4l2 import V4l2Camera

            return V4l2Camera(source.removeprefix("v4l2:"), settings)
