"""Compressed and checksummed bodies, and those that client and server refuse."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import pybrpc
from pybrpc import CompressType, Controller
from pybrpc.errors import BadRequestError, BadResponseError, ErrorCode, Phase
from pybrpc.iobuf import IOBuf
from pybrpc.protocols.message import RpcRequest, RpcResponse
from pybrpc.rpc.checksum import compute_checksum
from pybrpc.rpc.compress import compress
from tests.peers.body_encodings import ALL_ENCODINGS, CRC32C, GZIP, SNAPPY, ZLIB, BodyEncoding
from tests.peers.callers import FORMS, caller
from tests.peers.echo import ECHO, echo_body, echo_request
from tests.peers.raw_peer import request, text_of
from tests.peers.scripted_server import Peer, ScriptedServer, echo
from tests.peers.serving import Handler, as_async, serving
from tests.protos import conformance_pb2 as pb

TEXT = "over and over " * 100
ATTACHMENT = b"attached and never compressed" * 10
LIMIT = 100_000


class EchoService:
    """Answers in the form that the test wants, and says in which the request came."""

    def __init__(self) -> None:
        self.asked = BodyEncoding()
        self.came: list[BodyEncoding] = []

    def Echo(self, request: pb.EchoRequest, controller: Controller) -> pb.EchoResponse:
        self.came.append(BodyEncoding.of(controller, "request"))
        self.asked.ask_for(controller, "response")
        controller.response_attachment = controller.request_attachment
        return pb.EchoResponse(message=request.message)

    Stream = Echo


class AsyncEchoService(EchoService):
    async def Echo(self, request: pb.EchoRequest, controller: Controller) -> pb.EchoResponse:
        return EchoService.Echo(self, request, controller)

    Stream = Echo


@pytest.fixture(params=[EchoService, AsyncEchoService], ids=["def", "async"])
def service(request: pytest.FixtureRequest) -> EchoService:
    made: EchoService = request.param()
    return made


@pytest.fixture
def address(service: EchoService) -> Iterator[str]:
    """The address of a server with that service."""
    with pybrpc.Server() as server:
        server.add_service(ECHO, service)
        yield str(server.start("127.0.0.1:0"))


every_form = pytest.mark.parametrize("form", FORMS)


@every_form
def test_every_form_of_request_with_every_form_of_response(
    form: str, service: EchoService, address: str
) -> None:
    with caller(form, address) as client:
        for sent, service.asked in itertools.product(ALL_ENCODINGS, ALL_ENCODINGS):
            controller = Controller()
            controller.request_attachment = IOBuf(ATTACHMENT)
            sent.ask_for(controller, "request")
            assert client.call(echo_request(TEXT), controller=controller).message == TEXT
            assert controller.response_attachment == ATTACHMENT
            assert service.came.pop() == sent
            assert BodyEncoding.of(controller, "response") == service.asked


@pytest.mark.parametrize("sent", ALL_ENCODINGS, ids=str)
def test_response_does_not_follow_the_request(
    sent: BodyEncoding, service: EchoService, address: str
) -> None:
    controller = Controller()
    sent.ask_for(controller, "request")
    with caller("blocking", address) as client:
        client.call(echo_request(TEXT), controller=controller)
    assert service.came == [sent]
    assert BodyEncoding.of(controller, "response") == BodyEncoding()


def test_compressed_body_is_smaller_on_the_wire() -> None:
    with ScriptedServer() as server, caller("blocking", server.address) as client:
        for kind in (SNAPPY, GZIP, ZLIB):
            controller = Controller()
            controller.request_compress_type = kind
            client.call(echo_request(TEXT), controller=controller)
    assert [r.compress_type for r in server.requests] == [SNAPPY, GZIP, ZLIB]
    assert all(len(r.body) < len(TEXT) / 4 for r in server.requests)


def test_meta_of_a_request_says_how_its_body_travels() -> None:
    controller = Controller()
    controller.request_attachment = IOBuf(ATTACHMENT)
    BodyEncoding(GZIP, CRC32C, checksum_attachment=True).ask_for(controller, "request")
    with ScriptedServer() as server, caller("blocking", server.address) as client:
        client.call(echo_request(TEXT), controller=controller)
        BodyEncoding().ask_for(controller, "request")
        client.call(echo_request(TEXT), controller=controller)
    checksummed, plain = server.requests
    assert checksummed.body == compress(echo_request(TEXT).SerializeToString(), GZIP)
    assert checksummed.checksum_value == compute_checksum(
        CRC32C, checksummed.body, IOBuf(ATTACHMENT)
    )
    assert (checksummed.compress_type, checksummed.checksum_type) == (GZIP, CRC32C)
    assert checksummed.checksum_with_attachment is True
    assert plain.body == echo_request(TEXT).SerializeToString()
    assert (plain.compress_type, plain.checksum_type, plain.checksum_value) == (0, 0, b"")
    assert plain.checksum_with_attachment is None


def zip_and_sum(request: Any, controller: Controller) -> pb.EchoResponse:
    BodyEncoding(ZLIB, CRC32C, checksum_attachment=True).ask_for(controller, "response")
    controller.response_attachment = IOBuf(ATTACHMENT)
    return pb.EchoResponse(message=request.message)


def zip_and_fail(request: Any, controller: Controller) -> None:
    BodyEncoding(ZLIB, CRC32C).ask_for(controller, "response")
    controller.set_failed(10042, "no")


@pytest.mark.parametrize("kind", [lambda handler: handler, as_async], ids=["def", "async"])
def test_meta_of_an_answer_says_how_its_body_travels(kind: Callable[[Handler], Handler]) -> None:
    with serving(kind(zip_and_sum), kind(zip_and_fail)) as peer:
        body = compress(pb.EchoResponse(message="hello").SerializeToString(), ZLIB)
        assert peer.call() == RpcResponse(
            1,
            body=body,
            attachment=IOBuf(ATTACHMENT),
            compress_type=ZLIB,
            checksum_type=CRC32C,
            checksum_value=compute_checksum(CRC32C, body, IOBuf(ATTACHMENT)),
            checksum_with_attachment=True,
        )
        failure = peer.call("Stream")
        assert (failure.error_code, failure.body) == (10042, b"")
        assert (failure.compress_type, failure.checksum_type) == (0, 0)


def test_retry_sends_the_same_body_again() -> None:
    def break_off(peer: Peer) -> None:
        peer.expect_request()

    controller = Controller()
    controller.request_attachment = IOBuf(ATTACHMENT)
    BodyEncoding(GZIP, CRC32C, checksum_attachment=True).ask_for(controller, "request")
    with ScriptedServer(break_off, echo) as server, caller("blocking", server.address) as client:
        assert client.call(echo_request(TEXT), controller=controller).message == TEXT
    assert controller.retried_count == 1
    first, second = server.requests
    assert (first.body, first.checksum_value) == (second.body, second.checksum_value)


BODY = echo_request(TEXT).SerializeToString()
BOMB = compress(pb.EchoRequest(message="0" * 20_000_000).SerializeToString(), GZIP)
GOOD_SUM = {"checksum_type": CRC32C, "checksum_value": compute_checksum(CRC32C, BODY)}
SUM_OF_BOTH = GOOD_SUM | {"checksum_value": compute_checksum(CRC32C, BODY, IOBuf(ATTACHMENT))}
LYING = b"\xff\xff\x03" + compress(BODY, SNAPPY)[2:]

BAD_BODIES: dict[str, tuple[dict[str, Any], str]] = {
    "bomb": (
        {"body": BOMB, "compress_type": GZIP},
        f"CompressType=gzip, ChecksumType=none, request_size={len(BOMB)}: "
        f"the decompressed body is larger than max_body_size={LIMIT}",
    ),
    "cut short": (
        {"body": compress(BODY, ZLIB)[:-1], "compress_type": ZLIB},
        "the compressed body is cut short",
    ),
    "lies about its size": (
        {"body": LYING, "compress_type": SNAPPY},
        "bytes of snappy data declare an impossible size of 65535 bytes",
    ),
    "no message inside": (
        {"body": compress(b"\xff", SNAPPY), "compress_type": SNAPPY},
        "CompressType=snappy, ChecksumType=none, request_size=3",
    ),
    "lz4": ({"body": BODY, "compress_type": 4}, "compress_type=4 is not supported"),
    "wrong checksum": (
        {"body": BODY + b"\x28\x01"} | GOOD_SUM,
        f"ChecksumType=crc32c, request_size={len(BODY) + 2}: the checksum is",
    ),
    "checksum of no bytes": ({"body": BODY} | GOOD_SUM | {"checksum_value": b""}, "the checksum"),
    "unknown checksum": ({"body": BODY, "checksum_type": 9}, "checksum_type=9 is not supported"),
    "attachment changed": (
        {"attachment": IOBuf(b"!" + ATTACHMENT), "checksum_with_attachment": True} | SUM_OF_BOTH,
        "the checksum is",
    ),
    "attachment not covered": (
        {"attachment": IOBuf(ATTACHMENT)} | SUM_OF_BOTH,
        "the checksum is",
    ),
    "attachment gone": ({"checksum_with_attachment": True} | SUM_OF_BOTH, "the checksum is"),
    "json": ({"body": b"{}", "content_type": 1}, "ContentType=json"),
}

every_bad_body = pytest.mark.parametrize("bad", BAD_BODIES)


@pytest.mark.parametrize("kind", [lambda handler: handler, as_async], ids=["def", "async"])
@every_bad_body
def test_bad_request_is_answered_and_the_connection_stays(
    bad: str, kind: Callable[[Handler], Handler]
) -> None:
    fields, text = BAD_BODIES[bad]

    def handle(request: Any, controller: Controller) -> pb.EchoResponse:
        return pb.EchoResponse(message="handled")

    with serving(kind(handle), max_body_size=LIMIT) as peer:
        answer = peer.call(**({"body": BODY} | fields))
        assert answer.error_code == ErrorCode.EREQUEST
        assert "[E1003]Fail to parse request=conformance.EchoRequest, ContentType" in (
            answer.error_text
        )
        assert text in answer.error_text
        assert text_of(peer.call(body=BODY, **GOOD_SUM)) == "handled"


@every_form
@every_bad_body
def test_bad_answer_fails_its_call_and_the_connection_stays(form: str, bad: str) -> None:
    fields, text = BAD_BODIES[bad]

    def script(peer: Peer) -> None:
        peer.answer(peer.expect_request(), **({"body": BODY, "attachment": None} | fields))
        peer.echo_until_closed()

    controller = Controller()
    with (
        ScriptedServer(script) as server,
        caller(form, server.address, max_body_size=LIMIT) as client,
    ):
        with pytest.raises(BadResponseError) as caught:
            client.call(echo_request(), controller=controller)
        start = "[E2002]Fail to parse response=conformance.EchoResponse, ContentType="
        assert caught.value.text.startswith(start)
        assert text in caught.value.text
        assert caught.value.phase is Phase.WAITING
        assert controller.error_code == ErrorCode.ERESPONSE
        assert client.call(echo_request("next")).message == "next"
    assert server.connections == 1


def test_answer_with_a_checksum_that_covers_its_attachment() -> None:
    def script(peer: Peer) -> None:
        request = peer.expect_request()
        attachment = IOBuf(ATTACHMENT)
        peer.answer(
            request,
            attachment=attachment,
            checksum_type=CRC32C,
            checksum_value=compute_checksum(CRC32C, echo_body(request), attachment),
            checksum_with_attachment=True,
        )
        peer.wait_closed()

    controller = Controller()
    with ScriptedServer(script) as server, caller("blocking", server.address) as client:
        assert client.call(echo_request(), controller=controller).message == "hello"
    assert BodyEncoding.of(controller, "response") == BodyEncoding(CompressType.NONE, CRC32C, True)


UNSENDABLE: dict[str, tuple[BodyEncoding, str]] = {
    "lz4": (BodyEncoding(CompressType.LZ4), "compress_type=4 is not supported"),
    "snappy": (BodyEncoding(SNAPPY), "pip install 'pybrpc[snappy]'"),
    "crc32c": (BodyEncoding(GZIP, CRC32C), "pip install 'pybrpc[crc32c]'"),
}


@pytest.fixture
def no_extras(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where pybrpc was installed by itself."""
    monkeypatch.setitem(sys.modules, "cramjam", None)
    monkeypatch.setitem(sys.modules, "crc32c", None)


@pytest.mark.usefixtures("no_extras")
@every_form
@pytest.mark.parametrize("what", UNSENDABLE)
def test_unknown_or_missing_encoding_is_refused_before_anything_is_sent(
    form: str, what: str
) -> None:
    asked, text = UNSENDABLE[what]
    controller = Controller()
    asked.ask_for(controller, "request")
    with ScriptedServer() as server, caller(form, server.address) as client:
        with pytest.raises(BadRequestError) as caught:
            client.call(echo_request(), controller=controller)
        assert caught.value.text.startswith("[E1003]Fail to compress request=conformance.EchoReq")
        assert text in caught.value.text
        assert caught.value.phase is Phase.QUEUED
        assert controller.error_text == caught.value.text
    assert server.connections == 0


@pytest.mark.usefixtures("no_extras")
@pytest.mark.parametrize("what", UNSENDABLE)
def test_answer_that_can_not_be_made_is_an_error(what: str) -> None:
    asked, text = UNSENDABLE[what]

    def handle(request: Any, controller: Controller) -> pb.EchoResponse:
        asked.ask_for(controller, "response")
        return pb.EchoResponse(message=request.message)

    with serving(handle) as peer:
        answer = peer.call()
    assert answer.error_code == ErrorCode.ERESPONSE
    assert "[E2002]Fail to serialize response=conformance.EchoResponse, " in answer.error_text
    assert text in answer.error_text


@pytest.mark.parametrize(
    ("fields", "extra"),
    [({"body": compress(BODY, SNAPPY), "compress_type": SNAPPY}, "snappy"), (GOOD_SUM, "crc32c")],
)
def test_request_that_needs_a_missing_extra_is_answered_with_what_to_install(
    fields: dict[str, Any], extra: str, no_extras: None
) -> None:
    with serving() as peer:
        answer = peer.call(**({"body": BODY} | fields))
        assert answer.error_code == ErrorCode.EREQUEST
        assert f"pip install 'pybrpc[{extra}]'" in answer.error_text
        assert text_of(peer.call()) == "hello"


def test_compressed_requests_in_one_read_each_get_their_answer() -> None:
    with serving() as peer:
        frames: list[RpcRequest] = [
            request(
                number,
                body=compress(pb.EchoRequest(message=str(number)).SerializeToString(), kind),
                compress_type=kind,
            )
            for number, kind in zip(range(1, 91), itertools.cycle((SNAPPY, GZIP, ZLIB)))
        ]
        peer.send(*frames)
        answers = peer.read_answers(90)
    assert {number: text_of(answer) for number, answer in answers.items()} == {
        number: str(number) for number in range(1, 91)
    }
