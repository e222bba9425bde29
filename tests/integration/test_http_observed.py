"""Calls by HTTP in traces, metrics and the access log."""

from __future__ import annotations

import re
from typing import Any

import pybrpc
from pybrpc import tracing
from pybrpc.metrics import dump_exposed
from tests.fakes.threads import wait_until
from tests.peers.http_server import (
    JSON,
    PATH,
    SERVICE,
    TIMEOUT_S,
    ask,
    client_of,
    post,
    serving_http,
)
from tests.protos import conformance_pb2 as pb

BODY = b'{"message":"m"}'


def spans(rpcz: Any, count: int) -> list[tracing.Span]:
    wait_until(lambda: len(rpcz.store.newest()) >= count)
    return list(rpcz.store.newest())


def test_spans_of_both_sides_are_joined_by_headers(rpcz: Any) -> None:
    with serving_http() as server:
        address = str(server.endpoint)
        with pybrpc.Channel(address, protocol="http", timeout=TIMEOUT_S) as channel:
            pybrpc.Stub(SERVICE, channel).Echo(pb.EchoRequest(message="m"))
    found = spans(rpcz, 2)
    assert {span.protocol for span in found} == {"http"}
    assert len({span.trace_id for span in found}) == 1
    assert len({span.span_id for span in found}) == 1
    assert {span.method for span in found} == {"conformance.EchoService.Echo"}


def test_traceparent_of_others_is_followed(rpcz: Any) -> None:
    rpcz.enabled = False
    parent = "00-0123456789abcdef00000000000000aa-00000000000000bb-01"
    with serving_http() as server, client_of(server) as client:
        ask(client, "POST", PATH, BODY, {**JSON, "traceparent": parent})
        (span,) = spans(rpcz, 1)
    assert (span.trace_id, span.trace_id_high) == (0xAA, 0x0123456789ABCDEF)


def test_refused_requests_are_traced_without_secrets(rpcz: Any) -> None:
    with serving_http() as server, client_of(server) as client:
        assert ask(client, "POST", "/nothing?token=secret", BODY, JSON).status == 404
        (span,) = spans(rpcz, 1)
    assert span.error_code == pybrpc.ErrorCode.ENOMETHOD
    assert "nothing" in span.method
    assert "secret" not in repr(span) + span.method


def test_variables_count_calls_and_refusals() -> None:
    with serving_http(server_info_name="http_observed") as server, client_of(server) as client:
        for _ in range(3):
            post(client)
        post(client, fail_code=10042)
        ask(client, "POST", "/nothing")

        def value(name: str) -> str:
            return dict(dump_exposed(f"rpc_server_http_observed_{name}")).get(
                f"rpc_server_http_observed_{name}", ""
            )

        method = "conformance_echo_service_echo"
        wait_until(lambda: value(f"{method}_count") == "3")
        wait_until(lambda: value(f"{method}_error") == "1")
        text = ask(client, "GET", "/vars/rpc_server_http_observed*").text
        assert f"rpc_server_http_observed_{method}_count : 3" in text
        metrics = ask(client, "GET", "/metrics").text
        count = r"brpc_server_call_duration_seconds_count\{[^}]*protocol=\"http\""
        assert re.search(count, metrics)


def test_interceptors_run_around_calls_by_http() -> None:
    seen: list[str] = []

    def intercept(call: pybrpc.InterceptedCall, proceed: Any) -> Any:
        seen.append(call.controller.http_request.uri.path)
        response = proceed()
        response.message += "!"
        return response

    with serving_http(interceptors=[intercept]) as server, client_of(server) as client:
        assert post(client, "hi").json["message"] == "hi!"
    assert seen == [PATH]
