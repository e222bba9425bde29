"""Applications of ASGI for tests, and servers that mount one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pybrpc
from bench.echo_messages import SERVICE
from soak.echo_services import PlainEcho
from tests.peers.http_peer import HttpPeer, Response, read_response

Application = Callable[[Any, Any, Any], Any]
MOUNT_OPTIONS = ("check_origin", "check_credentials", "max_websocket_message_size")


class Mounted:
    """A running server with one application at /app."""

    def __init__(self, application: Any, start: bool = True, **options: Any) -> None:
        of_mount = {name: options.pop(name) for name in list(options) if name in MOUNT_OPTIONS}
        self.server = pybrpc.Server(**options)
        self.server.add_service(SERVICE, PlainEcho())
        self.server.mount("/app", application, **of_mount)
        if start:
            self.address = self.server.start("127.0.0.1:0")

    def fetch(
        self, target: str = "/app/", method: str = "GET", body: bytes = b"", **headers: str
    ) -> Response:
        with HttpPeer(self.address) as peer:
            peer.request(method, target, body, **headers)
            return read_response(peer, method)

    def is_idle(self) -> bool:
        return all(each.holds == 0 for each in self.server.unfinished_connections())


Mount = Callable[..., Mounted]


async def body_of(receive: Any) -> bytes:
    body = b""
    while True:
        message = await receive()
        assert message["type"] == "http.request", message
        body += message["body"]
        if not message["more_body"]:
            return body


async def respond(send: Any, body: bytes, *headers: tuple[bytes, bytes], status: int = 200) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def only_http(application: Application) -> Application:
    """`application`, which knows no lifespan."""

    async def wrapped(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        await application(scope, receive, send)

    return wrapped


@only_http
async def echo(scope: Any, receive: Any, send: Any) -> None:
    body = await body_of(receive)
    await respond(send, body, (b"content-length", b"%d" % len(body)))
