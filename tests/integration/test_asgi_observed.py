"""Requests to mounted applications in variables, on pages, in traces and in the access log."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from websockets.sync.client import connect

import pybrpc
from bench.echo_messages import SERVICE, EchoRequest
from pybrpc import tracing
from pybrpc.errors import ErrorCode
from pybrpc.metrics import dump_exposed
from soak.echo_services import PlainEcho
from tests.fakes.threads import wait_until
from tests.peers.access_lines import HTTP, AccessLines
from tests.peers.asgi_apps import Mount, Mounted, body_of, echo, only_http, respond
from tests.peers.http_peer import HttpPeer, read_response

TRACEPARENT = "00-0123456789abcdef00000000000000aa-00000000000000bb-01"


@pytest.fixture
def lines() -> AccessLines:
    return AccessLines()


@only_http
async def by_path(scope: Any, receive: Any, send: Any) -> None:
    """Ends as the path says."""
    end = scope["path"].removeprefix("/app/")
    if end == "raise":
        raise ValueError("the application raises")
    if end == "cut":
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b"a", "more_body": True})
        raise ValueError("the application raises")
    await respond(send, await body_of(receive), status=int(end))


def test_requests_have_lines(mount: Mount, lines: AccessLines) -> None:
    mounted = mount(by_path, access_log=lines.option)
    mounted.fetch("/app/201?token=secret", "POST", b"body", X_Request_Id="r", Log_Id="7")
    lines.wait(1)
    for end in ("404", "503", "raise", "cut"):
        mounted.fetch(f"/app/{end}")
    assert sorted(lines.wait(5, "code", *HTTP)) == [
        (0, "GET", "/app/404", 404),
        (0, "POST", "/app/201", 201),
        (ErrorCode.EHTTP, "GET", "/app/503", 503),
        (ErrorCode.EINTERNAL, "GET", "/app/cut", 200),
        (ErrorCode.EINTERNAL, "GET", "/app/raise", 500),
    ]
    first = lines.lines[0]
    assert (first["method"], first["protocol"], first["request_bytes"]) == (None, "http", 4)
    assert (first["log_id"], first["request_id"]) == (7, "r")
    assert all(line["response_bytes"] > 40 for line in lines.lines)
    assert "secret" not in json.dumps(lines.lines)


def test_line_comes_with_the_response_and_not_with_the_end_of_the_application(
    mount: Mount, lines: AccessLines
) -> None:
    end = asyncio.Event()

    @only_http
    async def application(scope: Any, receive: Any, send: Any) -> None:
        await respond(send, b"a", (b"content-length", b"1"))
        await end.wait()

    mounted = mount(application, access_log=lines.option)
    assert mounted.fetch().body == b"a"
    assert lines.wait(1, "code") == [(0,)]
    mounted.server.stop(0)
    assert mounted.server.join(20)
    assert len(lines.lines) == 1


def test_clients_that_go_away_have_lines(mount: Mount, lines: AccessLines) -> None:
    entered = asyncio.Event()

    @only_http
    async def application(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/app/begun":
            await send({"type": "http.response.start", "status": 200})
            await send({"type": "http.response.body", "body": b"a", "more_body": True})
        await body_of(receive)
        entered.set()
        message = await receive()
        assert message["type"] == "http.disconnect"

    mounted = mount(application, access_log=lines.option)
    for path in ("/app/silent", "/app/begun"):
        with HttpPeer(mounted.address) as peer:
            peer.request("GET", path)
            if path == "/app/begun":
                peer.read_until(b"a\r\n")
            else:
                wait_until(entered.is_set)
        wait_until(lambda path=path: any(line["path"] == path for line in lines.lines))
    assert lines.wait(2, "code", "status") == [(None, None), (ErrorCode.EFAILEDSOCKET, 200)]


def figure(name: str, server: str = "asgi_observed") -> str:
    full_name = f"rpc_server_{server}_{name}"
    return dict(dump_exposed(full_name)).get(full_name, "")


def test_variables_and_pages_count_requests(mount: Mount) -> None:
    mounted = mount(by_path, server_info_name="asgi_observed")
    for end in ("200", "404", "200", "503", "raise", "cut"):
        mounted.fetch(f"/app/{end}")
    wait_until(lambda: (figure("mount_app_count"), figure("mount_app_error")) == ("3", "3"))
    assert figure("mount_app_concurrency") == "0"
    status = mounted.fetch("/status?console=1").body.decode()
    section = status.partition("[mounted applications]")[2]
    assert section.splitlines()[2:4] == ["/app", "count: 3"]
    page = mounted.fetch("/status", Accept="text/html", User_Agent="Mozilla/5.0").body.decode()
    assert "mounted applications" in page
    text = mounted.fetch("/metrics").body.decode()
    labels = 'method="/app",code="OK",protocol="http"'
    assert f'brpc_server_call_duration_seconds_count{{service="",{labels}}}' in text
    mounted.server.stop(0)
    assert mounted.server.join(20)
    assert figure("mount_app_count") == ""


def test_running_requests_are_counted(mount: Mount) -> None:
    mounted = mount(echo, server_info_name="asgi_observed")
    with HttpPeer(mounted.address) as peer:
        peer.send(b"POST /app/ HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n")
        wait_until(lambda: figure("mount_app_concurrency") == "1")
        peer.send(b"x")
        assert read_response(peer, "POST").body == b"x"
    wait_until(lambda: figure("mount_app_count") == "1")


def spans(rpcz: Any, count: int) -> list[tracing.Span]:
    wait_until(lambda: len(rpcz.store.newest()) >= count)
    return list(rpcz.store.newest())


def test_spans_join_the_trace_of_the_caller(mount: Mount, rpcz: Any) -> None:
    rpcz.enabled = False
    mounted = mount(by_path)
    mounted.fetch("/app/503?token=secret", "POST", b"body", traceparent=TRACEPARENT, log_id="7")
    mounted.fetch("/app/200")
    (span,) = spans(rpcz, 1)
    assert (span.trace_id, span.trace_id_high) == (0xAA, 0x0123456789ABCDEF)
    assert (span.method, span.protocol, span.log_id) == ("POST /app/503", "http", 7)
    assert (span.error_code, span.request_size) == (ErrorCode.EHTTP, 4)
    assert span.response_size > 40
    assert span.received_us <= span.start_callback_us <= span.start_send_us <= span.sent_us


def test_calls_of_an_application_and_its_logs_are_part_of_its_trace(rpcz: Any) -> None:
    seen: list[tracing.CallIds] = []

    @only_http
    async def application(scope: Any, receive: Any, send: Any) -> None:
        seen.append(tracing.call_ids())
        async with pybrpc.aio.Channel(str(inner.endpoint)) as channel:
            await pybrpc.Stub(SERVICE, channel).Echo(EchoRequest(message="m"))
        await respond(send, b"")

    inner = pybrpc.Server()
    inner.add_service(SERVICE, PlainEcho())
    with inner:
        inner.start("127.0.0.1:0")
        mounted = Mounted(application)
        with mounted.server:
            assert mounted.fetch().status == 200
    found = {span.method: span for span in spans(rpcz, 2)}
    assert found.keys() == {"GET /app/", "bench.EchoService.Echo"}
    assert len({span.trace_id for span in found.values()}) == 1
    assert found["bench.EchoService.Echo"].parent_span_id == found["GET /app/"].span_id
    assert seen[0].trace_id == found["GET /app/"].shown_trace_id


def test_websockets(mount: Mount, rpcz: Any, lines: AccessLines) -> None:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "websocket"
        await receive()
        if scope["path"] == "/app/refused":
            await send({"type": "websocket.close"})
            return
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            await send({**message, "type": "websocket.send"})

    mounted = mount(application, access_log=lines.option, server_info_name="asgi_observed")
    with connect(f"ws://{mounted.address}/app/chat?room=1", proxy=None) as client:
        (span,) = spans(rpcz, 1)
        assert (span.method, span.error_code) == ("GET /app/chat", 0)
        client.send("x" * 1000)
        assert len(client.recv(20)) == 1000
        assert lines.lines == []
    assert lines.wait(1, "code", *HTTP) == [(0, "GET", "/app/chat", 101)]
    line = lines.lines[0]
    assert line["request_bytes"] > 1000
    assert line["response_bytes"] > 1000
    with pytest.raises(Exception, match="403"):
        connect(f"ws://{mounted.address}/app/refused", proxy=None)
    assert lines.wait(2, "status")[1] == (403,)
    # A websocket lasts as long as its client likes: that is no latency.
    assert figure("mount_app_count") == "1"
