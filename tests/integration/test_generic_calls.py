"""Generic calls: bytes in place of messages, from any caller, and to a handler of any method."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
import time
import types
from collections.abc import Iterator
from typing import Any

import pytest

import pybrpc
from pybrpc import ChecksumType, CompressType, Controller, RawRequest
from pybrpc.errors import (
    BadResponseError,
    ErrorCode,
    InternalServerError,
    LimitReachedError,
    NoMethodError,
    NoServiceError,
    ServerStateError,
    WouldDeadlockError,
)
from pybrpc.iobuf import IOBuf
from pybrpc.protocols.message import RpcRequest
from pybrpc.protocols.registry import protocol_named
from pybrpc.rpc.checksum import compute_checksum
from pybrpc.rpc.compress import compress
from pybrpc.server import Server
from tests.fakes.threads import wait_until
from tests.peers.callers import FORMS, caller
from tests.peers.echo import ECHO, echo_request
from tests.peers.nested_calls import RUNNING
from tests.peers.raw_peer import RawPeer, request
from tests.peers.scripted_server import Peer, ScriptedServer
from tests.peers.serving import EchoService, Gate, as_async, make_server, start
from tests.peers.streaming import MIXED
from tests.protos import conformance_pb2 as pb

GZIP, CRC32C = CompressType.GZIP, ChecksumType.CRC32C
BODY = echo_request("over and over " * 20).SerializeToString()
ZIPPED = compress(BODY, GZIP)
NAME = ECHO.full_name
every_form = pytest.mark.parametrize("form", FORMS)
in_each_place = pytest.mark.parametrize("place", RUNNING)
KINDS = [("threads", "plain"), ("loop", "plain"), ("threads", "async"), ("loop", "async")]
each_kind = pytest.mark.parametrize(("place", "kind"), KINDS)


@contextlib.contextmanager
def raw_caller(form: str, address: str, *names: str, **options: Any) -> Iterator[Any]:
    """A caller that sends bytes to the method with these names."""
    with caller(form, address, **options) as client:
        client.stub = types.SimpleNamespace(Echo=client.channel.raw_method(*names))
        yield client


@contextlib.contextmanager
def serving_generic(
    handler: Any, place: str = "threads", kind: str = "plain", **options: Any
) -> Iterator[Server]:
    server = Server(**options)
    server.add_generic_service(as_async(handler) if kind == "async" else handler)
    with RUNNING[place](server):
        yield server


def echo(request: RawRequest, controller: Controller) -> bytes:
    return request.body


class Noting:
    """A handler that echoes, and keeps its arguments."""

    def __init__(self) -> None:
        self.requests: list[RawRequest] = []
        self.controllers: list[Controller] = []

    def __call__(self, request: RawRequest, controller: Controller) -> bytes:
        self.requests.append(request)
        self.controllers.append(controller)
        return request.body


# --- callers ---


@every_form
def test_bytes_go_to_a_server_with_messages_and_come_back(form: str) -> None:
    with make_server() as server, raw_caller(form, str(start(server)), NAME, "Echo") as client:
        for body in (BODY, bytearray(BODY), IOBuf(BODY)):
            answer = client.call(body)
            assert type(answer) is bytes
            assert pb.EchoResponse.FromString(answer).message == "over and over " * 20


class Received:
    """A script that notes the bytes of one request, without its correlation id."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []

    def __call__(self, peer: Peer) -> None:
        while (asked := peer.read_request()) is not None:
            frame, peer.received = bytes(peer.received), bytearray()
            self.frames.append(frame.replace(varint(asked.correlation_id), b"<id>"))
            peer.answer(asked)


def varint(number: int) -> bytes:
    """The correlation id as it is in the meta, with the tag of its field."""
    out = bytearray(b"\x20")
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


@every_form
@pytest.mark.parametrize("has_controller", [False, True])
def test_request_is_the_same_on_the_wire_as_one_with_a_message(
    form: str, has_controller: bool
) -> None:
    received = Received()
    with ScriptedServer(received) as server:
        for call_as in (caller, raw_caller):
            names = () if call_as is caller else (NAME, "Echo")
            made: Any = call_as
            with made(form, server.address, *names, max_retry=0, connection_group=form) as client:
                options: dict[str, Any] = {}
                if has_controller:
                    options["controller"] = Controller(log_id=7, request_id="seven")
                    options["controller"].request_attachment = b"attached"
                client.call(echo_request("hello") if not names else b"\n\x05hello", **options)
    typed, raw = received.frames
    assert b"<id>" in typed
    assert raw == typed


def test_body_is_sent_as_it_is_and_the_controller_says_how_it_is_compressed() -> None:
    controller = Controller()
    controller.request_compress_type = GZIP
    options: dict[str, Any] = {"compress_type": CompressType.ZLIB, "checksum_type": CRC32C}
    with ScriptedServer() as server:
        with raw_caller("blocking", server.address, NAME, "Echo", **options) as client:
            client.call(ZIPPED, controller=controller)
            client.call(BODY)
    zipped, plain = server.requests
    assert (zipped.body, zipped.compress_type) == (ZIPPED, GZIP)
    assert zipped.checksum_value == compute_checksum(CRC32C, ZIPPED)
    assert (plain.body, plain.compress_type, plain.checksum_type) == (BODY, 0, CRC32C)


def test_compressed_response_is_given_as_it_came() -> None:
    def script(peer: Peer) -> None:
        asked = peer.expect_request()
        peer.answer(asked, body=ZIPPED, compress_type=GZIP, user_fields={"key": "value"})
        peer.answer(peer.expect_request(), checksum_type=CRC32C, checksum_value=b"1234")
        peer.wait_closed()

    controller = Controller()
    with ScriptedServer(script) as server:
        with raw_caller("blocking", server.address, NAME, "Echo") as client:
            assert client.call(BODY, controller=controller) == ZIPPED
            assert controller.response_compress_type is GZIP
            assert controller.response_user_fields == {"key": "value"}
            with pytest.raises(BadResponseError, match="Fail to read response: the checksum is"):
                client.call(BODY)


@pytest.mark.parametrize(("is_idempotent", "attempts"), [(False, 1), (True, 2)])
def test_call_that_may_have_run_is_repeated_if_it_is_idempotent(
    is_idempotent: bool, attempts: int
) -> None:
    def reset(peer: Peer) -> None:
        peer.expect_request()
        peer.reset()

    policy = pybrpc.RetryPolicy(may_have_run=False)
    with ScriptedServer(reset, lambda peer: peer.echo_until_closed()) as server:
        with pybrpc.Channel(server.address, timeout=30, retry_policy=policy) as channel:
            method = channel.raw_method(NAME, "Echo", is_idempotent=is_idempotent)
            with contextlib.nullcontext() if is_idempotent else pytest.raises(ConnectionError):
                method(BODY)
    assert len(server.requests) == attempts


def test_method_that_does_not_exist() -> None:
    with make_server() as server, pybrpc.Channel(start(server), timeout=30) as channel:
        with pytest.raises(NoServiceError, match="Fail to find service="):
            channel.raw_method("", "")(BODY)
        with pytest.raises(NoMethodError, match="EchoService/No"):
            channel.raw_method(NAME, "No")(BODY)


# --- servers ---


@every_form
@each_kind
def test_handler_gets_the_names_and_the_bytes_of_any_method(
    form: str, place: str, kind: str
) -> None:
    handler = Noting()
    with serving_generic(handler, place, kind) as server:
        with raw_caller(form, str(server.endpoint), "any.Service", "Method") as client:
            assert client.call(BODY) == BODY
        with caller(form, str(server.endpoint)) as client:
            assert client.call(echo_request("hello")).message == "hello"
    asked, typed = handler.requests
    assert asked == RawRequest("any.Service", "Method", BODY)
    assert typed == RawRequest(NAME, "Echo", b"\n\x05hello")
    assert [c.method_name for c in handler.controllers] == ["any.Service.Method", f"{NAME}.Echo"]


def test_methods_of_services_do_not_reach_it() -> None:
    handler, server = Noting(), Server()
    server.add_service(ECHO, types.SimpleNamespace(Echo=EchoService().Echo), partial=True)
    server.add_service(MIXED, types.SimpleNamespace(Echo=EchoService().Echo))
    server.add_generic_service(handler)
    with server, pybrpc.Channel(start(server), timeout=30) as channel:
        stub = pybrpc.Stub(ECHO, channel)
        assert stub.Echo(echo_request("hello")).message == "hello"
        with pytest.raises(NoMethodError, match="it is not implemented"):
            stub.Stream(echo_request("hello"))
        for service in (MIXED.full_name, MIXED.name):
            with pytest.raises(NoMethodError, match="it streams"):
                channel.raw_method(service, "Watch")(b"")
        assert handler.requests == []
        assert channel.raw_method(NAME, "Other")(b"body") == b"body"
    assert [asked.method for asked in handler.requests] == ["Other"]


@each_kind
def test_handler_sees_and_sets_all_that_travels_beside_a_body(place: str, kind: str) -> None:
    def handler(request: RawRequest, controller: Controller) -> bytes:
        assert request.body == ZIPPED
        assert controller.request_compress_type is GZIP
        assert (controller.log_id, controller.request_id) == (7, "seven")
        assert controller.deadline is not None
        controller.response_attachment = controller.request_attachment
        controller.response_user_fields = controller.request_user_fields
        controller.response_compress_type = GZIP
        controller.response_checksum_type = CRC32C
        controller.response_checksum_attachment = True
        return ZIPPED

    controller = Controller(log_id=7, request_id="seven")
    controller.request_attachment = b"attached"
    controller.request_user_fields = {"key": "value"}
    controller.request_compress_type = GZIP
    controller.request_checksum_type = CRC32C
    with serving_generic(handler, place, kind) as server:
        with raw_caller("blocking", str(server.endpoint), "a.Service", "M") as client:
            assert client.call(ZIPPED, controller=controller) == ZIPPED
    assert controller.response_attachment == b"attached"
    assert controller.response_user_fields == {"key": "value"}
    assert controller.response_compress_type is GZIP
    assert controller.response_checksum_type is CRC32C


def test_request_with_a_wrong_checksum_does_not_reach_it() -> None:
    handler = Noting()
    with serving_generic(handler) as server, RawPeer(server.endpoint) as peer:
        answer = peer.call(service="a.S", checksum_type=CRC32C, checksum_value=b"1234")
    assert answer.error_code == ErrorCode.EREQUEST
    assert "Fail to read request: the checksum is" in answer.error_text
    assert handler.requests == []


@each_kind
def test_errors_are_those_of_other_handlers(
    place: str, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    def handler(request: RawRequest, controller: Controller) -> Any:
        if request.method == "Raises":
            raise ValueError("why")
        if request.method == "Fails":
            controller.set_failed(20001, "no such user")
        return None

    with serving_generic(handler, place, kind) as server:
        with pybrpc.Channel(server.endpoint, timeout=30) as channel:
            with pytest.raises(pybrpc.RpcError, match="no such user") as caught:
                channel.raw_method("a.S", "Fails")(b"")
            assert caught.value.code == 20001
            assert caplog.messages == []
            with pytest.raises(InternalServerError, match="ValueError: why"):
                channel.raw_method("a.S", "Raises")(b"")
            assert caplog.messages == ["the handler of a.S.Raises raised"]
            with pytest.raises(InternalServerError, match="the handler returned NoneType"):
                channel.raw_method("a.S", "Nothing")(b"")
    assert caplog.messages[1].startswith("the answer of a.S.Nothing can't be sent: ")
    assert "the handler returned NoneType, not bytes" in caplog.messages[1]


def test_name_that_a_peer_has_chosen_does_not_flood_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def handler(request: RawRequest, controller: Controller) -> Any:
        return 7

    with serving_generic(handler) as server, RawPeer(server.endpoint) as peer:
        answer = peer.call(service="a.S\n" * 10_000, method="M")
    assert answer.error_code == ErrorCode.EINTERNAL
    line = caplog.messages[0]
    assert line.startswith("the answer of a.S")
    assert len(line) < 1000
    assert "\n" not in line


@each_kind
def test_limits_count_its_requests(place: str, kind: str) -> None:
    gate = Gate()

    def handler(request: RawRequest, controller: Controller) -> bytes:
        gate.entered.release()
        gate.opened.wait()
        return b""

    async def waiting(request: RawRequest, controller: Controller) -> bytes:
        return await asyncio.to_thread(handler, request, controller)

    server = make_server()
    server.add_generic_service(handler if kind == "plain" else waiting)
    server.set_max_concurrency("*", 1)
    with RUNNING[place](server), pybrpc.Channel(server.endpoint, timeout=30) as channel:
        first = channel.raw_method("a.S", "M").future(b"")
        gate.wait_entered()
        try:
            assert [call.method for call in server.unfinished()] == ["a.S.M"]
            with pytest.raises(LimitReachedError, match="concurrency=2"):
                channel.raw_method("b.S", "M")(b"")
            assert pybrpc.Stub(ECHO, channel).Echo(echo_request("hello")).message == "hello"
        finally:
            gate.open()
        assert first.result(30) == b""
        wait_until(lambda: server.statistics().running == 0)
        assert channel.raw_method("b.S", "M")(b"") == b""


@each_kind
def test_request_that_has_expired_does_not_reach_it(place: str, kind: str) -> None:
    gate, handler = Gate(), Noting()

    def blocking(request: RawRequest, controller: Controller) -> bytes:
        gate.entered.release()
        gate.opened.wait()
        return handler(request, controller)

    with serving_generic(blocking, place, kind, max_workers=1) as server:
        with RawPeer(server.endpoint) as peer:
            peer.send(request(1, service="a.S"), request(2, service="b.S", timeout_ms=1))
            gate.wait_entered()
            expired_at = time.monotonic() + 0.002
            wait_until(lambda: time.monotonic() > expired_at)
            gate.open()
            answers = peer.read_answers(2)
    assert [answers[i].error_code for i in (1, 2)] == [0, ErrorCode.ERPCTIMEDOUT]
    assert [asked.service for asked in handler.requests] == ["a.S"]


@in_each_place
def test_async_handler_is_cancelled_when_its_caller_has_gone(place: str) -> None:
    entered, ends = contextvars.ContextVar[str]("entered"), []
    gate = Gate()

    async def handler(request: RawRequest, controller: Controller) -> bytes:
        assert entered.get("nothing") == "nothing"
        entered.set(request.service)
        gate.entered.release()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            ends.append(controller.is_canceled)
            raise
        return b""

    with serving_generic(handler, place) as server:
        for _ in range(2):
            with RawPeer(server.endpoint) as peer:
                peer.send(request(1, service="a.S"))
                gate.wait_entered()
                peer.reset()
        wait_until(lambda: len(ends) == 2)
    assert ends == [True, True]


def test_blocking_call_in_the_loop_that_has_to_answer_it_is_refused() -> None:
    async def handler(request: RawRequest, controller: Controller) -> bytes:
        return b""

    async def main() -> None:
        async with Server() as server:
            server.add_generic_service(handler)
            with pybrpc.Channel(start(server), timeout=30) as channel:
                method = channel.raw_method("a.S", "M")
                with pytest.raises(WouldDeadlockError, match=r"a\.S\.M in the thread of the"):
                    method(b"")
                with pytest.raises(WouldDeadlockError, match=r"a\.S\.M in the thread of the"):
                    method.future(b"").result()
                assert await asyncio.to_thread(method, b"") == b""

    asyncio.run(main())


def test_call_of_hulu_has_the_place_of_its_method() -> None:
    handler = Noting()
    with serving_generic(handler) as server:
        with pybrpc.Channel(server.endpoint, timeout=30, protocol="hulu_pbrpc") as channel:
            assert pybrpc.Stub(ECHO, channel).Stream(echo_request("hello")).message == "hello"
            assert channel.raw_method("a.S", "", index=7)(BODY) == BODY
            assert channel.raw_method("a.S", "M")(BODY) == BODY
    assert handler.requests == [
        RawRequest("EchoService", "", b"\n\x05hello", 1),
        RawRequest("S", "", BODY, 7),
        RawRequest("S", "M", BODY, None),
    ]


def test_call_of_hulu_reaches_the_method_at_that_place() -> None:
    with make_server() as server:
        endpoint = start(server)
        with pybrpc.Channel(endpoint, timeout=30, protocol="hulu_pbrpc") as channel:
            method = channel.raw_method(NAME, "", index=0)
            assert method(b"\n\x05hello") == b"\n\x05hello"


def test_call_of_sofa_has_a_name() -> None:
    handler = Noting()
    with serving_generic(handler) as server:
        with pybrpc.Channel(server.endpoint, timeout=30, protocol="sofa_pbrpc") as channel:
            assert channel.raw_method("a.S", "M")(BODY) == BODY
    assert handler.requests == [RawRequest("a.S", "M", BODY)]


def test_frames_of_each_protocol_carry_the_body_as_it_is() -> None:
    for name in ("baidu_std", "hulu_pbrpc", "sofa_pbrpc"):
        protocol = protocol_named(name)
        with serving_generic(echo) as server, RawPeer(server.endpoint, protocol=protocol) as peer:
            peer.send(RpcRequest(1, "a.S", "M", ZIPPED, compress_type=GZIP))
            answer = peer.read_answer()
        assert (answer.error_code, answer.body) == (0, ZIPPED)


def test_it_is_added_once_before_the_start(caplog: pytest.LogCaptureFixture) -> None:
    server = Server()
    assert server.add_generic_service(echo) is echo
    with pytest.raises(ServerStateError, match="a generic service was added already"):
        server.add_generic_service(echo)
    assert repr(server) == "<Server of *, not started>"
    with caplog.at_level(logging.INFO, "pybrpc"), server:
        start(server)
        with pytest.raises(ServerStateError, match="before the server is started"):
            server.add_generic_service(echo)
