"""The address of the peer of a connected descriptor, as an Endpoint that people can read."""

from __future__ import annotations

import socket as _socket
import struct

from pybrpc.base.endpoint import Endpoint

_CREDENTIALS = struct.Struct("3i")
_NO_OPTION = -1


def remote_side_of(sock: _socket.socket) -> Endpoint | None:
    """The address of the peer; `None` if the descriptor is not connected any more.

    The client of a Unix socket has no address: it is "unix:(pid 4711, uid 0)" on Linux, with the
    process that connected, "unix:" elsewhere.
    """
    try:
        peer = Endpoint.from_sockaddr(sock.getpeername())
        if peer.is_unix and not peer.path:
            return Endpoint(peer.host + _process_behind(sock), 0)
    except OSError:
        return None
    return peer


def _process_behind(sock: _socket.socket) -> str:
    option = getattr(_socket, "SO_PEERCRED", _NO_OPTION)
    if option == _NO_OPTION:
        return ""
    pid, uid, _ = _CREDENTIALS.unpack(
        sock.getsockopt(_socket.SOL_SOCKET, option, _CREDENTIALS.size)
    )
    return f"(pid {pid}, uid {uid})"
