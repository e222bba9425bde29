"""Clients of C++ bRPC, its examples, that call our server.

Skipped unless BRPC_CPP_BIN names the folder of their programs; docs/how-it-is-tested.md says more.
"""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import pybrpc
from pybrpc import CompressType, Controller
from pybrpc.server import Supervisor
from tests.peers.body_encodings import ALL_ENCODINGS, BodyEncoding
from tests.peers.brpc_cpp import (
    CRC32C,
    MEGABYTES_4,
    AsyncExampleService,
    ExampleService,
    cpp_client,
    every_type,
    example_server,
    needs_cpp,
    other_protocols,
    run_cpp_benchmark,
    skip_what_it_lacks,
)
from tests.peers.echo import ECHO
from tests.peers.serving import Gate
from tests.peers.supervised import pids_of, wait_replaced
from tests.peers.tls import certificates

pytestmark = needs_cpp
every_service = pytest.mark.parametrize("service", [ExampleService, AsyncExampleService])


@every_service
@other_protocols
@every_type
def test_cpp_client_of_another_protocol(
    service: type[ExampleService], protocol: str, kind: str
) -> None:
    """It warns that sofa_pbrpc has no attachments, and goes without."""
    made = service()
    attached = "attached" if protocol == "hulu_pbrpc" else ""
    flags = (f"-protocol={protocol}", f"-connection_type={kind}", "-attachment=attached")
    with example_server(made) as server, cpp_client(str(server.endpoint), *flags) as client:
        ends = [client.next_end() for _ in range(20)]
    assert ends == [("hello world", attached)] * 20
    log_ids = [controller.log_id for controller in made.seen[:20]]
    first = log_ids[0] or 0
    assert log_ids == ([None] * 20 if not attached else list(range(first, first + 20)))


@every_service
@other_protocols
@pytest.mark.parametrize("compress", [CompressType.GZIP, CompressType.ZLIB, CompressType.SNAPPY])
def test_cpp_client_of_another_protocol_reads_compressed_answers(
    service: type[ExampleService], protocol: str, compress: CompressType
) -> None:
    made = service(lambda controller: setattr(controller, "response_compress_type", compress))
    with (
        example_server(made) as server,
        cpp_client(str(server.endpoint), f"-protocol={protocol}") as client,
    ):
        assert [client.next_end() for _ in range(3)] == [("hello world", "")] * 3


@every_service
@other_protocols
def test_cpp_client_of_another_protocol_prints_the_error_of_a_call(
    service: type[ExampleService], protocol: str
) -> None:
    def fail(controller: Controller) -> None:
        controller.set_failed(10042, "deliberate")

    with (
        example_server(service(fail)) as server,
        cpp_client(str(server.endpoint), f"-protocol={protocol}") as client,
    ):
        assert client.next_end() == f"[E10042][{server.endpoint}][E10042]deliberate"


@every_service
@other_protocols
def test_cpp_benchmark_of_another_protocol_runs_without_an_error(
    service: type[ExampleService], protocol: str
) -> None:
    assert benchmark(service(), f"-protocol={protocol}", "-connection_type=single") == 1


@every_service
def test_cpp_client_receives_answers_with_attachments(service: type[ExampleService]) -> None:
    made = service()
    with (
        example_server(made) as server,
        cpp_client(str(server.endpoint), "-attachment=attached") as client,
    ):
        assert [client.next_end() for _ in range(20)] == [("hello world", "attached")] * 20
    log_ids = [controller.log_id or 0 for controller in made.seen[:20]]
    assert log_ids == list(range(log_ids[0], log_ids[0] + 20))


@every_service
@pytest.mark.parametrize("sent", ALL_ENCODINGS, ids=str)
def test_cpp_client_reads_compressed_and_checksummed_answers(
    service: type[ExampleService], sent: BodyEncoding
) -> None:
    skip_what_it_lacks(sent)
    made = service(lambda controller: sent.ask_for(controller, "response"))
    flags = ("-attachment=attached", "-enable_checksum")
    with example_server(made) as server, cpp_client(str(server.endpoint), *flags) as client:
        for _ in range(3):
            assert client.next_end() == ("hello world", "attached")
    assert {BodyEncoding.of(each, "request") for each in made.seen} == {
        BodyEncoding(CompressType.NONE, CRC32C)
    }


@every_service
def test_cpp_client_prints_the_error_of_a_call(service: type[ExampleService]) -> None:
    """Our server's word as a C++ server's would be."""

    def fail(controller: Controller) -> None:
        BodyEncoding(CompressType.GZIP, CRC32C).ask_for(controller, "response")
        controller.set_failed(10042, "deliberate")

    with example_server(service(fail)) as server, cpp_client(str(server.endpoint)) as client:
        assert client.next_end() == f"[E10042][{server.endpoint}][E10042]deliberate"


def test_cpp_client_prints_that_a_service_is_missing() -> None:
    with pybrpc.Server() as server:
        server.add_service(ECHO, EchoAndStream())
        address = server.start("127.0.0.1:0")
        with cpp_client(str(address)) as client:
            text = client.next_end()
    assert text == f"[E1002][{address}][E1002]Fail to find method=example.EchoService/Echo"


def test_cpp_client_receives_the_error_of_a_handler_that_raises() -> None:
    def fail(controller: Controller) -> None:
        raise KeyError("nobody")

    with example_server(ExampleService(fail)) as server, cpp_client(str(server.endpoint)) as client:
        assert client.next_end() == f"[E2001][{server.endpoint}][E2001]KeyError: 'nobody'"


class EchoAndStream:
    def Echo(self, request: Any, controller: Controller) -> Any:
        raise AssertionError("nobody calls this")

    Stream = Echo


def test_cpp_client_ends_a_call_at_its_timeout() -> None:
    """And its next calls are answered over the same connection."""
    gate = Gate()
    service = ExampleService(lambda controller: gate.opened.wait())
    flags = ("-timeout_ms=100", "-max_retry=0", "-baidu_std_protocol_deliver_timeout_ms")
    with example_server(service) as server, cpp_client(str(server.endpoint), *flags) as client:
        text = client.next_end()
        gate.open()
        assert client.wait_for(lambda end: isinstance(end, tuple)) == ("hello world", "")
        assert server.statistics().accepted == 1
    assert re.fullmatch(r"\[E1008\]Reached timeout=100ms @" + str(server.endpoint), str(text))
    assert service.seen[0].timeout_ms == 100


@every_service
@every_type
@pytest.mark.parametrize("flag", ["-use_bthread=false", "-use_bthread"])
def test_cpp_benchmark_runs_without_an_error(
    service: type[ExampleService], kind: str, flag: str
) -> None:
    accepted = benchmark(service(), flag, f"-connection_type={kind}")
    assert (accepted == 1) if kind == "single" else (accepted >= 8)


@every_service
def test_cpp_benchmark_runs_with_large_attachments(service: type[ExampleService]) -> None:
    benchmark(service(), f"-attachment_size={MEGABYTES_4}")


@every_service
def test_cpp_benchmark_runs_with_tls(service: type[ExampleService]) -> None:
    tls = certificates().server_tls()
    benchmark(service(), "-enable_ssl", "-attachment_size=100000", tls=tls)


def benchmark(service: ExampleService, *flags: str, **options: Any) -> int:
    """How many connections it took."""
    for _ in range(20):
        with example_server(service, **options) as server:
            was_connected = run_cpp_benchmark(str(server.endpoint), *flags)
            statistics = server.statistics()
        if was_connected:
            break
    assert was_connected
    assert statistics.errors == 0
    return statistics.accepted


def test_cpp_client_calls_over_a_unix_socket(unix_path: Path) -> None:
    address = f"unix:{unix_path}"
    with example_server(ExampleService(), address), cpp_client(address) as client:
        assert client.next_end() == ("hello world", "")


def test_cpp_client_reconnects_to_a_restarted_server() -> None:
    """By its own health check."""
    service = ExampleService()
    with example_server(service) as server:
        address = str(server.endpoint)
        with cpp_client(address, "-health_check_interval=1", "-connection_type=single") as client:
            client.next_end()
            server.stop()
            server.join()
            client.wait_for(lambda end: isinstance(end, str))
            server.start(address)
            assert client.wait_for(lambda end: isinstance(end, tuple)) == ("hello world", "")


def ends_while_workers_are_replaced(kind: str) -> list[tuple[str, str] | str]:
    """The ends of the calls of a client during three restarts and some calls after each of them,
    until the last is an answer."""
    ends: list[tuple[str, str] | str] = []
    with Supervisor("tests.peers.brpc_cpp:make_example_server", workers=2, grace=30) as supervisor:
        address = str(supervisor.start("127.0.0.1:0"))
        with cpp_client(address, f"-connection_type={kind}") as client:
            client.next_end()
            for _ in range(3):
                before = pids_of(supervisor)
                supervisor.restart()
                with ThreadPoolExecutor() as pool:
                    replaced = pool.submit(wait_replaced, supervisor, before)
                    while not replaced.done():
                        ends.append(client.next_end())
                    replaced.result()
                ends += [client.next_end() for _ in range(200)]
            client.wait_for(lambda end: isinstance(end, tuple))
    return ends


def errors_in(ends: list[tuple[str, str] | str]) -> list[str]:
    return [end for end in ends if isinstance(end, str)]


def test_cpp_client_of_type_single_sees_that_workers_are_replaced() -> None:
    """By E112, EHOSTDOWN, until its health check has found the endpoint up again."""
    errors = errors_in(ends_while_workers_are_replaced("single"))
    assert [error for error in errors if "[E112]Not connected to" in error]


@pytest.mark.parametrize("kind", ["pooled", "short"])
def test_cpp_client_of_another_type_sees_little_of_it(kind: str) -> None:
    ends = ends_while_workers_are_replaced(kind)
    errors = errors_in(ends)
    assert len(errors) < len(ends) / 10
    known = ("[E112]Not connected to", "[E2003]")
    assert [error for error in errors if not any(each in error for each in known)] == []
