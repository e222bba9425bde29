"""TLS with the programs of OpenSSL at the other end: s_client and s_server."""

from __future__ import annotations

import contextlib
import os
import re
import select
import subprocess
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

import pybrpc
from pybrpc.base.endpoint import Endpoint
from pybrpc.iobuf import IOBuf
from pybrpc.lowlevel import EpollDispatcher, Socket
from pybrpc.protocols.baidu_std import BAIDU_STD
from pybrpc.protocols.message import Message, RpcRequest, RpcResponse
from pybrpc.protocols.protocol import NEED_MORE, ParseLimits
from tests.peers.echo import ECHO, echo_request
from tests.peers.tls import NAME, Certificates, certificates
from tests.protos import conformance_pb2 as pb

WAIT_S = 30.0
LIMITS = ParseLimits()


class OpenSsl:
    """`openssl ...` with pipes."""

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen(
            ["openssl", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            bufsize=0,
        )
        self.output = bytearray()

    def say(self, data: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(data)

    def read_until(self, pattern: bytes) -> re.Match[bytes]:
        """Wait for what matches, and drop it and all before it."""
        end = time.monotonic() + WAIT_S
        while (found := re.search(pattern, bytes(self.output), re.DOTALL)) is None:
            assert self._read(end), f"{pattern!r} did not come: {bytes(self.output)!r}"
        del self.output[: found.end()]
        return found

    def read_to_end(self) -> bytes:
        end = time.monotonic() + WAIT_S
        while self._read(end):
            pass
        return bytes(self.output)

    def _read(self, end: float) -> bool:
        assert self.process.stdout is not None
        fd = self.process.stdout.fileno()
        ready, _, _ = select.select([fd], [], [], max(0.0, end - time.monotonic()))
        assert ready, f"nothing more came: {bytes(self.output)!r}"
        data = os.read(fd, 1 << 16)
        self.output += data
        return bool(data)

    def response(self) -> RpcResponse:
        """The next frame in the output."""
        end = time.monotonic() + WAIT_S
        while True:
            start = self.output.find(b"PRPC")
            if start >= 0:
                found = BAIDU_STD.parse(IOBuf(bytes(self.output[start:])), LIMITS)
                if found is not NEED_MORE:
                    del self.output[: start + 12]
                    assert isinstance(found, RpcResponse)
                    return found
            assert self._read(end), bytes(self.output)

    def close(self) -> None:
        self.process.kill()
        self.process.wait(WAIT_S)
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()


class Echo:
    def __init__(self) -> None:
        self.seen: list[Any] = []

    def Echo(self, request: pb.EchoRequest, controller: pybrpc.Controller) -> pb.EchoResponse:
        self.seen.append(controller.tls)
        return pb.EchoResponse(message=request.message)

    Stream = Echo


class Served:
    """A pybrpc server, and s_clients to it."""

    def __init__(self, stack: contextlib.ExitStack, **tls: object) -> None:
        self._stack = stack
        self.made: Certificates = certificates()
        self.service = Echo()
        self.server = stack.enter_context(pybrpc.Server(tls=self.made.server_tls(**tls)))
        self.server.add_service(ECHO, self.service)
        self.address = str(self.server.start("127.0.0.1:0"))

    def client(self, *options: str) -> OpenSsl:
        verify = ("-CAfile", self.made.ca, "-verify_hostname", NAME, "-verify_return_error")
        started = OpenSsl("s_client", "-connect", self.address, *verify, *options)
        self._stack.callback(started.close)
        return started


@pytest.fixture
def stack() -> Iterator[contextlib.ExitStack]:
    with contextlib.ExitStack() as made:
        yield made


def request_frame(number: int, text: str = "hello") -> bytes:
    body = echo_request(text).SerializeToString()
    return bytes(BAIDU_STD.pack_request(RpcRequest(number, ECHO.full_name, "Echo", body)))


# --- s_client ---


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_s_client_calls(stack: contextlib.ExitStack, version: str) -> None:
    """bRPC: tls13_protocol_string."""
    served = Served(stack)
    client = served.client("-quiet", version)
    for number in range(1, 4):
        client.say(request_frame(number, "x" * 10_000 * number))
        assert client.response().correlation_id == number
    assert {info.version for info in served.service.seen} == {"TLSv1." + version[-1]}


def test_old_versions_are_refused(stack: contextlib.ExitStack) -> None:
    served = Served(stack)
    output = served.client("-tls1_1", "-cipher", "ALL@SECLEVEL=0").read_to_end()
    assert b"alert protocol version" in output or b"no protocols available" in output
    assert served.server.statistics().requests == 0


def test_mutual_tls_with_session_reuse(stack: contextlib.ExitStack) -> None:
    """brpc#968: there it fails with "session id context uninitialized"."""
    served = Served(stack, client_ca=certificates().ca)
    files = served.made.client
    client = served.client("-tls1_2", "-reconnect", "-cert", files.cert, "-key", files.key)
    client.read_until(b"Reused, TLSv1.2.*" * 5)
    client.say(b"\n")


def test_mutual_tls_without_a_certificate(stack: contextlib.ExitStack) -> None:
    served = Served(stack, client_ca=certificates().ca)
    client = served.client("-tls1_3")
    client.say(request_frame(1))
    assert b"alert certificate required" in client.read_to_end()
    assert served.service.seen == []


def test_alpn_and_sni_as_s_client_sees_them(stack: contextlib.ExitStack) -> None:
    """bRPC: ssl_sni."""
    one = certificates().issue("of_openssl", "one.test")
    served = Served(stack, alpn=["baidu_std"], sni={"one.test": (one.cert, one.key)})
    options = ("-connect", served.address, "-CAfile", served.made.ca, "-servername", "one.test")
    client = OpenSsl("s_client", *options, "-verify_hostname", "one.test", "-alpn", "h2,baidu_std")
    stack.callback(client.close)
    output = client.read_until(b"ALPN protocol: baidu_std.*Verify return code: 0").string
    assert b"Verified peername: one.test" in output


def test_renegotiation_is_refused(stack: contextlib.ExitStack) -> None:
    served = Served(stack)
    client = served.client("-tls1_2")
    client.read_until(b"Verify return code: 0")
    client.say(b"R\n")
    assert b"no renegotiation" in client.read_to_end()
    again = served.client("-quiet", "-tls1_2")
    again.say(request_frame(1))
    assert again.response().correlation_id == 1


def test_a_key_update_that_asks_for_one_in_turn(stack: contextlib.ExitStack) -> None:
    served = Served(stack)
    client = served.client("-tls1_3")
    client.read_until(b"Verify return code: 0")
    for number in range(1, 4):
        client.say(b"K\n")
        client.read_until(b"KEYUPDATE")
        client.say(request_frame(number))
        assert client.response().correlation_id == number
    assert served.server.statistics().accepted == 1


# --- s_server ---


class Reversed:
    """An AppConnect that says lines to `s_server -rev`, which says them backwards."""

    def __init__(self, lines: list[bytes]) -> None:
        self._lines = lines
        self.heard: list[bytes] = []

    def start(self, outgoing: IOBuf) -> bool:
        outgoing.append(self._lines[0] + b"\n")
        return False

    def on_data(self, incoming: IOBuf, outgoing: IOBuf) -> bool:
        while (line := incoming.cut_until(b"\n")) is not None:
            self.heard.append(bytes(line)[::-1])
            if len(self.heard) == len(self._lines):
                return True
            outgoing.append(self._lines[len(self.heard)] + b"\n")
        return False


class User:
    def __init__(self) -> None:
        self.stands = threading.Event()
        self.ended = threading.Event()

    def on_connected(self, socket: Socket) -> None:
        self.stands.set()

    def on_messages(self, socket: Socket, messages: list[Message]) -> None:
        raise AssertionError(f"nobody sends messages here: {messages}")

    def on_end(self, socket: Socket) -> bool:
        return False

    def on_failed(self, socket: Socket, error: pybrpc.RpcError) -> None:
        self.ended.set()


def start_s_server(stack: contextlib.ExitStack, *options: str) -> tuple[OpenSsl, Endpoint]:
    files = certificates().server
    common = ("-accept", "127.0.0.1:0", "-cert", files.cert, "-key", files.key, "-naccept", "1")
    server = OpenSsl("s_server", *common, *options)
    stack.callback(server.close)
    port = server.read_until(rb"ACCEPT 127.0.0.1:(\d+)")[1]
    return server, Endpoint("127.0.0.1", int(port))


@pytest.fixture
def dispatcher() -> Iterator[EpollDispatcher]:
    made = EpollDispatcher()
    yield made
    made.close()


@pytest.mark.parametrize("options", [("-tls1_2",), ("-tls1_3",), ("-tls1_3", "-Verify", "1")])
def test_s_server_answers(
    stack: contextlib.ExitStack, dispatcher: EpollDispatcher, options: tuple[str, ...]
) -> None:
    made = certificates()
    is_mutual = "-Verify" in options
    if is_mutual:
        options = (*options, "-CAfile", made.ca, "-verify_return_error")
    _, endpoint = start_s_server(stack, "-rev", *options)
    shown = {"cert": made.client.cert, "key": made.client.key} if is_mutual else {}
    lines = [b"some line", b"x" * 3000, b"and another"]
    said, user = Reversed(lines), User()
    socket = Socket.to(
        endpoint,
        dispatcher,
        user=user,
        layer=made.client_tls(**shown).layer_to(endpoint),
        app_connect=said,
        connect_timeout_s=WAIT_S,
    )
    socket.start_write(IOBuf(b"CLOSE\n"))
    assert user.stands.wait(WAIT_S)
    assert said.heard == lines
    socket.close()


def test_key_updates_of_the_server(
    stack: contextlib.ExitStack, dispatcher: EpollDispatcher
) -> None:
    server, endpoint = start_s_server(stack, "-tls1_3", "-msg")
    said, user = Reversed([b"line 0", b"line 1", b"line 2"]), User()
    socket = Socket.to(
        endpoint,
        dispatcher,
        user=user,
        layer=certificates().client_tls().layer_to(endpoint),
        app_connect=said,
        connect_timeout_s=WAIT_S,
    )
    socket.start_write(IOBuf(b"the end\n"))
    for number in range(3):
        server.read_until(b"line %d\n" % number)
        server.say(b"K\n")
        server.read_until(b"KeyUpdate")
        server.say(b"%d enil\n" % number)
    server.read_until(b"the end\n")
    assert said.heard == [b"line 0", b"line 1", b"line 2"]
    server.say(b"Q\n")
    assert user.ended.wait(WAIT_S)
    socket.close()
