"""C++ bRPC's examples as peers: an echo server, and a client that prints its responses."""

from __future__ import annotations

import contextlib
import functools
import os
import re
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.descriptor import ServiceDescriptor

import pybrpc
from bench.echo_messages import EXAMPLE
from bench.peers.cpp_program import (
    MULTI_THREADED,
    ONE_BY_ONE,
    CppProgram,
    free_port,
    missing,
    program,
)
from pybrpc import ChecksumType
from pybrpc.base.endpoint import Endpoint
from tests.peers.body_encodings import BodyEncoding

HELLO = EXAMPLE.request(message=b"hello")
MEGABYTES_4 = 4 << 20
CRC32C = ChecksumType.CRC32C
WAIT_S = 30.0
_SAID = re.compile(r"client\.cpp:\d+[^\]]*\] (.*)")
_QPS = re.compile(r"qps=(\d+)")
_ERROR = re.compile(r"error=(.*) latency=")
_NOT_CONNECTED = re.compile(r"\[E110\]Fail to connect|\[E112\]Not connected")
"""The examples give their connects 100 and 200 ms, which is not enough on a busy machine."""
_ANSWER = re.compile(r"Received response from .*?: (?P<message>.*) \(attached=(?P<attached>.*)\)")

needs_cpp = [
    pytest.mark.slow,
    pytest.mark.skipif(
        bool(missing(ONE_BY_ONE, MULTI_THREADED)), reason=missing(ONE_BY_ONE, MULTI_THREADED)
    ),
]
"""The marks of a module of tests with these programs."""
other_protocols = pytest.mark.parametrize("protocol", ["hulu_pbrpc", "sofa_pbrpc"])
every_type = pytest.mark.parametrize("kind", ["single", "pooled", "short"])


@functools.cache
def sums_attachments() -> bool:
    """Whether it has bRPC's change of July 2026; the release 1.17.0 has not."""
    return b"checksum_with_attachment" in program(ONE_BY_ONE, "server").read_bytes()


def skip_what_it_lacks(sent: BodyEncoding) -> None:
    if sent.checksum_attachment and not sums_attachments():
        pytest.skip("this bRPC sums the body alone")


@dataclass(frozen=True)
class CppServer:
    """An echo_server that listens."""

    process: CppProgram
    address: str

    @property
    def endpoint(self) -> Endpoint:
        return Endpoint.parse(self.address)

    @property
    def certificate(self) -> str:
        """The certificate that it shows to clients with TLS: its own file."""
        return str(self.process.path.parent / "cert.pem")

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """It reads and answers nothing meanwhile; its kernel takes what comes."""
        self.process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self.process.pid, os.WSTOPPED)
        yield
        self.process.send_signal(signal.SIGCONT)


@contextlib.contextmanager
def cpp_server(example: str, *flags: str, port: int = 0) -> Iterator[CppServer]:
    port = port or free_port()
    with CppProgram(example, "server", f"-port={port}", *flags) as process:
        process.wait_until_it_listens(port)
        yield CppServer(process, f"127.0.0.1:{port}")


@contextlib.contextmanager
def cpp_unix_server(path: Path) -> Iterator[str]:
    """Its address. Only the simple example can do it."""
    with CppProgram(ONE_BY_ONE, "server", f"-listen_addr=unix:{path}") as process:
        process.wait_until_it_listens(path)
        yield f"unix:{path}"


class CppClient:
    """An echo_client that calls over and over, one call at a time, without a pause to speak of.

    Calls that end before it has a connection are left out.
    """

    def __init__(self, process: CppProgram) -> None:
        self._process = process
        self._is_connected = False

    def next_end(self) -> tuple[str, str] | str:
        """The message and the attachment of the next call, or the text of its error."""
        while not (said := self._next_word()) or self._is_not_connected(said):
            pass
        found = _ANSWER.match(said)
        return (found["message"], found["attached"]) if found else said

    def _next_word(self) -> str:
        said = _SAID.search(self._process.read_line(WAIT_S))
        return said[1] if said else ""

    def _is_not_connected(self, said: str) -> bool:
        self._is_connected = self._is_connected or not _NOT_CONNECTED.match(said)
        return not self._is_connected

    def wait_for(self, wanted: Callable[[Any], bool]) -> tuple[str, str] | str:
        """The first end that is `wanted`."""
        while not wanted(end := self.next_end()):
            pass
        return end


@contextlib.contextmanager
def cpp_client(address: str, *flags: str) -> Iterator[CppClient]:
    with CppProgram(
        ONE_BY_ONE, "client", f"-server={address}", "-interval_ms=5", "-timeout_ms=30000", *flags
    ) as process:
        yield CppClient(process)


def run_cpp_benchmark(address: str, *flags: str) -> bool:
    """Eight callers until they say how many calls a second there were, none of which may fail.

    False if it had no connection in time.
    """
    own = (f"-server={address}", "-thread_num=8", "-timeout_ms=30000", "-dont_fail")
    errors = []
    with CppProgram(MULTI_THREADED, "client", *own, *flags) as process:
        while (rate := _QPS.search(line := process.read_line(WAIT_S))) is None or rate[1] == "0":
            errors += _ERROR.findall(line)
    assert [error for error in errors if not _NOT_CONNECTED.match(error)] == []
    return not errors


class ExampleService:
    """Echoes message and attachment, and keeps the controllers; `then` may change the answer."""

    def __init__(self, then: Callable[[pybrpc.Controller], object] = lambda _: None) -> None:
        self.seen: list[pybrpc.Controller] = []
        self.then = then

    def Echo(self, request: Any, controller: pybrpc.Controller) -> Any:
        self.seen.append(controller)
        controller.response_attachment = controller.request_attachment
        self.then(controller)
        return EXAMPLE.response(message=request.message)


class AsyncExampleService(ExampleService):
    async def Echo(self, request: Any, controller: pybrpc.Controller) -> Any:
        return ExampleService.Echo(self, request, controller)


@contextlib.contextmanager
def example_server(
    service: ExampleService, address: str = "127.0.0.1:0", **options: Any
) -> Iterator[pybrpc.Server]:
    """pybrpc's, with the service of the examples."""
    with pybrpc.Server(**options) as server:
        server.add_service(EXAMPLE.service, service)
        server.start(address)
        yield server


def service_with_another_method() -> ServiceDescriptor:
    """The service of the examples as somebody has it who knows a method more, Echo2."""
    file = descriptor_pb2.FileDescriptorProto()
    EXAMPLE.service.file.CopyToProto(file)
    added = file.service[0].method.add()
    added.CopyFrom(file.service[0].method[0])
    added.name = "Echo2"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return pool.FindServiceByName(EXAMPLE.service.full_name)


def make_example_server() -> pybrpc.Server:
    """For worker processes."""
    server = pybrpc.Server()
    server.add_service(EXAMPLE.service, ExampleService())
    return server
