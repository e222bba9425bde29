"""Victim: a server as a hostile peer sees it."""

from __future__ import annotations

import socket
import ssl
import struct
from typing import Any

from bench.echo_messages import SERVICE, EchoRequest
from pybrpc.protocols.baidu_std import BAIDU_STD
from pybrpc.protocols.message import RpcRequest
from soak.echo_server import EchoServer
from soak.identity import Identity
from soak.tls import PLAIN

TIMEOUT_S = 2.0
"""A hostile peer gives up a step that takes longer."""

EVE = Identity("eve")


class Victim:
    """Makes connections to one server, and requests that it admits."""

    def __init__(self, server: EchoServer) -> None:
        self._address = (server.endpoint.host, server.endpoint.port)
        self.has_tls = server.tls is not PLAIN
        self._credential = None if server.auth is None else EVE.generate_credential()

    def connect_plainly(self) -> socket.socket:
        return socket.create_connection(self._address, timeout=TIMEOUT_S)

    def connect(self) -> socket.socket:
        """A connection over which requests can be sent, with TLS if the server wants it."""
        sock = self.connect_plainly()
        if not self.has_tls:
            return sock
        try:
            return trusting_context().wrap_socket(sock)
        except BaseException:
            sock.close()
            raise

    def frame(self, number: int, message: str = "", sleep_us: int = 0, **fields: Any) -> bytes:
        """A request; `fields` are those of RpcRequest."""
        fields.setdefault("credential", self._credential)
        body = EchoRequest(message=message, sleep_us=sleep_us).SerializeToString()
        request = RpcRequest(number, SERVICE.full_name, "Echo", body, **fields)
        return bytes(BAIDU_STD.pack_request(request))


def trusting_context() -> ssl.SSLContext:
    """TLS that accepts any certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def reset(sock: socket.socket) -> None:
    """Close with RST."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()
