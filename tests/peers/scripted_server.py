"""ScriptedServer: the one of `pybrpc.testing`, whose scripts can also echo. Addresses without a
server."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Iterator
from typing import Any

from google.protobuf.message import Message

from pybrpc.protocols.baidu_std import BAIDU_STD
from pybrpc.protocols.message import RpcRequest
from pybrpc.protocols.protocol import ParseLimits, RpcProtocol
from pybrpc.testing import scripted_server
from tests.peers.echo import echo_frame

LIMITS = ParseLimits()


class Peer(scripted_server.ScriptedPeer):
    """The server's end of one connection."""

    def answer(  # type: ignore[override]
        self, request: RpcRequest, message: Message | None = None, **fields: Any
    ) -> None:
        """Answer with `message`. Without one, echo; `fields` are those of RpcResponse that shall be
        different."""
        if message is None:
            self.send(echo_frame(request, self.protocol, **fields))
        else:
            super().answer(request, message, **fields)

    def echo_until_closed(self) -> None:
        while (request := self.read_request()) is not None:
            self.answer(request)


Script = Callable[[Peer], None]


def echo(peer: Peer) -> None:
    """The script of a server that works."""
    peer.echo_until_closed()


def never_answer(peer: Peer) -> None:
    """The script of a server that reads and says nothing."""
    peer.wait_closed()


class ScriptedServer(scripted_server.ScriptedServer):
    """Runs scripts of a Peer; without any, each connection echoes."""

    peer_class = Peer

    def __init__(
        self, *scripts: Script, protocol: RpcProtocol = BAIDU_STD, address: str = "127.0.0.1:0"
    ) -> None:
        given: tuple[Any, ...] = scripts or (echo,)
        super().__init__(*given, protocol=protocol, address=address)


@contextlib.contextmanager
def closed_port() -> Iterator[str]:
    """An address on which nobody listens, and which nobody else is given meanwhile."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{sock.getsockname()[1]}"


@contextlib.contextmanager
def reserved_port() -> Iterator[str]:
    """An address on which only the test may listen; no connection gets it as its own address.

    A port that was free a moment ago is not enough: a client that dials it from a port of the
    system's choice is, once in a while, given that very port, and is connected with itself.
    """
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{sock.getsockname()[1]}"


@contextlib.contextmanager
def deaf_port() -> Iterator[str]:
    """An address on which a connect neither succeeds nor fails: its backlog is full."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        is_full = False
        while not is_full:
            filler = stack.enter_context(socket.socket())
            filler.settimeout(0.05)
            try:
                filler.connect(address)
            except TimeoutError:
                is_full = True
        yield f"127.0.0.1:{address[1]}"


class ScriptedServerOn(ScriptedServer):
    """At a given address."""

    def __init__(self, address: str, *scripts: Any) -> None:
        super().__init__(*scripts, address=address)
