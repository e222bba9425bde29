"""No framework: an asyncio.Protocol under uvloop, whose requests httptools parses."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import httptools
import uvloop

from bench.http.tasks import TEXT

_HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nContent-Type: %s\r\n\r\n%s"


class BareProtocol(asyncio.Protocol):
    """Answers a POST with the message that it has, and a GET with a text."""

    def __init__(self, loads: Callable[[bytes], Any], dumps: Callable[[Any], bytes]) -> None:
        self._loads = loads
        self._dumps = dumps
        self._body = b""
        self._parser: Any = httptools.HttpRequestParser(self)
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    # What httptools calls.

    def on_url(self, url: bytes) -> None:
        self._body = b""

    def on_body(self, part: bytes) -> None:
        self._body += part

    def on_message_complete(self) -> None:
        if self._parser.get_method() == b"POST":
            answer = self._dumps({"message": self._loads(self._body)["message"]})
            content_type = b"application/json"
        else:
            answer, content_type = TEXT, b"text/plain"
        self._transport.write(_HEAD % (len(answer), content_type, answer))


def serve(port: int) -> None:
    _serve(port, json.loads, lambda value: json.dumps(value).encode())


def serve_orjson(port: int) -> None:
    import orjson

    _serve(port, orjson.loads, orjson.dumps)


def _serve(port: int, loads: Callable[[bytes], Any], dumps: Callable[[Any], bytes]) -> None:
    async def run() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: BareProtocol(loads, dumps), "127.0.0.1", port)
        await server.serve_forever()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run())
