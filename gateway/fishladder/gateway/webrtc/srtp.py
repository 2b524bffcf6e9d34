"""Takes SRTP and SRTCP packets out of their encryption, by pylibsrtp's binding of libsrtp: what its own method does
around that call costs as much as the call. What of pylibsrtp is not public stands here, and is checked at the start.
"""

from importlib.metadata import version
from typing import Any

import pylibsrtp

from fishladder.wire.errors import ConfigError

_lib: Any = getattr(getattr(pylibsrtp, "_binding", None), "lib", None)
_ffi: Any = getattr(getattr(pylibsrtp, "_binding", None), "ffi", None)
_unprotect: Any = getattr(_lib, "srtp_unprotect", None)
_unprotect_rtcp: Any = getattr(_lib, "srtp_unprotect_rtcp", None)
_FIELDS = ("_srtp", "_cdata", "_buffer")


class Decrypt:
    """Those of one session, whose keys `session` has."""

    def __init__(self, session: pylibsrtp.Session) -> None:
        it: Any = session
        self._session = session  # without which what `_context` points to is freed
        self._context = it._srtp[0]
        self._place, self._view = it._cdata, it._buffer
        self._most_bytes = len(it._buffer)
        self._size = _ffi.new("int *")

    def packet(self, data: bytes, *, control: bool) -> bytes | None:
        """An RTP packet, or one of RTCP; None for one that is forged, repeated, or longer than a datagram may be."""
        size, view = self._size, self._view
        size[0] = length = len(data)
        if length > self._most_bytes:
            return None
        view[:length] = data
        failed = (_unprotect_rtcp if control else _unprotect)(self._context, self._place, size)
        return None if failed else view[: size[0]]


def check_pylibsrtp() -> None:
    """Whether pylibsrtp's insides are as we know them. Raises `ConfigError`."""
    made = pylibsrtp.Session()
    missing = [name for name in _FIELDS if not hasattr(made, name)]
    if missing or None in (_unprotect, _unprotect_rtcp, _ffi):
        what = ", ".join(missing) or "its binding of libsrtp"
        raise ConfigError(f"pylibsrtp {version('pylibsrtp')} lacks {what}: install the version fishladder asks for")
