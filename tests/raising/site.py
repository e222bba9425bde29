"""Site: the servers, channels and threads that the rounds of one process share."""

from __future__ import annotations

import contextlib
import os
import queue
import threading
import time
from collections.abc import Callable
from typing import Any

import pybrpc
from pybrpc.redis import RedisChannel, RedisRequest
from tests.peers.echo import ECHO, echo_request
from tests.peers.scripted_server import Peer, ScriptedServer
from tests.protos import conformance_pb2 as pb
from tests.raising.entries import Entry
from tests.raising.gate import Gate
from tests.raising.kinds import raise_kind
from tests.raising.threads import Blockers, LoopThread

PATIENT_S = 60.0
"""A timeout that no call reaches unless it hangs."""

LIMIT_S = 3.0 if os.environ.get("PYBRPC_MUTANT") else 12.0
"""Within this time everything has ended, on a busy machine too."""

BLOCKERS = 40
THREAD_FORMS = ("blocking", "future", "callback")
FORMS = (*THREAD_FORMS, "asyncio", "asyncio-shared")

HOLD = "hold"
NEVER = "never"


class EchoService:
    """Echo is an async handler, Stream a plain one. `fail_text` names what they raise.

    A message that begins with HOLD is answered when the round opens its gate, one that begins with
    NEVER when the round is over.
    """

    def __init__(self, site: Site) -> None:
        self._site = site

    async def Echo(self, request: Any, controller: pybrpc.Controller) -> Any:
        if request.message.startswith(HOLD):
            await self._site.gate.passed()
        elif request.message.startswith(NEVER):
            await self._site.end.passed()
        return self.Stream(request, controller)

    def Stream(self, request: Any, controller: pybrpc.Controller) -> Any:
        if request.fail_text:
            raise_kind(request.fail_text)
        return pb.EchoResponse(message=request.message)


class Site:
    """Made once in a process, which ends without closing it."""

    def __init__(self) -> None:
        self.gate = Gate()
        self.end = Gate()
        self.main_jobs: queue.SimpleQueue[Callable[[], object]] = queue.SimpleQueue()
        """Done by the main thread, one after the other."""
        self._dead_threads: list[str] = []
        threading.excepthook = self._on_thread_raised
        self.blockers = Blockers(BLOCKERS)
        self.loop = LoopThread()
        self.server, self.address = self.new_server()
        self.stub, self.other = self.new_stub(), self.new_stub(connection_group="other")
        self.pooled, self.short = (
            self.new_stub(connection_type=kind) for kind in ("pooled", "short")
        )
        self.aio_stub, self.shared_stub, self.aio_other, self.shared_other = (
            self.new_aio_stub(share_with_threads=is_shared, connection_group=group)
            for group in ("", "other")
            for is_shared in (False, True)
        )
        self._redis_server = ScriptedServer(self._answer_redis)
        self._redis_server.__enter__()
        address = self._redis_server.address
        self.redis = RedisChannel(address, timeout=PATIENT_S, protocol=2, decode=True)

    def new_server(self, **options: Any) -> tuple[pybrpc.Server, str]:
        """A server with an EchoService, and its address."""
        server = pybrpc.Server(**options)
        server.add_service(ECHO, EchoService(self))
        return server, str(server.start("127.0.0.1:0"))

    def new_stub(self, address: str = "", **options: Any) -> Any:
        """A stub for threads. Its channel is patient and shares connections as usual."""
        options = {"timeout": PATIENT_S, "connect_timeout": PATIENT_S, **options}
        return pybrpc.Stub(ECHO, pybrpc.Channel(address or self.address, **options))

    def new_aio_stub(self, address: str = "", **options: Any) -> Any:
        """A stub for tasks; may be made in any thread."""
        options = {"timeout": PATIENT_S, "connect_timeout": PATIENT_S, **options}
        return pybrpc.Stub(ECHO, pybrpc.aio.Channel(address or self.address, **options))

    def stub_of(self, form: str, address: str = "", **options: Any) -> Any:
        """A stub for calls of that form, over a channel of its own."""
        if form in THREAD_FORMS:
            return self.new_stub(address, **options)
        is_shared = form == "asyncio-shared"
        return self.new_aio_stub(address, share_with_threads=is_shared, **options)

    def usual_stub_of(self, form: str) -> Any:
        """The stub whose connection most calls of that form use."""
        return {"asyncio": self.aio_stub, "asyncio-shared": self.shared_stub}.get(form, self.stub)

    def complaints(self) -> list[str]:
        """Threads of the library that have ended by what was raised, and calls that are left."""
        limit = time.monotonic() + LIMIT_S
        while self.server.statistics().running and time.monotonic() < limit:
            time.sleep(0.001)
        left = self.server.statistics().running
        return [*self._dead_threads, *([f"{left} calls are left in the server"] if left else [])]

    def _on_thread_raised(self, raised: threading.ExceptHookArgs) -> None:
        name = raised.thread.name if raised.thread is not None else "?"
        if name.startswith("pybrpc"):
            self._dead_threads.append(f"thread {name} has ended by {raised.exc_type.__name__}")

    # --- calls that end an entry ---

    def begin(self, form: str, stub: Any, message: str, entry: Entry, **options: Any) -> None:
        """Begin a call, which ends `entry`: "answered" if the response is an echo of `message`.

        An option that begins with `fail_` is a field of the request, others are of the call.
        """
        fields = {name: options.pop(name) for name in [*options] if name.startswith("fail_")}
        method = getattr(stub, options.pop("method", "Echo"))
        request = echo_request(message, **fields)
        if form == "blocking":
            self.blockers.do(
                lambda: entry.try_end(lambda: method(request, **options).message, message)
            )
        elif form == "future":
            future = method.future(request, **options)
            future.add_done_callback(
                lambda done: entry.try_end(lambda: done.result(0).message, message)
            )
        elif form == "callback":
            method.with_callback(request, _callback(entry, message), **options)
        else:

            async def call() -> None:
                try:
                    got = (await method(request, **options)).message
                except BaseException as error:
                    entry.fail(error)
                else:
                    entry.try_end(lambda: got, message)

            self.loop.begin(call)

    def begin_redis(self, word: str, entry: Entry) -> None:
        """Begin a call to the Redis server, which echoes a word once the gate is open."""
        future = self.redis.future(RedisRequest().add("ECHO", word))
        future.add_done_callback(lambda done: entry.try_end(lambda: done.result(0).only(), word))

    def _answer_redis(self, peer: Peer) -> None:
        """Echo the words of many commands with one send, once the gate is open."""
        import hiredis

        nothing = object()
        reader = hiredis.Reader(notEnoughData=nothing)
        with contextlib.suppress(OSError):
            while data := peer.sock.recv(1 << 18):
                reader.feed(data)
                replies = []
                while (command := reader.gets()) is not nothing:
                    if command[0] == b"ECHO":
                        word = command[1]
                        replies.append(b"$%d\r\n%b\r\n" % (len(word), word))
                        is_held = word.startswith(HOLD.encode())
                    else:
                        replies.append(b"+OK\r\n")
                        is_held = False
                    if is_held:
                        self.gate.wait()
                peer.send(b"".join(replies))


def _callback(entry: Entry, message: str) -> Any:
    def done(response: Any, error: BaseException | None) -> None:
        if error is not None:
            entry.fail(error)
        else:
            entry.try_end(lambda: response.message, message)

    return done
