"""C++ bRPC itself at the other end: its examples echo_c++ and multi_threaded_echo_c++.

Skipped unless BRPC_CPP_BIN names the folder of their programs; docs/testing.md says more.
"""

from __future__ import annotations

import dataclasses
import os
import re
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import message_factory

import pybrpc
from bench.echo_messages import EXAMPLE
from bench.peers.cpp_program import MULTI_THREADED, ONE_BY_ONE, missing
from pybrpc import ChecksumType, CompressType, Controller
from pybrpc.base.endpoint import Endpoint
from pybrpc.errors import ErrorCode, NoMethodError, Phase, RpcTimeoutError
from pybrpc.iobuf import IOBuf
from pybrpc.protocols.message import RpcResponse
from pybrpc.rpc.checksum import compute_checksum
from tests.fakes.threads import wait_until
from tests.peers.body_encodings import ALL_ENCODINGS, BodyEncoding
from tests.peers.brpc_cpp import (
    AsyncExampleService,
    CppServer,
    ExampleService,
    cpp_client,
    cpp_server,
    cpp_unix_server,
    example_server,
    run_cpp_benchmark,
    service_with_another_method,
    sums_attachments,
)
from tests.peers.callers import FORMS, caller
from tests.peers.echo import ECHO
from tests.peers.raw_peer import RawPeer
from tests.peers.serving import Gate
from tests.peers.tls import certificates

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        bool(missing(ONE_BY_ONE, MULTI_THREADED)), reason=missing(ONE_BY_ONE, MULTI_THREADED)
    ),
]

SERVICE = EXAMPLE.service
HELLO = EXAMPLE.request(message=b"hello")
MEGABYTES_4 = 4 << 20
CRC32C = ChecksumType.CRC32C
every_form = pytest.mark.parametrize("form", FORMS)
every_service = pytest.mark.parametrize("service", [ExampleService, AsyncExampleService])
every_type = pytest.mark.parametrize("kind", ["single", "pooled", "short"])


@pytest.fixture(scope="module")
def cpp() -> Iterator[CppServer]:
    """A server for all tests that leave it as it was."""
    with cpp_server(MULTI_THREADED) as server:
        yield server


@pytest.fixture(scope="module")
def checksumming() -> Iterator[CppServer]:
    """A server that checksums its responses, and logs its requests."""
    with cpp_server(ONE_BY_ONE, "-enable_checksum") as server:
        yield server


def skip_what_it_lacks(sent: BodyEncoding) -> None:
    if sent.checksum_attachment and not sums_attachments():
        pytest.skip("this bRPC sums the body alone")


def with_attachment(size: int, **fields: Any) -> tuple[Controller, bytes]:
    controller, data = Controller(**fields), os.urandom(size)
    controller.request_attachment = IOBuf(data)
    return controller, data


# --- a client of ours, a server of theirs ---


@every_form
def test_every_form_of_calling(form: str, cpp: CppServer) -> None:
    with caller(form, cpp.address, SERVICE) as client:
        for size in (0, 10, 100_000, MEGABYTES_4):
            controller, data = with_attachment(size)
            response = client.call(HELLO, controller=controller)
            assert response.message == b"hello"
            assert controller.response_attachment == data
        many = client.call_many([EXAMPLE.request(message=b"%d" % n) for n in range(1000)])
        assert [response.message for response in many] == [b"%d" % n for n in range(1000)]
        assert client.statistics().unknown_answers == 0


@every_type
def test_eight_threads(kind: str, cpp: CppServer) -> None:
    wrong: list[object] = []

    def work(name: int) -> None:
        for number in range(200):
            text = b"%d of %d" % (number, name)
            controller, data = with_attachment(number * 100)
            response = stub.Echo(EXAMPLE.request(message=text), controller=controller)
            if (response.message, controller.response_attachment) != (text, data):
                wrong.append(text)

    with pybrpc.Channel(cpp.address, timeout=30, connection_type=kind) as channel:
        stub = pybrpc.Stub(SERVICE, channel)
        threads = [threading.Thread(target=work, args=(name,)) for name in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert wrong == []


@every_form
@pytest.mark.parametrize("sent", ALL_ENCODINGS, ids=str)
def test_cpp_server_reads_compressed_and_checksummed_requests(
    form: str, sent: BodyEncoding, cpp: CppServer
) -> None:
    skip_what_it_lacks(sent)
    controller, data = with_attachment(1000)
    sent.ask_for(controller, "request")
    text = b"over and over " * 1000
    with caller(form, cpp.address, SERVICE) as client:
        response = client.call(EXAMPLE.request(message=text), controller=controller)
    assert response.message == text
    assert controller.response_attachment == data
    assert BodyEncoding.of(controller, "response") == BodyEncoding()


def test_cpp_server_refuses_a_body_with_a_wrong_checksum(cpp: CppServer) -> None:
    """And goes on with the connection."""
    body = HELLO.SerializeToString()
    fields = {"service": SERVICE.full_name, "body": body, "checksum_type": CRC32C}
    with RawPeer(cpp.endpoint) as peer:
        refused = peer.call(**fields, checksum_value=b"1234")
        assert refused.error_code == ErrorCode.EREQUEST
        assert "ChecksumType=crc32c" in refused.error_text
        value = compute_checksum(CRC32C, body)
        assert peer.call(**fields, checksum_value=value).error_code == 0


@every_form
def test_cpp_server_answers_with_a_checksum(form: str, checksumming: CppServer) -> None:
    controller, data = with_attachment(10_000)
    with caller(form, checksumming.address, SERVICE) as client:
        assert client.call(HELLO, controller=controller).message == b"hello"
    assert controller.response_attachment == data
    assert BodyEncoding.of(controller, "response") == BodyEncoding(CompressType.NONE, CRC32C)


@every_form
def test_cpp_server_receives_the_log_id(form: str, checksumming: CppServer) -> None:
    log_id = (1 << 40) + FORMS.index(form)
    with caller(form, checksumming.address, SERVICE) as client:
        client.call(HELLO, controller=Controller(log_id=log_id))
    assert f"Received request[log_id={log_id}] from 127.0.0.1:" in checksumming.process.log()


@pytest.mark.parametrize(
    ("service", "method"), [(ECHO, "Echo"), (service_with_another_method(), "Echo2")]
)
def test_method_that_it_does_not_have(service: Any, method: str, cpp: CppServer) -> None:
    """It says the same of a service that it does not have, unless the name has no package."""
    request_class = message_factory.GetMessageClass(service.methods_by_name[method].input_type)
    with (
        pybrpc.Channel(cpp.address, timeout=30) as channel,
        pytest.raises(NoMethodError) as caught,
    ):
        getattr(pybrpc.Stub(service, channel), method)(request_class(message=b"hello"))
    said = f"Fail to find method={service.full_name}/{method}"
    assert caught.value.text == f"[E1002][{cpp.address}][E1002]{said}"
    assert caught.value.phase is Phase.SERVER


@pytest.mark.parametrize(
    ("code", "fields"),
    [
        (ErrorCode.ENOSERVICE, {"service": "Nobody"}),
        (ErrorCode.ENOMETHOD, {"service": "example.Nobody"}),
        (ErrorCode.ENOMETHOD, {"method": "Nothing"}),
        (ErrorCode.ENOMETHOD, {"service": "EchoService", "method": "Nothing"}),
        (ErrorCode.EREQUEST, {"body": b"\xff"}),
        (ErrorCode.EREQUEST, {"compress_type": CompressType.GZIP}),
        (ErrorCode.EREQUEST, {"compress_type": CompressType.SNAPPY}),
    ],
    ids=["short service", "service", "method", "method of short", "body", "gzip", "snappy"],
)
def test_our_server_fails_a_call_with_the_same_words(
    code: ErrorCode, fields: dict[str, Any], cpp: CppServer
) -> None:
    fields = {"service": SERVICE.full_name, "body": HELLO.SerializeToString(), **fields}
    with example_server(ExampleService()) as server:
        ours, theirs = (
            answer_without_address(endpoint, fields) for endpoint in (server.endpoint, cpp.endpoint)
        )
    assert ours.error_code == theirs.error_code == code
    assert ours.error_text.startswith(theirs.error_text)


def answer_without_address(endpoint: Endpoint, fields: dict[str, Any]) -> RpcResponse:
    with RawPeer(endpoint) as peer:
        answer = peer.call(**fields)
    return dataclasses.replace(answer, error_text=answer.error_text.replace(str(endpoint), "..."))


@every_form
def test_timeout_and_what_comes_after_it(form: str) -> None:
    """The answers that come too late are known as such, and the connection stays."""
    with cpp_server(MULTI_THREADED) as server, caller(form, server.address, SERVICE) as client:
        client.call(HELLO)
        with server.paused(), pytest.raises(RpcTimeoutError) as caught:
            client.call(HELLO, timeout=0.2)
        assert caught.value.code == ErrorCode.ERPCTIMEDOUT
        assert caught.value.phase is Phase.WAITING
        while client.statistics().late_answers == 0:
            assert client.call(HELLO).message == b"hello"
        assert client.statistics().late_answers == 1
        assert client.statistics().unknown_answers == 0


@every_form
def test_tls_and_plaintext_on_one_port(form: str, cpp: CppServer) -> None:
    for tls in (pybrpc.ClientTls(verify=False), None):
        controller, data = with_attachment(MEGABYTES_4)
        with caller(form, cpp.address, SERVICE, tls=tls, connect_timeout=30) as client:
            assert client.call(HELLO, controller=controller).message == b"hello"
        assert controller.response_attachment == data


def test_certificate_of_a_cpp_server_is_verified(cpp: CppServer) -> None:
    """It is an old one that it has signed itself, so it is trusted only if it is told to us."""
    options = {"timeout": 30, "connect_timeout": 30}
    with (
        caller("blocking", cpp.address, SERVICE, tls=True, **options) as client,
        pytest.raises(pybrpc.errors.HandshakeError) as caught,
    ):
        client.call(HELLO)
    assert "certificate verify failed" in caught.value.text


@every_form
def test_unix_socket(form: str, unix_path: Path) -> None:
    controller, data = with_attachment(MEGABYTES_4)
    with cpp_unix_server(unix_path) as address, caller(form, address, SERVICE) as client:
        assert client.call(HELLO, controller=controller).message == b"hello"
    assert controller.response_attachment == data


@pytest.mark.parametrize("form", ["blocking", "asyncio"])
def test_connection_that_it_closed_for_being_idle_is_replaced(form: str) -> None:
    controller = Controller()
    with (
        cpp_server(MULTI_THREADED, "-idle_timeout_s=1") as server,
        caller(form, server.address, SERVICE, max_retry=1) as client,
    ):
        client.call(HELLO, controller=controller)
        first = controller.local_side
        time.sleep(3)
        client.call(HELLO, controller=controller)
    assert controller.local_side != first


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL], ids=["asked", "killed"])
def test_calls_outlive_its_restart(how: signal.Signals) -> None:
    """Asked, it refuses what comes late with ELOGOFF; killed, its connections break."""
    flag = "-graceful_quit_on_sigterm"
    errors: list[Exception] = []
    ended, stop = [0] * 8, threading.Event()

    def work(name: int) -> None:
        while not stop.is_set():
            try:
                assert stub.Echo(HELLO).message == b"hello"
            except Exception as error:
                errors.append(error)
                return
            ended[name] += 1

    def wait_for_calls() -> None:
        before = list(ended)
        wait_until(lambda: bool(errors) or all(a > b for a, b in zip(ended, before, strict=True)))

    with cpp_server(MULTI_THREADED, flag) as server:
        port, address = server.endpoint.port, server.address
        channel = pybrpc.Channel(address, timeout=30, wait_for_ready=True, max_retry=10)
        stub = pybrpc.Stub(SERVICE, channel)
        threads = [threading.Thread(target=work, args=(name,)) for name in range(8)]
        for thread in threads:
            thread.start()
        wait_for_calls()
        server.process.send_signal(how)
        server.process.wait()
    with cpp_server(MULTI_THREADED, flag, port=port):
        wait_for_calls()
        stop.set()
        for thread in threads:
            thread.join()
    channel.close()
    assert errors == []


# --- a client of theirs, a server of ours ---


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
