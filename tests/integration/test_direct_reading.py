"""A thread that has its connection for itself reads its response itself: connection_type="pooled".

What else happens to such a connection is done by the dispatcher, as for any other one.
"""

from __future__ import annotations

import ctypes
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

import pybrpc
from pybrpc.errors import (
    ConnectionFailedError,
    ErrorCode,
    HandlerCanceledError,
    RpcTimeoutError,
)
from pybrpc.transport.dispatch.direct_dispatcher import DirectDispatcher
from pybrpc.transport.runtime import default_runtime
from tests.fakes.threads import WAIT_S, in_threads, wait_until
from tests.peers.alarms import Interrupted, raising_alarms
from tests.peers.echo import ECHO, echo_request
from tests.peers.endpoints import counts
from tests.peers.forking import exit_code_of, fork
from tests.peers.raw_peer import RawPeer, request
from tests.peers.scripted_server import Peer, ScriptedServer, echo, never_answer
from tests.peers.serving import make_server, start
from tests.peers.tls import certificates


def pooled(address: str, **options: Any) -> pybrpc.Channel:
    options.setdefault("timeout", 30)
    return pybrpc.Channel(address, connection_type="pooled", **options)


def direct_of(channel: pybrpc.Channel) -> DirectDispatcher:
    """That of the only connection of `channel`."""
    source: Any = channel.source()
    (connection,) = source.connections
    assert connection.direct is not None
    direct: DirectDispatcher = connection.direct
    return direct


@pytest.fixture(params=["main thread", "another thread"])
def in_caller(request: pytest.FixtureRequest) -> Any:
    if request.param == "main thread":
        return lambda function: function()
    return lambda function: in_threads(1, lambda index: function())


def test_dispatcher_takes_no_part_in_the_calls_of_a_thread(in_caller: Any) -> None:
    with ScriptedServer() as server, pooled(server.address) as channel:
        stub = pybrpc.Stub(ECHO, channel)
        stub.Echo(echo_request())  # the dispatcher connects, and reads the first response
        wait_until(lambda: counts(channel).idle == 1)
        turns = default_runtime().dispatcher.turns

        def call() -> None:
            for i in range(50):
                assert stub.Echo(echo_request(str(i))).message == str(i)

        in_caller(call)
        assert default_runtime().dispatcher.turns - turns < 5
        assert "silent" in repr(direct_of(channel))
    assert server.connections == 1


def test_so_do_calls_over_tls(in_caller: Any) -> None:
    with make_server(tls=certificates().server_tls()) as server:
        with pooled(str(start(server)), tls=certificates().client_tls()) as channel:
            stub = pybrpc.Stub(ECHO, channel)
            stub.Echo(echo_request())
            wait_until(lambda: counts(channel).idle == 1)

            def call() -> None:
                for i in range(20):
                    assert stub.Echo(echo_request(str(i))).message == str(i)

            in_caller(call)
            assert "silent" in repr(direct_of(channel))


def test_messages_that_fill_the_buffers_of_the_kernel(in_caller: Any) -> None:
    """The request is written on while the thread waits, the response read in many parts."""
    text = "x" * (8 << 20)
    with ScriptedServer() as server, pooled(server.address) as channel:
        stub = pybrpc.Stub(ECHO, channel)
        stub.Echo(echo_request())

        def call() -> None:
            for _ in range(3):
                assert stub.Echo(echo_request(text)).message == text

        in_caller(call)
    assert server.connections == 1


def test_deadline_ends_the_call_and_its_connection(in_caller: Any) -> None:
    def script(peer: Peer) -> None:
        peer.answer(peer.expect_request())
        never_answer(peer)

    with ScriptedServer(script, echo) as server, pooled(server.address) as channel:
        stub = pybrpc.Stub(ECHO, channel)
        stub.Echo(echo_request())

        def call() -> None:
            with pytest.raises(RpcTimeoutError):
                stub.Echo(echo_request("late"), timeout=0.05)

        in_caller(call)
        wait_until(lambda: counts(channel).closed == 1)


def test_channel_closed_by_another_thread_ends_the_call() -> None:
    def script(peer: Peer) -> None:
        peer.answer(peer.expect_request())
        peer.expect_request()
        is_waiting.set()
        peer.wait_closed()

    is_waiting = threading.Event()
    with ScriptedServer(script, echo) as server, pooled(server.address) as channel:
        stub = pybrpc.Stub(ECHO, channel)
        stub.Echo(echo_request())

        def close() -> None:
            assert is_waiting.wait(WAIT_S)
            channel.close()

        closing = threading.Thread(target=close)
        closing.start()
        with pytest.raises(ConnectionFailedError) as caught:
            stub.Echo(echo_request())
        assert caught.value.code == ErrorCode.ECLOSE
        closing.join()


def test_call_is_canceled_with_the_request_whose_handler_makes_it() -> None:
    """By the thread that finds the reset, while the handler's thread reads."""

    def script(peer: Peer) -> None:
        peer.answer(peer.expect_request())
        peer.expect_request()
        is_waiting.set()
        peer.wait_closed()

    def handle(request: Any, controller: pybrpc.Controller) -> Any:
        try:
            return stub.Echo(echo_request("never"))
        except BaseException as error:
            ends.put(error)
            raise

    is_waiting = threading.Event()
    ends: queue.SimpleQueue[BaseException] = queue.SimpleQueue()
    with ScriptedServer(script, echo) as behind, pooled(behind.address) as channel:
        stub = pybrpc.Stub(ECHO, channel)
        stub.Echo(echo_request())
        with make_server(handle) as front, RawPeer(start(front)) as peer:
            peer.send(request(1))
            assert is_waiting.wait(WAIT_S)
            peer.reset()
            assert type(ends.get(timeout=WAIT_S)) is HandlerCanceledError


@pytest.mark.parametrize("max_retry", [0, 1])
def test_peer_that_closes_instead_of_a_response(max_retry: int) -> None:
    def script(peer: Peer) -> None:
        peer.answer(peer.expect_request())
        peer.expect_request()  # and closes

    with (
        ScriptedServer(script, echo) as server,
        pooled(server.address, max_retry=max_retry) as channel,
    ):
        stub = pybrpc.Stub(ECHO, channel)
        stub.Echo(echo_request())
        if max_retry:
            assert stub.Echo(echo_request("again")).message == "again"
        else:
            with pytest.raises(ConnectionFailedError):
                stub.Echo(echo_request())


def test_peer_that_closes_an_idle_connection_is_noticed_without_a_call() -> None:
    closes = threading.Event()

    def script(peer: Peer) -> None:
        for _ in range(2):
            peer.answer(peer.expect_request())
        assert closes.wait(WAIT_S)

    with ScriptedServer(script, echo) as server, pooled(server.address) as channel:
        stub = pybrpc.Stub(ECHO, channel)
        stub.Echo(echo_request())
        stub.Echo(echo_request())
        assert counts(channel).closed == 0
        closes.set()
        wait_until(lambda: counts(channel).closed == 1)


def test_peer_that_has_closed_is_noticed_by_the_next_call_itself() -> None:
    """Even if the dispatcher is kept busy: no request is lost on a connection that is closed."""
    closes, has_closed, goes_on = threading.Event(), threading.Event(), threading.Event()

    def script(peer: Peer) -> None:
        for _ in range(2):
            peer.answer(peer.expect_request())
        assert closes.wait(WAIT_S)
        peer.end_sending()
        has_closed.set()
        peer.wait_closed()

    with ScriptedServer(script, echo) as server, pooled(server.address, max_retry=0) as channel:
        stub = pybrpc.Stub(ECHO, channel)
        stub.Echo(echo_request())
        stub.Echo(echo_request())
        default_runtime().dispatcher.post(lambda: goes_on.wait(WAIT_S))
        closes.set()
        assert has_closed.wait(WAIT_S)
        time.sleep(0.05)  # more than LOOK_AFTER_S, and for the end to arrive
        threading.Timer(0.05, goes_on.set).start()
        assert stub.Echo(echo_request("new")).message == "new"


def test_backup_request_and_futures_go_over_the_dispatcher() -> None:
    def slow(peer: Peer) -> None:
        peer.answer(peer.expect_request())
        never_answer(peer)

    with (
        ScriptedServer(slow, echo) as server,
        pooled(server.address, backup_request_ms=20) as channel,
    ):
        stub = pybrpc.Stub(ECHO, channel)
        stub.Echo(echo_request())
        assert stub.Echo(echo_request("backup")).message == "backup"
        future = stub.Echo.future(echo_request("future"))
        assert future.result(WAIT_S).message == "future"
        assert stub.Echo(echo_request("blocking")).message == "blocking"


def test_blocking_calls_and_futures_in_turn_over_one_connection() -> None:
    with ScriptedServer() as server, pooled(server.address, max_pool_size=1) as channel:
        stub = pybrpc.Stub(ECHO, channel)
        for i in range(20):
            assert stub.Echo(echo_request(f"b{i}")).message == f"b{i}"
            assert stub.Echo.future(echo_request(f"f{i}")).result(WAIT_S).message == f"f{i}"
    assert server.connections == 1


@pytest.fixture
def raising_alarm() -> Iterator[None]:
    with raising_alarms():
        yield


@pytest.mark.usefixtures("raising_alarm")
def test_signal_handler_that_raises_hurts_this_call_and_its_connection_alone() -> None:
    """Ctrl-C's does. Calls of other threads go on."""

    def never(peer: Peer) -> None:
        peer.answer(peer.expect_request())
        never_answer(peer)

    is_over = threading.Event()
    errors: list[BaseException] = []

    def call_on() -> None:
        try:
            while not is_over.is_set():
                assert others.Echo(echo_request("other")).message == "other"
        except BaseException as error:
            errors.append(error)

    with (
        ScriptedServer(never, echo) as deaf,
        ScriptedServer() as server,
        pooled(deaf.address) as mine,
        pooled(server.address) as channel,
    ):
        others = pybrpc.Stub(ECHO, channel)
        threads = [threading.Thread(target=call_on) for _ in range(3)]
        for thread in threads:
            thread.start()
        stub = pybrpc.Stub(ECHO, mine)
        stub.Echo(echo_request())
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        with pytest.raises(Interrupted):
            stub.Echo(echo_request("never"))
        wait_until(lambda: counts(mine).closed == 1)
        assert stub.Echo(echo_request("next")).message == "next"
        is_over.set()
        for thread in threads:
            thread.join(WAIT_S)
    assert not errors


def test_signal_handler_that_calls_while_its_thread_reads() -> None:
    """The inner call of the thread is read by the dispatcher; the outer one goes on."""
    answers: list[str] = []

    def call(number: int, frame: object) -> None:
        answers.append(stub.Echo(echo_request("inner")).message)

    def slow(peer: Peer) -> None:
        peer.answer(peer.expect_request())
        request = peer.expect_request()
        is_waiting.set()
        wait_until(lambda: len(answers) == 1)
        peer.answer(request)
        peer.echo_until_closed()

    is_waiting = threading.Event()
    before = signal.signal(signal.SIGALRM, call)
    try:
        with ScriptedServer(slow, echo) as server, pooled(server.address) as channel:
            stub = pybrpc.Stub(ECHO, channel)
            stub.Echo(echo_request())
            main_id = threading.main_thread().ident or 0

            def interrupt() -> None:
                assert is_waiting.wait(WAIT_S)
                time.sleep(0.05)
                signal.pthread_kill(main_id, signal.SIGALRM)

            thread = threading.Thread(target=interrupt)
            thread.start()
            assert stub.Echo(echo_request("outer")).message == "outer"
            thread.join()
            assert stub.Echo(echo_request("next")).message == "next"
    finally:
        signal.signal(signal.SIGALRM, before)
    assert answers == ["inner"]


def test_exception_set_by_another_thread_ends_the_call() -> None:
    def never(peer: Peer) -> None:
        peer.answer(peer.expect_request())
        peer.expect_request()
        is_waiting.set()
        peer.wait_closed()

    is_waiting = threading.Event()
    raised: list[BaseException] = []

    def call() -> None:
        try:
            stub.Echo(echo_request("never"), timeout=1)
        except BaseException as error:
            raised.append(error)

    with ScriptedServer(never, echo) as server, pooled(server.address) as channel:
        stub = pybrpc.Stub(ECHO, channel)
        stub.Echo(echo_request())
        thread = threading.Thread(target=call)
        thread.start()
        assert is_waiting.wait(WAIT_S)
        ctypes.pythonapi.PyThreadState_SetAsyncExc(
            ctypes.c_ulong(thread.ident or 0), ctypes.py_object(Interrupted)
        )
        thread.join(WAIT_S)
        assert [type(error) for error in raised] == [Interrupted]
        wait_until(lambda: counts(channel).closed == 1)
        assert stub.Echo(echo_request("next")).message == "next"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_forked_child_has_connections_and_a_wake_up_of_its_own() -> None:
    with ScriptedServer() as server, pooled(server.address) as channel:
        stub = pybrpc.Stub(ECHO, channel)
        for _ in range(2):
            stub.Echo(echo_request())

        def child() -> None:
            for _ in range(3):
                assert stub.Echo(echo_request("child")).message == "child"

        assert exit_code_of(fork(child)) == 0
        assert stub.Echo(echo_request("parent")).message == "parent"
    assert server.connections == 2


EXITING = """
import sys, threading, pybrpc
from tests.peers.echo import ECHO, echo_request
channel = pybrpc.Channel(sys.argv[1], connection_type="pooled", timeout=None)
stub = pybrpc.Stub(ECHO, channel)
stub.Echo(echo_request())
threading.Thread(target=stub.Echo, args=(echo_request("never"),), daemon=True).start()
import time
time.sleep(0.2)
print("over")
"""


def test_interpreter_ends_while_a_daemon_thread_reads() -> None:
    def never(peer: Peer) -> None:
        peer.answer(peer.expect_request())
        never_answer(peer)

    with ScriptedServer(never, echo) as server:
        command = [sys.executable, "-c", EXITING, server.address]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "over\n", "")


def test_call_made_while_a_response_is_handled_is_read() -> None:
    """By a retry policy: the connection of the outer call is idle again, and not left yet."""

    def fail(peer: Peer) -> None:
        peer.answer(peer.expect_request())
        peer.answer(peer.expect_request(), error_code=ErrorCode.EINTERNAL, error_text="no")
        peer.echo_until_closed()

    futures: list[Any] = []

    def judge(error: pybrpc.RpcError) -> bool:
        futures.append(stub.Echo.future(echo_request("judge")))
        return False

    policy = pybrpc.RetryPolicy(judge=judge)
    with ScriptedServer(fail, echo) as server:
        with pooled(server.address, retry_policy=policy) as channel:
            stub: Any = pybrpc.Stub(ECHO, channel)
            stub.Echo(echo_request())
            with pytest.raises(pybrpc.RpcError):
                stub.Echo(echo_request("fails"), timeout=WAIT_S)
            assert futures[0].result(WAIT_S).message == "judge"


def test_body_that_comes_in_parts_is_read_on() -> None:
    """The head came to the thread that waited; the rest comes to nobody."""
    goes_on = threading.Event()

    def serve() -> None:
        sock, _ = listener.accept()
        with sock:
            sock.recv(65536)
            sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            sock.recv(65536)
            sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n01")
            assert goes_on.wait(WAIT_S)
            sock.sendall(b"23456789")
            sock.recv(65536)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        with pooled(address, protocol="http", max_retry=0) as channel:
            assert channel.http("GET", "/a").body == b"ok"
            with channel.http("GET", "/b", stream=True) as response:
                parts = iter(response.body)
                assert next(parts) == b"01"
                goes_on.set()
                assert b"".join(parts) == b"23456789"
        thread.join()


def test_peer_that_answers_twice_keeps_its_connections() -> None:
    def twice(peer: Peer) -> None:
        while (request := peer.read_request()) is not None:
            peer.answer(request)
            time.sleep(0.005)
            peer.answer(request)

    with ScriptedServer(twice) as server:
        with pooled(server.address, max_pool_size=2, timeout=WAIT_S) as channel:
            stub = pybrpc.Stub(ECHO, channel)
            for i in range(8):
                assert stub.Echo(echo_request(str(i))).message == str(i)
                time.sleep(0.01)
            assert counts(channel).waiting == 0
