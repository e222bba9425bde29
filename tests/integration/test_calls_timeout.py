"""One deadline covers queueing, connecting, sending, waiting and retries."""

from __future__ import annotations

import threading

import pytest

import pybrpc
from pybrpc.base.deadline import InvalidTimeoutError
from pybrpc.client.channel.options import DEFAULT_TIMEOUT_S
from pybrpc.errors import ConnectError, ErrorCode, Phase, RpcTimeoutError
from tests.peers.callers import FORMS, caller
from tests.peers.echo import ECHO, echo_request
from tests.peers.scripted_server import Peer, ScriptedServer, deaf_port, echo, never_answer

every_form = pytest.mark.parametrize("form", FORMS)


@every_form
@pytest.mark.parametrize(
    ("of_channel", "of_call", "on_the_wire"),
    [
        ({}, {}, 30_000),
        ({"timeout": 3}, {}, 3000),
        ({"timeout": 3}, {"timeout": 7.0015}, 7001),
        ({"timeout": 3}, {"timeout": None}, None),
        ({"timeout": None}, {}, None),
        ({"timeout": None}, {"timeout": 9}, 9000),
        ({"timeout": 1e12}, {}, 0x7FFFFFFF),
    ],
)
def test_timeout_is_sent(
    form: str,
    of_channel: dict[str, float | None],
    of_call: dict[str, float | None],
    on_the_wire: int | None,
) -> None:
    with ScriptedServer() as server:
        with caller(form, server.address, **({"timeout": 30} | of_channel)) as client:
            client.call(echo_request(), **of_call)
    assert [request.timeout_ms for request in server.requests] == [on_the_wire]


@pytest.mark.parametrize("channel_class", [pybrpc.Channel, pybrpc.aio.Channel])
def test_timeout_is_half_a_second_unless_told(channel_class: type) -> None:
    assert channel_class("127.0.0.1:1").timeout_s == 0.5


@pytest.mark.parametrize("form", ["blocking", "callback", "asyncio"])
def test_default_timeout_ends_a_call(form: str) -> None:
    with ScriptedServer(never_answer) as server:
        with caller(form, server.address, timeout=DEFAULT_TIMEOUT_S) as client:
            with pytest.raises(RpcTimeoutError, match="Reached timeout=500ms"):
                client.call(echo_request())


@every_form
def test_timeout_0_ends_at_once(form: str) -> None:
    def answer_all_but_the_late(peer: Peer) -> None:
        while (request := peer.read_request()) is not None:
            if request.timeout_ms != 1:
                peer.answer(request)

    with ScriptedServer(answer_all_but_the_late) as server:
        with caller(form, server.address) as client:
            with pytest.raises(RpcTimeoutError, match="Reached timeout=0ms"):
                client.call(echo_request(), timeout=0)
            with pytest.raises(RpcTimeoutError, match=r"Reached timeout=0\.1ms"):
                client.call(echo_request(), timeout=0.0001)
            assert client.call(echo_request("next")).message == "next"
            assert client.statistics().in_flight == 0


@every_form
@pytest.mark.parametrize(
    ("timeout", "kind"),
    [
        (-1, InvalidTimeoutError),
        (-0.001, ValueError),
        ("1", TypeError),
        (True, TypeError),
        (float("nan"), TypeError),
    ],
)
def test_senseless_timeout_is_refused(form: str, timeout: object, kind: type[Exception]) -> None:
    with ScriptedServer() as server, caller(form, server.address) as client:
        with pytest.raises(kind, match="timeout must be"):
            client.call(echo_request(), timeout=timeout)
    assert server.connections == 0


@pytest.mark.parametrize("channel_class", [pybrpc.Channel, pybrpc.aio.Channel])
@pytest.mark.parametrize("option", ["timeout", "connect_timeout"])
def test_channel_refuses_a_senseless_timeout(channel_class: type, option: str) -> None:
    with pytest.raises(InvalidTimeoutError, match=f"{option} must be at least 0 seconds, not -1"):
        channel_class("127.0.0.1:1", **{option: -1})


@every_form
def test_deadline_covers_connecting(form: str) -> None:
    controller = pybrpc.Controller()
    with deaf_port() as address, caller(form, address, connect_timeout=None) as client:
        with pytest.raises(RpcTimeoutError) as caught:
            client.call(echo_request(), timeout=0.15, controller=controller)
        assert client.statistics().in_flight == 0
    assert (caught.value.phase, caught.value.peer) == (Phase.CONNECT, address)
    assert controller.retried_count == 0


@every_form
def test_connect_timeout_ends_an_attempt(form: str) -> None:
    controller = pybrpc.Controller()
    with deaf_port() as address:
        with caller(form, address, connect_timeout=0.03, max_retry=1) as client:
            with pytest.raises(ConnectError, match="within connect_timeout") as caught:
                client.call(echo_request(), controller=controller)
    assert caught.value.code == ErrorCode.ETIMEDOUT
    assert caught.value.phase is Phase.CONNECT
    assert controller.retried_count == 1


@every_form
def test_deadline_ends_retries(form: str) -> None:
    """Each connection breaks; no budget but the deadline."""

    def script(peer: Peer) -> None:
        peer.read_request()

    controller = pybrpc.Controller()
    with ScriptedServer(script) as server:
        with caller(form, server.address, max_retry=1_000_000) as client:
            with pytest.raises(pybrpc.RpcError) as caught:
                client.call(echo_request(), timeout=0.3, controller=controller)
    assert controller.retried_count < 1_000_000
    assert caught.value.code in (
        ErrorCode.ERPCTIMEDOUT,
        ErrorCode.EEOF,
        ErrorCode.ECONNRESET,
        ErrorCode.EPIPE,
    )


@every_form
def test_retry_tells_the_server_what_time_is_left(form: str) -> None:
    is_over = threading.Event()

    def break_later(peer: Peer) -> None:
        peer.expect_request()
        is_over.wait(0.05)

    with ScriptedServer(break_later, echo) as server, caller(form, server.address) as client:
        client.call(echo_request(), timeout=10)
    first, second = server.requests
    assert first.timeout_ms == 10_000
    assert second.timeout_ms is not None
    assert second.timeout_ms < 10_000


def test_phases_of_calls_to_a_peer_that_does_not_read() -> None:
    """The long request is half out, the one behind it is still queued."""
    is_over = threading.Event()

    def never_read_again(peer: Peer) -> None:
        peer.answer(peer.expect_request())
        is_over.wait()

    controller = pybrpc.Controller()
    controller.request_attachment.append(bytes(32 << 20))
    with ScriptedServer(never_read_again) as server, pybrpc.Channel(server.address) as channel:
        stub = pybrpc.Stub(ECHO, channel)
        stub.Echo(echo_request(), timeout=30)
        sent = stub.Echo.future(echo_request(), timeout=0.3, controller=controller)
        queued = stub.Echo.future(echo_request(), timeout=0.2)
        with pytest.raises(RpcTimeoutError) as of_queued:
            queued.result()
        with pytest.raises(RpcTimeoutError) as of_sent:
            sent.result()
        is_over.set()
    assert of_queued.value.phase is Phase.QUEUED
    assert of_sent.value.phase is Phase.SENT


def test_calls_with_many_timeouts_expire_each_by_its_own() -> None:
    with ScriptedServer(never_answer) as server, pybrpc.Channel(server.address) as channel:
        stub = pybrpc.Stub(ECHO, channel)
        timeouts = [0.001 * (i % 50) for i in range(500)]
        futures = [stub.Echo.future(echo_request(), timeout=timeout) for timeout in timeouts]
        for timeout, future in zip(timeouts, futures, strict=True):
            with pytest.raises(RpcTimeoutError, match=f"timeout={int(timeout * 1000)}ms"):
                future.result()
        statistics = channel.statistics()
    assert statistics is not None
    assert statistics.in_flight == 0
