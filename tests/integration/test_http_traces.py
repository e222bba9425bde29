"""Spans of calls over HTTP, and the headers by which they travel."""

from __future__ import annotations

import pytest

import pybrpc
from pybrpc import tracing
from pybrpc.protocols.http1.headers import HttpHeaders
from pybrpc.tracing.context import extract
from pybrpc.tracing.process_rpcz import Rpcz
from pybrpc.tracing.span import Span
from tests.fakes.threads import wait_until
from tests.peers.echo import ECHO, echo_request
from tests.peers.http_scripts import Request, answer, answering, echo_answer, http_server


def only_span(rpcz: Rpcz) -> Span:
    wait_until(lambda: len(rpcz.store) >= 1)
    (span,) = rpcz.store.newest(tracing.SpanQuery())
    return span


def test_call_of_a_stub_has_a_span_whose_ids_travel(rpcz: Rpcz) -> None:
    seen: list[HttpHeaders] = []

    def make(request: Request) -> bytes:
        seen.append(request.headers)
        return echo_answer(request)

    class Auth:
        def generate_credential(self) -> bytes:
            return b"secret"

    with http_server(answering(make)) as server:
        with pybrpc.Channel(
            server.address,
            protocol="http",
            auth=Auth(),  # type: ignore[arg-type]
            timeout=30,
        ) as channel:
            pybrpc.Stub(ECHO, channel).Echo(echo_request())
    span = only_span(rpcz)
    assert (span.protocol, span.method) == ("http", "conformance.EchoService.Echo")
    assert span.request_size > span.response_size > 0
    context = extract(seen[0])
    assert context is not None
    assert (context.trace_id, context.span_id) == (span.trace_id, span.span_id)
    assert seen[0]["x-bd-trace-id"] == str(span.trace_id)
    assert seen[0]["traceparent"].startswith("00-")
    assert seen[0]["authorization"] == "secret"


@pytest.mark.parametrize("stream", [True, False])
def test_plain_request_has_a_span_without_its_path(rpcz: Rpcz, stream: bool) -> None:
    with http_server(answering(lambda _: answer(b"x"))) as server:
        with pybrpc.Channel(server.address, protocol="http", timeout=30) as channel:
            if stream:
                with channel.http("GET", "/secret", stream=True) as response:
                    assert response.body.read() == b"x"
            else:
                channel.http("GET", "/secret")
    span = only_span(rpcz)
    assert (span.method, span.error_code, span.response_size) == ("http.GET", 0, not stream)


def test_headers_of_the_caller_are_kept(rpcz: Rpcz) -> None:
    seen: list[HttpHeaders] = []

    def make(request: Request) -> bytes:
        seen.append(request.headers)
        return answer()

    with http_server(answering(make)) as server:
        with pybrpc.Channel(server.address, protocol="http", timeout=30) as channel:
            channel.http("GET", "/", headers={"x-bd-trace-id": "5"})
    assert seen[0]["x-bd-trace-id"] == "5"
    assert only_span(rpcz).trace_id != 5
