"""Network cameras by RTSP over TCP. Audio is never set up. When the camera refuses the login, this asks it in plain
RTSP what it would accept, because libav answers only some challenges and does not say so.
"""

import re
from collections.abc import Iterator
from urllib.parse import quote, urlsplit

import av

from fishladder.edge.cameras.camera import Description, Packet, Picture
from fishladder.edge.cameras.container import decoded, demuxed, describe, open_container, video_stream
from fishladder.edge.cameras.kinds import CameraSettings
from fishladder.edge.cameras.rtsp_login import why_refused, why_unreachable
from fishladder.wire.errors import CameraError

#: In queries every value but a small number may be one; in paths, where some cameras want their password, what says so.
_IN_QUERY = re.compile(r"=(?!\d{1,3}(?:&|$))[^&]*")
_IN_PATH = re.compile(r"((?:pass|pwd|key|token|auth)\w*=)[^_/&;]*", re.IGNORECASE)


def without_secrets(url: str) -> str:
    """A camera's URL as it may be shown."""
    parts = urlsplit(url)
    shown = parts._replace(query=_IN_QUERY.sub("=***", parts.query), path=_IN_PATH.sub(r"\1***", parts.path))
    return shown.geturl()


class RtspCamera:
    def __init__(self, settings: CameraSettings) -> None:
        self._what = without_secrets(settings.source)
        self._timeout_s = settings.timeout_s
        parts = urlsplit(settings.source)
        login = ""
        if settings.user:
            login = f"{quote(settings.user, safe='')}:{quote(settings.password, safe='')}@"
        url = parts._replace(netloc=login + parts.netloc).geturl()
        options = {
            "rtsp_transport": "tcp",
            "allowed_media_types": "video",
            "timeout": str(round(settings.timeout_s * 1e6)),
        }
        try:
            self._container = open_container(self._what, url, options=options, timeout_s=settings.timeout_s)
        except CameraError as error:
            if isinstance(error.__cause__, av.error.HTTPUnauthorizedError | av.error.HTTPForbiddenError):
                raise CameraError(f"{self._what}: {why_refused(settings)}") from None
            if why := why_unreachable(settings):
                raise CameraError(f"{self._what}: {why}") from None
            raise
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
