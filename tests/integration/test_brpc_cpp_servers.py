"""Servers of C++ bRPC, its examples, that our clients call.

Skipped unless BRPC_CPP_BIN names the folder of their programs; docs/how-it-is-tested.md says more.
"""

from __future__ import annotations

import dataclasses
import os
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
from bench.peers.cpp_program import MULTI_THREADED, ONE_BY_ONE
from pybrpc import CompressType, Controller
from pybrpc.base.endpoint import Endpoint
from pybrpc.errors import ErrorCode, NoMethodError, Phase, RpcTimeoutError
from pybrpc.iobuf import IOBuf
from pybrpc.protocols.hulu import HULU_PBRPC
from pybrpc.protocols.message import RpcRequest, RpcResponse
from pybrpc.rpc.checksum import compute_checksum
from tests.fakes.threads import wait_until
from tests.peers.body_encodings import ALL_ENCODINGS, BodyEncoding
from tests.peers.brpc_cpp import (
    CRC32C,
    HELLO,
    MEGABYTES_4,
    CppServer,
    ExampleService,
    cpp_server,
    cpp_unix_server,
    every_type,
    example_server,
    needs_cpp,
    other_protocols,
    service_with_another_method,
    skip_what_it_lacks,
)
from tests.peers.callers import FORMS, caller
from tests.peers.echo import ECHO
from tests.peers.raw_peer import RawPeer

pytestmark = needs_cpp
SERVICE = EXAMPLE.service
every_form = pytest.mark.parametrize("form", FORMS)


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


def with_attachment(size: int, **fields: Any) -> tuple[Controller, bytes]:
    controller, data = Controller(**fields), os.urandom(size)
    controller.request_attachment = IOBuf(data)
    return controller, data


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


@every_form
@other_protocols
def test_cpp_server_of_another_protocol(form: str, protocol: str, cpp: CppServer) -> None:
    with caller(form, cpp.address, SERVICE, protocol=protocol) as client:
        for size in (1, 10, 100_000, MEGABYTES_4):
            message = b"m" * size
            assert client.call(EXAMPLE.request(message=message)).message == message
        many = client.call_many([EXAMPLE.request(message=b"%d" % n) for n in range(1000)])
        assert [response.message for response in many] == [b"%d" % n for n in range(1000)]
        assert client.statistics().unknown_answers == 0


@every_form
def test_cpp_server_receives_what_hulu_carries(form: str, checksumming: CppServer) -> None:
    log_id = (1 << 41) + FORMS.index(form)
    with caller(form, checksumming.address, SERVICE, protocol="hulu_pbrpc") as client:
        controller, data = with_attachment(100_000, log_id=log_id)
        assert client.call(HELLO, controller=controller).message == b"hello"
        assert controller.response_attachment == data
    assert f"Received request[log_id={log_id}] from 127.0.0.1:" in checksumming.process.log()


@other_protocols
@every_type
@pytest.mark.parametrize("compress", [CompressType.GZIP, CompressType.ZLIB, CompressType.SNAPPY])
def test_cpp_server_of_another_protocol_reads_compressed_requests(
    kind: str, protocol: str, compress: CompressType, cpp: CppServer
) -> None:
    options: Any = {"protocol": protocol, "connection_type": kind, "compress_type": compress}
    with caller("future", cpp.address, SERVICE, **options) as client:
        many = client.call_many([EXAMPLE.request(message=b"%d" % n * 100) for n in range(50)])
    assert [response.message for response in many] == [b"%d" % n * 100 for n in range(50)]


@pytest.mark.parametrize(
    ("protocol", "said"),
    [
        ("hulu_pbrpc", "Fail to find method=1 of service=EchoService"),
        ("sofa_pbrpc", "Fail to find method=example.EchoService.Echo2"),
    ],
)
def test_method_that_it_does_not_have_by_another_protocol(
    protocol: str, said: str, cpp: CppServer
) -> None:
    service = service_with_another_method()
    request_class = message_factory.GetMessageClass(service.methods_by_name["Echo2"].input_type)
    with (
        pybrpc.Channel(cpp.address, timeout=30, protocol=protocol) as channel,
        pytest.raises(NoMethodError) as caught,
    ):
        pybrpc.Stub(service, channel).Echo2(request_class(message=b"hello"))
    assert caught.value.text == f"[E1002][{cpp.address}][E1002]{said}"


@pytest.mark.parametrize("method_index", [-1, 1, 2**31 - 1])
def test_cpp_server_refuses_an_index_that_it_does_not_have_and_goes_on(
    method_index: int, cpp: CppServer
) -> None:
    """Also -1, which we send with a method that has only a name."""
    with RawPeer(cpp.endpoint, protocol=HULU_PBRPC) as peer:
        for index, code in ((method_index, ErrorCode.ENOMETHOD), (0, 0)):
            body = HELLO.SerializeToString()
            peer.send(RpcRequest(7, "EchoService", "", body, method_index=index))
            answer = peer.read_answer()
            assert (answer.correlation_id, answer.error_code) == (7, code)
