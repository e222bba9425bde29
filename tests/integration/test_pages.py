"""The examples of the pages in docs/ run as they stand there."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import pybrpc
import pybrpc.redis
from bench.echo_messages import SERVICE, EchoRequest, EchoResponse
from pybrpc.lowlevel import unregister_protocol
from pybrpc.streams.receive_side import MESSAGE_BYTES
from pybrpc.streams.table import MAX_STREAMS, MAX_STREAMS_PER_REQUEST
from pybrpc.transport.runtime import default_runtime
from soak.echo_services import PlainEcho
from tests.fakes.metrics import hide_all
from tests.fakes.spans import fresh_rpcz
from tests.fakes.threads import wait_until
from tests.peers.http_scripts import Request, answer, answering, echo_answer, http_server
from tests.peers.pages import ROOT, examples_of, run_example, run_page
from tests.peers.redis_server import RedisServer, free_port
from tests.peers.tls import Certificates
from tests.peers.typed_echo import NAMES, TypedEcho

SHOWN = "127.0.0.1:8000"
PAGES = {
    "deadlines.md": 3,
    "errors.md": 1,
    "generic-calls.md": 2,
    "http.md": 5,
    "interceptors.md": 4,
    "http-client.md": 6,
    "http-bodies.md": 6,
    "metrics.md": 3,
    "observability.md": 2,
    "tls.md": 5,
    "connections.md": 9,
    "protocols.md": 1,
    "extending.md": 3,
    "redis.md": 2,
    "rtmp.md": 9,
    "streams.md": 10,
    "testing.md": 12,
    "tracing.md": 5,
}
"""How many examples there are on each."""


@pytest.fixture
def names() -> dict[str, Any]:
    """Names that the examples of all pages use without a definition."""
    return {
        "asyncio": asyncio,
        "pybrpc": pybrpc,
        "EchoRequest": EchoRequest,
        "EchoResponse": EchoResponse,
        "EchoService": PlainEcho,
        "SERVICE": SERVICE,
    }


@pytest.fixture
def served(names: dict[str, Any]) -> Iterator[str]:
    with pybrpc.Server() as server:
        server.add_service(SERVICE, PlainEcho())
        address = str(server.start("127.0.0.1:0"))
        with pybrpc.Channel(address) as channel:
            names["server"] = server
            names["stub"] = pybrpc.Stub(SERVICE, channel)
            yield address


@pytest.fixture
def access_logger() -> Iterator[None]:
    """Set the logger of the access log back to what it was."""
    logger = logging.getLogger("pybrpc.access")
    before = logger.handlers[:], logger.level, logger.propagate
    yield
    logger.handlers, logger.propagate = before[0], before[2]
    logger.setLevel(before[1])


def close_channels(names: dict[str, Any]) -> None:
    for each in list(names.values()):
        if isinstance(each, pybrpc.Channel):
            each.close()


def test_tls(
    names: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    certificates = Certificates(tmp_path)
    certificates.issue("client", "client.example")
    monkeypatch.chdir(tmp_path)
    run_page("docs/tls.md", names, {SHOWN: f"127.0.0.1:{free_port()}"})
    printed = capsys.readouterr().out.splitlines()
    assert printed == ["ESSL handshake", "True", "client.example", "ERPCAUTH"]


def test_http_client(names: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    def serve(request: Request) -> bytes:
        if request.head.method == "POST" and request.headers.content_type == "application/json":
            return echo_answer(request)
        return answer(request.body or bytes(1000), content_type="text/plain")

    with http_server(answering(serve)) as server:
        run_page("docs/http-client.md", names, {SHOWN: server.address})
        assert names["reply"].message == "hello"
        assert names["size"] == 1000
        assert names["response"].body == b"0\n1\n2\n"
        assert [one.status for one in names["responses"]] == [200] * 10
        close_channels(names)
    printed = capsys.readouterr().out
    assert printed.startswith("200 application/json\n200 text/plain ")


def test_connections(
    names: dict[str, Any], served: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run_page("docs/connections.md", names, {SHOWN: served})
    assert capsys.readouterr().out.startswith("ECONNREFUSED connect\n")
    close_channels(names)


def test_protocols(names: dict[str, Any], served: str, capsys: pytest.CaptureFixture[str]) -> None:
    run_page("docs/protocols.md", names, {SHOWN: served})
    assert capsys.readouterr().out == "hello\n"
    close_channels(names)


def test_http(names: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    for example in examples_of("docs/http.md"):
        run_example(example, names, {})
    *printed, error = capsys.readouterr().out.splitlines()
    assert printed == [
        "200 hello",
        "this is a/b.txt",
        "this is hello you",
        "404 20001 text/plain; charset=utf-8",
    ]
    assert re.fullmatch(r"\[127\.0\.0\.1:\d+\]\[E20001\]no such user: 8", error)


def test_observability(names: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    run_page("docs/observability.md", names, {})
    assert capsys.readouterr().out.splitlines() == [
        "<Server of no service, not started>",
        "my_service_calls : 3",
        "OK",
    ]


def test_extending(names: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    try:
        run_page("docs/extending.md", names, {})
        assert capsys.readouterr().out == "over JSON\nover baidu_std\n"
    finally:
        unregister_protocol("json_lines")


def test_generic_calls(
    names: dict[str, Any], served: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run_page("docs/generic-calls.md", names, {SHOWN: served})
    assert capsys.readouterr().out == "hello\nany.Service Method 5\n"


def test_interceptors(
    names: dict[str, Any], capsys: pytest.CaptureFixture[str], access_logger: None
) -> None:
    try:
        run_page("docs/interceptors.md", names, {SHOWN: f"127.0.0.1:{free_port()}"})
        with names["logged"] as logged:
            logged.add_service(SERVICE, PlainEcho())
            with pybrpc.Channel(logged.start("127.0.0.1:0")) as channel:
                pybrpc.Stub(SERVICE, channel).Echo(EchoRequest(message="hello"))
    finally:
        close_channels(names)
        names["server"].stop()
        names["server"].join()
    printed = capsys.readouterr()
    line = json.loads(printed.err.splitlines()[-1])
    assert line["method"] == f"{SERVICE.full_name}.Echo"
    assert printed.out.splitlines() == [
        *(f"{side} {SERVICE.full_name}.Echo is quick" for side in ("server", "client")),
        "hello",
        f"server {SERVICE.full_name}.Echo is quick",
        "client made-here-1",
        "hello, seven",
        "10001 which tenant?",
    ]


def test_metrics(names: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    try:
        run_page("docs/metrics.md", names, {})
        assert capsys.readouterr().out.splitlines() == [
            "search_count : 1",
            "search_errors : 1",
            "search_waiting : 0",
            "{('Echo', '0'): 1}",
            "text/plain; version=0.0.4; charset=utf-8",
            """['calls_total{method="Echo",code="0"} 1']""",
        ]
    finally:
        hide_all()


def test_tracing(names: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    with fresh_rpcz(enabled=False):
        run_page("docs/tracing.md", names, {SHOWN: f"127.0.0.1:{free_port()}"})
    assert capsys.readouterr().out.splitlines() == [
        "server bench.EchoService.Echo 0 ['cache miss']",
        "client bench.EchoService.Echo 0 []",
        "True",
        "2",
        "True",
        "8448eb211c80319c b7ad6b7169203331 True",
    ]


def test_http_bodies(names: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    run_page("docs/http-bodies.md", names, {})
    assert capsys.readouterr().out.splitlines() == [
        'application/x-ndjson {"message":"to"}',
        '{"message":"be"}',
        "",
        'text/event-stream data: {"message":"to"}',
        "",
        'data: {"message":"be"}',
        "",
        "",
        "text/event-stream event: greeting",
        "id: 1",
        "retry: 3000",
        "data: hello",
        "",
        "data: two",
        "data: lines",
        "",
        "",
        "application/octet-stream 0 1 2 ",
        'application/json {"message":"file: 1000000 bytes"}',
        "/app/page of /app",
    ]


def test_streams(names: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    run_page("docs/streams.md", names, {})
    echoes = ["welcome", "b'first'", "b'second'", "0", "ETIMEDOUT"]
    stopped = ["b'tick'", "None", "b'welcome'", "b'goodbye'", "None"]
    typed = ["0 left", "0 right"]
    printed = capsys.readouterr().out.splitlines()
    assert printed[:5] == echoes
    assert sorted(printed[5:]) == sorted(["b'7'", "closed None", "EINVAL closed", *stopped, *typed])
    with pybrpc.Server() as server:
        watchers = names["Watchers"]()
        server.add_service(SERVICE, watchers)
        with pybrpc.Channel(server.start("127.0.0.1:0")) as channel:
            stub = pybrpc.Stub(SERVICE, channel)
            with stub.Echo.stream(EchoRequest()) as left, stub.Echo.stream(EchoRequest()) as right:
                watchers.publish(b"one")
                left.stream.close()
                assert right.stream.recv(timeout=20) == b"one"
                wait_until(lambda: sum(stream.is_closed for stream in watchers.streams) == 1)
                watchers.publish(b"two")
                assert right.stream.recv(timeout=20) == b"two"
                assert len(watchers.streams) == 1
                watchers.streams.pop().close()
    assert capsys.readouterr().out == "EINVAL\n"


def test_limits_of_streams_on_the_page_are_those_of_the_code() -> None:
    page = (ROOT / "docs/streams.md").read_text()
    options = pybrpc.StreamOptions()
    assert options.max_buf_size == 2 << 20
    assert options.max_unread_bytes == 160 << 20
    assert options.max_message_size == 64 << 20
    # A default window of messages of one byte, all of them unread, is no reason to reset a stream.
    assert (1 + MESSAGE_BYTES) * options.max_buf_size < options.max_unread_bytes
    assert options.max_segment_size == 32 << 20
    assert default_runtime().max_unread_bytes == 512 << 20
    for shown in (
        "(2 MiB)",
        "| 160 MiB |",
        "| 64 MiB |",
        "(32 MiB)",
        "| 512 MiB for",
        "| 64 |",
        "| 1,024 |",
    ):
        assert shown in page
    assert (MAX_STREAMS_PER_REQUEST, MAX_STREAMS) == (64, 1024)


def test_deadlines(names: dict[str, Any], served: str, capsys: pytest.CaptureFixture[str]) -> None:
    run_page("docs/deadlines.md", names, {SHOWN: served})
    assert capsys.readouterr().out == "0\n"
    with pybrpc.Channel(served, timeout=20) as behind:
        front, cached = names["Front"](behind), names["Cached"](behind)
        assert echoed_by(front) == echoed_by(cached) == "nested"
        assert cached.task.exception() is None
    deadline, left_s, is_canceled = capsys.readouterr().out.split()
    assert (0 < float(left_s) <= 10, is_canceled) == (True, "False")
    assert time.monotonic() < float(deadline) < time.monotonic() + 10


def echoed_by(service: Any) -> str:
    with pybrpc.Server() as server:
        server.add_service(SERVICE, service)
        with pybrpc.Channel(str(server.start("127.0.0.1:0")), timeout=10) as channel:
            reply = pybrpc.Stub(SERVICE, channel).Echo(EchoRequest(message="nested"))
            if hasattr(service, "task"):
                wait_until(service.task.done)
            return str(reply.message)


def test_limits_on_the_page_are_those_of_the_code() -> None:
    page = (ROOT / "docs/connections.md").read_text()
    assert "| 1 GiB |" in page
    assert default_runtime().max_queued_bytes == 1 << 30


def test_redis(names: dict[str, Any]) -> None:
    with RedisServer() as server:
        run_page("docs/redis.md", names, {"127.0.0.1:6379": server.address})
        assert (names["number"], names["value"]) == (1, b"value")
        assert isinstance(names["error"], pybrpc.redis.RedisError)
        assert names["future"].result()[0] == 2
        assert names["values"] == ["value"] * 100


def test_testing(names: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    names |= NAMES
    with pybrpc.Server() as server:
        server.add_service(TypedEcho())
        run_page("docs/testing.md", names, {SHOWN: str(server.start("127.0.0.1:0"))})
    assert names["reply"].message == "hello"
    assert capsys.readouterr().out == "ECONNRESET waiting\nERPCTIMEDOUT\n"


def test_errors(names: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    run_page("docs/errors.md", names, {})
    code_and_message, text = capsys.readouterr().out.splitlines()
    assert code_and_message == "20001 no such user: 8"
    assert text == f"[E20001][{names['address']}][E20001]no such user: 8"


@pytest.mark.parametrize("page", ["ARCHITECTURE.md", "CONTRIBUTING.md", "docs/verification.md"])
def test_page_names_files_that_exist(page: str) -> None:
    named = set(
        re.findall(r"`((?:[\w.-]+/)+(?:\w+\.(?:md|pml|pxd|py))?)`", (ROOT / page).read_text())
    )
    assert len(named) > 5
    assert {path for path in named if not exists(path)} == set()


def exists(path: str) -> bool:
    """As a page names a file or a folder: below src/pybrpc/, or in another folder of the root."""
    return any((root / path).exists() for root in (ROOT, ROOT / "src" / "pybrpc", ROOT / "tests"))


@pytest.mark.parametrize("page", PAGES)
def test_no_example_is_left_out(page: str) -> None:
    assert len(examples_of(f"docs/{page}")) == PAGES[page]
