"""C++ bRPC's example http_c++ as a peer, its tools, and the services of its examples for HTTP.

The tools are rpc_press, parallel_http and rpc_view, in the folder that BRPC_CPP_TOOLS names.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.descriptor import ServiceDescriptor

import pybrpc
from bench.child_process import ChildProcess
from bench.peers.cpp_program import HTTP, ONE_BY_ONE, missing, program
from pybrpc import Controller

TOOLS_VARIABLE = "BRPC_CPP_TOOLS"
END_LIMIT_S = 60.0
PROTOCOLS = ("http", "http:json", "http:proto", "http:proto-json", "http:proto-text")
LARGE_FILE = b"".join(b"part_%d " % n for n in range(100))
"""The response of the example to /FileService/largefile, in parts."""

needs_cpp_http = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(missing(ONE_BY_ONE, HTTP)), reason=missing(ONE_BY_ONE, HTTP)),
]
"""The marks of a module of tests with these examples."""
every_protocol = pytest.mark.parametrize("protocol", PROTOCOLS)
every_http_type = pytest.mark.parametrize("kind", ["pooled", "short"])

ECHO_PROTO = """\
syntax = "proto2";
package example;
message EchoRequest { required string message = 1; }
message EchoResponse { required string message = 1; }
service EchoService { rpc Echo(EchoRequest) returns (EchoResponse); }
"""
_METHODS = {
    "HttpService": ("Echo", "EchoProtobuf"),
    "FileService": ("default_method",),
    "QueueService": ("start", "stop", "getstats"),
}
QUEUE_PATHS = "/v1/queue/start => start, /v1/queue/stop => stop, /v1/queue/stats/* => getstats"


def _build() -> descriptor_pool.DescriptorPool:
    """The files echo.proto and http.proto of the examples, where all methods may be called by GET.

    `example.EchoRequest.message` is a string here; in bench.echo_messages it is bytes, which JSON
    has in base64.
    """
    field = descriptor_pb2.FieldDescriptorProto
    pool = descriptor_pool.DescriptorPool()
    echo = descriptor_pb2.FileDescriptorProto(name="echo.proto", package="example", syntax="proto2")
    for name in ("EchoRequest", "EchoResponse"):
        echo.message_type.add(name=name).field.add(
            name="message", number=1, type=field.TYPE_STRING, label=field.LABEL_REQUIRED
        )
    _add_service(echo, "EchoService", ("Echo",), "Echo")
    http = descriptor_pb2.FileDescriptorProto(name="http.proto", package="example", syntax="proto2")
    for name in ("HttpRequest", "HttpResponse"):
        http.message_type.add(name=name)
    for name, methods in _METHODS.items():
        _add_service(http, name, methods, "Http")
    pool.Add(echo)
    pool.Add(http)
    return pool


def _add_service(
    file: descriptor_pb2.FileDescriptorProto, name: str, methods: tuple[str, ...], messages: str
) -> None:
    service = file.service.add(name=name)
    for each in methods:
        added = service.method.add(
            name=each,
            input_type=f".example.{messages}Request",
            output_type=f".example.{messages}Response",
        )
        added.options.idempotency_level = descriptor_pb2.MethodOptions.NO_SIDE_EFFECTS


_POOL = _build()


def service(name: str) -> ServiceDescriptor:
    return _POOL.FindServiceByName(f"example.{name}")


def _message(name: str) -> Any:
    return message_factory.GetMessageClass(_POOL.FindMessageTypeByName(f"example.{name}"))


ECHO_SERVICE = service("EchoService")
EchoRequest, EchoResponse = _message("EchoRequest"), _message("EchoResponse")
HttpRequest, HttpResponse = _message("HttpRequest"), _message("HttpResponse")


class EchoText:
    """Echoes the message, and keeps the controllers; `then` may change the answer."""

    def __init__(self, then: Callable[[Controller], object] = lambda _: None) -> None:
        self.seen: list[Controller] = []
        self.then = then

    def Echo(self, request: Any, controller: Controller) -> Any:
        self.seen.append(controller)
        self.then(controller)
        return EchoResponse(message=request.message)


class AsyncEchoText(EchoText):
    async def Echo(self, request: Any, controller: Controller) -> Any:
        return EchoText.Echo(self, request, controller)


class HttpEcho:
    """Answers as the HttpService of http_c++: with queries and body."""

    def Echo(self, request: Any, controller: Controller) -> Any:
        queries = "".join(f" {k}={v}" for k, v in controller.http_request.uri.queries.items())
        body = bytes(controller.request_attachment)
        controller.http_response.content_type = "text/plain"
        controller.response_attachment = b"queries:%b\nbody: %b\n" % (queries.encode(), body)
        return HttpResponse()

    def EchoProtobuf(self, request: Any, controller: Controller) -> Any:
        raise KeyError("nobody")


class Files:
    """Answers as the FileService of http_c++, a large file in parts of a progressive attachment.

    `stall` is called between the first and the other parts of the file.
    """

    def __init__(self, stall: Callable[[], object] = lambda: None) -> None:
        self._stall = stall

    def default_method(self, request: Any, controller: Controller) -> Any:
        name = controller.http_request.unresolved_path
        if name == "largefile":
            attachment = controller.create_progressive_attachment()
            threading.Thread(target=self._write, args=(attachment,), daemon=True).start()
        else:
            controller.response_attachment = f"Getting file: {name}".encode()
        return HttpResponse()

    def _write(self, attachment: Any) -> None:
        with contextlib.suppress(pybrpc.RpcError), attachment:
            for number in range(100):
                attachment.write(b"part_%d " % number)
                if number == 0:
                    self._stall()


class Queue:
    """Answers as the QueueService of http_c++."""

    def start(self, request: Any, controller: Controller) -> Any:
        controller.response_attachment = b"queue started"
        return HttpResponse()

    def stop(self, request: Any, controller: Controller) -> Any:
        controller.response_attachment = b"queue stopped"
        return HttpResponse()

    def getstats(self, request: Any, controller: Controller) -> Any:
        name = controller.http_request.unresolved_path
        controller.response_attachment = f"Get stats: {name}".encode()
        return HttpResponse()


@contextlib.contextmanager
def http_example_server(
    echo: EchoText | None = None, files: Files | None = None, **options: Any
) -> Iterator[pybrpc.Server]:
    """pybrpc's, with the services of echo_c++ and http_c++."""
    with pybrpc.Server(builtin_allow=["127.0.0.0/8"], **options) as server:
        server.add_service(ECHO_SERVICE, echo or EchoText())
        server.add_service(service("HttpService"), HttpEcho())
        server.add_service(service("FileService"), files or Files())
        server.add_service(service("QueueService"), Queue(), restful_mappings=QUEUE_PATHS)
        server.start("127.0.0.1:0")
        yield server


@contextlib.contextmanager
def http_client(url: str, *flags: str) -> Iterator[ChildProcess]:
    """http_client, while it runs and writes lines."""
    arguments = [program(HTTP, "client").resolve(), url, *flags]
    with ChildProcess(arguments, {}, "http_client", are_errors_lines=True) as process:
        yield process


def run_http_client(url: str, *flags: str) -> str:
    """The output of http_client: the response, or the error. -d=BODY makes the request a POST."""
    return _run(program(HTTP, "client"), url, "-timeout_ms=30000", *flags)


def run_http_benchmark(url: str, *flags: str) -> str:
    """The log of benchmark_http, whose four threads send requests for two seconds."""
    path = program(HTTP, "client").with_name("benchmark_http")
    own = (f"-url={url}", "-thread_num=4", "-timeout_ms=30000", "-dont_fail")
    return _run("timeout", "-s", "INT", "2", str(path.resolve()), *own, *flags)


def tool(name: str) -> Path:
    """The program of that tool; skips the test if there is none."""
    folder = os.environ.get(TOOLS_VARIABLE)
    if not folder:
        pytest.skip(f"{TOOLS_VARIABLE} names no folder with C++ bRPC's tools")
    return Path(folder, name).resolve()


def run_tool(name: str, *flags: str) -> str:
    """The output of a tool that ends by itself."""
    return _run(tool(name), *flags)


def _run(path: Path | str, *arguments: str) -> str:
    """stdout and stderr, without regard to the exit code, which says nothing in most of them."""
    done = subprocess.run(
        [str(path), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=END_LIMIT_S,
        text=True,
        errors="replace",
    )
    return done.stdout
