"""A raw client, and the streams of the server that it has opened."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from socket import SO_LINGER, SOL_SOCKET
from typing import Any

from pybrpc.errors import (
    RpcError,
)
from pybrpc.protocols.message import RpcRequest, StreamSettings
from pybrpc.protocols.streaming.stream_frame import (
    DATA,
)
from pybrpc.rpc.stream_options import StreamOptions
from tests.fakes.threads import WAIT_S, wait_until
from tests.peers.raw_peer import request
from tests.peers.raw_streams import Accepting, RawStreamClient, RemoteStream
from tests.peers.serving import make_server, start

OWN_ID = 5


UNKNOWN = 12345


class Line:
    """A server whose `Stream` method accepts streams, and a client by hand."""

    def __init__(self, server: Any, endpoint: Any, handler: Accepting) -> None:
        self.server = server
        self.handler = handler
        self.connect = partial(RawStreamClient, endpoint)
        self.client = self.connect()

    def open(self) -> tuple[RemoteStream, Any]:
        """A stream: the client's side, and the server's."""
        (remote,) = self.client.open(OWN_ID)
        return remote, self.handler.take()

    def wait_gone(self) -> None:
        wait_until(lambda: self.server.statistics().connections == 0)


@contextmanager
def lined(options: StreamOptions | None = None, **of_server: Any) -> Iterator[Line]:
    handler = Accepting(options)
    with make_server(Stream=handler, **of_server) as server:
        line = Line(server, start(server), handler)
        with line.client:
            yield line


def check_goes_on(remote: RemoteStream, stream: Any) -> None:
    """The stream still carries messages in both directions."""
    remote.end.send(remote.data(b"still"))
    assert stream.recv(timeout=WAIT_S) == b"still"
    stream.send(b"here", timeout=WAIT_S)
    assert remote.end.read_of(DATA).data == b"here"


def request_for(*ids: int) -> RpcRequest:
    return request(1, "Stream", stream_settings=StreamSettings(ids[0], True, True, ids[1:]))


def reset(sock: Any) -> None:
    sock.setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def suppressed(function: Callable[[], object]) -> None:
    with suppress(RpcError):
        function()
