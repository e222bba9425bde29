"""Servers of worker processes: in tests, "tests.peers.worker_apps:make_server" and others."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from pathlib import Path
from typing import Any

import pybrpc
from pybrpc.server.workers.supervisor_link import REPORT_S
from tests.peers.echo import ECHO
from tests.protos import conformance_pb2 as pb

BROKEN_FILE = "PYBRPC_TEST_BROKEN_FILE"
"""Names a file; while that is there, `make_fragile_server` fails."""


HOOKS_FILE = "PYBRPC_TEST_HOOKS_FILE"
"""Names the file in which the functions of `make_server_with_hooks` note that they were called."""


DUMP_FOLDER = "PYBRPC_TEST_DUMP_FOLDER"


class WorkerEcho:
    """Answers what was sent, or does what was sent: "sleep" is long enough to be reported."""

    def Echo(self, request: Any, controller: pybrpc.Controller) -> Any:
        if request.message == "pid":
            return pb.EchoResponse(message=str(os.getpid()))
        if request.message == "sleep":
            time.sleep(2 * REPORT_S)
        elif request.message == "hang":
            time.sleep(3600)
        elif request.message == "fail":
            raise ValueError("as it was asked to")
        return pb.EchoResponse(message=request.message)

    Stream = Echo


class AsyncEcho:
    """WorkerEcho with async handlers; it answers "loop" with the type of its loop."""

    async def Echo(self, request: Any, controller: pybrpc.Controller) -> Any:
        if request.message == "loop":
            return pb.EchoResponse(message=type(asyncio.get_running_loop()).__module__)
        return WorkerEcho().Echo(request, controller)

    Stream = Echo


def make_server() -> pybrpc.Server:
    server = pybrpc.Server()
    server.add_service(ECHO, WorkerEcho())
    return server


def make_dumping_server() -> pybrpc.Server:
    """It samples requests while its flag is set, into the directory that DUMP_FOLDER names."""
    dump = pybrpc.RpcDump(directory=os.environ[DUMP_FOLDER], enabled=False)
    server = pybrpc.Server(rpc_dump=dump)
    server.add_service(ECHO, WorkerEcho())
    return server


def make_server_with_internal_port() -> pybrpc.Server:
    """On a port that only root may open."""
    server = pybrpc.Server(internal_port=1)
    server.add_service(ECHO, WorkerEcho())
    return server


def make_registered_server() -> pybrpc.Server:
    """Which a worker can't be."""
    server = make_server()
    server.register("consul://127.0.0.1:1/echo?token=hunter2")
    return server


def make_server_with_a_delay() -> pybrpc.Server:
    """A delay that counts for nothing in a worker."""
    server = pybrpc.Server(drain_delay=3600)
    server.add_service(ECHO, WorkerEcho())
    return server


def make_server_without_pages() -> pybrpc.Server:
    server = pybrpc.Server(builtin_services=False)
    server.add_service(ECHO, WorkerEcho())
    return server


def make_server_with_mount() -> pybrpc.Server:
    """An application at /app, and a name under which pages are shown."""

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": str(os.getpid()).encode()})

    server = pybrpc.Server(allowed_hosts=["127.0.0.1", "pages.corp.example"])
    server.mount("/app", answer)
    return server


ready_server = make_server()


async def make_async_server() -> pybrpc.Server:
    await asyncio.sleep(0)
    server = pybrpc.Server()
    server.add_service(ECHO, AsyncEcho())
    return server


def make_fragile_server() -> pybrpc.Server:
    if Path(os.environ[BROKEN_FILE]).exists():
        raise RuntimeError("broken by a test")
    return make_server()


def make_no_server() -> object:
    return "no server"


def make_late_server() -> pybrpc.Server:
    """Never comes."""
    time.sleep(3600)
    return make_server()


def make_server_that_stays() -> pybrpc.Server:
    """Its process doesn't end when the server has stopped."""
    threading.Thread(target=time.sleep, args=(3600,)).start()
    return make_server()


def make_server_with_hooks() -> pybrpc.Server:
    """Notes "up" and "down" with its process id, each before and after a pause in its loop."""

    def note(text: str) -> None:
        with Path(os.environ[HOOKS_FILE]).open("a") as file:
            file.write(f"{text} {os.getpid()}\n")

    server = pybrpc.Server()
    server.add_service(ECHO, AsyncEcho())

    @server.on_startup
    async def open_pool() -> None:
        await asyncio.sleep(0.1)
        note("up")
        if Path(os.environ.get(BROKEN_FILE, "/nothing")).exists():
            raise RuntimeError("broken by a test")

    @server.on_shutdown
    async def close_pool() -> None:
        await asyncio.sleep(0.1)
        note("down")

    return server


class Watch:
    """Each stream sends "welcome" and waits; at `end` it sends "goodbye" and ends."""

    def __init__(self) -> None:
        self._queues: set[asyncio.Queue[bytes]] = set()

    async def Echo(self, request: Any, controller: pybrpc.Controller) -> Any:
        controller.accept_stream(body=self._watch)
        return pb.EchoResponse(message=request.message)

    Stream = Echo

    async def _watch(self, stream: Any) -> None:
        queue: asyncio.Queue[bytes] = asyncio.Queue()
        self._queues.add(queue)
        await stream.send(b"welcome")
        await stream.send(await queue.get())

    def end(self) -> None:
        for queue in self._queues:
            queue.put_nowait(b"goodbye")


class PlainWatch(Watch):
    """With plain handlers, and bodies in threads."""

    def __init__(self) -> None:
        self._is_over = threading.Event()

    def Echo(self, request: Any, controller: pybrpc.Controller) -> Any:  # type: ignore[override]
        controller.accept_stream(body=self._watch)
        return pb.EchoResponse(message=request.message)

    Stream = Echo  # type: ignore[assignment]

    def _watch(self, stream: Any) -> None:  # type: ignore[override]
        stream.send(b"welcome")
        self._is_over.wait()
        stream.send(b"goodbye")

    def end(self) -> None:
        self._is_over.set()


def make_watching_server() -> pybrpc.Server:
    """Ends its streams when it begins to stop."""
    watch, server = Watch(), pybrpc.Server()
    server.add_service(ECHO, watch)

    @server.on_stopping
    async def end_streams() -> None:
        watch.end()

    return server


async def make_async_watching_server() -> pybrpc.Server:
    return make_watching_server()


def make_plain_watching_server() -> pybrpc.Server:
    watch, server = PlainWatch(), pybrpc.Server()
    server.add_service(ECHO, watch)
    server.on_stopping(watch.end)
    return server


async def make_async_server_with_hooks() -> pybrpc.Server:
    return make_server_with_hooks()
