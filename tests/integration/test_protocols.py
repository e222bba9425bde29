"""Calls over hulu_pbrpc and sofa_pbrpc, from our client to our server, in every form of calling."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.descriptor import ServiceDescriptor

import pybrpc
from pybrpc.base.endpoint import Endpoint
from pybrpc.errors import (
    AuthenticationError,
    BadRequestError,
    BadResponseError,
    ConnectError,
    ConnectionFailedError,
    NoMethodError,
    ProtocolError,
    RpcTimeoutError,
)
from pybrpc.iobuf import IOBuf
from pybrpc.protocols.hulu import HULU_PBRPC
from pybrpc.protocols.message import RpcResponse
from pybrpc.protocols.registry import protocol_named
from pybrpc.rpc.controller import Controller
from tests.fakes.threads import wait_until
from tests.peers.callers import FORMS, caller
from tests.peers.echo import ECHO, echo_request
from tests.peers.scripted_server import Peer, ScriptedServer, reserved_port
from tests.peers.serving import Gate, as_async, make_server, start
from tests.protos import conformance_pb2 as pb

PROTOCOLS = ("baidu_std", "hulu_pbrpc", "sofa_pbrpc")
HELLO = echo_request()

every_form = pytest.mark.parametrize("form", FORMS)
every_protocol = pytest.mark.parametrize("protocol", PROTOCOLS)
hulu_and_sofa = pytest.mark.parametrize("protocol", PROTOCOLS[1:])
every_type = pytest.mark.parametrize("connection_type", ["single", "pooled", "short"])


def echo_all(request: Any, controller: Controller) -> Any:
    """Gives back all that the protocol may carry; fails if asked to."""
    if request.fail_code:
        controller.set_failed(request.fail_code, request.fail_text)
    controller.response_attachment = controller.request_attachment
    controller.response_compress_type = controller.request_compress_type
    return pb.EchoResponse(message=request.message, log_id=controller.log_id)


def stream(request: Any, controller: Controller) -> Any:
    return pb.EchoResponse(message=f"streamed {request.message}")


@pytest.fixture(params=["def", "async"])
def address(request: pytest.FixtureRequest) -> Iterator[str]:
    """The address of a server."""
    handlers = [echo_all, stream]
    if request.param == "async":
        handlers = [as_async(handler) for handler in handlers]
    with make_server(*handlers) as server:
        yield str(start(server))


def service_with_echo_at(index: int) -> ServiceDescriptor:
    """The service as a client may have it who knows more methods, all of them before Echo."""
    file = descriptor_pb2.FileDescriptorProto()
    ECHO.file.CopyToProto(file)
    (service,) = file.service
    while len(service.method) <= index:
        service.method.add().CopyFrom(service.method[0])
    for number, method in enumerate(service.method):
        method.name = "Echo" if number == index else f"Another{number}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return pool.FindServiceByName(ECHO.full_name)


def request_of(service: ServiceDescriptor) -> Any:
    return message_factory.GetMessageClass(service.methods[0].input_type)(message="hello")


# --- all forms ---


@every_form
@hulu_and_sofa
def test_every_form_of_calling(form: str, protocol: str, address: str) -> None:
    with caller(form, address, protocol=protocol) as client:
        for size in (0, 10, 100_000, 4 << 20):
            text = "x" * size
            assert client.call(echo_request(text)).message == text
        many = client.call_many([echo_request(f"{number}") for number in range(1000)])
        assert [response.message for response in many] == [f"{n}" for n in range(1000)]
        assert client.statistics().unknown_answers == 0


@every_form
def test_hulu_carries_attachment_and_log_id(form: str, address: str) -> None:
    with caller(form, address, protocol="hulu_pbrpc") as client:
        for size in (1, 5000, 4 << 20):
            controller, data = Controller(log_id=size), os.urandom(size)
            controller.request_attachment = IOBuf(data)
            assert client.call(HELLO, controller=controller).log_id == size
            assert controller.response_attachment == data


@every_form
def test_hulu_calls_the_first_method_whatever_its_name_is_at_the_client(
    form: str, address: str
) -> None:
    """It has no name on the wire."""
    service = service_with_echo_at(0)
    with caller(form, address, service, protocol="hulu_pbrpc") as client:
        assert client.call(request_of(service)).message == "hello"


@hulu_and_sofa
def test_other_methods_than_the_first_are_called(protocol: str, address: str) -> None:
    with pybrpc.Channel(address, protocol=protocol, timeout=30) as channel:
        stub: Any = pybrpc.Stub(ECHO, channel)
        assert stub.Stream(HELLO).message == "streamed hello"
        assert stub.Echo(HELLO).message == "hello"


@every_form
@hulu_and_sofa
@pytest.mark.parametrize("kind", ["SNAPPY", "GZIP", "ZLIB"])
def test_bodies_are_compressed(form: str, protocol: str, kind: str, address: str) -> None:
    """HuluTest.hulu_compress, SofaTest.sofa_compress"""
    compress_type = pybrpc.CompressType[kind]
    with caller(form, address, protocol=protocol, compress_type=compress_type) as client:
        controller = Controller()
        assert client.call(echo_request("z" * 9999), controller=controller).message == "z" * 9999
        assert controller.response_compress_type is compress_type
        assert client.call(HELLO).message == "hello"


@every_form
@hulu_and_sofa
def test_error_of_a_handler_has_its_code_and_its_text(
    form: str, protocol: str, address: str
) -> None:
    """HuluTest.process_response_error_code, SofaTest.process_response_error_code"""
    with caller(form, address, protocol=protocol) as client:
        with pytest.raises(pybrpc.RpcError) as caught:
            client.call(echo_request(fail_code=12345, fail_text="why"))
        assert caught.value.code == 12345
        assert caught.value.text == f"[E12345][{address}][E12345]why"
        assert client.call(HELLO).message == "hello"


@every_form
@pytest.mark.parametrize(
    ("protocol", "text"),
    [
        ("hulu_pbrpc", "Fail to find method=10 of service=EchoService"),
        ("sofa_pbrpc", "Fail to find method=conformance.EchoService/Another3"),
    ],
)
def test_method_that_the_server_does_not_have(
    form: str, protocol: str, text: str, address: str
) -> None:
    service = service_with_echo_at(10)
    if protocol == "sofa_pbrpc":
        with pybrpc.Channel(address, protocol=protocol, timeout=30) as channel:
            stub: Any = pybrpc.Stub(service, channel)
            with pytest.raises(NoMethodError) as caught:
                stub.Another3(request_of(service))
    else:
        with caller(form, address, service, protocol=protocol) as client:
            with pytest.raises(NoMethodError) as caught:
                client.call(request_of(service))
    assert caught.value.text == f"[E1002][{address}][E1002]{text}"


@every_form
@hulu_and_sofa
def test_call_ends_at_its_timeout_and_its_late_answer_is_dropped(form: str, protocol: str) -> None:
    gate = Gate()
    with make_server(gate) as server:
        with caller(form, str(start(server)), protocol=protocol) as client:
            with pytest.raises(RpcTimeoutError):
                client.call(HELLO, timeout=0.2)
            gate.open()
            while client.statistics().late_answers == 0:
                assert client.call(HELLO).message == "hello"
            assert client.statistics().unknown_answers == 0
        assert server.statistics().accepted == 1


@every_form
@hulu_and_sofa
def test_response_that_comes_just_before_the_end_is_delivered(form: str, protocol: str) -> None:
    """HuluTest.process_response_after_eof, SofaTest.process_response_after_eof"""

    def script(peer: Peer) -> None:
        peer.answer(peer.expect_request())

    with ScriptedServer(script, protocol=protocol_named(protocol)) as server:
        with caller(form, server.address, protocol=protocol, max_retry=0) as client:
            assert client.call(HELLO).message == "hello"


@every_form
@hulu_and_sofa
def test_connection_that_is_closed_instead_of_an_answer(form: str, protocol: str) -> None:
    """HuluTest.close_in_callback, SofaTest.close_in_callback"""

    def script(peer: Peer) -> None:
        peer.expect_request()

    with ScriptedServer(script, protocol=protocol_named(protocol)) as server:
        with caller(form, server.address, protocol=protocol, max_retry=0) as client:
            with pytest.raises(ConnectionFailedError):
                client.call(HELLO)


@every_form
@hulu_and_sofa
def test_response_over_the_limit_fails_its_call_alone(form: str, protocol: str) -> None:
    with make_server(echo_all) as server:
        address = str(start(server))
        with caller(form, address, protocol=protocol, max_body_size=1000) as client:
            with pytest.raises(BadResponseError, match="is larger than max_body_size=1000"):
                client.call(echo_request("x" * 100_000))
            assert client.call(HELLO).message == "hello"
        assert server.statistics().accepted == 1


@every_form
@pytest.mark.parametrize(
    ("protocol", "name"),
    [
        ("sofa_pbrpc", "log_id"),
        ("sofa_pbrpc", "attachment"),
        ("sofa_pbrpc", "request_id"),
        ("sofa_pbrpc", "user_fields"),
        ("sofa_pbrpc", "checksum_type"),
        ("hulu_pbrpc", "request_id"),
        ("hulu_pbrpc", "user_fields"),
        ("hulu_pbrpc", "checksum_type"),
    ],
)
def test_call_that_asks_for_too_much_is_refused_and_says_why(
    form: str, protocol: str, name: str, address: str
) -> None:
    controller = Controller()
    if name == "attachment":
        controller.request_attachment = IOBuf(b"x")
    elif name == "user_fields":
        controller.request_user_fields["a"] = "b"
    elif name == "checksum_type":
        controller.request_checksum_type = pybrpc.ChecksumType.CRC32C
    else:
        setattr(controller, name, 7 if name == "log_id" else "7")
    with caller(form, address, protocol=protocol) as client:
        with pytest.raises(BadRequestError, match=f"{protocol} has no place for {name}"):
            client.call(HELLO, controller=controller)
        assert client.call(HELLO).message == "hello"


# --- connections ---


@every_type
@every_protocol
def test_all_connection_types(connection_type: Any, protocol: str, address: str) -> None:
    options = {"protocol": protocol, "connection_type": connection_type, "timeout": 30}
    with pybrpc.Channel(address, **options) as channel:
        stub: Any = pybrpc.Stub(ECHO, channel)
        futures = [stub.Echo.future(echo_request(f"{number}")) for number in range(50)]
        assert [future.result().message for future in futures] == [f"{n}" for n in range(50)]


def test_channels_share_a_connection_only_with_those_of_their_protocol() -> None:
    with make_server() as server, contextlib.ExitStack() as stack:
        address = str(start(server))
        for protocol in PROTOCOLS * 2:
            channel = stack.enter_context(
                pybrpc.Channel(address, protocol=protocol, timeout=30)  # type: ignore[arg-type]
            )
            stub: Any = pybrpc.Stub(ECHO, channel)
            assert stub.Echo(HELLO).message == "hello"
        assert server.statistics().accepted == len(PROTOCOLS)


@hulu_and_sofa
def test_health_check_speaks_the_protocol_of_the_channel(protocol: str) -> None:
    check = pybrpc.HealthCheck(ECHO.methods_by_name["Echo"], HELLO, timeout=30)
    options: Any = {"protocol": protocol, "health_check": check, "timeout": 30, "max_retry": 0}
    with reserved_port() as address, pybrpc.Channel(address, **options) as channel:
        stub: Any = pybrpc.Stub(ECHO, channel)
        with pytest.raises(ConnectError):
            stub.Echo(HELLO)
        with make_server() as server:
            server.start(address)
            wait_until(lambda: not is_down(channel))
            assert server.statistics().requests == 1
            assert stub.Echo(HELLO).message == "hello"


def is_down(channel: pybrpc.Channel) -> bool:
    found = channel.endpoint_statistics()
    assert found is not None
    return found.is_down


@hulu_and_sofa
def test_backup_request_is_answered(protocol: str) -> None:
    def first_is_late(peer: Peer) -> None:
        peer.expect_request()
        peer.answer(peer.expect_request())
        peer.wait_closed()

    with ScriptedServer(first_is_late, protocol=protocol_named(protocol)) as server:
        options: Any = {"protocol": protocol, "timeout": 30, "backup_request_ms": 10}
        with pybrpc.Channel(server.address, **options) as channel:
            controller, stub = Controller(), pybrpc.Stub(ECHO, channel)
            assert stub.Echo(HELLO, controller=controller).message == "hello"
            assert controller.has_backup_request


# --- credentials ---


class Token:
    def generate_credential(self) -> bytes:
        return b"secret"

    def verify_credential(self, credential: bytes, client: Endpoint) -> None:
        if credential != b"secret":
            raise AuthenticationError("who are you?")


class WrongToken(Token):
    def generate_credential(self) -> bytes:
        return b"guess"


@every_form
def test_credential_is_in_the_first_request_of_a_hulu_connection(form: str) -> None:
    """HuluTest.complete_flow"""

    def script(peer: Peer) -> None:
        peer.echo_until_closed()

    with ScriptedServer(script, protocol=HULU_PBRPC) as server:
        with caller(form, server.address, protocol="hulu_pbrpc", auth=Token()) as client:
            for _ in range(3):
                controller = Controller()
                controller.request_attachment = IOBuf(b"attached")
                assert client.call(HELLO, controller=controller).message == "hello"
                assert controller.response_attachment == b"attached"
    assert [request.credential for request in server.requests] == [b"secret", None, None]
    assert [request.method_index for request in server.requests] == [0, 0, 0]


@every_form
@pytest.mark.parametrize("auth", [WrongToken(), None], ids=["wrong", "none"])
def test_hulu_server_refuses_a_credential(form: str, auth: Any) -> None:
    with make_server(auth=Token()) as server:
        with caller(form, str(start(server)), protocol="hulu_pbrpc", auth=auth) as client:
            with pytest.raises(AuthenticationError, match="Fail to authenticate: who are you"):
                client.call(HELLO)
        with caller(form, str(server.endpoint), protocol="hulu_pbrpc", auth=Token()) as client:
            assert client.call(HELLO).message == "hello"


@every_form
@pytest.mark.parametrize("auth", [Token(), None], ids=["credential", "none"])
def test_hulu_client_knows_the_refusal_that_cpp_sends_by_mistake(form: str, auth: Any) -> None:
    """C++ writes the meta of the request where that of the response belongs, and closes."""

    def script(peer: Peer) -> None:
        asked = peer.expect_request()
        asked.body = b""
        peer.send(bytes(HULU_PBRPC.pack_request(asked)))

    with ScriptedServer(script, protocol=HULU_PBRPC) as server:
        with caller(form, server.address, protocol="hulu_pbrpc", auth=auth) as client:
            with pytest.raises(AuthenticationError, match="Fail to authenticate"):
                client.call(HELLO)
    assert len(server.requests) == 1


@every_form
def test_request_to_a_client_that_is_known_is_an_error_of_the_protocol(form: str) -> None:
    def script(peer: Peer) -> None:
        peer.answer(peer.expect_request())
        peer.send(bytes(HULU_PBRPC.pack_request(peer.expect_request())))
        peer.wait_closed()

    with ScriptedServer(script, protocol=HULU_PBRPC) as server:
        with caller(form, server.address, protocol="hulu_pbrpc", max_retry=0) as client:
            assert client.call(HELLO).message == "hello"
            with pytest.raises(ProtocolError, match="sent a request to a client"):
                client.call(HELLO)


@every_form
def test_sofa_client_without_a_credential_is_refused(form: str) -> None:
    with make_server(auth=Token()) as server:
        with caller(form, str(start(server)), protocol="sofa_pbrpc") as client:
            with pytest.raises(AuthenticationError):
                client.call(HELLO)


# --- answers ---


@every_form
@pytest.mark.parametrize(
    ("protocol", "name"),
    [
        ("sofa_pbrpc", "attachment"),
        ("sofa_pbrpc", "user_fields"),
        ("hulu_pbrpc", "user_fields"),
        ("hulu_pbrpc", "checksum_type"),
    ],
)
def test_handler_that_answers_with_too_much_gets_an_error_instead(
    form: str, protocol: str, name: str
) -> None:
    def handle(request: Any, controller: Controller) -> Any:
        if name == "attachment":
            controller.response_attachment = IOBuf(b"x")
        elif name == "user_fields":
            controller.response_user_fields["a"] = "b"
        else:
            controller.response_checksum_type = pybrpc.ChecksumType.CRC32C
        if request.fail_code:
            controller.set_failed(request.fail_code, "on purpose")
        return pb.EchoResponse(message=request.message)

    with make_server(handle) as server:
        with caller(form, str(start(server)), protocol=protocol) as client:
            with pytest.raises(BadResponseError, match=f"{protocol} has no place for {name}"):
                client.call(HELLO)
            with pytest.raises(pybrpc.RpcError, match="on purpose") as caught:
                client.call(echo_request(fail_code=4711))
            assert caught.value.code == 4711


@every_form
@hulu_and_sofa
def test_response_that_contradicts_itself_or_belongs_to_nobody(form: str, protocol: str) -> None:
    speaks = protocol_named(protocol)

    def script(peer: Peer) -> None:
        asked = peer.expect_request()
        peer.send(bytes(speaks.pack_response(RpcResponse(1 << 40, body=b"x"))))
        peer.answer(asked)
        peer.answer(peer.expect_request(), body=b"\xff")
        peer.echo_until_closed()

    with ScriptedServer(script, protocol=speaks) as server:
        with caller(form, server.address, protocol=protocol) as client:
            assert client.call(HELLO).message == "hello"
            assert client.statistics().unknown_answers == 1
            with pytest.raises(BadResponseError, match="Fail to parse response"):
                client.call(HELLO)
            assert client.call(HELLO).message == "hello"
    assert server.connections == 1


# --- options ---


@pytest.mark.parametrize("make", [pybrpc.Channel, pybrpc.aio.Channel])
def test_option_protocol_is_checked(make: Any) -> None:
    text = "unknown protocol 'ftp'; known: baidu_std, hulu_pbrpc, sofa_pbrpc, http"
    with pytest.raises(ValueError, match=f"^{text}$"):
        make("127.0.0.1:1", protocol="ftp")
    with pytest.raises(TypeError, match="protocol must be a name"):
        make("127.0.0.1:1", protocol=None)
    with pytest.raises(ValueError, match="leave out auth: sofa_pbrpc has no place for a credent"):
        make("127.0.0.1:1", protocol="sofa_pbrpc", auth=Token())


@every_protocol
def test_protocol_that_is_not_enabled_is_not_understood(protocol: str) -> None:
    others = " ".join(name for name in PROTOCOLS if name != protocol)
    with make_server(enabled_protocols=others) as server:
        address = str(start(server))
        for name in others.split():
            with caller("blocking", address, protocol=name) as client:
                assert client.call(HELLO).message == "hello"
        with caller("blocking", address, protocol=protocol, max_retry=0) as client:
            with pytest.raises(ConnectionFailedError):
                client.call(HELLO)
        wait_until(lambda: server.statistics().connections == 0)
        assert server.statistics().requests == 2
