"""Endpoints that are down: calls of them fail fast, and they are dialled in the background."""

from __future__ import annotations

import contextlib
import errno
import gc
import os
import socket
import threading
import time
from typing import Any

import pytest

import pybrpc
from pybrpc.client.endpoints.source_base import SourceBase
from pybrpc.errors import ConnectError, Phase, RpcError
from pybrpc.transport.runtime import default_runtime
from pybrpc.transport.socket.socket import Socket
from pybrpc.transport.socket_table import SOCKETS
from tests.fakes.threads import wait_until
from tests.peers.callers import FORMS, caller
from tests.peers.echo import ECHO, echo_request
from tests.peers.endpoints import (
    NEVER_AGAIN,
    OFTEN,
    call_until_refused,
    counts,
    is_down,
    revived,
    wait_up,
)
from tests.peers.forking import exit_code_of, fork
from tests.peers.scripted_server import (
    Peer,
    ScriptedServer,
    ScriptedServerOn,
    closed_port,
    deaf_port,
)

TYPES = ("single", "pooled", "short", "auto")
every_form = pytest.mark.parametrize("form", FORMS)
every_type = pytest.mark.parametrize("connection_type", TYPES)


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
        wait_until(lambda: counts(channel).created >= 5)
        found = counts(channel)
        assert found.is_down
        assert found.created - found.closed <= 1, "one dial at a time"


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
        while counts(channel).created < 500:
            assert time.monotonic() < end
            time.sleep(0.01)
        gc.collect()
        assert len([s for s in SOCKETS.all() if str(s.remote_side) == dead_address]) <= 1
