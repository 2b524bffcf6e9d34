"""USB and other local cameras, by Video4Linux."""

from collections.abc import Iterator

from fishladder.edge.cameras.camera import Description, Packet, Picture
from fishladder.edge.cameras.container import decoded, demuxed, describe, open_container, video_stream
from fishladder.edge.cameras.kinds import CameraSettings
from fishladder.wire.errors import CameraError


class V4l2Camera:
    """`device` such as /dev/video0."""

    def __init__(self, device: str, settings: CameraSettings) -> None:
        self._what = f"camera {device}"
        self._timeout_s = settings.timeout_s
        options = {}
        if settings.size:
            options["video_size"] = settings.size
        if settings.camera_fps:
            options["framerate"] = f"{settings.camera_fps:g}"
        self._container = open_container(
            self._what, device, format="v4l2", options=options, timeout_s=settings.timeout_s
        )
        self._stream = video_stream(self._container, self._what)

    @property
    def description(self) -> Description:
        return describe(self._stream)

    def packets(self) -> Iterator[Packet]:
        yield from demuxed(self._container, self._stream, self._what, self._timeout_s)
        raise CameraError(f"{self._what}: the camera ended the stream")

    def pictures(self) -> Iterator[Picture]:
        return decoded(self.packets(), self._stream)

    def close(self) -> None:
        self._container.close()
