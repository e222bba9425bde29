"""Handlers that are generators, called by HTTP: what they yield is the body of the response."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

import pybrpc
from bench.echo_messages import SERVICE, EchoRequest, EchoResponse
from tests.fakes.threads import wait_until
from tests.peers.http_handlers import (
    ECHO,
    FOREVER_S,
    KINDS,
    Serve,
    Service,
    failing,
    in_task,
    plain,
)
from tests.peers.http_peer import HttpPeer, read_response


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("items", "content_type", "body"),
    [
        ([b"a", b"b"], "application/octet-stream", b"ab"),
        (["a", "\xe4"], "text/plain; charset=utf-8", "a\xe4".encode()),
        ([EchoResponse(message="a")] * 2, "application/x-ndjson", b'{"message":"a"}\n' * 2),
        (
            [pybrpc.ServerSentEvent("a\nb", id="7")],
            "text/event-stream",
            b"id: 7\ndata: a\ndata: b\n\n",
        ),
        ([], "text/plain; charset=utf-8", b""),
    ],
)
def test_what_a_handler_yields_is_the_body(
    serve: Serve, kind: Any, items: list[object], content_type: str, body: bytes
) -> None:
    response = serve(kind(*items)).call()
    assert (response.status, response.body, response.is_whole) == (200, body, True)
    assert response.headers["content-type"] == content_type
    assert response.headers["transfer-encoding"] == "chunked"


@pytest.mark.parametrize("kind", KINDS)
def test_messages_are_events_for_a_client_that_asks_for_events(serve: Serve, kind: Any) -> None:
    response = serve(kind(EchoResponse(message="a"))).call(Accept="text/event-stream")
    assert response.body == b'data: {"message":"a"}\n\n'
    assert response.headers["content-type"] == "text/event-stream"
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["x-accel-buffering"] == "no"


def test_a_generator_says_what_its_head_is(serve: Serve) -> None:
    def echo(request: EchoRequest, controller: pybrpc.Controller) -> Iterator[object]:
        assert controller.http_response is not None
        controller.http_response.status_code = 202
        controller.http_response.content_type = "text/csv"
        controller.http_response.headers["X-Of"] = "me"
        yield f"{request.message},1\n"

    response = serve(echo).call()
    assert (response.status, response.body) == (202, b"hi,1\n")
    assert (response.headers["content-type"], response.headers["x-of"]) == ("text/csv", "me")


def test_the_head_of_events_is_sent_before_the_first_one(serve: Serve) -> None:
    goes_on = threading.Event()

    def echo(request: EchoRequest, controller: pybrpc.Controller) -> Iterator[object]:
        goes_on.wait(FOREVER_S)
        yield "data: 1\n\n"

    served = serve(echo)
    with HttpPeer(served.address) as peer:
        peer.request("POST", ECHO, b"{}", Accept="text/event-stream")
        assert b"200 OK" in peer.read_until(b"\r\n\r\n")
        goes_on.set()
        assert peer.read_until(b"0\r\n\r\n").endswith(b"data: 1\n\n\r\n0\r\n\r\n")


ERRORS = [
    (ValueError("no"), 500, "2001"),
    (SystemExit(1), 500, "2001"),
    (pybrpc.RpcError("no", code=pybrpc.ErrorCode.ELIMIT), 503, "2004"),
]


@pytest.mark.parametrize("is_async", [0, 1])
@pytest.mark.parametrize(("error", "status", "code"), ERRORS)
def test_an_error_before_the_first_item_is_a_proper_response(
    serve: Serve, is_async: int, error: BaseException, status: int, code: str
) -> None:
    served = serve(failing(0, error)[is_async])
    response = served.call()
    assert (response.status, response.is_whole) == (status, True)
    assert response.headers["x-bd-error-code"] == code
    wait_until(served.is_idle)
    assert served.server.statistics().errors == 1


@pytest.mark.parametrize("is_async", [0, 1])
@pytest.mark.parametrize(("error", "status", "code"), ERRORS)
def test_an_error_in_the_middle_cuts_the_body_off(
    serve: Serve,
    caplog: pytest.LogCaptureFixture,
    is_async: int,
    error: BaseException,
    status: int,
    code: str,
) -> None:
    served = serve(failing(1, error)[is_async])
    response = served.call()
    assert (response.status, response.body, response.is_whole) == (200, b"part", False)
    wait_until(served.is_idle)
    assert "is cut off" in caplog.text


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("item", [None, 7, [b"a"]])
def test_what_can_be_no_part_of_a_body_is_an_error(serve: Serve, kind: Any, item: object) -> None:
    response = serve(kind(item)).call()
    assert response.status == 500
    assert b"a handler yielded" in response.body


@pytest.mark.parametrize("is_async", [0, 1])
def test_a_failure_that_is_set_before_the_first_item_is_the_response(
    serve: Serve, is_async: int
) -> None:
    def echo(request: EchoRequest, controller: pybrpc.Controller) -> Iterator[object]:
        controller.set_failed(pybrpc.ErrorCode.ELIMIT, "full")
        yield b"not sent"

    async def echo_async(request: EchoRequest, controller: pybrpc.Controller) -> AsyncIterator[Any]:
        controller.set_failed(pybrpc.ErrorCode.ELIMIT, "full")
        yield b"not sent"

    response = serve([echo, echo_async][is_async]).call()
    assert (response.status, response.is_whole) == (503, True)
    assert b"full" in response.body


@pytest.mark.parametrize("kind", KINDS)
def test_a_client_of_http_1_0_gets_the_body_up_to_the_end(serve: Serve, kind: Any) -> None:
    served = serve(kind(b"a", b"b"))
    with HttpPeer(served.address) as peer:
        peer.request("POST", ECHO, b"{}", minor=0, Connection="keep-alive")
        peer.request("POST", ECHO, b"{}", minor=0, Connection="keep-alive")
        head, _, body = peer.read_all().partition(b"\r\n\r\n")
    assert b"chunked" not in head
    assert body == b"ab"


@pytest.mark.parametrize("kind", KINDS)
def test_responses_stay_in_the_order_of_requests(serve: Serve, kind: Any) -> None:
    with HttpPeer(serve(kind(b"a", b"b")).address) as peer:
        for _ in range(20):
            peer.request("POST", ECHO, b"{}")
        responses = [read_response(peer) for _ in range(20)]
    assert [each.body for each in responses] == [b"ab"] * 20


def test_a_response_waits_for_the_generator_before_it(serve: Serve) -> None:
    goes_on = threading.Event()

    def echo(request: EchoRequest, controller: pybrpc.Controller) -> Iterator[object]:
        yield request.message
        if request.message == "first":
            goes_on.wait(FOREVER_S)
            yield "!"

    with HttpPeer(serve(echo).address) as peer:
        peer.request("POST", ECHO, b'{"message":"first"}')
        peer.request("POST", ECHO, b'{"message":"second"}')
        peer.read_until(b"first\r\n")
        goes_on.set()
        assert peer.read_until(b"0\r\n\r\n") == b"1\r\n!\r\n0\r\n\r\n"
        assert read_response(peer).body == b"second"


@pytest.mark.parametrize("kind", [plain, in_task])
def test_head_gets_the_head_alone_and_ends_the_generator(serve: Serve, kind: Any) -> None:
    served = serve(kind(b"a", b"b"))
    served.server.stop(0)
    assert served.server.join(20)
    server = served.server
    server.remove_service(SERVICE)
    server.add_service(SERVICE, Service(kind(b"a", b"b")), restful_mappings="/echo => Echo")
    address = server.start("127.0.0.1:0")
    with HttpPeer(address) as peer:
        for accept in ("*/*", "text/event-stream"):
            peer.request("HEAD", "/echo", Accept=accept)
            response = read_response(peer, "HEAD")
            assert (response.status, response.body, response.is_whole) == (200, b"", True)
        peer.request("GET", "/echo")
        assert read_response(peer).body == b"ab"
