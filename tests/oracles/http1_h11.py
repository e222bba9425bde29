"""h11, to judge what a parser of HTTP/1 accepts.

pybrpc is stricter than h11, for example with repeated lengths. So a message that pybrpc accepts is
accepted by h11 with equal contents, but not the other way round. Exceptions are in `is_beyond_h11`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import h11

from pybrpc.protocols.http1.head import RequestHead, ResponseHead
from pybrpc.protocols.http1.headers import HttpHeaders, new_headers
from tests.fakes.http1_messages import Seen

_MAX_HEAD = 1 << 20


@dataclass
class Judged:
    """A message as h11 sees it."""

    start: tuple[Any, ...]
    headers: HttpHeaders
    body: bytes = b""
    is_whole: bool = False
    trailers: list[tuple[str, str]] = field(default_factory=list)


def requests_by_h11(data: bytes) -> tuple[list[Judged], bool]:
    """The requests in the bytes, up to the last of the connection; and whether h11 refuses some."""
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=_MAX_HEAD)
    return _read(connection, data, [])


def responses_by_h11(
    data: bytes, methods: list[str], ends: bool = False
) -> tuple[list[Judged], bool]:
    """The responses in the bytes to requests with these methods."""
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=_MAX_HEAD)
    return _read(connection, data, list(methods), ends)


def is_beyond_h11(message: Seen) -> bool:
    """Whether pybrpc accepts it and h11 does not, or goes on behind it in another way."""
    head = message.head
    if head.minor_version > 1 or head.upgrade or (head.keep_alive and not head.minor_version):
        return True
    if isinstance(head, RequestHead):
        needs_host = head.minor_version > 0 and "host" not in head.headers
        return needs_host or not head.target.isascii() or head.method == "CONNECT"
    return False


def assert_equal(message: Seen, judged: Judged) -> None:
    """A message of pybrpc is what h11 sees. Their texts of transfer codings may differ."""
    head = message.head
    if isinstance(head, RequestHead):
        assert judged.start == (head.method, head.target, head.version)
    elif isinstance(head, ResponseHead):
        assert judged.start == (head.status, head.reason, head.version)
    for headers in (head.headers, judged.headers):
        headers.pop("transfer-encoding", None)
    assert head.headers == judged.headers
    assert message.body == judged.body
    assert message.is_whole == judged.is_whole
    assert message.trailers == judged.trailers


def _read(
    connection: h11.Connection, data: bytes, methods: list[str], ends: bool = False
) -> tuple[list[Judged], bool]:
    found: list[Judged] = []
    is_client = connection.our_role is h11.CLIENT
    if is_client:
        _ask(connection, methods)
    if data:
        connection.receive_data(data)
    if ends:
        connection.receive_data(b"")
    try:
        while True:
            event = connection.next_event()
            if event is h11.NEED_DATA or event is h11.PAUSED:
                return found, False
            if isinstance(event, h11.ConnectionClosed):
                return found, False
            _note(event, found)
            if isinstance(event, h11.EndOfMessage) and not _go_on(connection, methods):
                return found, False
    except h11.RemoteProtocolError:
        return found, True


def _note(event: Any, found: list[Judged]) -> None:
    if isinstance(event, h11.Data):
        found[-1].body += bytes(event.data)
    elif isinstance(event, h11.EndOfMessage):
        found[-1].is_whole = True
        found[-1].trailers = list(new_headers(_pairs(event)).fields())
    else:
        version = event.http_version.decode()
        if isinstance(event, h11.Request):
            start: tuple[Any, ...] = event.method.decode(), event.target.decode(), version
        else:
            start = event.status_code, event.reason.decode("latin-1"), version
        is_interim = isinstance(event, h11.InformationalResponse)
        found.append(Judged(start, new_headers(_pairs(event)), is_whole=is_interim))


def _pairs(event: Any) -> list[tuple[str, str]]:
    raw = event.headers.raw_items()
    return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in raw]


def _ask(connection: h11.Connection, methods: list[str]) -> None:
    method = methods.pop(0)
    connection.send(h11.Request(method=method, target="/", headers=[("Host", "h")]))
    connection.send(h11.EndOfMessage())


def _go_on(connection: h11.Connection, methods: list[str]) -> bool:
    """Begin the next message; False if the connection has none."""
    if connection.our_role is h11.SERVER:
        if connection.their_state is not h11.DONE:
            return False
        connection.send(h11.Response(status_code=200, headers=[("Content-Length", "0")]))
        connection.send(h11.EndOfMessage())
    if connection.our_state is not h11.DONE or connection.their_state is not h11.DONE:
        return False
    if connection.our_role is h11.CLIENT and not methods:
        return False
    connection.start_next_cycle()
    if connection.our_role is h11.CLIENT:
        _ask(connection, methods)
    return True
