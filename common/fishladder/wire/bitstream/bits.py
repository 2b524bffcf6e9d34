"""Reads bit fields and Exp-Golomb codes (ITU-T H.264 and H.265, 9.1 and 9.2), never past the end."""

from fishladder.wire.errors import WireError


class Bits:
    """A reader over `data`, most significant bit first. Every read raises `WireError` where the data ends."""

    __slots__ = ("_left", "_value")

    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data, "big")
        self._left = 8 * len(data)

    @property
    def left(self) -> int:
        """Bits not yet read."""
        return self._left

    def u(self, count: int) -> int:
        """`count` bits as an unsigned number."""
        if count > self._left:
            raise WireError(f"a header ends {count - self._left} bits early")
        self._left -= count
        return (self._value >> self._left) & ((1 << count) - 1)

    def flag(self) -> bool:
        return bool(self.u(1))

    def ue(self) -> int:
        """An unsigned Exp-Golomb code below 2^32."""
        rest = self._value & ((1 << self._left) - 1)
        zeros = self._left - rest.bit_length()
        if zeros > 32:
            raise WireError("a header holds an Exp-Golomb code over 32 bits")
        return self.u(2 * zeros + 1) - 1

    def se(self) -> int:
        """A signed Exp-Golomb code."""
        code = self.ue()
        return (code + 1) // 2 if code & 1 else -(code // 2)


def unescape(nal: bytes) -> bytes:
    """A NAL unit's payload without its emulation prevention bytes."""
    return nal.replace(b"\0\0\3", b"\0\0")
