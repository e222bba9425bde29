"""HttpStandIn: an HTTP server in place of a naming service that can't be had here, with faults.

Each request takes the next fault, if one is waiting, and then gets the answer of a subclass.
"""

from __future__ import annotations

import contextlib
import dataclasses
import http.server
import json
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

LIMIT_S = 20.0


@dataclasses.dataclass(frozen=True)
class Request:
    """One request. `fields` are those of the query and of a form in the body."""

    method: str
    path: str
    fields: dict[str, list[str]]
    headers: Any
    body: bytes

    def field(self, name: str, default: str = "") -> str:
        return self.fields.get(name, [default])[0]


@dataclasses.dataclass
class Answer:
    """One answer; a body that is not bytes is sent as JSON."""

    body: Any = b""
    status: int = 200
    headers: dict[str, str] = dataclasses.field(default_factory=dict)

    def data(self) -> bytes:
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


@dataclasses.dataclass(frozen=True)
class Fault:
    """The fate of one request.

    delay_s    it is answered that much later
    status     it gets this status, and no body
    body       it gets this body
    hangs      it is never answered
    drops      its connection is closed without an answer
    truncated  the second half of the body is missing, and the connection is closed
    drip_s     the body comes byte by byte, with that pause before each
    """

    delay_s: float = 0.0
    status: int = 0
    body: bytes | None = None
    hangs: bool = False
    drops: bool = False
    truncated: bool = False
    drip_s: float = 0.0


NO_FAULT = Fault()


class HttpStandIn:
    """Serves while the `with` does, on a free port of 127.0.0.1, a thread for each connection."""

    def __init__(self, context: Any = None, port: int = 0) -> None:
        self.requests: list[Request] = []
        self.faults: deque[Fault] = deque()
        self.standing_fault = NO_FAULT
        """That of all requests once `faults` is used up."""
        self.is_over = threading.Event()
        self._connections: set[socket.socket] = set()
        self._changed = threading.Condition()
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", port), _handler_of(self))
        self._server.daemon_threads = False
        if context is not None:
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.port = self._server.server_address[1]
        self.address = f"127.0.0.1:{self.port}"

    def respond(self, request: Request) -> Answer:
        raise NotImplementedError

    def wait_for(self, condition: Callable[[], bool], timeout_s: float = LIMIT_S) -> None:
        """Block until `condition` holds, which is asked after each request and `notify`."""
        with self._changed:
            assert self._changed.wait_for(condition, timeout_s), [r.path for r in self.requests]

    def wait_changed(self, condition: Callable[[], bool], timeout_s: float) -> bool:
        """As `wait_for`, for a request that is answered after a change; ends with the server."""
        with self._changed:
            return self._changed.wait_for(lambda: self.is_over.is_set() or condition(), timeout_s)

    def notify(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def count(self, path: str) -> int:
        """Requests for a path so far."""
        return sum(request.path == path for request in list(self.requests))

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._server.serve_forever, args=[0.02])
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.is_over.set()
        self.notify()
        self._server.shutdown()
        self._thread.join()
        for connection in list(self._connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self._server.server_close()

    def _handle(self, handler: http.server.BaseHTTPRequestHandler) -> None:
        request = _request_of(handler)
        self.requests.append(request)
        self.notify()
        fault = self.faults.popleft() if self.faults else self.standing_fault
        if fault.delay_s:
            self.is_over.wait(fault.delay_s)
        if fault.hangs:
            self.is_over.wait()
        if fault.hangs or fault.drops:
            handler.close_connection = True
            return
        if fault.status or fault.body is not None:
            answer = Answer(fault.body or b"", fault.status or 200)
        else:
            answer = self.respond(request)
        self._send(handler, answer, fault)

    def _send(
        self, handler: http.server.BaseHTTPRequestHandler, answer: Answer, fault: Fault
    ) -> None:
        data = answer.data()
        handler.send_response(answer.status)
        for name, value in answer.headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        if fault.truncated:
            data = data[: len(data) // 2]
            handler.close_connection = True
        if fault.drip_s:
            for position in range(len(data)):
                if self.is_over.wait(fault.drip_s):
                    return
                handler.wfile.write(data[position : position + 1])
            return
        handler.wfile.write(data)


def _request_of(handler: http.server.BaseHTTPRequestHandler) -> Request:
    url = urlsplit(handler.path)
    body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
    fields = parse_qs(url.query, keep_blank_values=True)
    if "form" in handler.headers.get("Content-Type", ""):
        fields |= parse_qs(body.decode(), keep_blank_values=True)
    return Request(handler.command, url.path, fields, handler.headers, body)


def _handler_of(stand_in: HttpStandIn) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            super().setup()
            stand_in._connections.add(self.connection)

        def finish(self) -> None:
            stand_in._connections.discard(self.connection)
            with contextlib.suppress(OSError):
                super().finish()

        def handle(self) -> None:
            with contextlib.suppress(OSError, ValueError):
                super().handle()

        def _answer(self) -> None:
            stand_in._handle(self)

        do_GET = do_POST = do_PUT = do_DELETE = _answer

        def log_message(self, *arguments: object) -> None:
            pass

    return Handler


def eventually(condition: Callable[[], bool], timeout_s: float = LIMIT_S) -> None:
    """Block until `condition` holds."""
    end_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end_s, "it did not happen"
        time.sleep(0.005)
