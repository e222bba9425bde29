"""Scripts of a ScriptedServer that speaks HTTP/1.1, byte by byte as a test wants it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pybrpc.iobuf import IOBuf
from pybrpc.protocols.http1 import MessageEnd, RequestHead, RequestParser
from tests.peers.scripted_server import Peer, Script, ScriptedServer


@dataclass
class Request:
    """One request, as a server has received it."""

    head: RequestHead
    body: bytes = b""

    @property
    def headers(self) -> Any:
        return self.head.headers


@dataclass
class HttpPeer:
    """The server's end of one connection."""

    peer: Peer
    parser: RequestParser = field(default_factory=RequestParser)
    buffer: IOBuf = field(default_factory=IOBuf)

    def read(self) -> Request | None:
        """The next request; `None` if the client has closed."""
        found: Request | None = None
        while True:
            for event in self.parser.read(self.buffer):
                if isinstance(event, RequestHead):
                    found = Request(event)
                elif isinstance(event, IOBuf):
                    assert found is not None
                    found.body += bytes(event)
                elif isinstance(event, MessageEnd):
                    return found
            assert self.parser.broken is None, self.parser.broken
            if not self._receive():
                return None

    def read_head(self) -> RequestHead:
        """The head of the next request, whose body the caller reads."""
        while True:
            for event in self.parser.read(self.buffer):
                if isinstance(event, RequestHead):
                    return event
            assert self._receive()

    def send(self, data: bytes | str) -> None:
        self.peer.send(data.encode("latin-1") if isinstance(data, str) else data)

    def _receive(self) -> bool:
        try:
            data = self.peer.sock.recv(65536)
        except ConnectionError:
            data = b""
        self.buffer.append(data)
        return bool(data)


def answer(body: bytes = b"", status: str = "200 OK", **headers: str) -> bytes:
    """A response with a Content-Length; `content_type="x/y"` is the header Content-Type."""
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{lines}\r\n"
    return head.encode("latin-1") + body


def echo_answer(request: Request) -> bytes:
    """The echo of EchoService in JSON."""
    message = json.loads(request.body)["message"]
    return answer(json.dumps({"message": message}).encode(), content_type="application/json")


def http_script(serve: Callable[[HttpPeer], object]) -> Script:
    """A script that runs `serve` once for its connection."""

    def run(peer: Peer) -> None:
        serve(HttpPeer(peer))

    return run


def answering(make: Callable[[Request], bytes]) -> Script:
    """A script that answers each request by what `make` gives."""

    def serve(peer: HttpPeer) -> None:
        while (request := peer.read()) is not None:
            peer.send(make(request))

    return http_script(serve)


def saying(*said: bytes, keeps_open: bool = True) -> Script:
    """A script that answers its requests by these bytes, one after the other, then closes, or with
    `keeps_open` waits until the client does."""

    def serve(peer: HttpPeer) -> None:
        for data in said:
            if peer.read() is None:
                return
            peer.send(data)
        if keeps_open:
            peer.peer.wait_closed()

    return http_script(serve)


def http_server(*scripts: Script) -> ScriptedServer:
    return ScriptedServer(*(scripts or (answering(echo_answer),)))
