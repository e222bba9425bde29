"""bRPC's own tests of a server (test/brpc_server_unittest.cpp), in our terms, for baidu_std.

Each test here names the one it stands for. Where all of them are:

    sanity                              here; unit/server/test_server_state
    range_start                         here
    logoff_and_multiple_start           here; test_server_stop
    close_idle_connections              here; test_server_limits; unit/server/**/test_idle_sweep
    serving_requests                    here
    add_remove_service                  here; unit/server/calls/test_service_registry
    services_in_different_ns            here; unit/server/calls/test_service_registry
    invalid_protocol_in_enabled_protocols, empty_enabled_protocols,
        only_allow_protocols_in_enabled_protocols   here
    too_big_message                     here; test_server_bad_input, test_server_closing
    max_concurrency                     here; test_server_concurrency
    auth                                here; test_server_auth, also against recordings of C++
    user_fields                         here; test_server_answers
    missing_required_fields             here, as what baidu_std makes of it

And what users of bRPC have asked for, by the numbers of apache/brpc's issues:

    2665, 429, 961  a stop that ends, and says what it waits for    here; test_server_stop
    1889            nothing outlives a stop                         conftest.py, in every test
    2006            answers are not lost to a reset                 test_server_closing
    1107            a slow reader is bounded                        test_server_limits
    1976            the number of connections can be limited        test_server_limits
    2681            a running request keeps its connection          test_server_limits
    3177            max_body_size holds, and is answered            test_server_bad_input
    1348            an attachment over 2 GiB is refused             unit/protocols/baidu_std

Not there, as they are on HTTP, builtin services, services for all names or C++ itself:
various_forms_of_uri_paths, disallow_http_body_to_pb, restful_mapping,
restful_mapping_is_tried_after_others, conflict_name_between_restful_mapping_and_builtin,
http_error_code, base64_to_string, single_repeated_to_array, add_builtin_service, create_pid_file,
baidu_master_service, generic_call, rpc_pb_message_factory, arena_rpc_pb_message_factory. And
bind_client_host_and_network_device, which is the client's.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

import pybrpc
from pybrpc.base.endpoint import Endpoint
from pybrpc.errors import (
    AddressError,
    AuthenticationError,
    ConnectionFailedError,
    LimitReachedError,
    ServerStateError,
)
from pybrpc.server import Server
from pybrpc.transport.listening.acceptor import ListenError
from tests.fakes.threads import wait_until
from tests.peers.echo import ECHO
from tests.peers.raw_peer import RawPeer, request, text_of
from tests.peers.serving import Gate, as_async, echo, make_server, start
from tests.protos import conformance_pb2 as pb

HELLO = pb.EchoRequest(message="hello")

KINDS = pytest.mark.parametrize("kind", [lambda handler: handler, as_async], ids=["def", "async"])


@contextlib.contextmanager
def stub_of(endpoint: Endpoint, **options: Any) -> Iterator[Any]:
    with pybrpc.Channel(str(endpoint), timeout=30, **options) as channel:
        yield pybrpc.Stub(ECHO, channel)


class Listeners:
    """Some ports in a row: the first ones taken, the last two free."""

    def __init__(self, taken: int) -> None:
        while not self._take(taken):
            self.close()

    def _take(self, taken: int) -> bool:
        self.sockets = [socket.create_server(("127.0.0.1", 0))]
        self.first = self.sockets[0].getsockname()[1]
        try:
            for port in range(self.first + 1, self.first + taken):
                self.sockets.append(socket.create_server(("127.0.0.1", port)))
            for port in (self.first + taken, self.first + taken + 1):
                socket.create_server(("127.0.0.1", port)).close()
        except (OSError, OverflowError):
            return False
        return True

    def close(self) -> None:
        for sock in self.sockets:
            sock.close()


# --- start and stop ---


@pytest.mark.parametrize("address", ["127.0.0.1:12345:asdf", "127.0.0.1:99999"])
def test_bad_address(address: str) -> None:
    """ServerTest.sanity"""
    server = make_server()
    with pytest.raises(AddressError):
        server.start(address)
    assert not server.is_running


def test_port_0_is_replaced_by_the_one_that_is_used() -> None:
    """ServerTest.sanity"""
    with make_server() as server:
        endpoint = server.start("localhost:0")
        assert endpoint.port != 0
        assert server.endpoint == endpoint


def test_used_port_is_refused_and_leaves_the_server_as_it_was() -> None:
    """ServerTest.sanity"""
    with make_server() as server, make_server() as other:
        endpoint = start(server)
        with pytest.raises(ListenError):
            other.start(endpoint)
        assert not other.is_running
        server.stop()
        assert server.join()
        assert other.start(endpoint) == endpoint


def test_options_are_kept_over_restarts() -> None:
    """ServerTest.sanity"""
    with make_server(max_concurrency=1, max_connections=1, idle_timeout=30) as server:
        endpoint = start(server)
        for _ in range(3):
            assert (server._settings.max_concurrency, server._settings.max_connections) == (1, 1)
            with RawPeer(endpoint) as peer, RawPeer(endpoint) as refused:
                assert text_of(peer.call()) == "hello"
                assert refused.read_to_end() == b""
            server.stop()
            assert server.join()
            server.start(endpoint)


def test_range_of_ports() -> None:
    """ServerTest.range_start, ServerTest.sanity: the first free port, and none behind it."""
    taken = Listeners(5)
    with contextlib.closing(taken), make_server() as server:
        first = taken.first
        with pytest.raises(ListenError, match=f"ports {first} to {first + 4} are all taken"):
            server.start_in_range("127.0.0.1", range(first, first + 5))
        assert not server.is_running
        endpoint = server.start_in_range("127.0.0.1", range(first, first + 7))
        assert endpoint == Endpoint("127.0.0.1", first + 5)
        with RawPeer(endpoint) as peer:
            assert text_of(peer.call()) == "hello"


def test_range_that_makes_no_sense() -> None:
    """ServerTest.range_start"""
    with pytest.raises(ValueError, match="at least one"):
        make_server().start_in_range("127.0.0.1", range(9, 9))
    with pytest.raises(ListenError):
        make_server().start_in_range("192.0.2.1", range(9000, 9002))


@KINDS
@pytest.mark.parametrize("grace", [None, 0, 0.05, 10])
def test_stop_with_a_request_running_and_start_again(kind: Any, grace: float | None) -> None:
    """ServerTest.logoff_and_multiple_start: Stop(-1), Stop(0), Stop(50), Stop(1000)"""

    entered = threading.Event()

    def sleep(request: Any, controller: Any) -> Any:
        entered.set()
        time.sleep(0.1)
        return echo(request, controller)

    with make_server(kind(sleep)) as server:
        endpoint = start(server)
        for _ in range(2):
            entered.clear()
            with stub_of(endpoint, max_retry=0) as stub:
                future = stub.Echo.future(HELLO)
                assert entered.wait(30)
                server.stop(grace)
                assert server.join(30)
                if grace in (None, 10):
                    assert future.result().message == "hello"
                else:
                    assert isinstance(future.exception(), ConnectionFailedError | None)
            assert not server.is_running
            server.start(endpoint)


def test_client_that_ignores_elogoff_does_not_keep_stop_waiting() -> None:
    """brpc#2665: clients of other makers go on sending after ELOGOFF."""
    gate = Gate()
    with make_server(gate, echo) as server, RawPeer(start(server)) as peer:
        peer.send(request(1))
        gate.wait_entered()
        server.stop(0.3)
        with contextlib.suppress(ConnectionError):
            while True:
                answer = peer.call("Stream")
                assert answer.error_code == pybrpc.ErrorCode.ELOGOFF
        assert server.join(30)
        gate.open()


def test_idle_connections_are_closed() -> None:
    """ServerTest.close_idle_connections"""
    with make_server(idle_timeout=0.3) as server, RawPeer(start(server)) as peer:
        assert text_of(peer.call()) == "hello"
        assert server.statistics().connections == 1
        assert peer.read_to_end() == b""
        peer.close()
        wait_until(lambda: server.statistics().connections == 0)


@KINDS
def test_all_calls_of_all_threads_are_counted(kind: Any) -> None:
    """ServerTest.serving_requests"""
    counted: list[None] = []

    def count(request: Any, controller: Any) -> Any:
        counted.append(None)
        return echo(request, controller)

    with make_server(kind(count)) as server:
        endpoint = start(server)

        def call() -> None:
            with stub_of(endpoint) as stub:
                for _ in range(100):
                    assert stub.Echo(HELLO).message == "hello"

        threads = [threading.Thread(target=call) for _ in range(10)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(counted) == server.statistics().requests == 1000
        assert server.statistics().errors == 0


# --- services ---


def test_services_are_added_and_removed_while_the_server_stands_still() -> None:
    """ServerTest.add_remove_service"""
    server = make_server()
    with pytest.raises(ServerStateError, match="was added already"):
        server.add_service(ECHO, server)
    endpoint = start(server)
    with pytest.raises(ServerStateError, match="before the server is started"):
        server.remove_service(ECHO)
    server.stop()
    assert server.join()
    server.remove_service(ECHO)
    with pytest.raises(ServerStateError, match="was not added"):
        server.remove_service(ECHO)
    assert repr(server) == "<Server of no service, stopped>"
    with server:
        server.start(endpoint)
        with RawPeer(endpoint) as peer:
            assert peer.call().error_code == pybrpc.ErrorCode.ENOMETHOD


@KINDS
def test_request_without_a_required_field_is_refused_and_not_run(kind: Any) -> None:
    """ServerTest.missing_required_fields"""
    ran: list[Any] = []

    def note(request: Any, controller: Any) -> Any:
        ran.append(request)
        return echo(request, controller)

    with make_server(kind(note)) as server, RawPeer(start(server)) as peer:
        answer = peer.call(body=b"")
        assert answer.error_code == pybrpc.ErrorCode.EREQUEST
        assert "Fail to parse request" in answer.error_text
        assert ran == []
        assert text_of(peer.call()) == "hello"


@pytest.mark.parametrize("service", ["conformance.EchoService", "EchoService"])
def test_full_and_short_names_are_both_served(service: str) -> None:
    """ServerTest.services_in_different_ns"""
    with make_server() as server, RawPeer(start(server)) as peer:
        assert text_of(peer.call(service=service)) == "hello"
        unknown = peer.call(service="other." + service)
        assert unknown.error_code == pybrpc.ErrorCode.ENOMETHOD


# --- protocols and limits ---


def test_unknown_protocol_is_refused() -> None:
    """ServerTest.invalid_protocol_in_enabled_protocols"""
    with pytest.raises(ValueError, match=r"unknown protocol 'hello'.*baidu_std"):
        Server(enabled_protocols=["hello", "baidu_std"])


@pytest.mark.parametrize("names", ["  ", [], "baidu_std", ["baidu_std"]])
def test_blank_is_all_protocols(names: Any) -> None:
    """ServerTest.empty_enabled_protocols"""
    with make_server(enabled_protocols=names) as server, RawPeer(start(server)) as peer:
        assert text_of(peer.call()) == "hello"


def test_bytes_of_no_enabled_protocol_end_the_connection() -> None:
    """ServerTest.only_allow_protocols_in_enabled_protocols"""
    with (
        make_server(enabled_protocols=["baidu_std"]) as server,
        RawPeer(start(server)) as peer,
    ):
        peer.sock.sendall(b"HULU" + bytes(100))
        assert peer.read_to_end() == b""


def test_message_over_the_limit_fails_and_the_log_names_the_option(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """ServerTest.too_big_message"""
    with make_server(max_body_size=10_000) as server:
        with stub_of(start(server)) as stub:
            assert stub.Echo(HELLO).message == "hello"
            with pytest.raises(pybrpc.RpcError, match="is larger than max_body_size=10000"):
                stub.Echo(pb.EchoRequest(message="x" * 20_000))
            wait_until(lambda: "is larger than max_body_size=10000" in caplog.text)
            assert stub.Echo(HELLO).message == "hello"


def test_limit_of_one_method_leaves_the_others_alone() -> None:
    """ServerTest.max_concurrency"""
    gate = Gate()
    with make_server(gate, echo) as server:
        server.set_max_concurrency("conformance.EchoService.Echo", 2)
        with stub_of(start(server)) as stub:
            running = [stub.Echo.future(HELLO) for _ in range(2)]
            gate.wait_entered(2)
            with pytest.raises(LimitReachedError) as caught:
                stub.Echo(HELLO)
            reason = "Rejected by conformance.EchoService.Echo's ConcurrencyLimiter, concurrency=3"
            assert caught.value.text.endswith(reason)
            assert stub.Stream(HELLO).message == "hello"
            server.set_max_concurrency("EchoService.Echo", 3)
            third = stub.Echo.future(HELLO)
            gate.wait_entered()
            gate.open()
            assert {future.result().message for future in (*running, third)} == {"hello"}
            for _ in range(100):
                assert stub.Echo(HELLO).message == "hello"


def test_limit_of_a_method_that_makes_no_sense() -> None:
    """ServerTest.max_concurrency"""
    server = make_server()
    with pytest.raises(ServerStateError, match=r"no method 'Echo' .*EchoService\.Echo"):
        server.set_max_concurrency("Echo", 1)
    with pytest.raises(ValueError, match="limit must be a whole number >= 0, not -1"):
        server.set_max_concurrency("EchoService.Echo", -1)


class Auth:
    def __init__(self, credential: bytes) -> None:
        self.credential = credential

    def generate_credential(self) -> bytes:
        return self.credential

    def verify_credential(
        self, credential: bytes, client: pybrpc.Endpoint
    ) -> pybrpc.AuthContext | None:
        if credential == b"late":
            raise AuthenticationError("come earlier")
        if credential != b"good":
            raise ValueError("bad credential")
        return pybrpc.AuthContext(user=str(client))


def test_credentials_of_a_channel() -> None:
    """ServerTest.auth"""

    def whoami(request: Any, controller: pybrpc.Controller) -> Any:
        assert controller.auth_context is not None
        assert controller.auth_context.user == str(controller.remote_side)
        return echo(request, controller)

    with make_server(whoami, auth=Auth(b"")) as server:
        endpoint = start(server)
        with stub_of(endpoint, auth=Auth(b"good")) as stub:
            for _ in range(3):
                assert stub.Echo(HELLO).message == "hello"
        refused = "[E1004]Fail to authenticate"
        for options, text in (
            ({"auth": Auth(b"bad")}, refused),
            ({"auth": Auth(b"late")}, f"{refused}: come earlier"),
            ({}, refused),
        ):
            with stub_of(endpoint, **options) as stub:
                with pytest.raises(AuthenticationError) as caught:
                    stub.Echo(HELLO)
                assert caught.value.text == text


@KINDS
def test_user_fields_travel_both_ways(kind: Any) -> None:
    """ServerTest.user_fields"""

    def swap(request: Any, controller: pybrpc.Controller) -> Any:
        for key, value in controller.request_user_fields.items():
            controller.response_user_fields[value] = key
        return echo(request, controller)

    with make_server(kind(swap)) as server, stub_of(start(server)) as stub:
        controller = pybrpc.Controller()
        controller.request_user_fields["my_key"] = "my_value"
        controller.request_user_fields["清"] = "é"
        assert stub.Echo(HELLO, controller=controller).message == "hello"
        assert controller.response_user_fields == {"my_value": "my_key", "é": "清"}
