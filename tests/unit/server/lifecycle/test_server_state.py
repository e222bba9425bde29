from __future__ import annotations

import asyncio
import dataclasses
import gc
import threading
import weakref
from functools import partial
from typing import Any, cast

import pytest

from pybrpc.errors import AddressError, ServerStateError
from pybrpc.server import Server, ServerStatistics
from pybrpc.transport.listening.acceptor import ListenError
from pybrpc.transport.runtime import Runtime
from tests.fakes.threads import wait_until
from tests.peers.raw_peer import SERVICE, RawPeer, text_of
from tests.peers.serving import EchoService, make_server, start


def test_new_server_has_no_endpoint() -> None:
    with pytest.raises(ServerStateError, match="not started"):
        _ = Server().endpoint


def test_start_returns_the_endpoint() -> None:
    with make_server() as server:
        endpoint = start(server)
        assert server.endpoint == endpoint
        assert str(endpoint) == f"127.0.0.1:{endpoint.port}"
        assert server.is_running


def test_start_twice_is_refused() -> None:
    with make_server() as server:
        endpoint = start(server)
        with pytest.raises(ServerStateError, match=f"runs already, on {endpoint}"):
            start(server)


def test_start_while_it_stops_says_to_wait() -> None:
    release = threading.Event()
    with make_server() as server:
        server.on_shutdown(lambda: release.wait(30))
        endpoint = start(server)
        server.stop()
        with pytest.raises(ServerStateError, match=f"{endpoint} still stops: join"):
            start(server)
        release.set()
        assert server.join(30)


@pytest.mark.parametrize("is_async", [False, True])
def test_stop_while_it_starts_begins_after_the_start(is_async: bool) -> None:
    """As by a signal, while a function of on_startup takes its time."""
    server = make_server()

    async def stop_in_loop() -> None:
        server.stop(0)

    server.on_startup(stop_in_loop if is_async else partial(server.stop, 0))
    for _ in range(2):
        start(server)
        assert server.join(30)


def test_stop_before_the_start_does_nothing() -> None:
    with make_server() as server:
        server.stop()
        start(server)
        assert not server.is_stopping


def test_add_service_while_running_is_refused() -> None:
    with Server() as server:
        start(server)
        with pytest.raises(ServerStateError, match="before the server is started"):
            server.add_service(SERVICE, EchoService())


@pytest.mark.parametrize("address", ["", "localhost", "127.0.0.1:70000", "http://a:1", 8000])
def test_address_that_makes_no_sense_is_refused(address: Any) -> None:
    server = Server()
    with pytest.raises(AddressError):
        server.start(address)
    assert not server.is_running


def test_address_in_use_is_refused() -> None:
    with make_server() as server, Server() as other:
        endpoint = start(server)
        with pytest.raises(ListenError):
            other.start(endpoint)
        assert not other.is_running


@pytest.mark.parametrize(
    "options",
    [{"max_concurrency": -1}, {"max_connections": -1}, {"max_workers": 0}, {"max_body_size": 0}],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="must be"):
        Server(**options)  # type: ignore[arg-type]


@pytest.mark.parametrize("grace", [-1, "soon"])
def test_grace_that_makes_no_sense_is_refused(grace: Any) -> None:
    with make_server() as server:
        start(server)
        with pytest.raises((ValueError, TypeError), match="grace must be"):
            server.stop(grace)


def test_stop_and_join_before_start_do_nothing() -> None:
    server = Server()
    server.stop()
    assert server.join()
    assert not server.is_running


def test_second_stop_does_nothing() -> None:
    with make_server() as server:
        start(server)
        server.stop()
        server.stop()
        assert server.join()
        server.stop()
        assert server.join(timeout=0)


def test_join_gives_up_after_its_timeout() -> None:
    with make_server() as server:
        start(server)
        assert not server.join(timeout=0)
        assert server.is_running


def test_run_until_asked_to_quit_before_start_is_refused() -> None:
    with pytest.raises(ServerStateError, match="start the server before"):
        Server().run_until_asked_to_quit()


def test_server_starts_again_on_the_same_port_after_a_stop() -> None:
    server = make_server()
    endpoint = start(server)
    for _ in range(5):
        with RawPeer(endpoint) as peer:
            assert text_of(peer.call()) == "hello"
        server.stop()
        assert server.join()
        server.start(endpoint)
    server.stop()
    assert server.join()


def test_stopped_run_is_not_kept_by_its_timers() -> None:
    server = make_server(idle_timeout=3600)
    for _ in range(2):
        with RawPeer(start(server)) as peer:
            text_of(peer.call())
            run = weakref.ref(cast(object, server._run))
            server.stop(3600)
            server.stop(1800)
            assert peer.read_to_end() == b""
        assert server.join()
        server._run = None
        wait_until(lambda: gc.collect() >= 0 and run() is None)  # noqa: B023 - called in this turn


def test_service_can_be_added_between_two_runs() -> None:
    server = Server()
    start(server)
    server.stop()
    server.join()
    server.add_service(SERVICE, EchoService())
    with server, RawPeer(start(server)) as peer:
        assert text_of(peer.call()) == "hello"


def test_repr_says_the_state_in_words() -> None:
    server = Server()
    assert repr(server) == "<Server of no service, not started>"
    server.add_service(SERVICE, EchoService())
    with server:
        endpoint = start(server)
        with RawPeer(endpoint) as peer:
            text_of(peer.call())
            assert repr(server) == (
                f"<Server of conformance.EchoService, running on {endpoint}, "
                "1 connections, 0 requests running>"
            )
    assert repr(server) == "<Server of conformance.EchoService, stopped>"


def test_statistics_count_connections_requests_and_errors() -> None:
    with make_server() as server:
        assert server.statistics() == ServerStatistics(0, 0, 0, 0, 0, 0, 0)
        endpoint = start(server)
        with RawPeer(endpoint) as peer, RawPeer(endpoint) as other:
            text_of(peer.call())
            text_of(other.call())
            assert peer.call("Sing").error_code
            statistics = server.statistics()
            assert dataclasses.replace(statistics, workers=0) == ServerStatistics(
                accepted=2,
                requests=3,
                errors=1,
                refused_connections=0,
                connections=2,
                running=0,
                workers=0,
            )
            assert statistics.workers <= 2


def test_server_with_a_runtime_of_its_own() -> None:
    runtime = Runtime()
    with make_server(runtime=runtime) as server, RawPeer(start(server)) as peer:
        assert text_of(peer.call()) == "hello"
        assert [str(acceptor.endpoint) for acceptor in runtime.acceptors] == [str(server.endpoint)]
    runtime.close()


def test_stop_after_the_runtime_was_closed() -> None:
    runtime = Runtime()
    server = make_server(runtime=runtime)
    with RawPeer(start(server)) as peer:
        text_of(peer.call())
        runtime.close()
        server.stop()
        assert server.join()
        assert peer.read_to_end() == b""


def test_running_server_cannot_be_bound_to_a_loop() -> None:
    async def bind(server: Server) -> None:
        with pytest.raises(ServerStateError, match="inside `async with`"):
            async with server:
                pass

    with make_server() as server:
        start(server)
        asyncio.run(bind(server))
