"""Endpoints that are down: dialled in the background, waited for or not, checked before use."""

from __future__ import annotations

import contextlib
import errno
import gc
import os
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

import pybrpc
from pybrpc.client.endpoints.source_base import SourceBase
from pybrpc.errors import ConnectError, ErrorCode, Phase, RpcError, RpcTimeoutError
from pybrpc.transport.runtime import default_runtime
from pybrpc.transport.socket.socket import Socket
from pybrpc.transport.socket_table import SOCKETS
from tests.fakes.threads import wait_until
from tests.peers.callers import FORMS, THREAD_FORMS, caller
from tests.peers.echo import ECHO, echo_request
from tests.peers.forking import exit_code_of, fork
from tests.peers.scripted_server import (
    Peer,
    ScriptedServer,
    ScriptedServerOn,
    closed_port,
    deaf_port,
    never_answer,
    reserved_port,
)
from tests.peers.serving import make_server
from tests.protos import conformance_pb2 as pb

TYPES = ("single", "pooled", "short")
OFTEN = pybrpc.Backoff(first_s=0.02, factor=1, max_s=0.02)
NEVER_AGAIN = pybrpc.Backoff(first_s=3600, max_s=3600)
ECHO_METHOD = ECHO.methods_by_name["Echo"]
WELL = pb.EchoRequest(message="well?")

every_form = pytest.mark.parametrize("form", FORMS)
every_type = pytest.mark.parametrize("connection_type", TYPES)


def is_down(channel: Any) -> bool:
    found = channel.endpoint_statistics()
    return found is not None and found.is_down


def call_until_refused(client: Any) -> RpcError:
    with pytest.raises(ConnectError) as caught:
        client.call(echo_request())
    return caught.value


def try_call(client: Any) -> bool:
    try:
        return bool(client.call(echo_request("up")).message == "up")
    except ConnectError:
        return False


@contextlib.contextmanager
def revived(address: str) -> Iterator[pybrpc.Server]:
    """A server on an address on which nobody listened."""
    with make_server() as server:
        server.start(address)
        yield server


@pytest.fixture
def dead_address() -> Iterator[str]:
    """Nobody listens there, and somebody may."""
    with reserved_port() as address:
        yield address


# --- failing fast ---


@every_form
@every_type
def test_call_of_an_endpoint_that_is_down_fails_fast_with_the_cause(
    form: str, connection_type: str
) -> None:
    controller = pybrpc.Controller()
    with closed_port() as address:
        options: dict[str, Any] = {"connection_type": connection_type, "dial_backoff": NEVER_AGAIN}
        with caller(form, address, **options) as client:
            call_until_refused(client)
            made = client.channel.endpoint_statistics().created
            with pytest.raises(ConnectError) as caught:
                client.call(echo_request(), controller=controller)
            found = client.channel.endpoint_statistics()
    error = caught.value
    assert isinstance(error, ConnectionError)
    assert (error.code, error.phase, error.peer) == (errno.ECONNREFUSED, Phase.CONNECT, address)
    assert error.text.startswith(f"[E111]Fail to connect {address}: Connection refused (down for ")
    assert "next dial in" in error.text
    assert (controller.retried_count, controller.error_code) == (0, errno.ECONNREFUSED)
    assert (found.is_down, found.created) == (True, made), "the call has dialled nothing"


def test_only_the_first_call_waits_for_a_peer_that_does_not_answer() -> None:
    with deaf_port() as address:
        with pybrpc.Channel(
            address, timeout=30, connect_timeout=0.2, dial_backoff=NEVER_AGAIN, max_retry=0
        ) as channel:
            stub = pybrpc.Stub(ECHO, channel)
            for _ in range(100):
                with pytest.raises(ConnectError) as caught:
                    stub.Echo(echo_request())
                assert caught.value.code == errno.ETIMEDOUT
            assert channel.endpoint_statistics().created == 1  # type: ignore[union-attr]


def test_calls_that_queue_for_the_pool_are_told_when_the_endpoint_goes_down() -> None:
    with deaf_port() as address:
        with pybrpc.Channel(
            address,
            timeout=30,
            connect_timeout=0.2,
            dial_backoff=NEVER_AGAIN,
            connection_type="pooled",
            max_pool_size=2,
            max_retry=0,
        ) as channel:
            futures = [pybrpc.Stub(ECHO, channel).Echo.future(echo_request()) for _ in range(20)]
            for future in futures:
                with pytest.raises(ConnectError, match="connect_timeout"):
                    future.result()
            assert channel.endpoint_statistics().waiting == 0  # type: ignore[union-attr]


# --- the background dial ---


@every_form
@every_type
def test_background_dial_finds_the_server_again(
    form: str, connection_type: str, dead_address: str
) -> None:
    """bRPC: health_check. brpc#3058, #2662: a connection is thrown away, never revived."""
    options: dict[str, Any] = {"connection_type": connection_type, "dial_backoff": OFTEN}
    with caller(form, dead_address, **options) as client:
        call_until_refused(client)
        with revived(dead_address) as server:
            wait_up(client)
            assert server.statistics().requests >= 1
        wait_down(client)
        with revived(dead_address):
            wait_up(client)


def wait_up(client: Any) -> None:
    wait_until(lambda: try_call(client))
    assert not is_down(client.channel)


def wait_down(client: Any) -> None:
    def is_refused() -> bool:
        with contextlib.suppress(RpcError):
            client.call(echo_request())
        return is_down(client.channel)

    wait_until(is_refused)


def test_dialled_connection_becomes_the_one_that_calls_use(dead_address: str) -> None:
    with pybrpc.Channel(dead_address, timeout=30, dial_backoff=OFTEN) as channel:
        stub = pybrpc.Stub(ECHO, channel)
        with pytest.raises(ConnectError):
            stub.Echo(echo_request())
        with ScriptedServerOn(dead_address) as server:
            wait_until(lambda: not is_down(channel))
            wait_until(lambda: server.connections == 1)
            for _ in range(10):
                stub.Echo(echo_request())
            assert server.connections == 1


def test_dials_go_on_while_nobody_calls(dead_address: str) -> None:
    with pybrpc.Channel(dead_address, timeout=30, dial_backoff=OFTEN) as channel:
        with pytest.raises(ConnectError):
            pybrpc.Stub(ECHO, channel).Echo(echo_request())
        wait_until(lambda: (channel.endpoint_statistics() or not_yet()).created >= 5)
        found = channel.endpoint_statistics() or not_yet()
        assert found.is_down
        assert found.created - found.closed <= 1, "one dial at a time"


def not_yet() -> Any:
    raise AssertionError("no call was made yet")


@every_type
def test_dials_end_with_the_last_channel(dead_address: str, connection_type: Any) -> None:
    """bRPC: not_health_check_when_nref_hits_0."""
    channels = [
        pybrpc.Channel(
            dead_address, timeout=30, dial_backoff=OFTEN, connection_type=connection_type
        )
        for _ in range(2)
    ]
    for channel in channels:
        with pytest.raises(ConnectError):
            pybrpc.Stub(ECHO, channel).Echo(echo_request())
    source = channels[0].source()
    channels[0].close()
    made = source.statistics().created
    wait_until(lambda: source.statistics().created > made + 2)
    channels[1].close()
    for _ in range(2):
        # A dial that was just beginning ends in the turns after that.
        turn = threading.Event()
        source.dispatcher.post(turn.set)
        assert turn.wait(30)
    made = source.statistics().created
    with socket.create_server(("127.0.0.1", int(dead_address.rpartition(":")[2]))) as listener:
        listener.settimeout(0.2)
        with pytest.raises(TimeoutError):
            listener.accept()
    assert source.statistics().created == made
    assert not source.statistics().is_down
    assert len(default_runtime().connections) == 0


def test_dial_that_the_closing_channel_overtakes_is_no_error(
    dead_address: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The last channel is closed by one thread while the dispatcher makes the connection."""
    is_closed = threading.Event()
    make_for = SourceBase.make_for

    def make_for_and_be_overtaken(source: SourceBase, owner: Any, *rest: Any) -> Any:
        if owner is source:
            return make_for(source, owner, *rest)
        channel.close()
        connection = make_for(source, owner, *rest)
        is_closed.set()
        return connection

    with pybrpc.Channel(dead_address, timeout=30, dial_backoff=OFTEN) as channel:
        with pytest.raises(ConnectError):
            pybrpc.Stub(ECHO, channel).Echo(echo_request())
        monkeypatch.setattr(SourceBase, "make_for", make_for_and_be_overtaken)
        assert is_closed.wait(30)
    with pybrpc.Channel(dead_address, timeout=30, max_retry=0) as another:
        with pytest.raises(ConnectError):
            pybrpc.Stub(ECHO, another).Echo(echo_request())
    assert caplog.records == []


def test_health_check_off_leaves_dialling_to_the_calls(dead_address: str) -> None:
    """bRPC: disable_health_check. brpc#2998."""
    with pybrpc.Channel(dead_address, timeout=30, dial_backoff=None, max_retry=0) as channel:
        stub = pybrpc.Stub(ECHO, channel)
        for i in range(3):
            with pytest.raises(ConnectError):
                stub.Echo(echo_request())
            assert channel.endpoint_statistics().created == i + 1  # type: ignore[union-attr]
            assert not is_down(channel)
        with revived(dead_address):
            assert stub.Echo(echo_request("back")).message == "back"


@every_type
def test_retry_with_a_pause_dials_itself(dead_address: str, connection_type: str) -> None:
    """brpc#2395: a single server comes back during the pauses, long before the next dial."""
    policy = pybrpc.RetryPolicy(backoff=pybrpc.Backoff(first_s=0.05, factor=1, max_s=0.05))
    controller = pybrpc.Controller()
    options: dict[str, Any] = {
        "dial_backoff": NEVER_AGAIN,
        "retry_policy": policy,
        "max_retry": 1000,
        "connection_type": connection_type,
    }
    with caller("future", dead_address, **options) as client:
        answer = client.stub.Echo.future(echo_request("patient"), controller=controller)
        wait_until(lambda: is_down(client.channel))
        with revived(dead_address):
            assert answer.result().message == "patient"
            assert not is_down(client.channel), "what it found out is good for everybody"
            assert client.call(echo_request("next")).message == "next"
    assert controller.retried_count >= 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_forked_child_starts_without_prejudice(dead_address: str) -> None:
    def work() -> None:
        assert not is_down(channel)
        assert stub.Echo(echo_request("child")).message == "child"

    with pybrpc.Channel(dead_address, timeout=30, dial_backoff=NEVER_AGAIN) as channel:
        stub = pybrpc.Stub(ECHO, channel)
        with pytest.raises(ConnectError):
            stub.Echo(echo_request())
        with ScriptedServerOn(dead_address):
            assert exit_code_of(fork(work)) == 0
            assert is_down(channel), "the child has found out for itself alone"


# --- wait_for_ready ---


@every_form
@every_type
def test_call_that_waits_for_the_server_is_answered_once_it_is_there(
    form: str, connection_type: str, dead_address: str
) -> None:
    server = make_server()
    options: dict[str, Any] = {
        "connection_type": connection_type,
        "dial_backoff": OFTEN,
        "wait_for_ready": True,
        "max_retry": 0,
    }
    starter = threading.Timer(0.15, lambda: server.start(dead_address))
    starter.start()
    with server, caller(form, dead_address, **options) as client:
        if form in ("future", "asyncio", "uvloop", "asyncio-shared"):
            answers = client.call_many([echo_request(str(i)) for i in range(50)])
            assert [answer.message for answer in answers] == [str(i) for i in range(50)]
        else:
            assert client.call(echo_request("hello")).message == "hello"
        starter.join()
        assert client.channel.endpoint_statistics().waiting == 0


@every_form
def test_deadline_of_a_call_that_waits_names_what_it_waited_for(
    form: str, dead_address: str
) -> None:
    options: dict[str, Any] = {"dial_backoff": OFTEN, "wait_for_ready": True}
    with caller(form, dead_address, **options) as client:
        for _ in range(2):
            with pytest.raises(RpcTimeoutError) as caught:
                client.call(echo_request(), timeout=0.5)
            error = caught.value
            assert error.code == ErrorCode.ERPCTIMEDOUT
            assert "Reached timeout=500ms" in error.text
            assert f"not ready: Fail to connect {dead_address}: Connection refused" in error.text
            assert isinstance(error.__cause__, ConnectError)
        assert client.channel.endpoint_statistics().waiting == 0


def test_closing_the_channel_ends_the_wait() -> None:
    with closed_port() as address:
        channel = pybrpc.Channel(address, timeout=None, wait_for_ready=True)
        futures = [pybrpc.Stub(ECHO, channel).Echo.future(echo_request()) for _ in range(10)]
        wait_until(lambda: (channel.endpoint_statistics() or not_yet()).waiting == 10)
        channel.close()
        for future in futures:
            with pytest.raises(RpcError) as caught:
                future.result()
            assert caught.value.code == ErrorCode.ECLOSE


def test_cancelled_call_waits_no_more() -> None:
    with closed_port() as address, pybrpc.Channel(address, wait_for_ready=True) as channel:
        future = pybrpc.Stub(ECHO, channel).Echo.future(echo_request(), timeout=None)
        wait_until(lambda: (channel.endpoint_statistics() or not_yet()).waiting == 1)
        assert future.cancel()
        assert (channel.endpoint_statistics() or not_yet()).waiting == 0


# --- the health check of the application ---


@pytest.mark.parametrize("form", THREAD_FORMS)
@every_type
def test_server_that_listens_but_does_not_answer_stays_down(
    form: str, connection_type: str, dead_address: str
) -> None:
    """bRPC: app_level_health_check."""
    check = pybrpc.HealthCheck(ECHO_METHOD, WELL, timeout=0.1)
    options: dict[str, Any] = {
        "health_check": check,
        "dial_backoff": OFTEN,
        "connection_type": connection_type,
    }
    with caller(form, dead_address, **options) as client:
        assert call_until_refused(client).code == errno.ECONNREFUSED
        with ScriptedServerOn(
            dead_address, never_answer, never_answer, Peer.echo_until_closed
        ) as server:
            wait_until(lambda: server.connections >= 2)
            error = call_until_refused(client)
            assert error.code == errno.EHOSTDOWN
            assert "with conformance.EchoService.Echo: " in error.text
            wait_up(client)
            assert server.connections >= 3
            assert bytes(server.requests[0].body) == WELL.SerializeToString()


def test_listener_that_closes_during_the_check_is_checked_again(dead_address: str) -> None:
    """bRPC: app_level_health_check, its last part."""
    check = pybrpc.HealthCheck(ECHO_METHOD, WELL, timeout=30)

    def hang_up(peer: Peer) -> None:
        peer.read_request()

    with caller("blocking", dead_address, health_check=check, dial_backoff=OFTEN) as client:
        call_until_refused(client)
        with ScriptedServerOn(dead_address, hang_up) as server:
            wait_until(lambda: server.connections >= 3)
            assert is_down(client.channel)
        with ScriptedServerOn(dead_address):
            wait_up(client)


def test_function_judges_the_answer_of_the_check(dead_address: str) -> None:
    judged: list[str] = []

    def is_healthy(response: Any) -> bool:
        judged.append(response.message)
        if len(judged) == 1:
            raise KeyError("a judge that raises")
        return len(judged) > 2

    check = pybrpc.HealthCheck(ECHO_METHOD, WELL, timeout=30, is_healthy=is_healthy)
    with caller("blocking", dead_address, health_check=check, dial_backoff=OFTEN) as client:
        call_until_refused(client)
        with revived(dead_address):
            wait_up(client)
    assert judged == ["well?"] * 3


def test_channels_share_with_the_same_check_only() -> None:
    check = pybrpc.HealthCheck(ECHO_METHOD, WELL)
    with ScriptedServer() as server:
        channels = [
            pybrpc.Channel(server.address, timeout=30, health_check=each)
            for each in (check, check, pybrpc.HealthCheck(ECHO_METHOD, WELL))
        ]
        for channel in channels:
            pybrpc.Stub(ECHO, channel).Echo(echo_request())
        assert server.connections == 2
        for channel in channels:
            channel.close()


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({"method": "Echo"}, TypeError, "descriptor of a method"),
        ({"method": ECHO_METHOD, "request": WELL, "timeout": 0}, ValueError, "more than 0 s"),
        ({"method": ECHO_METHOD, "request": WELL, "timeout": None}, ValueError, "more than 0 s"),
        ({"method": ECHO_METHOD}, ValueError, "required fields"),
        ({"method": ECHO_METHOD, "request": pb.EchoResponse()}, TypeError, "EchoRequest"),
    ],
)
def test_senseless_health_checks_are_refused(
    arguments: dict[str, Any], error: type[Exception], match: str
) -> None:
    with pytest.raises(error, match=match):
        pybrpc.HealthCheck(**arguments)


# --- what must not stay ---


def test_descriptors_close_when_a_connection_fails_not_when_the_last_call_is_gone() -> None:
    """brpc#2662: CLOSE_WAIT for long, because calls still held the socket."""
    may_close = threading.Event()

    def hang_up(peer: Peer) -> None:
        for _ in range(3):
            peer.expect_request()
        may_close.wait()

    with ScriptedServer(hang_up) as server:
        with pybrpc.Channel(server.address, timeout=30, max_retry=0) as channel:
            futures = [pybrpc.Stub(ECHO, channel).Echo.future(echo_request()) for _ in range(3)]
            wait_until(lambda: len(server.requests) == 3)
            (held,) = [connection.socket for connection in channel.source().connections]
            fd, socket_id, inode = held.fd, held.id, os.fstat(held.fd).st_ino
            may_close.set()
            for future in futures:
                with pytest.raises(RpcError):
                    future.result()
            wait_until(lambda: not is_open(fd, inode))
            assert held.fd == -1
            assert Socket.address(socket_id) is None


def is_open(fd: int, inode: int) -> bool:
    with contextlib.suppress(OSError):
        return os.fstat(fd).st_ino == inode
    return False


def test_years_of_being_down_cost_nothing(dead_address: str) -> None:
    often = pybrpc.Backoff(first_s=0.0005, factor=1, max_s=0.0005)
    with pybrpc.Channel(dead_address, timeout=30, dial_backoff=often) as channel:
        with pytest.raises(ConnectError):
            pybrpc.Stub(ECHO, channel).Echo(echo_request())
        end = time.monotonic() + 60
        while (channel.endpoint_statistics() or not_yet()).created < 500:
            assert time.monotonic() < end
            time.sleep(0.01)
        gc.collect()
        assert len([s for s in SOCKETS.all() if str(s.remote_side) == dead_address]) <= 1
