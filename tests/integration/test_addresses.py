"""Calls over every kind of address: Unix sockets, IPv6, names with several addresses."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import pybrpc
from pybrpc.base.endpoint import Endpoint
from pybrpc.errors import ConnectError, ConnectionFailedError, Phase
from pybrpc.transport.connecting import connector as connector_module
from pybrpc.transport.connecting.resolver import Address
from tests.peers.callers import FORMS, LOOPS, THREAD_FORMS, caller
from tests.peers.echo import ECHO, echo_request
from tests.peers.scripted_server import closed_port, deaf_port
from tests.protos import conformance_pb2 as pb

every_form = pytest.mark.parametrize("form", FORMS)
every_loop = pytest.mark.parametrize("loop", LOOPS)
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has it")
MiB = 1 << 20


class EchoService:
    """Echoes, and notes who asked."""

    def __init__(self) -> None:
        self.sides: list[tuple[str, str]] = []

    def Echo(self, request: pb.EchoRequest, controller: pybrpc.Controller) -> pb.EchoResponse:
        self.sides.append((str(controller.local_side), str(controller.remote_side)))
        controller.response_attachment = controller.request_attachment
        return pb.EchoResponse(message=request.message)

    Stream = Echo


class AsyncEchoService:
    async def Echo(self, request: pb.EchoRequest, controller: pybrpc.Controller) -> pb.EchoResponse:
        return pb.EchoResponse(message=request.message)

    Stream = Echo


def make_server(service: object) -> pybrpc.Server:
    server = pybrpc.Server()
    server.add_service(ECHO, service)
    return server


@pytest.fixture
def service() -> EchoService:
    return EchoService()


@pytest.fixture
def server(service: EchoService) -> pybrpc.Server:
    return make_server(service)


@pytest.fixture
def address(unix_path: Path) -> str:
    return f"unix:{unix_path}"


# --- Unix sockets ---


@every_form
def test_calls_over_a_unix_socket(
    form: str, server: pybrpc.Server, service: EchoService, address: str, unix_path: Path
) -> None:
    with server:
        assert str(server.start(address)) == address
        with caller(form, address) as client:
            controller = pybrpc.Controller()
            controller.request_attachment.append(bytes(4 * MiB))
            assert client.call(echo_request("hello"), controller=controller).message == "hello"
            assert len(controller.response_attachment) == 4 * MiB
            assert str(controller.remote_side) == address
            answers = client.call_many([echo_request(str(i)) for i in range(200)])
            assert [answer.message for answer in answers] == [str(i) for i in range(200)]
            assert address in repr(client.channel)
        assert server.statistics().accepted == 1
        assert {local for local, _ in service.sides} == {address}
    assert not unix_path.exists()


@on_linux
def test_handler_sees_the_process_that_calls(
    server: pybrpc.Server, service: EchoService, address: str
) -> None:
    with server:
        server.start(address)
        with caller("blocking", address) as client:
            client.call(echo_request())
    assert service.sides == [(address, f"unix:(pid {os.getpid()}, uid {os.getuid()})")]


@on_linux
def test_calls_over_an_abstract_name(server: pybrpc.Server) -> None:
    address = f"unix:@pybrpc-test-{os.getpid()}"
    with server:
        assert str(server.start(address)) == address
        with caller("blocking", address) as client:
            assert client.call(echo_request("hello")).message == "hello"


@pytest.mark.parametrize("form", THREAD_FORMS)
def test_many_threads_over_one_unix_connection(
    form: str, server: pybrpc.Server, address: str
) -> None:
    raised: list[BaseException] = []

    def work(index: int) -> None:
        try:
            for i in range(50):
                message = f"{index}/{i}" + "x" * (index * 500)
                assert client.call(echo_request(message)).message == message
        except BaseException as error:
            raised.append(error)

    with server:
        server.start(address)
        with caller(form, address) as client:
            threads = [threading.Thread(target=work, args=(index,)) for index in range(16)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        assert raised == []
        assert server.statistics().accepted == 1


@every_loop
def test_loop_serves_a_unix_socket(loop: str, address: str, unix_path: Path) -> None:
    async def main() -> None:
        async with make_server(AsyncEchoService()) as server:
            server.start(address)
            async with pybrpc.aio.Channel(address, timeout=30) as channel:
                stub = pybrpc.Stub(ECHO, channel)
                answers = await asyncio.gather(
                    *[stub.Echo(echo_request(str(i))) for i in range(99)]
                )
                assert [answer.message for answer in answers] == [str(i) for i in range(99)]
        assert not unix_path.exists()

    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(main())


def call_until_answered(client: Any, message: str) -> str:
    """A channel that has failed to connect may say so again for a while before it looks anew."""
    end = time.monotonic() + 60
    while True:
        try:
            return str(client.call(echo_request(message)).message)
        except ConnectionFailedError:
            assert time.monotonic() < end
            time.sleep(0.01)


def test_channel_finds_a_server_that_was_started_anew(
    server: pybrpc.Server, service: EchoService, address: str
) -> None:
    with caller("blocking", address, max_retry=0) as client:
        with pytest.raises(
            ConnectError, match=f"Fail to connect {address}: No such file"
        ) as caught:
            client.call(echo_request())
        assert caught.value.phase is Phase.CONNECT
        for _ in range(3):
            with make_server(service) as again:
                again.start(address)
                assert call_until_answered(client, "hello") == "hello"


def in_child(work: Callable[[], object]) -> int:
    """Run `work` in a forked child; its pid. The child ends without any clean-up."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if not pid:
        code = 1
        try:
            signal.alarm(60)
            work()
            code = 0
        finally:
            os._exit(code)
    return pid


def exit_code_of(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_server_takes_the_place_of_one_that_was_killed(
    server: pybrpc.Server, address: str, unix_path: Path
) -> None:
    reader, writer = os.pipe()

    def serve() -> None:
        server.start(address)
        os.write(writer, b"x")
        threading.Event().wait()

    pid = in_child(serve)
    os.read(reader, 1)
    with caller("blocking", address, max_retry=0) as client:
        assert client.call(echo_request("to the child")).message == "to the child"
        os.kill(pid, signal.SIGKILL)
        assert exit_code_of(pid) == -signal.SIGKILL
        assert unix_path.exists()
        with pytest.raises(ConnectionFailedError):
            client.call(echo_request())
        with server:
            server.start(address)
            assert call_until_answered(client, "to the next") == "to the next"
    os.close(reader)
    os.close(writer)


@pytest.mark.parametrize("closes", [False, True])
def test_parent_and_child_each_have_a_connection(
    server: pybrpc.Server, address: str, unix_path: Path, closes: bool
) -> None:
    def call_and_leave() -> None:
        assert client.call(echo_request("child")).message == "child"
        if closes:
            client.channel.close()
            server.__exit__(None, None, None)

    with server:
        server.start(address)
        with caller("blocking", address, max_retry=0) as client:
            assert client.call(echo_request("parent")).message == "parent"
            assert exit_code_of(in_child(call_and_leave)) == 0
            assert unix_path.exists()
            assert client.call(echo_request("parent again")).message == "parent again"
        assert server.statistics().accepted == 2


def test_two_servers_on_one_path(server: pybrpc.Server, address: str) -> None:
    with server:
        server.start(address)
        with pytest.raises(OSError, match="a server listens at this path"):
            make_server(EchoService()).start(address)
        with caller("blocking", address) as client:
            assert client.call(echo_request("hello")).message == "hello"


# --- IPv6 ---


@every_form
@pytest.mark.parametrize("listens", ["[::1]:0", "[::]:0"])
def test_calls_over_ipv6(form: str, listens: str, server: pybrpc.Server) -> None:
    with server:
        port = server.start(listens).port
        with caller(form, f"[::1]:{port}") as client:
            controller = pybrpc.Controller()
            assert client.call(echo_request("hello"), controller=controller).message == "hello"
            assert str(controller.remote_side) == f"[::1]:{port}"
            assert str(controller.local_side).startswith("[::1]:")


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="the system keeps them apart")
def test_server_on_any_ipv6_address_takes_ipv4_calls(
    server: pybrpc.Server, service: EchoService
) -> None:
    with server:
        port = server.start("[::]:0").port
        with caller("blocking", f"127.0.0.1:{port}") as client:
            assert client.call(echo_request("hello")).message == "hello"
    ((local, remote),) = service.sides
    assert local == f"127.0.0.1:{port}"
    assert remote.startswith("127.0.0.1:")


def link_local_address() -> str | None:
    """ "fe80::1%eth0", if an interface has such an address."""
    try:
        lines = Path("/proc/net/if_inet6").read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        digits, _, _, scope, _, name = line.split()
        if scope == "20":
            groups = ":".join(digits[i : i + 4] for i in range(0, 32, 4))
            return Endpoint.parse(f"[{groups}%{name}]:1").host
    return None


@pytest.mark.skipif(link_local_address() is None, reason="no interface has a link-local address")
def test_calls_to_a_link_local_address(server: pybrpc.Server, service: EchoService) -> None:
    host = link_local_address()
    with server:
        endpoint = server.start(f"[{host}]:0")
        assert endpoint.host == host
        with caller("blocking", str(endpoint)) as client:
            assert client.call(echo_request("hello")).message == "hello"
    assert service.sides[0][0] == str(endpoint)


def test_connection_is_shared_by_two_spellings_of_an_address(server: pybrpc.Server) -> None:
    with server:
        port = server.start("[::1]:0").port
        with caller("blocking", f"[::1]:{port}") as one:
            with caller("blocking", f"[0:0:0:0:0:0:0:1]:{port}") as two:
                one.call(echo_request())
                two.call(echo_request())
        assert server.statistics().accepted == 1


# --- names ---


@every_form
def test_localhost(form: str, server: pybrpc.Server) -> None:
    with server:
        port = server.start("localhost:0").port
        with caller(form, f"localhost:{port}") as client:
            assert client.call(echo_request("hello")).message == "hello"


def address_of(text: str) -> Address:
    endpoint = Endpoint.parse(text)
    if ":" in endpoint.host:
        return int(socket.AF_INET6), (endpoint.host, endpoint.port, 0, 0)
    return int(socket.AF_INET), (endpoint.host, endpoint.port)


@pytest.fixture
def name_of(monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """An address with a name that has the given addresses."""

    def make(*addresses: str) -> str:
        found = [address_of(each) for each in addresses]

        def resolve(endpoint: Endpoint, on_done: Callable[[Any], None]) -> None:
            threading.Thread(target=on_done, args=(found,)).start()

        monkeypatch.setattr(connector_module, "resolve_in_background", resolve)
        return "a-name:80"

    return make


@every_form
def test_first_address_that_answers_is_taken(
    form: str, server: pybrpc.Server, name_of: Callable[..., str]
) -> None:
    with server, closed_port() as closed, deaf_port() as deaf:
        live = str(server.start("[::1]:0"))
        address = name_of(deaf, closed, live, closed)
        with caller(form, address, connect_timeout=30) as client:
            controller = pybrpc.Controller()
            assert client.call(echo_request("hello"), controller=controller).message == "hello"
        assert server.statistics().accepted == 1


@every_form
def test_when_no_address_answers_the_error_tells_of_each(
    form: str, name_of: Callable[..., str]
) -> None:
    with closed_port() as closed, deaf_port() as deaf:
        address = name_of(closed, deaf)
        with caller(form, address, connect_timeout=0.5, max_retry=0) as client:
            with pytest.raises(ConnectError) as caught:
                client.call(echo_request())
    text = caught.value.text
    assert "Fail to connect a-name:80 within connect_timeout, at " in text
    assert f"{closed} (Connection refused)" in text
    assert f"{deaf} (no answer)" in text
    assert caught.value.phase is Phase.CONNECT


@pytest.mark.skipif(sys.platform != "linux", reason="127.0.0.2 is Linux's")
def test_addresses_of_one_family_are_tried_in_turn(
    server: pybrpc.Server, name_of: Callable[..., str]
) -> None:
    with server:
        port = server.start("127.0.0.2:0").port
        address = name_of(f"127.0.0.1:{port}", f"127.0.0.2:{port}")
        with caller("blocking", address, max_retry=0) as client:
            assert client.call(echo_request("hello")).message == "hello"
