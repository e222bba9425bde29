"""TunDevice: a network interface whose other end is a descriptor, a packet for each read."""

from __future__ import annotations

import fcntl
import os
import struct

from soak.network.namespace import Namespace

NAME = "wire"
PACKET_BYTES = 65536
_TUNSETIFF = 0x400454CA
_IFF_TUN, _IFF_NO_PI = 0x0001, 0x1000


class TunDevice:
    """Lives in `namespace` under `name`, and goes with `close`. Its descriptor does not block."""

    def __init__(self, namespace: Namespace, name: str = NAME) -> None:
        with namespace.entered():
            self.descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
            request = struct.pack("16sH22x", name.encode(), _IFF_TUN | _IFF_NO_PI)
            fcntl.ioctl(self.descriptor, _TUNSETIFF, request)

    def take_packet(self) -> bytes | None:
        """The next packet that the host has sent; `None` if there is none now."""
        try:
            return os.read(self.descriptor, PACKET_BYTES)
        except OSError:
            return None

    def give_packet(self, packet: bytes) -> bool:
        """Let it arrive at the host; False if that has no use for it: the device is down, ..."""
        try:
            os.write(self.descriptor, packet)
        except OSError:
            return False
        return True

    def close(self) -> None:
        os.close(self.descriptor)
