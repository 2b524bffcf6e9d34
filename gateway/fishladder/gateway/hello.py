"""What a hello may say before anything is done for it: numbers that stores and Lua keep exact, sizes within bounds."""

from fishladder.gateway.limits import MOST_SEQ
from fishladder.wire.errors import TooLarge, WireError
from fishladder.wire.framing import MAX_CHANNEL
from fishladder.wire.ids import MAX_SEQ
from fishladder.wire.messages import MAX_CAMERAS, MAX_CLEAN_POINTS, Hello

_META_BYTES = 4096


def check_hello(hello: Hello) -> None:
    """Raises `WireError`."""
    if not (0 < len(hello.boot) <= 64 and hello.boot.isascii() and hello.boot.isprintable()):
        raise WireError("a hello's boot is 1 to 64 printable ASCII characters")
    if not 0 < hello.hello <= MAX_SEQ:
        raise WireError(f"hello number {hello.hello} is out of range")
    if len(hello.cameras) > MAX_CAMERAS:
        raise TooLarge(f"a hello names at most {MAX_CAMERAS} cameras")
    for camera in hello.cameras:
        seqs = (camera.position, camera.oldest - 1, *camera.clean)
        in_range = 0 <= camera.epoch <= MAX_SEQ and all(-1 <= seq <= MOST_SEQ for seq in seqs)
        if not (0 <= camera.channel <= MAX_CHANNEL and in_range):
            raise WireError(f"the hello for {camera.camera[:140]!r} has a number out of range")
        if len(camera.clean) > MAX_CLEAN_POINTS:
            raise TooLarge(f"the hello for {camera.camera[:140]!r} names over {MAX_CLEAN_POINTS} clean points")
        if sum(len(name) + len(value) for name, value in camera.meta.items()) > _META_BYTES:
            raise TooLarge(f"the hello for {camera.camera[:140]!r} has over {_META_BYTES} bytes of meta")
