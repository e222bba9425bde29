"""AccessListener: what becomes of a call, and of a refused request, in a record."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from pybrpc.base.endpoint import Endpoint
from pybrpc.iobuf import IOBuf
from pybrpc.protocols.message import BadMessage, RpcRequest
from pybrpc.server.access_log.access_line import AccessRecord, HttpSummary
from pybrpc.server.calls.access_listener import AccessListener
from pybrpc.server.calls.call_end import RefusedRequest, ServedRequest
from pybrpc.server.calls.raw_request import NO_SERVICE
from pybrpc.server.calls.server_call import NO_ANSWER

PEER = Endpoint.parse("10.0.0.1:4242")
HTTP = HttpSummary("POST", "/x", 404)


class Queue:
    def __init__(self) -> None:
        self.records: list[AccessRecord] = []

    def put(self, record: AccessRecord) -> None:
        self.records.append(record)


def connection() -> Any:
    return SimpleNamespace(
        socket=SimpleNamespace(remote_side=PEER), protocol=SimpleNamespace(name="hulu_pbrpc")
    )


def ended_call(error_code: int, form: Any = None) -> Any:
    return SimpleNamespace(
        request=RpcRequest(1, "a.Service", "Method", log_id=-2, request_id="x" * 300),
        connection=connection(),
        error_code=error_code,
        received_bytes=3,
        sent_bytes=4,
        full_name=lambda: "a.Service.Method",
        form=form,
    )


def test_call() -> None:
    queue = Queue()
    listener = AccessListener(queue)
    listener.on_call_end(ended_call(0), 0.5)
    listener.on_call_end(ended_call(NO_ANSWER), 0.5)
    values = (PEER, "hulu_pbrpc", "a.Service.Method")
    ids = (2**64 - 2, "x" * 256 + "...")
    assert [record[1:] for record in queue.records] == [
        (*values, 0, 0.5, 3, 4, *ids, None),
        (*values, None, 0.5, 3, 0, *ids, None),
    ]
    assert queue.records[0].ended_at > 1_600_000_000
    assert "Queue" in repr(listener)


def test_refused_requests() -> None:
    queue = Queue()
    listener = AccessListener(queue)
    attachment = IOBuf(b"12345")
    request = RpcRequest(1, "a" * 300, "Method", b"body", attachment, log_id=7, request_id="id")
    listener.on_refused(RefusedRequest(connection(), request, 2004, 9, 0.25))
    of_http = RpcRequest(1, NO_SERVICE, "POST /x")
    listener.on_refused(RefusedRequest(connection(), of_http, 1002, 7, 0.25, HTTP))
    bad = BadMessage(1, is_request=True, reason="it contradicts itself")
    listener.on_refused(RefusedRequest(connection(), bad, 1003, 8, 0.25))
    assert [record[1:] for record in queue.records] == [
        (PEER, "hulu_pbrpc", "a" * 256 + "...", 2004, 0.25, 9, 9, 7, "id", None),
        (PEER, "hulu_pbrpc", "", 1002, 0.25, 0, 7, None, None, HTTP),
        (PEER, "hulu_pbrpc", "", 1003, 0.25, 0, 8, None, None, None),
    ]


def test_requests_of_http() -> None:
    queue = Queue()
    listener = AccessListener(queue)
    listener.on_call_end(ended_call(0, SimpleNamespace(http_summary=lambda: HTTP)), 0.5)
    listener.on_served(ServedRequest(connection(), HTTP, 0, 5, 6, 0.25))
    listener.on_served(ServedRequest(connection(), HTTP, NO_ANSWER, 5, 6, 0.25))
    assert [record.http for record in queue.records] == [HTTP] * 3
    assert [record[3:10] for record in queue.records[1:]] == [
        ("", 0, 0.25, 5, 6, None, None),
        ("", None, 0.25, 5, 6, None, None),
    ]
