from __future__ import annotations

import contextlib
import os
import resource
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import pybrpc
from pybrpc.errors import (
    AddressError,
    ConnectionFailedError,
    ErrorCode,
    ListenError,
    ProtocolError,
    RpcTimeoutError,
)
from pybrpc.testing import ScriptedPeer, ScriptedServer, assert_no_leaks, scripted_server
from pybrpc.testing.scripted_server import never_answer
from tests.fakes.threads import WAIT_S, wait_until
from tests.peers.raw_peer import SERVICE, EchoRequest, EchoResponse

HELLO = EchoRequest(message="hello")
HI = EchoResponse(message="hi")


def outcome(
    *scripts: Callable[[ScriptedPeer], None], protocol: str = "baidu_std", **options: Any
) -> Any:
    """The response of one call, or its error."""
    options = {"timeout": WAIT_S, "max_retry": 0, **options}
    with (
        assert_no_leaks(grace=WAIT_S),
        ScriptedServer(*scripts, protocol=protocol) as server,
        pybrpc.Channel(server.address, protocol=protocol, **options) as channel,
    ):
        try:
            return pybrpc.Stub(SERVICE, channel).Echo(HELLO).message
        except pybrpc.RpcError as error:
            return error


def answer(peer: ScriptedPeer) -> None:
    while (request := peer.read_request()) is not None:
        peer.answer(request, HI)


@pytest.mark.parametrize("protocol", ["baidu_std", "hulu_pbrpc", "sofa_pbrpc"])
def test_script_answers(protocol: str) -> None:
    assert outcome(answer, protocol=protocol) == "hi"


def test_script_speaks_http_by_its_bytes() -> None:
    def script(peer: ScriptedPeer) -> None:
        head = peer.read_until(b"\r\n\r\n")
        assert head.startswith(b"POST /conformance.EchoService/Echo HTTP/1.1\r\n")
        body = b'{"message": "hi"}'
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        peer.send(head % len(body) + body)
        assert peer.read_until(b"nothing more") == b'{"message":"hello"}'

    assert outcome(script, protocol="http") == "hi"


def test_script_fails_a_call() -> None:
    error = outcome(lambda peer: peer.fail(peer.expect_request(), 20001, "no such user"))
    assert (error.code, error.message, error.is_remote) == (20001, "no such user", True)


def test_half_a_response_and_wrong_bytes_fail_the_call() -> None:
    def half(peer: ScriptedPeer) -> None:
        peer.answer_in_part(peer.expect_request(), HI, 10)

    def but_one(peer: ScriptedPeer) -> None:
        peer.answer_in_part(peer.expect_request(), HI, -1)

    def wrong(peer: ScriptedPeer) -> None:
        peer.expect_request()
        peer.send(b"no frame of any protocol")
        peer.wait_closed()

    for script in (half, but_one):
        assert isinstance(outcome(script), ConnectionFailedError)
    assert isinstance(outcome(wrong), ProtocolError)


def test_ends_of_connections_are_told_apart() -> None:
    def ended(end: Callable[[ScriptedPeer], None]) -> Any:
        def script(peer: ScriptedPeer) -> None:
            peer.expect_request()
            end(peer)

        return outcome(script).name

    assert ended(ScriptedPeer.close) == "EEOF"
    assert ended(ScriptedPeer.end_sending) == "EEOF"
    assert ended(ScriptedPeer.reset) == "ECONNRESET"


def test_script_that_never_answers_lets_the_call_time_out() -> None:
    assert isinstance(outcome(never_answer, timeout=0.01), RpcTimeoutError)


def test_log_off_has_the_call_sent_again_over_another_connection() -> None:
    def log_off(peer: ScriptedPeer) -> None:
        peer.log_off(peer.expect_request())
        peer.wait_closed()

    assert outcome(log_off, answer, max_retry=3) == "hi"
    assert outcome(log_off).code == ErrorCode.ELOGOFF


def test_each_connection_runs_its_script_and_later_ones_the_last() -> None:
    with ScriptedServer(ScriptedPeer.close, answer) as server:
        with pybrpc.Channel(server.address, connection_type="short", timeout=WAIT_S) as channel:
            stub = pybrpc.Stub(SERVICE, channel)
            assert [stub.Echo(HELLO).message for _ in range(3)] == ["hi"] * 3
        assert server.connections == 4
        assert len(server.requests) == 3
        assert server.requests[0].method == "Echo"
        assert f"on {server.address}, 4 connections" in repr(server)


def test_attachment_is_sent_behind_the_answer() -> None:
    def script(peer: ScriptedPeer) -> None:
        request = peer.expect_request()
        peer.answer(request, HI, attachment=bytes(request.attachment or b"") + b"!")

    controller = pybrpc.Controller()
    controller.request_attachment.append(b"attached")
    with ScriptedServer(script) as server, pybrpc.Channel(server.address) as channel:
        pybrpc.Stub(SERVICE, channel).Echo(HELLO, controller=controller, timeout=WAIT_S)
    assert bytes(controller.response_attachment) == b"attached!"


def test_what_a_script_raises_fails_the_test() -> None:
    server = ScriptedServer(lambda peer: print(peer.expect_request()))
    server.start()
    socket.create_connection(("127.0.0.1", server.port)).close()
    wait_until(lambda: server.connections == 1)
    with pytest.raises(AssertionError, match="the client closed instead of sending"):
        server.close()


def test_request_of_another_protocol_fails_the_script() -> None:
    with pytest.raises(AssertionError, match="sent no request of hulu_pbrpc"):
        with (
            ScriptedServer(answer, protocol="hulu_pbrpc") as server,
            pybrpc.Channel(server.address, max_retry=0) as channel,
            pytest.raises(pybrpc.RpcError),
        ):
            pybrpc.Stub(SERVICE, channel).Echo(HELLO, timeout=WAIT_S)


def test_error_of_the_test_itself_comes_out() -> None:
    with pytest.raises(KeyError), ScriptedServer(answer):
        raise KeyError


def test_error_of_a_script_is_a_note_of_the_error_that_it_has_caused() -> None:
    def refuses(peer: ScriptedPeer) -> None:
        peer.expect_request()
        raise AssertionError("not this request")

    with (
        pytest.raises(ConnectionFailedError) as caught,
        ScriptedServer(refuses) as server,
        pybrpc.Channel(server.address, max_retry=0, timeout=WAIT_S) as channel,
    ):
        pybrpc.Stub(SERVICE, channel).Echo(HELLO)
    (note,) = caught.value.__notes__
    assert note.startswith("a script of the server had raised:")
    assert note.endswith("AssertionError: not this request")


def test_script_that_does_not_return_is_named(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(scripted_server, "LONG_S", 0.01)
    go_on = threading.Event()

    def does_not_return(peer: ScriptedPeer) -> None:
        go_on.wait(WAIT_S)

    server = ScriptedServer(does_not_return)
    server.start()
    with socket.create_connection(("127.0.0.1", server.port)):
        wait_until(lambda: server.connections == 1)
        closing = threading.Thread(target=server.close)
        closing.start()
        wait_until(lambda: "does_not_return, which has not returned" in caplog.text)
        go_on.set()
        closing.join()


def test_server_that_was_never_started_can_be_closed() -> None:
    threads = threading.active_count()
    ScriptedServer(answer).close()
    assert threading.active_count() == threads


@pytest.mark.parametrize("kind", ["localhost", "v6", "unix"])
def test_server_listens_on_all_kinds_of_sockets(kind: str, unix_path: Path) -> None:
    where = {"localhost": "localhost:0", "v6": "[::1]:0", "unix": f"unix:{unix_path}"}[kind]
    for _ in range(2):
        with (
            assert_no_leaks(grace=WAIT_S),
            ScriptedServer(answer, address=where) as server,
            pybrpc.Channel(server.address, timeout=WAIT_S) as channel,
        ):
            assert pybrpc.Stub(SERVICE, channel).Echo(HELLO).message == "hi"
            assert (server.port == 0) is (kind == "unix")
    assert not unix_path.exists()


def test_scripts_may_close_the_server() -> None:
    begun = threading.Barrier(3)

    def close(peer: ScriptedPeer) -> None:
        begun.wait(WAIT_S)
        server.close()
        assert peer.read_request() is None

    with assert_no_leaks(grace=WAIT_S), contextlib.ExitStack() as stack:
        with ScriptedServer(close) as server:
            for _ in range(2):
                stack.enter_context(socket.create_connection(("127.0.0.1", server.port)))
            begun.wait(WAIT_S)
        assert server.connections == 2


@contextlib.contextmanager
def descriptors_left(count: int) -> Iterator[None]:
    """The process can open that many descriptors, and no more."""
    with contextlib.ExitStack() as stack:
        before = resource.getrlimit(resource.RLIMIT_NOFILE)
        stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, before)
        resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/dev/fd")) + 20, before[1]))
        filled: list[int] = []
        with contextlib.suppress(OSError):
            while True:
                filled.append(os.open(os.devnull, os.O_RDONLY))
        stack.callback(lambda: [os.close(fd) for fd in filled[count:]])
        for fd in filled[:count]:
            os.close(fd)
        yield


def test_server_without_descriptors_fails_the_test_and_lets_nobody_wait() -> None:
    def fill() -> None:
        with (
            socket.socket() as first,
            socket.socket() as second,
            ScriptedServer(answer) as server,
            descriptors_left(0),
        ):
            first.connect(("127.0.0.1", server.port))  # `accept` waits with a descriptor for it
            second.settimeout(WAIT_S)
            with contextlib.suppress(ConnectionError):
                second.connect(("127.0.0.1", server.port))
                assert second.recv(1) == b""

    with assert_no_leaks(grace=WAIT_S), pytest.raises(OSError, match="Too many open files"):
        fill()


class Faulty(ScriptedServer):
    class peer_class(ScriptedPeer):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            raise RuntimeError("faulty peer")


def test_peer_class_that_raises_fails_the_test() -> None:
    def connect() -> None:
        with Faulty(answer) as server:
            for _ in range(2):
                with socket.create_connection(("127.0.0.1", server.port)) as client:
                    client.settimeout(WAIT_S)
                    assert client.recv(1) == b""

    with assert_no_leaks(grace=WAIT_S), pytest.raises(RuntimeError, match="faulty peer"):
        connect()


def test_connection_for_which_no_thread_can_be_started_fails_the_test(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    start = threading.Thread.start

    def refused(thread: threading.Thread) -> None:
        if thread.name == "script":
            raise RuntimeError("can't start new thread")
        start(thread)

    def connect() -> None:
        with ScriptedServer(answer) as server:
            with socket.create_connection(("127.0.0.1", server.port)) as client:
                client.settimeout(WAIT_S)
                assert client.recv(1) == b""

    monkeypatch.setattr(threading.Thread, "start", refused)
    with pytest.raises(RuntimeError, match="can't start new thread"):
        connect()


async def async_script(peer: ScriptedPeer) -> None:
    raise AssertionError("it is not run")


def generator(peer: ScriptedPeer) -> Iterator[None]:
    yield peer.wait_closed()


@pytest.mark.parametrize(
    ("script", "text"),
    [
        (async_script, "must be no async function"),
        (generator, "must be no generator"),
        (lambda: None, "is called with a ScriptedPeer: too many positional arguments"),
    ],
)
def test_script_that_would_not_run_is_refused(script: Any, text: str) -> None:
    with pytest.raises(TypeError, match=text):
        ScriptedServer(script)


@pytest.mark.parametrize("script", [async_script, generator])
def test_script_that_returns_what_nobody_runs_fails_the_test(script: Any) -> None:
    with pytest.raises(TypeError, match="which nobody runs"):
        outcome(lambda peer: script(peer))


def test_server_is_started_once() -> None:
    with ScriptedServer(answer) as server:
        pass
    with pytest.raises(RuntimeError, match="was started before: make a new one"):
        server.start()


def test_wrong_arguments_are_told() -> None:
    with pytest.raises(AddressError, match="needs a socket"):
        ScriptedServer(answer, address="memory:")
    with pytest.raises(AddressError, match="more than one colon"):
        ScriptedServer(answer, address="::1:0")
    with ScriptedServer(answer) as server, pytest.raises(ListenError, match="in use"):
        ScriptedServer(answer, address=server.address)
    with pytest.raises(ValueError, match="needs a script"):
        ScriptedServer()
    with pytest.raises(TypeError, match="a script is a function"):
        ScriptedServer(b"bytes")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="unknown protocol"):
        ScriptedServer(answer, protocol="morse")
