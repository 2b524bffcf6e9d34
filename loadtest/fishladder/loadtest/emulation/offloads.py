"""Switches off what makes an interface handle more than one packet, or an unfinished one, at a time: segmentation and
checksum offloads. Run inside a namespace: `python offloads.py INTERFACE...`, with the standard library only.
"""

import ctypes
import fcntl
import socket
import struct
import sys

_SIOCETHTOOL = 0x8946
#: ETHTOOL_STXCSUM, _SSG, _STSO, _SGSO, _SGRO
_SWITCHES = (0x17, 0x19, 0x1F, 0x24, 0x2C)


def switch_off(interface: str) -> None:
    """Raises `OSError` if the kernel refuses."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        for switch in _SWITCHES:
            value = ctypes.create_string_buffer(struct.pack("II", switch, 0))
            request = struct.pack("16sP16x", interface.encode(), ctypes.addressof(value))
            fcntl.ioctl(control, _SIOCETHTOOL, request)


if __name__ == "__main__":
    for each in sys.argv[1:]:
        switch_off(each)
