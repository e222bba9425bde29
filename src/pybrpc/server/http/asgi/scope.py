"""The scope of a request: what an application of ASGI gets to know of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias
from urllib.parse import unquote

from pybrpc.base.endpoint import Endpoint
from pybrpc.protocols.http1 import HttpHeaders
from pybrpc.server.connections.server_connection import ServerConnection
from pybrpc.server.http.request import HttpRequest

Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
AsgiApplication: TypeAlias = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

VERSIONS = {"version": "3.0", "spec_version": "2.4"}


def scope_of(
    connection: ServerConnection, request: HttpRequest, root_path: str, state: dict[str, Any]
) -> dict[str, Any]:
    """The scope of a request of HTTP. Each one has a copy of `state`, that of the lifespan."""
    head, uri = request.head, request.resolved
    return {
        "type": "http",
        "asgi": dict(VERSIONS),
        "http_version": head.version,
        "method": head.method,
        "scheme": "http" if connection.tls is None else "https",
        "path": unquote(uri.path),
        "raw_path": uri.path.encode("utf-8", "surrogateescape"),
        "query_string": uri.query.encode("utf-8", "surrogateescape"),
        "root_path": root_path,
        "headers": [
            (name.encode("latin-1"), value.encode("latin-1"))
            for name, value in head.headers.lower_fields()
        ],
        "client": _pair(connection.socket.remote_side),
        "server": _pair(connection.socket.local_side),
        "state": state.copy(),
        "extensions": {},
    }


def websocket_scope_of(
    connection: ServerConnection, request: HttpRequest, root_path: str, state: dict[str, Any]
) -> dict[str, Any]:
    """The scope of a request that opens a websocket."""
    scope = scope_of(connection, request, root_path, state)
    scope["type"] = "websocket"
    scope["scheme"] = "ws" if scope["scheme"] == "http" else "wss"
    del scope["method"]
    names = request.head.headers.get("sec-websocket-protocol", "")
    scope["subprotocols"] = [name.strip() for name in names.split(",") if name.strip()]
    return scope


def bytes_of(value: object) -> bytes:
    """Bytes that an application sends. TypeError for anything else: a number would be as many zero
    bytes."""
    if not isinstance(value, bytes | bytearray | memoryview):
        raise TypeError(f"the application sent a {type(value).__name__} where bytes are needed")
    return bytes(value)


def headers_of(message: Message) -> HttpHeaders:
    """The headers that an application sends. TypeError or ValueError if they are none."""
    headers = HttpHeaders()
    for name, value in message.get("headers") or ():
        headers.append(bytes_of(name).decode("latin-1"), bytes_of(value).decode("latin-1"))
    return headers


def _pair(endpoint: Endpoint | None) -> tuple[str, int | None] | None:
    if endpoint is None:
        return None
    return (endpoint.path, None) if endpoint.is_unix else (endpoint.host, endpoint.port)
