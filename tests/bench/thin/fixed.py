"""A camera set to a rate once and for all, over TCP, as most are: x264 with a second's buffer, all of it written to a
socket, nothing left out.

    python -m thin.fixed send ADDRESS PORT FOOTAGE FPS KBPS WRITTEN | receive ADDRESS PORT WRITTEN
"""

import socket
import struct
import sys
import threading
import time
from collections import deque
from pathlib import Path

from fishladder.edge.encode import X264, EncoderSettings
from thin.footage import HEIGHT, WIDTH, pictures
from thin.frames import captured, record

_HEAD = struct.Struct("<qI?")


def send(address: str, port: int, footage: Path, fps: int, kbps: int, written: Path) -> None:
    settings = EncoderSettings(bitrate_bps=kbps * 1000, qp_min=0, buffer_s=1.0)
    encoder = X264(settings, (WIDTH, HEIGHT), fps, kbps * 1000)
    encoder.set_bitrate(kbps * 1000)
    waiting: deque[bytes] = deque()
    news = threading.Event()
    threading.Thread(target=_write, args=(address, port, waiting, news), daemon=True).start()
    index, began_s = 0, time.monotonic()
    with written.open("wb", buffering=0) as log:
        while True:
            for picture in pictures(footage):
                time.sleep(max(began_s + index / fps - time.monotonic(), 0.0))
                log.write(captured(index, time.time_ns() // 1000))
                encoded = encoder.encode(picture, index * 1_000_000 // fps)
                assert encoded is not None
                waiting.append(_HEAD.pack(index, len(encoded.payload), encoded.keyframe) + encoded.payload)
                news.set()
                index += 1


def _write(address: str, port: int, waiting: deque[bytes], news: threading.Event) -> None:
    with socket.create_connection((address, port)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while True:
            news.wait()
            news.clear()
            while waiting:
                connection.sendall(waiting.popleft())


def receive(address: str, port: int, written: Path) -> None:
    with socket.create_server((address, port)) as server, written.open("wb", buffering=0) as log:
        print("ready", flush=True)
        connection, _ = server.accept()
        stream = connection.makefile("rb")
        while head := stream.read(_HEAD.size):
            index, size, key = _HEAD.unpack(head)
            payload = stream.read(size)
            log.write(record(index, time.time_ns() // 1000, payload, key=key))


if __name__ == "__main__":
    role, address, port, *rest = sys.argv[1:]
    if role == "send":
        send(address, int(port), Path(rest[0]), int(rest[1]), int(rest[2]), Path(rest[3]))
    else:
        receive(address, int(port), Path(rest[0]))
