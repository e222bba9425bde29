"""PagesView: a server that runs, as its pages see it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial

import pytest

import pybrpc
from pybrpc.builtin.server_view import ServerView
from pybrpc.rpc.controller import Controller
from pybrpc.server.pages_view import PagesView
from tests.peers.echo import ECHO, echo_request
from tests.peers.page_server import viewed_server
from tests.peers.serving import EchoService, Gate


@pytest.fixture
def served() -> Iterator[tuple[PagesView, pybrpc.Stub]]:
    with viewed_server() as (view, stub):
        yield view, stub


def test_it_is_a_server_view(served: tuple[PagesView, pybrpc.Stub]) -> None:
    view: ServerView = served[0]
    assert view.address.startswith("127.0.0.1:")
    assert view.metric_prefix == f"rpc_server_{view.address.rpartition(':')[2]}"
    assert (view.version, view.worker_name) == ("search 2.4.1", "")
    assert (view.is_stopping, view.max_concurrency, view.concurrency) == (False, 100, 0)


def test_services_and_their_methods(served: tuple[PagesView, pybrpc.Stub]) -> None:
    (service,) = served[0].services()
    assert (service.name, service.full_name) == ("EchoService", "conformance.EchoService")
    assert [
        (each.name, each.full_name, each.request_type, each.is_async) for each in service.methods
    ] == [
        ("Echo", "conformance.EchoService.Echo", "conformance.EchoRequest", False),
        ("Stream", "conformance.EchoService.Stream", "conformance.EchoRequest", True),
    ]
    assert [found.full_name for found in served[0].descriptors()] == ["conformance.EchoService"]


def test_connections_of_both_sides(served: tuple[PagesView, pybrpc.Stub]) -> None:
    view, stub = served
    assert view.connections(10) == []
    stub.Echo(echo_request())
    (accepted,) = view.connections(10)
    assert (accepted.protocol, accepted.state, accepted.tls) == ("baidu_std", "open", "")
    assert accepted.local_side == view.address
    assert accepted.in_messages == 1
    assert view.connection(accepted.socket_id) is not None
    assert view.connection(10**15) is None
    assert view.connections(0) == []
    made = [each for each in view.channel_connections(1000) if each.remote_side == view.address]
    assert [(each.local_side, each.out_bytes) for each in made] == [
        (accepted.remote_side, accepted.in_bytes)
    ]
    assert view.socket_count() >= 2
    assert view.connection_count == 1


def test_counters_and_options(served: tuple[PagesView, pybrpc.Stub]) -> None:
    view, stub = served
    stub.Echo(echo_request())
    assert dict(view.counters())["requests"] == 1
    options = dict(view.options())
    assert options["max_concurrency"] == "100"
    assert options["idle_timeout_s"] == "none"
    assert options["cancel_handlers"] == "true"
    assert options["tls"] == options["auth"] == "off"


def test_no_secret_is_an_option() -> None:
    class Passwords:
        secret = "hunter2"

        def generate_credential(self) -> bytes:
            return b"hunter2"

        def verify_credential(self, credential: bytes, peer: object) -> None:
            return None

        def __repr__(self) -> str:
            return "<Passwords hunter2>"

    with pybrpc.Server(auth=Passwords()) as server:  # type: ignore[arg-type]
        server.add_service(ECHO, EchoService())
        server.start("127.0.0.1:0")
        assert server._run is not None
        options = PagesView(server._run).options()
    assert "hunter2" not in str(options)
    assert ("auth", "on") in options


def test_calls_in_flight() -> None:
    gate = Gate()
    with pybrpc.Server() as server:
        server.add_service(ECHO, EchoService(gate))
        server.set_max_concurrency("EchoService.Echo", 5)
        endpoint = server.start("127.0.0.1:0")
        assert server._run is not None
        view = PagesView(server._run)
        with pybrpc.Channel(str(endpoint)) as channel:
            controller = Controller()
            controller.timeout_ms = 60_000
            controller.log_id = 2**64 - 1
            stub = pybrpc.Stub(ECHO, channel)
            thread = threading.Thread(
                target=partial(stub.Echo, echo_request(), controller=controller)
            )
            thread.start()
            try:
                gate.wait_entered()
                (call,) = view.calls(10)
                assert call.method == "conformance.EchoService.Echo"
                assert call.log_id == 2**64 - 1
                assert call.remaining_s is not None
                assert 0 < call.remaining_s <= 60
                assert call.call_id.startswith(f"{call.socket_id}-")
                assert call.request_bytes == len(echo_request().SerializeToString())
                assert view.calls(0) == []
                assert view.concurrency == 1
                assert view.services()[0].methods[0].concurrency == 1
                assert view.connections(1)[0].concurrency == 1
            finally:
                gate.open()
                thread.join()
        server.stop()
        assert view.is_stopping


def test_names_that_are_given(served: tuple[PagesView, pybrpc.Stub]) -> None:
    view = PagesView(
        served[0]._run,
        metric_prefix="rpc_server_search",
        worker_name="worker 2",
        urls_of=lambda entry: (f"/v1/{entry.full_name}",),
    )
    assert view.metric_prefix == "rpc_server_search"
    assert view.worker_name == "worker 2"
    assert view.services()[0].methods[0].urls == ("/v1/conformance.EchoService.Echo",)


def test_a_generic_service_has_no_descriptor() -> None:
    with pybrpc.Server() as server:
        server.add_generic_service(lambda request, controller: b"")
        server.start("127.0.0.1:0")
        assert server._run is not None
        view = PagesView(server._run)
        (service,) = view.services()
        assert (service.full_name, service.methods[0].request_type) == ("*", "")
        assert view.descriptors() == []
