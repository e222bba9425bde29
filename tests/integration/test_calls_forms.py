"""Every form of calling: with an answer, with an error, without an answer."""

from __future__ import annotations

import threading

import pytest

import pybrpc
from pybrpc.errors import (
    BadRequestError,
    ErrorCode,
    InternalServerError,
    LimitReachedError,
    NoMethodError,
    NoServiceError,
    Phase,
    RpcError,
    RpcTimeoutError,
)
from tests.peers.callers import FORMS, caller
from tests.peers.echo import echo_request
from tests.peers.scripted_server import Peer, ScriptedServer, never_answer
from tests.protos import conformance_pb2 as pb

pytestmark = pytest.mark.parametrize("form", FORMS)


def test_success(form: str) -> None:
    with ScriptedServer() as server, caller(form, server.address) as client:
        assert client.call(echo_request("hello")).message == "hello"
        assert client.call(echo_request("again")).message == "again"
        assert client.statistics().in_flight == 0
    assert server.connections == 1


def test_request_carries_what_the_controller_says(form: str) -> None:
    controller = pybrpc.Controller(log_id=7, request_id="req-7")
    controller.request_attachment.append(b"attached")
    controller.request_user_fields["who"] = "me"
    with ScriptedServer() as server, caller(form, server.address, timeout=3) as client:
        client.call(echo_request(), controller=controller)
    (request,) = server.requests
    assert (request.service, request.method) == ("conformance.EchoService", "Echo")
    assert (request.log_id, request.request_id) == (7, "req-7")
    assert request.attachment == b"attached"
    assert request.user_fields == {"who": "me"}
    assert request.timeout_ms == 3000


def test_timeout_of_a_controller_is_that_of_the_call(form: str) -> None:
    controller = pybrpc.Controller()
    controller.timeout_ms = 4567
    with ScriptedServer() as server, caller(form, server.address, timeout=3) as client:
        client.call(echo_request(), controller=controller)
        controller.timeout_ms = -1
        client.call(echo_request(), controller=controller)
    assert [request.timeout_ms for request in server.requests] == [4567, None]


def test_timeout_of_a_controller_ends_the_call(form: str) -> None:
    controller = pybrpc.Controller()
    controller.timeout_ms = 50
    with ScriptedServer(never_answer) as server, caller(form, server.address) as client:
        with pytest.raises(RpcTimeoutError, match="Reached timeout=50ms"):
            client.call(echo_request(), controller=controller)


def test_controller_serves_one_call_after_another_however_they_end(form: str) -> None:
    controller = pybrpc.Controller()
    with ScriptedServer() as server, caller(form, server.address) as client:
        with pytest.raises(RpcTimeoutError):
            client.call(echo_request(), timeout=0, controller=controller)
        with pytest.raises(BadRequestError):
            client.call("hello", controller=controller)
        assert controller.failed
        assert client.call(echo_request("hello"), controller=controller).message == "hello"
        assert not controller.failed


def test_controller_gets_what_the_answer_carries(form: str) -> None:
    def script(peer: Peer) -> None:
        peer.answer(peer.expect_request(), user_fields={"from": "server"})
        peer.wait_closed()

    controller = pybrpc.Controller()
    controller.request_attachment.append(b"attached")
    with ScriptedServer(script) as server, caller(form, server.address) as client:
        client.call(echo_request(), controller=controller)
        assert str(controller.remote_side) == server.address
    assert not controller.failed
    assert controller.error_code == 0
    assert controller.error_text == ""
    assert controller.response_attachment == b"attached"
    assert controller.response_user_fields == {"from": "server"}
    assert controller.latency_us > 0
    assert controller.retried_count == 0
    assert controller.request_attachment == b"attached"


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (ErrorCode.ENOSERVICE, NoServiceError),
        (ErrorCode.ENOMETHOD, NoMethodError),
        (ErrorCode.EREQUEST, BadRequestError),
        (ErrorCode.EINTERNAL, InternalServerError),
        (ErrorCode.ELIMIT, LimitReachedError),
        (10042, RpcError),
    ],
)
def test_remote_error(form: str, code: int, kind: type[RpcError]) -> None:
    def script(peer: Peer) -> None:
        peer.answer(peer.expect_request(), error_code=code, error_text="[here]no", body=b"")
        peer.wait_closed()

    controller = pybrpc.Controller()
    with ScriptedServer(script) as server, caller(form, server.address) as client:
        with pytest.raises(kind) as caught:
            client.call(echo_request(), controller=controller)
        assert client.statistics().in_flight == 0
    error = caught.value
    assert type(error) is kind
    assert (error.code, error.text) == (code, f"[E{code:d}][here]no")
    assert (error.phase, error.is_remote, error.peer) == (Phase.SERVER, True, server.address)
    assert (controller.error_code, controller.error_text) == (error.code, error.text)
    assert controller.retried_count == 0
    assert len(server.requests) == 1


@pytest.mark.parametrize("is_cluster", [False, True], ids=["one server", "cluster"])
def test_failed_response_gives_the_caller_its_user_fields(form: str, is_cluster: bool) -> None:
    def script(peer: Peer) -> None:
        fields = {"error_code": 20001, "error_text": "no", "user_fields": {"from": "server"}}
        peer.answer(peer.expect_request(), body=b"", **fields)
        peer.answer(peer.expect_request())
        peer.wait_closed()

    controller = pybrpc.Controller()
    with ScriptedServer(script) as server:
        where = f"list://{server.address}" if is_cluster else server.address
        with caller(form, where) as client:
            with pytest.raises(RpcError, match="E20001"):
                client.call(echo_request(), controller=controller)
            assert controller.response_user_fields == {"from": "server"}
            assert client.call(echo_request("next"), controller=controller).message == "next"
            assert controller.response_user_fields == {}


def test_timeout_is_not_retried(form: str) -> None:
    """bRPC: retry."""
    controller = pybrpc.Controller()
    with ScriptedServer(never_answer) as server, caller(form, server.address) as client:
        with pytest.raises(RpcTimeoutError) as caught:
            client.call(echo_request(), timeout=0.03, controller=controller)
        assert client.statistics().in_flight == 0
    error = caught.value
    assert isinstance(error, TimeoutError)
    assert error.code == controller.error_code == ErrorCode.ERPCTIMEDOUT
    assert error.text == f"[E1008]Reached timeout=30ms @{server.address}"
    assert not error.is_remote
    assert error.peer == server.address
    assert controller.retried_count == 0
    assert len(server.requests) <= 1


def test_late_answer_is_dropped_and_counted(form: str) -> None:
    is_over = threading.Event()

    def script(peer: Peer) -> None:
        peer.answer(peer.expect_request())
        late = peer.expect_request()
        is_over.wait()
        peer.answer(late)
        peer.echo_until_closed()

    with ScriptedServer(script) as server, caller(form, server.address) as client:
        client.call(echo_request("first"))
        with pytest.raises(RpcTimeoutError) as caught:
            client.call(echo_request("late"), timeout=0.1)
        assert caught.value.phase is Phase.WAITING
        is_over.set()
        assert client.call(echo_request("next")).message == "next"
        statistics = client.statistics()
    assert (statistics.late_answers, statistics.unknown_answers) == (1, 0)
    assert server.connections == 1


@pytest.mark.parametrize("unknown_id", [0, -1, 1 << 62])
def test_answer_with_unknown_id_is_dropped_and_counted(form: str, unknown_id: int) -> None:
    def script(peer: Peer) -> None:
        request = peer.expect_request()
        peer.answer(request, correlation_id=unknown_id, body=b"not mine")
        peer.answer(request)
        peer.wait_closed()

    with ScriptedServer(script) as server, caller(form, server.address) as client:
        assert client.call(echo_request("mine")).message == "mine"
        statistics = client.statistics()
    assert (statistics.late_answers, statistics.unknown_answers) == (0, 1)


def test_second_answer_to_a_call_is_dropped_and_counted(form: str) -> None:
    def script(peer: Peer) -> None:
        request = peer.expect_request()
        peer.answer(request)
        peer.answer(request, error_code=2001, error_text="changed my mind")
        peer.echo_until_closed()

    with ScriptedServer(script) as server, caller(form, server.address) as client:
        assert client.call(echo_request("once")).message == "once"
        assert client.call(echo_request("next")).message == "next"
        assert client.statistics().late_answers == 1


def test_answers_in_another_order(form: str) -> None:
    def script(peer: Peer) -> None:
        requests = [peer.expect_request() for _ in range(count)]
        for request in reversed(requests):
            peer.answer(request)
        peer.wait_closed()

    count = 1 if form in ("blocking", "callback") else 20
    messages = [f"message {i}" for i in range(count)]
    with ScriptedServer(script) as server, caller(form, server.address) as client:
        responses = client.call_many([echo_request(message) for message in messages])
    assert [response.message for response in responses] == messages


@pytest.mark.parametrize(
    ("request_", "text"),
    [
        (pb.EchoResponse(message="x"), "request must be a conformance.EchoRequest, not conforma"),
        ("hello", "request must be a conformance.EchoRequest, not str"),
        (None, "request must be a conformance.EchoRequest, not NoneType"),
        (pb.EchoRequest(), "Missing required fields in request: message"),
    ],
    ids=["other message", "str", "None", "missing field"],
)
def test_senseless_request_is_refused_before_anything_is_sent(
    form: str, request_: object, text: str
) -> None:
    """bRPC: request_not_init."""
    controller = pybrpc.Controller()
    with ScriptedServer() as server, caller(form, server.address) as client:
        with pytest.raises(BadRequestError, match=text) as caught:
            client.call(request_, controller=controller)
        assert caught.value.code == controller.error_code == ErrorCode.EREQUEST
        assert caught.value.text == controller.error_text
        assert client.call(echo_request("good")).message == "good"
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "spoil",
    [
        lambda controller: setattr(controller, "_log_id", "seven"),
        lambda controller: setattr(controller, "_log_id", 1 << 64),
        lambda controller: setattr(controller, "_request_id", 7),
        lambda controller: controller.request_user_fields.update(a=1),
    ],
    ids=["log_id str", "log_id too big", "request_id int", "user field int"],
)
def test_senseless_controller_is_refused_before_anything_is_sent(form: str, spoil: object) -> None:
    """The setters of the controller refuse most of it already; so does the protocol."""
    controller = pybrpc.Controller()
    spoil(controller)
    with ScriptedServer() as server, caller(form, server.address) as client:
        with pytest.raises(BadRequestError, match="Fail to pack request"):
            client.call(echo_request(), controller=controller)
        assert client.statistics().in_flight == 0
        assert client.call(echo_request("good")).message == "good"
    assert len(server.requests) == 1
