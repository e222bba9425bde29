"""Stopping: running requests end, answers arrive, nobody is waited for too long."""

from __future__ import annotations

import asyncio
import socket
import threading
from typing import Any

import pytest

from pybrpc.errors import ErrorCode, ServerStateError
from pybrpc.rpc.controller import Controller
from pybrpc.server.lifecycle import server_stop
from pybrpc.transport.runtime import default_runtime
from pybrpc.transport.socket_options import SocketOptions
from tests.fakes.threads import wait_until
from tests.peers.raw_peer import EchoResponse, RawPeer, request, text_of
from tests.peers.serving import Gate, as_async, async_echo, echo, make_server, start

NO_GRACE_NEEDED = 3600.0
"""A grace that a test would not survive: what is waited for has to come by itself."""


def test_idle_server_stops_at_once() -> None:
    with make_server() as server:
        start(server)
        server.stop(NO_GRACE_NEEDED)
        assert server.join()
        assert not server.is_running


def test_idle_connection_is_closed() -> None:
    with make_server() as server, RawPeer(start(server)) as peer:
        text_of(peer.call())
        server.stop(NO_GRACE_NEEDED)
        assert peer.read_to_end() == b""
        peer.close()
        assert server.join()


def test_client_that_never_goes_away_is_not_waited_for() -> None:
    with make_server() as server, RawPeer(start(server)) as peer:
        text_of(peer.call())
        server.stop(NO_GRACE_NEEDED)
        assert server.join()


def test_new_connections_are_refused_while_stopping() -> None:
    gate = Gate()
    with make_server(gate) as server, RawPeer(start(server)) as peer:
        peer.send(request(1))
        gate.wait_entered()
        server.stop(NO_GRACE_NEEDED)
        wait_for_turn()
        with pytest.raises(ConnectionRefusedError):
            RawPeer(server.endpoint)
        gate.open()
        assert text_of(peer.read_answer()) == "hello"


def wait_for_turn() -> None:
    is_over = threading.Event()
    default_runtime().dispatcher.post(is_over.set)
    assert is_over.wait(30)


@pytest.mark.parametrize("kind", [lambda handler: handler, as_async], ids=["def", "async"])
def test_running_requests_end_and_new_ones_get_elogoff(kind: Any) -> None:
    gate = Gate()
    with make_server(kind(gate), echo) as server, RawPeer(start(server)) as peer:
        peer.send(request(1))
        gate.wait_entered()
        server.stop(NO_GRACE_NEEDED)
        refused = peer.call("Stream")
        assert refused.error_code == ErrorCode.ELOGOFF
        assert refused.error_text.endswith("[E2003]Server is stopping")
        assert server.is_running
        assert "stopping on" in repr(server)
        gate.open()
        assert text_of(peer.read_answer()) == "hello"
        assert peer.read_to_end() == b""
        peer.close()
        assert server.join()


@pytest.mark.parametrize("handler", [echo, async_echo], ids=["def", "async"])
def test_no_answer_of_a_request_that_was_let_in_is_lost(handler: Any) -> None:
    """Large answers, which the kernel doesn't take in one go, to a peer that reads late."""
    first = threading.Event()

    def respond(request: Any, controller: Controller) -> Any:
        first.set()
        return EchoResponse(message="z" * 1_000_000)

    kind = as_async if handler is async_echo else lambda handler: handler
    with make_server(kind(respond)) as server, RawPeer(start(server)) as peer:
        peer.send(*(request(i) for i in range(20)))
        assert first.wait(30)
        wait_until(lambda: server.statistics().requests == 20)
        server.stop(NO_GRACE_NEEDED)
        answers = peer.read_answers(20)
        assert {len(text_of(answer)) for answer in answers.values()} == {1_000_000}
        assert peer.read_to_end() == b""
        peer.close()
        assert server.join()


def test_grace_ends_for_a_handler_that_does_not_return() -> None:
    gate = Gate()
    with make_server(gate) as server, RawPeer(start(server)) as peer:
        peer.send(request(1))
        gate.wait_entered()
        server.stop(0.01)
        assert server.join()
        assert not server.is_running
        assert peer.read_to_end() == b""
        gate.open()


def test_async_handler_is_cancelled_when_the_grace_ends() -> None:
    entered, cancelled = threading.Event(), threading.Event()

    async def hang(request: Any, controller: Controller) -> Any:
        entered.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    with make_server(hang) as server, RawPeer(start(server)) as peer:
        peer.send(request(1))
        assert entered.wait(30)
        server.stop(0.01)
        assert server.join()
        assert cancelled.wait(30)


def test_grace_ends_for_a_peer_that_never_reads() -> None:
    def respond(request: Any, controller: Controller) -> Any:
        return EchoResponse(message="z" * 20_000_000)

    with make_server(respond) as server, RawPeer(start(server)) as peer:
        peer.send(request(1))
        wait_until(lambda: server.statistics().requests == 1)
        wait_until(lambda: server.statistics().running == 0)
        server.stop(0.01)
        assert server.join()


def test_second_stop_brings_the_end_forward() -> None:
    gate = Gate()
    with make_server(gate) as server, RawPeer(start(server)) as peer:
        peer.send(request(1))
        gate.wait_entered()
        server.stop(grace=None)
        assert not server.join(timeout=0.01)
        server.stop(grace=0)
        assert server.join()
        gate.open()


def test_second_stop_does_not_put_the_end_off() -> None:
    gate = Gate()
    with make_server(gate) as server, RawPeer(start(server)) as peer:
        peer.send(request(1))
        gate.wait_entered()
        server.stop(0.01)
        server.stop(NO_GRACE_NEEDED)
        assert server.join()
        gate.open()


@pytest.mark.parametrize("kind", [lambda handler: handler, as_async], ids=["def", "async"])
def test_stop_from_a_handler(kind: Any) -> None:
    def stop(request: Any, controller: Controller) -> Any:
        server.stop(NO_GRACE_NEEDED)
        return echo(request, controller)

    server = make_server(kind(stop))
    with server, RawPeer(start(server)) as peer:
        assert text_of(peer.call()) == "hello"
        assert peer.read_to_end() == b""
        peer.close()
        assert server.join()


def test_join_in_a_turn_of_the_dispatcher_is_refused() -> None:
    errors: list[BaseException] = []
    is_over = threading.Event()

    def join() -> None:
        try:
            server.join()
        except ServerStateError as error:
            errors.append(error)
        is_over.set()

    with make_server() as server:
        start(server)
        default_runtime().dispatcher.post(join)
        assert is_over.wait(30)
        assert len(errors) == 1


def test_many_threads_join() -> None:
    with make_server() as server:
        start(server)
        threads = [threading.Thread(target=server.join) for _ in range(10)]
        for thread in threads:
            thread.start()
        server.stop()
        for thread in threads:
            thread.join()
        assert not server.is_running


def test_stop_while_clients_come_call_and_go() -> None:
    for _ in range(10):
        with make_server(echo, async_echo) as server:
            endpoint = start(server)
            threads = [
                threading.Thread(target=call_until_refused, args=(endpoint,)) for _ in range(8)
            ]
            for thread in threads:
                thread.start()
            wait_until(lambda: server.statistics().requests >= 200)
            server.stop(NO_GRACE_NEEDED)
            assert server.join()
            for thread in threads:
                thread.join()


def call_until_refused(endpoint: Any) -> None:
    try:
        while True:
            with RawPeer(endpoint) as peer:
                for i in range(20):
                    peer.send(*(request(n, ("Echo", "Stream")[n % 2]) for n in range(i)))
                    peer.read_answers(i)
    except OSError:
        return


def messages_of(caplog: pytest.LogCaptureFixture) -> str:
    return "\n".join(record.getMessage() for record in caplog.records)


@pytest.mark.parametrize("kind", [lambda handler: handler, as_async], ids=["def", "async"])
def test_unfinished_says_what_runs_and_for_whom(kind: Any) -> None:
    gate = Gate()
    with make_server(kind(gate), echo) as server, RawPeer(start(server)) as peer:
        assert server.unfinished() == []
        peer.send(request(1))
        gate.wait_entered()
        (call,) = server.unfinished()
        assert call.method == "conformance.EchoService.Echo"
        assert call.peer == "{}:{}".format(*peer.sock.getsockname())
        assert (call.age_s > 0, call.connection) == (True, "open")
        (connection,) = server.unfinished_connections()
        assert (connection.peer, connection.state) == (call.peer, "open")
        assert (connection.running, connection.unwritten_bytes) == (1, 0)
        gate.open()
        assert text_of(peer.read_answer()) == "hello"
        wait_until(lambda: server.unfinished() == [])


def test_stop_says_what_it_waits_for_and_what_it_gave_up(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """brpc#2665: else nobody knows why Join hangs."""
    monkeypatch.setattr(server_stop, "FIRST_REPORT_S", 0.01)
    gate = Gate()
    with make_server(gate) as server, RawPeer(start(server)) as peer:
        peer.send(request(1))
        gate.wait_entered()
        server.stop(0.2)
        assert server.join()
        text = messages_of(caplog)
        where = "{}:{}".format(*peer.sock.getsockname())
        assert f"the server on {server.endpoint}, stopping for" in text
        assert f"still waits for 1 request (conformance.EchoService.Echo of {where} for" in text
        assert f"1 connection ({where}, open, 1 request running" in text
        assert "gives up 1 request (conformance.EchoService.Echo of" in text
        assert 2 <= len(caplog.records) <= 8, "each wait is twice as long as the last"
        (call,) = server.unfinished()
        assert call.connection == "gone"
        gate.open()
        wait_until(lambda: server.unfinished() == [])


@pytest.mark.parametrize("sent", [b"", b"PRPC"], ids=["idle", "part of a request"])
def test_stop_without_grace_gives_nothing_up_if_nothing_runs(
    caplog: pytest.LogCaptureFixture, sent: bytes
) -> None:
    with make_server() as server, RawPeer(start(server)) as peer:
        text_of(peer.call())
        peer.sock.sendall(sent)
        server.stop(0)
        assert server.join()
    assert "gives up" not in messages_of(caplog)


def test_stop_without_grace_gives_no_connection_up_that_it_has_closed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with make_server(enabled_protocols="baidu_std") as server:
        with RawPeer(start(server)) as peer:
            peer.sock.sendall(b"GET /status HTTP/1.1\r\n\r\n")
            assert peer.read_to_end() == b""
            server.stop(0)
            assert server.join()
    assert "no known protocol starts with" in messages_of(caplog)
    assert "gives up" not in messages_of(caplog)


def test_stop_that_ends_soon_says_nothing(caplog: pytest.LogCaptureFixture) -> None:
    with make_server() as server, RawPeer(start(server)) as peer:
        text_of(peer.call())
        server.stop(NO_GRACE_NEEDED)
        peer.close()
        assert server.join()
    assert caplog.records == []


def test_stop_waits_for_answers_as_long_as_the_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    """A peer that reads them slowly, but reads, is not cut off before: the linger comes after."""
    monkeypatch.setattr(server_stop, "LINGER_S", 0.1)
    options = SocketOptions(send_buffer_bytes=65536)

    def respond(request: Any, controller: Controller) -> Any:
        return EchoResponse(message="z" * 10_000_000)

    with make_server(respond, options=options) as server, RawPeer(start(server)) as peer:
        peer.send(request(1))
        wait_until(lambda: server.statistics().requests == 1)
        wait_until(lambda: not server.unfinished())
        server.stop(NO_GRACE_NEEDED)
        assert not server.join(timeout=0.5)
        assert len(text_of(peer.read_answer())) == 10_000_000
        assert peer.read_to_end() == b""
        assert server.join()


def test_stop_in_the_midst_of_answers_to_a_peer_that_had_shut_writing() -> None:
    gate = Gate()
    with make_server(gate) as server, RawPeer(start(server)) as peer:
        peer.send(request(1))
        gate.wait_entered()
        peer.sock.shutdown(socket.SHUT_WR)
        wait_until(lambda: server.unfinished()[0].connection == "half-closed")
        server.stop(NO_GRACE_NEEDED)
        gate.open()
        assert text_of(peer.read_answer()) == "hello"
        assert peer.read_to_end() == b""
        assert server.join()
