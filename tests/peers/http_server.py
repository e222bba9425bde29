"""A server that is spoken to by HTTP, and raw requests to it."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pybrpc
from tests.protos import conformance_pb2 as pb

SERVICE = pb.DESCRIPTOR.services_by_name["EchoService"]
NAME = "EchoService"
PATH = "/EchoService/Echo"
JSON = {"Content-Type": "application/json"}
TIMEOUT_S = 20


class EchoHandler:
    """Answers as the conformance service of C++ does; `then` is called first."""

    def __init__(self, then: Callable[[Any, Any], object] | None = None) -> None:
        self._then = then

    def Echo(self, request: Any, controller: pybrpc.Controller) -> Any:
        if self._then is not None:
            response = self._then(request, controller)
            if response is not None:
                return response
        if request.fail_code:
            controller.set_failed(request.fail_code, request.fail_text)
            return None
        return pb.EchoResponse(
            message=request.message,
            log_id=controller.log_id or None,
            request_id=controller.request_id or None,
            attachment_bytes=len(controller.request_attachment),
        )


@contextlib.contextmanager
def serving_http(
    then: Callable[[Any, Any], object] | None = None,
    restful_mappings: str = "",
    allow_default_url: bool = False,
    **options: Any,
) -> Iterator[pybrpc.Server]:
    """A server of `EchoService` that runs."""
    server = pybrpc.Server(**options)
    server.add_service(
        SERVICE,
        EchoHandler(then),
        partial=True,
        restful_mappings=restful_mappings,
        allow_default_url=allow_default_url,
    )
    with server:
        server.start("127.0.0.1:0")
        yield server


@contextlib.contextmanager
def connected(server: pybrpc.Server, internal: bool = False) -> Iterator[socket.socket]:
    """A bare connection to `server`."""
    endpoint = server.internal_endpoint if internal else server.endpoint
    with socket.create_connection((endpoint.host, endpoint.port), TIMEOUT_S) as sock:
        yield sock


@contextlib.contextmanager
def client_of(
    server: pybrpc.Server, internal: bool = False
) -> Iterator[http.client.HTTPConnection]:
    """Python's own client, whose connection is kept."""
    endpoint = server.internal_endpoint if internal else server.endpoint
    client = http.client.HTTPConnection(endpoint.host, endpoint.port, timeout=TIMEOUT_S)
    with contextlib.closing(client):
        yield client


class Answer:
    """A response that was read whole."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status = response.status
        self.headers = response.headers
        self.body = response.read()

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def ask(
    client: http.client.HTTPConnection,
    method: str,
    path: str,
    body: bytes | str | None = None,
    headers: dict[str, str] | None = None,
) -> Answer:
    """Send a request, and read its response."""
    client.request(method, path, body, headers or {})
    return Answer(client.getresponse())


def post(
    client: http.client.HTTPConnection, message: str = "hello", path: str = PATH, **fields: Any
) -> Answer:
    """Call `Echo` with JSON."""
    return ask(client, "POST", path, json.dumps({"message": message, **fields}), JSON)


def request_bytes(
    message: str, *headers: str, path: str = PATH, method: str = "POST", **fields: Any
) -> bytes:
    """A request of `Echo`, as bytes."""
    body = json.dumps({"message": message, **fields})
    lines = [
        f"{method} {path} HTTP/1.1",
        "Host: localhost",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        *headers,
    ]
    return ("\r\n".join(lines) + f"\r\n\r\n{body}").encode()


def read_all(sock: socket.socket) -> bytes:
    """All bytes that come until the peer closes, or resets."""
    parts = []
    with contextlib.suppress(ConnectionResetError):
        while part := sock.recv(65536):
            parts.append(part)
    return b"".join(parts)


def read_responses(sock: socket.socket, count: int, method: str = "POST") -> list[Answer]:
    """The next `count` responses on a connection."""
    shared = _SharedFile(sock)
    found = []
    for _ in range(count):
        response = http.client.HTTPResponse(shared, method=method)  # type: ignore[arg-type]
        response.begin()
        found.append(Answer(response))
    return found


class _SharedFile:
    """A socket whose file is shared by the responses that are read from it."""

    def __init__(self, sock: socket.socket) -> None:
        self._file = sock.makefile("rb")

    def makefile(self, mode: str) -> Any:
        return _NotClosed(self._file)


class _NotClosed:
    def __init__(self, file: Any) -> None:
        self._file = file

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def close(self) -> None:
        """The next response is read from it."""


class Gate:
    """A handler that waits, for messages that begin with "wait"."""

    def __init__(self) -> None:
        self.entered = threading.Semaphore(0)
        self.opened = threading.Event()

    def __call__(self, request: Any, controller: Any) -> None:
        if request.message.startswith("wait"):
            self.entered.release()
            assert self.opened.wait(TIMEOUT_S)
