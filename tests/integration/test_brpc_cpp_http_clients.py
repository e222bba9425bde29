"""Clients of C++ bRPC, its examples and tools, that ask our server by HTTP.

Skipped unless BRPC_CPP_BIN names the folder of the examples, and those with tools unless
BRPC_CPP_TOOLS names theirs; docs/how-it-is-tested.md says more.
"""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path
from typing import Any

import pytest

import pybrpc
from bench.child_process import ChildProcess
from bench.peers.cpp_program import free_port, listens
from pybrpc import CompressType, Controller
from tests.fakes.threads import wait_until
from tests.peers.brpc_cpp import CppClient, cpp_client
from tests.peers.brpc_cpp_http import (
    ECHO_PROTO,
    LARGE_FILE,
    AsyncEchoText,
    EchoText,
    Files,
    every_http_type,
    every_protocol,
    http_client,
    http_example_server,
    needs_cpp_http,
    run_http_benchmark,
    run_http_client,
    run_tool,
    tool,
)
from tests.peers.serving import Gate
from tests.peers.tls import certificates

pytestmark = needs_cpp_http
every_service = pytest.mark.parametrize("kind", [EchoText, AsyncEchoText])


def ends_of(client: CppClient, count: int) -> list[Any]:
    return [client.next_end() for _ in range(count)]


@every_protocol
@every_http_type
def test_cpp_client_calls(protocol: str, kind: str) -> None:
    echo = EchoText()
    flags = (f"-protocol={protocol}", f"-connection_type={kind}")
    with http_example_server(echo) as server:
        with cpp_client(str(server.endpoint), *flags) as client:
            assert ends_of(client, 20) == [("hello world", "")] * 20
        accepted = server.statistics().accepted
    assert accepted == 1 if kind == "pooled" else accepted >= 20
    log_ids = [controller.log_id or 0 for controller in echo.seen[:20]]
    assert log_ids == list(range(log_ids[0], log_ids[0] + 20))


@every_service
@every_protocol
def test_cpp_client_prints_the_error_of_a_call(kind: type[EchoText], protocol: str) -> None:
    echo = kind(lambda controller: controller.set_failed(10042, "deliberate"))
    with (
        http_example_server(echo) as server,
        cpp_client(str(server.endpoint), f"-protocol={protocol}") as client,
        cpp_client(
            str(server.endpoint), f"-protocol={protocol}", "-use_http_error_code"
        ) as with_codes,
    ):
        said = f"HTTP/1.1 500 Internal Server Error: [{server.endpoint}][E10042]deliberate"
        assert client.next_end() == f"[E1010]{said}"
        assert with_codes.next_end() == f"[E10042]{said}"


def test_cpp_client_ends_a_call_at_its_timeout() -> None:
    """And its next calls are answered over another connection."""
    gate = Gate()
    echo = EchoText(lambda controller: gate.opened.wait())
    flags = ("-protocol=http", "-timeout_ms=200", "-max_retry=0")
    with (
        http_example_server(echo) as server,
        cpp_client(str(server.endpoint), *flags) as client,
    ):
        assert str(client.next_end()).startswith("[E1008]Reached timeout=200ms")
        gate.open()
        assert client.wait_for(lambda end: isinstance(end, tuple)) == ("hello world", "")


@every_http_type
def test_cpp_benchmark_runs_without_an_error(kind: str) -> None:
    with http_example_server() as server:
        url = f"http://{server.endpoint}/HttpService/Echo"
        said = run_http_benchmark(url, f"-connection_type={kind}", "-data=hello")
        statistics = server.statistics()
    assert "Sending http requests at qps=" in said
    assert "error=" not in said
    assert statistics.errors == 0
    assert statistics.accepted >= 4


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("HttpService/Echo?a=b&c=d", "queries: a=b c=d\nbody: \n\n"),
        ("FileService/a/b.txt", "Getting file: a/b.txt\n"),
        ("FileService/largefile", f"{LARGE_FILE.decode()}\n"),
        ("v1/queue/start", "queue started\n"),
        ("v1/queue/stats/x/y", "Get stats: x/y\n"),
        ("EchoService/Echo?message=hello", '{"message":"hello"}\n'),
        ("health", "OK\n"),
        ("version", "7.8\n"),
    ],
)
def test_cpp_client_gets(path: str, said: str) -> None:
    with http_example_server(version="7.8") as server:
        assert run_http_client(f"http://{server.endpoint}/{path}") == said


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("v1/nope", "404 Not Found: [{}][E1002]Fail to find method on `/v1/nope'"),
        ("HttpService/EchoProtobuf", "500 Internal Server Error: [{}][E2001]KeyError: 'nobody'"),
        ("EchoService/Echo", "400 Bad Request: [{}][E1003]"),
    ],
)
def test_cpp_client_prints_an_error(path: str, said: str) -> None:
    with http_example_server() as server:
        text = run_http_client(f"http://{server.endpoint}/{path}")
        assert text.startswith("[E1010]HTTP/1.1 " + said.format(server.endpoint))


def test_cpp_client_posts() -> None:
    data = "x" * 100_000
    with http_example_server() as server:
        address = f"http://{server.endpoint}"
        text = run_http_client(f"{address}/HttpService/Echo?a=b", f"-d={data}")
        assert text == f"queries: a=b\nbody: {data}\n\n"
        text = run_http_client(f"{address}/EchoService/Echo", '-d={"message":"hello"}')
        assert text == '{"message":"hello"}\n'


def test_cpp_client_gets_by_tls() -> None:
    with http_example_server(tls=certificates().server_tls()) as server:
        url = f"https://{server.endpoint}/FileService/largefile"
        assert run_http_client(url) == f"{LARGE_FILE.decode()}\n"


def test_cpp_client_reads_parts_while_they_are_written() -> None:
    with http_example_server() as server:
        said = run_http_client(f"http://{server.endpoint}/FileService/largefile", "-progressive")
    assert "data: part_0 " in said
    assert "part_99 " in said
    assert "progressive read data final status : OK" in said


def test_cpp_client_that_dies_within_a_body_leaves_nothing() -> None:
    gate = Gate()
    with http_example_server(files=Files(gate.opened.wait)) as server:
        url = f"http://{server.endpoint}/FileService/largefile"
        with http_client(url, "-progressive") as process:
            while "data: part_0 " not in process.read_line():
                pass
            process.kill()
        wait_until(lambda: server.statistics().connections == 0)
        gate.open()
        assert run_http_client(url) == f"{LARGE_FILE.decode()}\n"


@pytest.mark.parametrize("page", ["status", "vars", "connections", "flags", "rpcz", "index"])
def test_cpp_client_gets_pages(page: str) -> None:
    with http_example_server() as server:
        said = run_http_client(f"http://{server.endpoint}/{page}")
    assert said.strip()
    assert "[E" not in said
    assert "<html" not in said


def test_parallel_http_fetches_all_urls(tmp_path: Path) -> None:
    with http_example_server() as server:
        urls = [f"{server.endpoint}/HttpService/Echo?n={n}" for n in range(300)]
        urls += [f"http://{server.endpoint}/health", f"http://{server.endpoint}/v1/nope"]
        file = tmp_path / "urls"
        file.write_text("\n".join(urls))
        said = run_tool("parallel_http", f"-url_file={file}", "-one_line_mode", "-timeout_ms=30000")
        host = f"http://{server.endpoint}"
    for n in range(300):
        assert f"{host}/HttpService/Echo?n={n} queries: n={n}\n" in said
    assert f"{host}/health OK\n" in said
    assert f"{host}/v1/nope ERROR\n" in said


@pytest.mark.parametrize("protocol", ["baidu_std", "http", "http:proto", "hulu_pbrpc"])
@pytest.mark.parametrize("compress", list(CompressType)[:3], ids=lambda each: each.name)
def test_rpc_press(protocol: str, compress: CompressType, tmp_path: Path) -> None:
    """Messages in JSON, which it sends in turns and whose responses it writes in JSON."""
    if protocol.startswith("http") and compress == CompressType.SNAPPY:
        pytest.skip("HTTP has no snappy")
    (tmp_path / "echo.proto").write_text(ECHO_PROTO)
    sent = [{"message": "one"}, {"message": "two" * 1000}]
    (tmp_path / "in.json").write_text("\n".join(map(json.dumps, sent)))
    with http_example_server() as server:
        run_tool(
            "rpc_press",
            "-proto=echo.proto",
            f"-inc={tmp_path}",
            "-method=example.EchoService.Echo",
            f"-input={tmp_path}/in.json",
            f"-output={tmp_path}/out.json",
            f"-server={server.endpoint}",
            f"-protocol={protocol}",
            f"-request_compress_type={int(compress)}",
            "-dummy_port=0",
            "-duration=1",
            "-qps=50",
            "-timeout_ms=30000",
        )
        assert server.statistics().errors == 0
    received = [json.loads(line) for line in (tmp_path / "out.json").read_text().splitlines()]
    assert len(received) >= 10
    assert all(each in received for each in sent)
    assert all(each in sent for each in received)


def test_rpc_view_shows_pages() -> None:
    """A proxy for the pages of a server, which puts a mark into the HTML."""
    port = free_port()
    with http_example_server() as server:
        target = str(server.endpoint)
        arguments = [tool("rpc_view"), f"-port={port}", f"-target={target}"]
        with ChildProcess(arguments, {}, "rpc_view") as process:
            wait_until(lambda: listens(port))
            for page in ("status", "vars", "connections", "flags"):
                text = page_of(port, f"{page}?console=1")
                assert text.strip()
                assert "<html" not in text
                html = page_of(port, f"{page}?console=0")
                assert html.startswith("<!DOCTYPE html>")
                assert f"rpc_view: {target}" in html
            process.kill()


def page_of(port: int, path: str) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/{path}", timeout=30) as response:
        return str(response.read().decode())


def test_answers_are_not_compressed_unless_the_client_asks() -> None:
    """C++ clients of HTTP send no Accept-Encoding."""
    text = "hello" * 1000

    def compress(controller: Controller) -> None:
        controller.response_compress_type = CompressType.GZIP

    with http_example_server(EchoText(compress)) as server:
        said = run_http_client(f"http://{server.endpoint}/EchoService/Echo?message={text}")
        with pybrpc.Channel(server.endpoint, protocol="http") as channel:
            asked = {"Accept-Encoding": "gzip"}
            path = f"/EchoService/Echo?message={text}"
            response = channel.http("GET", path, headers=asked)
    assert json.loads(said) == {"message": text}
    assert response.json() == {"message": text}
