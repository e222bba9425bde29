"""Server: its methods between its start and its end."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pybrpc.errors import ServerStateError
from pybrpc.server import Server
from pybrpc.transport.listening.acceptor import Acceptor
from pybrpc.transport.runtime import default_runtime
from tests.fakes.threads import wait_until
from tests.peers.raw_peer import RawPeer, request, text_of
from tests.peers.serving import Gate, async_echo, make_server, start


def test_bound_socket_is_listened_on() -> None:
    with make_server() as server, socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        endpoint = server.start(bound)
        assert endpoint.port == bound.getsockname()[1]
        with RawPeer(endpoint) as peer:
            assert text_of(peer.call()) == "hello"


def test_first_free_port_of_a_range_is_listened_on() -> None:
    with make_server() as first, make_server() as second:
        port = start(first).port
        found = second.start_in_range("127.0.0.1", range(port, port + 50))
        assert port < found.port < port + 50


@pytest.mark.parametrize("kind", ["port", "unix"])
@pytest.mark.parametrize("raised", [RuntimeError("can't start new thread"), KeyboardInterrupt()])
def test_start_that_fails_leaves_nothing(
    kind: str, raised: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It fails when it begins to accept, after everything else was set up."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
    if kind == "unix":
        address = f"unix:{tmp_path / 'server.sock'}"

    def fail(acceptor: Acceptor) -> None:
        raise raised

    server = make_server(async_echo, async_echo, idle_timeout=10)
    with monkeypatch.context() as patch:
        patch.setattr(Acceptor, "start", fail)
        with pytest.raises(type(raised)):
            server.start(address)
    assert not server.is_running
    assert list(tmp_path.iterdir()) == []
    wait_until(lambda: "pybrpc-handler-loop" not in [each.name for each in threading.enumerate()])
    with server:
        server.start(address)


def test_start_that_fails_leaves_a_socket_that_was_given_to_its_owner(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(acceptor: Acceptor) -> None:
        raise RuntimeError("can't start new thread")

    with make_server() as server, socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        with monkeypatch.context() as patch:
            patch.setattr(Acceptor, "start", fail)
            with pytest.raises(RuntimeError):
                server.start(bound)
        with RawPeer(server.start(bound)) as peer:
            assert text_of(peer.call()) == "hello"


def test_server_is_stopping_until_all_is_answered() -> None:
    gate = Gate()
    server = make_server(gate)
    assert not server.is_stopping
    with RawPeer(start(server)) as peer:
        peer.send(request(1))
        gate.wait_entered()
        assert not server.is_stopping
        server.stop(None)
        wait_until(lambda: server.is_stopping)
        assert not server.join(0.01)
        (call,) = server.unfinished()
        assert call.method.endswith(".Echo")
        assert len(server.unfinished_connections()) == 1
        gate.open()
        assert text_of(peer.read_answer()) == "hello"
    assert server.join()
    assert (server.is_stopping, server.is_running, server.unfinished()) == (False, False, [])


def test_server_that_was_not_started_has_nothing_to_stop() -> None:
    server = Server()
    server.stop()
    assert server.join()
    asyncio.run(server.wait_stopped())
    assert (server.unfinished(), server.unfinished_connections()) == ([], [])
    with pytest.raises(ServerStateError, match="start the server before"):
        server.run_until_asked_to_quit()


def test_reload_tls_needs_a_server_with_tls() -> None:
    server: Any = Server()
    with pytest.raises(ServerStateError, match="was made without tls="):
        server.reload_tls()
    loaded: list[bool] = []
    server._settings = SimpleNamespace(tls=SimpleNamespace(reload=lambda: loaded.append(True)))
    server.reload_tls()
    assert loaded == [True]


def in_a_turn(function: Callable[[], object]) -> Any:
    """The result of `function`, run in a turn, or its error."""
    found: list[Any] = []

    def run() -> None:
        try:
            found.append(function())
        except Exception as error:
            found.append(error)

    default_runtime().dispatcher.post(run)
    wait_until(lambda: bool(found))
    return found[0]


def test_join_in_a_turn_of_its_dispatcher_is_refused() -> None:
    with make_server() as server:
        start(server)
        error = in_a_turn(server.join)
        assert isinstance(error, ServerStateError)
        assert "join() would block the server's loop" in str(error)


def test_server_is_bound_to_a_loop_only_before_it_starts() -> None:
    async def main() -> None:
        with make_server() as server:
            start(server)
            with pytest.raises(ServerStateError, match="inside `async with`, not before"):
                await server.__aenter__()

    asyncio.run(main())
