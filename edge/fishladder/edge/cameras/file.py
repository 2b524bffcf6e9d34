"""A video file as a camera: its packets come when they were captured, once or in a loop whose times go on."""

import time
from collections.abc import Iterator
from pathlib import Path

from fishladder.edge.cameras.camera import Description, Packet, Picture
from fishladder.edge.cameras.container import decoded, demuxed, describe, open_container, video_stream
from fishladder.edge.cameras.kinds import CameraSettings
from fishladder.edge.pacing import pause
from fishladder.wire.errors import CameraError


class FileCamera:
    """`speed` 2 plays twice as fast; pts stay as recorded. With `loop` each lap begins at a keyframe."""

    def __init__(self, path: str, settings: CameraSettings) -> None:
        self._path = path
        self._loop = settings.loop
        self._speed = settings.speed
        self._what = f"file {path}"
        if not Path(path).is_file():
            raise CameraError(f"{self._what}: there is no such file")
        self._open()

    def _open(self) -> None:
        self._container = open_container(self._what, self._path)
        self._stream = video_stream(self._container, self._what)

    @property
    def description(self) -> Description:
        return describe(self._stream)

    def packets(self) -> Iterator[Packet]:
        for lap in self._laps():
            yield from lap

    def pictures(self) -> Iterator[Picture]:
        for lap in self._laps():
            yield from decoded(lap, self._stream)

    def close(self) -> None:
        self._container.close()

    def _laps(self) -> Iterator[Iterator[Packet]]:
        self._began_s = time.monotonic()
        self._first_us: int | None = None
        self._shift_us = 0
        while True:
            self._end_us: int | None = None
            yield self._lap()
            if not self._loop:
                return
            if self._end_us is None:
                raise CameraError(f"{self._what}: there is no picture in it to loop")
            self.close()
            self._open()

    def _lap(self) -> Iterator[Packet]:
        """One pass through the file. The next one's times begin where this one's last picture ends."""
        rate = self._stream.average_rate or self._stream.guessed_rate
        step_us = round(1_000_000 / rate) if rate else 40_000
        begun_us: int | None = None
        for item in demuxed(self._container, self._stream, self._what, 0):
            if begun_us is None:
                if self._shift_us and not item.packet.is_keyframe:
                    continue
                begun_us = item.dts_us
            first_us = self._first_us = item.dts_us if self._first_us is None else self._first_us
            moved = item._replace(pts_us=item.pts_us + self._shift_us, dts_us=item.dts_us + self._shift_us)
            due_s = self._began_s + (moved.dts_us - first_us) / 1e6 / self._speed
            pause(due_s - time.monotonic())
            self._end_us = max(self._end_us or moved.pts_us, moved.pts_us, moved.dts_us)
            yield moved._replace(mono_us=time.monotonic_ns() // 1000)
        if begun_us is not None and self._end_us is not None:
            self._shift_us = self._end_us + step_us - begun_us
