"""Answers of a server: the bytes and the errors are those of C++ bRPC."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pybrpc.errors import BadRequestError, ErrorCode, RpcError
from pybrpc.iobuf import IOBuf
from pybrpc.protocols.baidu_std import BAIDU_STD
from pybrpc.rpc.controller import Controller
from tests.peers.raw_peer import EchoResponse, packed, request, text_of
from tests.peers.serving import Handler, as_async, echo, serving

VECTORS = Path(__file__).parent.parent / "golden" / "vectors"

BOTH_KINDS = pytest.mark.parametrize(
    "kind", [lambda handler: handler, as_async], ids=["def", "async"]
)
Kind = Callable[[Handler], Handler]


def recorded(case: str, role: str) -> bytes:
    return (VECTORS / f"baidu_std_{case}.{role}.bin").read_bytes()


def like_recorded_server(request: Any, controller: Controller) -> Any:
    """Answer as the C++ server of the recordings did."""
    if request.fail_code:
        controller.set_failed(request.fail_code, request.fail_text)
        return None
    response = EchoResponse(message=request.message, attachment_bytes=0)
    if controller.log_id:
        response.log_id = controller.log_id
    if controller.request_id:
        response.request_id = controller.request_id
    if controller.request_attachment:
        response.attachment_bytes = len(controller.request_attachment)
        controller.response_attachment = controller.request_attachment
    return response


@BOTH_KINDS
@pytest.mark.parametrize("case", ["echo", "attach", "logid"])
def test_recorded_request_gets_the_recorded_answer(kind: Kind, case: str) -> None:
    expected = recorded(case, "server")
    with serving(kind(like_recorded_server)) as peer:
        peer.sock.sendall(recorded(case, "client"))
        answer = b""
        while len(answer) < len(expected):
            answer += peer.sock.recv(4096)
    assert answer == expected


@BOTH_KINDS
def test_recorded_failure_differs_in_the_address_only(kind: Kind) -> None:
    with serving(kind(like_recorded_server)) as peer:
        peer.sock.sendall(recorded("fail", "client"))
        answer = peer.read_answer()
        address = "{}:{}".format(*peer.sock.getpeername())
    assert answer.error_text == f"[{address}][E10042]deliberate failure"
    answer.error_text = "[127.0.0.1:9600][E10042]deliberate failure"
    assert bytes(BAIDU_STD.pack_response(answer)) == recorded("fail", "server")


def test_short_service_name() -> None:
    with serving() as peer:
        assert text_of(peer.call(service="EchoService")) == "hello"


def raise_value_error(request: Any, controller: Controller) -> Any:
    raise ValueError("no good")


def raise_without_text(request: Any, controller: Controller) -> Any:
    raise KeyError


def raise_unprintable(request: Any, controller: Controller) -> Any:
    class UnprintableError(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    raise UnprintableError


def raise_rpc_error(request: Any, controller: Controller) -> Any:
    raise BadRequestError("say please")


def raise_own_code(request: Any, controller: Controller) -> Any:
    raise RpcError("mine", code=4711)


def raise_system_exit(request: Any, controller: Controller) -> Any:
    raise SystemExit(3)


def set_failed_with_text(request: Any, controller: Controller) -> Any:
    controller.set_failed("just a text")


def set_failed_twice(request: Any, controller: Controller) -> Any:
    controller.set_failed(10001, "first")
    controller.set_failed(10002, "second")


def return_nothing(request: Any, controller: Controller) -> Any:
    return None


def return_the_request(request: Any, controller: Controller) -> Any:
    return request


def return_a_coroutine(request: Any, controller: Controller) -> Any:
    async def respond() -> None: ...

    return respond()


def return_incomplete(request: Any, controller: Controller) -> Any:
    return EchoResponse(log_id=1)


def set_user_fields_that_are_no_text(request: Any, controller: Controller) -> Any:
    controller.response_user_fields["key"] = 5  # type: ignore[assignment]
    return echo(request, controller)


def fail_with_a_code_that_does_not_fit(request: Any, controller: Controller) -> Any:
    controller.error_code = 2**40  # `set_failed` refuses it


@BOTH_KINDS
@pytest.mark.parametrize(
    ("handler", "code", "text"),
    [
        (raise_value_error, 2001, "{0}[E2001]ValueError: no good"),
        (raise_without_text, 2001, "{0}[E2001]KeyError"),
        (raise_unprintable, 2001, "{0}[E2001]UnprintableError"),
        (raise_system_exit, 2001, "{0}[E2001]SystemExit: 3"),
        (raise_rpc_error, 1003, "{0}[E1003]say please"),
        (raise_own_code, 4711, "{0}[E4711]mine"),
        (set_failed_with_text, 2001, "{0}just a text"),
        (set_failed_twice, 10002, "{0}[E10001]first {0}[E10002]second"),
        (
            return_nothing,
            2001,
            "{0}[E2001]the handler returned NoneType, not a conformance.EchoResponse",
        ),
        (
            return_the_request,
            2001,
            "{0}[E2001]the handler returned conformance.EchoRequest, "
            "not a conformance.EchoResponse",
        ),
        (
            return_a_coroutine,
            2001,
            "{0}[E2001]the handler returned a coroutine: make it an async def, and await there",
        ),
        (return_incomplete, 2002, "{0}[E2002]Missing required fields in response: message"),
    ],
)
def test_failing_handler(kind: Kind, handler: Handler, code: int, text: str) -> None:
    with serving(kind(handler)) as peer:
        answer = peer.call()
        identity = "[{}:{}]".format(*peer.sock.getpeername())
    assert (answer.error_code, answer.error_text) == (code, text.format(identity))
    assert (bytes(answer.body), answer.attachment) == (b"", None)


@BOTH_KINDS
@pytest.mark.parametrize(
    ("handler", "code"),
    [(set_user_fields_that_are_no_text, 2002), (fail_with_a_code_that_does_not_fit, 2002)],
)
def test_answer_that_cannot_be_packed_is_an_error(kind: Kind, handler: Handler, code: int) -> None:
    with serving(kind(handler), Stream=echo) as peer:
        answer = peer.call()
        assert answer.error_code == code
        assert "Fail to pack response" in answer.error_text
        assert text_of(peer.call("Stream")) == "hello"


@BOTH_KINDS
def test_exception_is_logged_with_its_traceback(
    kind: Kind, caplog: pytest.LogCaptureFixture
) -> None:
    with serving(kind(raise_value_error)) as peer, caplog.at_level(logging.ERROR, "pybrpc"):
        peer.call()
    assert "the handler of conformance.EchoService.Echo raised" in caplog.text
    assert "raise_value_error" in caplog.text


@BOTH_KINDS
@pytest.mark.parametrize("handler", [raise_rpc_error, set_failed_with_text])
def test_deliberate_failure_is_not_logged(
    kind: Kind, handler: Handler, caplog: pytest.LogCaptureFixture
) -> None:
    with serving(kind(handler)) as peer, caplog.at_level(logging.INFO, "pybrpc"):
        peer.call()
    assert caplog.text == ""


@pytest.mark.parametrize(
    ("fields", "code", "text"),
    [
        ({"service": "Nobody"}, 1001, "Fail to find service=Nobody"),
        ({"service": "a.Nobody"}, 1002, "Fail to find method=a.Nobody/Echo"),
        ({"method": "Sing"}, 1002, "Fail to find method=conformance.EchoService/Sing"),
        (
            {"body": b"\xff\xff"},
            1003,
            "Fail to parse request=conformance.EchoRequest, ContentType=pb, CompressType=none, "
            "ChecksumType=none, request_size=2",
        ),
        (
            {"body": b""},
            1003,
            "Fail to parse request=conformance.EchoRequest, ContentType=pb, CompressType=none, "
            "ChecksumType=none, request_size=0",
        ),
    ],
)
def test_request_that_cannot_be_served(fields: dict[str, Any], code: int, text: str) -> None:
    with serving() as peer:
        answer = peer.call(**fields)
        identity = "[{}:{}]".format(*peer.sock.getpeername())
        assert answer.error_code == code
        assert answer.error_text == f"{identity}[E{code}]{text}"
        assert text_of(peer.call()) == "hello"


def test_attachment_larger_than_the_frame_is_refused_and_the_connection_goes_on() -> None:
    frame = bytearray(packed(request(7, attachment=IOBuf(b"x"))))
    at = frame.index(b"\x28\x01")
    frame[at + 1] = 0x7F
    with serving() as peer:
        peer.sock.sendall(frame)
        answer = peer.read_answer()
        assert (answer.correlation_id, answer.error_code) == (7, ErrorCode.EREQUEST)
        assert "attachment_size=127 is larger than request_size=" in answer.error_text
        assert text_of(peer.call()) == "hello"


@BOTH_KINDS
def test_controller_has_what_the_caller_sent(kind: Kind) -> None:
    seen: dict[str, Any] = {}

    def look(request: Any, controller: Controller) -> Any:
        seen.update(
            log_id=controller.log_id,
            request_id=controller.request_id,
            timeout_ms=controller.timeout_ms,
            user_fields=controller.request_user_fields,
            attachment=bytes(controller.request_attachment),
            method_name=controller.method_name,
            remote_side=str(controller.remote_side),
            local_side=str(controller.local_side),
            is_canceled=controller.is_canceled,
        )
        assert controller.time_remaining_s is not None
        assert 0 < controller.time_remaining_s <= 3600
        return echo(request, controller)

    with serving(kind(look)) as peer:
        text_of(
            peer.call(
                log_id=5,
                request_id="five",
                timeout_ms=3600_000,
                user_fields={"a": "b"},
                attachment=IOBuf(b"data"),
            )
        )
        sides = [
            "{}:{}".format(*name) for name in (peer.sock.getsockname(), peer.sock.getpeername())
        ]
    assert seen == {
        "log_id": 5,
        "request_id": "five",
        "timeout_ms": 3600_000,
        "user_fields": {"a": "b"},
        "attachment": b"data",
        "method_name": "conformance.EchoService.Echo",
        "remote_side": sides[0],
        "local_side": sides[1],
        "is_canceled": False,
    }


@BOTH_KINDS
def test_absent_options_are_none_in_the_controller(kind: Kind) -> None:
    seen: list[object] = []

    def look(request: Any, controller: Controller) -> Any:
        seen.extend([controller.log_id, controller.request_id, controller.time_remaining_s])
        seen.append((dict(controller.request_user_fields), len(controller.request_attachment)))
        return echo(request, controller)

    with serving(kind(look)) as peer:
        text_of(peer.call())
    assert seen == [None, None, None, ({}, 0)]


@BOTH_KINDS
def test_attachment_and_user_fields_of_the_answer(kind: Kind) -> None:
    def respond(request: Any, controller: Controller) -> Any:
        controller.response_attachment.append(b"x" * 100_000)
        controller.response_user_fields["name"] = "value"
        return echo(request, controller)

    with serving(kind(respond)) as peer:
        answer = peer.call()
    assert text_of(answer) == "hello"
    assert answer.attachment == b"x" * 100_000
    assert answer.user_fields == {"name": "value"}


@BOTH_KINDS
def test_failure_carries_user_fields_but_no_attachment(kind: Kind) -> None:
    def fail(request: Any, controller: Controller) -> Any:
        controller.response_attachment.append(b"x")
        controller.response_user_fields["name"] = "value"
        controller.set_failed(4711, "no")

    with serving(kind(fail)) as peer:
        answer = peer.call()
    assert (answer.error_code, answer.attachment) == (4711, None)
    assert answer.user_fields == {"name": "value"}


@BOTH_KINDS
@pytest.mark.parametrize("size", [0, 5000, 3_000_000])
def test_bodies_of_all_sizes(kind: Kind, size: int) -> None:
    with serving(kind(echo)) as peer:
        assert text_of(peer.call(message="y" * size)) == "y" * size


def test_many_requests_at_once_are_all_answered() -> None:
    count = 3000
    requests = [request(i, "Stream" if i % 3 else "Echo", message=str(i)) for i in range(count)]
    with serving(echo, as_async(echo)) as peer:
        peer.send(*requests)
        answers = peer.read_answers(count)
    assert {i: text_of(answer) for i, answer in answers.items()} == {
        i: str(i) for i in range(count)
    }
