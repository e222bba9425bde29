"""A fake Redis server and its callers in one thread, for seeds and schedules.

They use Unix sockets with tiny buffers: TCP is slow when a window is small. The server reads and
answers in small pieces, with pushes in between.
"""

from __future__ import annotations

import contextlib
import dataclasses
import random
import socket
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator

import hiredis
import pytest

from pybrpc.base.endpoint import Endpoint
from pybrpc.client.calls.call import Call
from pybrpc.client.calls.call_options import CallOptions
from pybrpc.client.connections.connection import ClientConnection
from pybrpc.errors import Phase, RpcError
from pybrpc.protocols.redis.redis_handshake import RedisLogin
from pybrpc.redis.redis_connection_factory import RETRY_WHAT_HAS_NOT_LEFT, RedisConnectionFactory
from pybrpc.redis.redis_messages import RedisMethod, RedisRequest, RedisResponse
from pybrpc.rpc.timeout_queue import TimeoutQueues
from pybrpc.testing.step_dispatcher import StepDispatcher
from pybrpc.transport.interfaces import ConnectionLayer, PlainLayer
from pybrpc.transport.socket.setup import SocketSetup
from pybrpc.transport.socket_options import SocketOptions
from tests.fakes.clocks import use_clock
from tests.peers.scripted_server import Peer

SMALL = SocketOptions(send_buffer_bytes=4096, receive_buffer_bytes=4096)
NO_LOGIN = RedisLogin(protocol=2, client_name="")
NOTHING = object()
HELLO_REPLY = b"%1\r\n+proto\r\n:3\r\n"
PUSH = b">2\r\n+invalidate\r\n*1\r\n+k\r\n"


class FakeServer:
    """Answers ECHO word with word, and counts how often each word came. One turn at a time."""

    def __init__(self, rng: random.Random) -> None:
        self.heard: Counter[str] = Counter()
        self._rng = rng
        self._directory = tempfile.TemporaryDirectory()
        path = f"{self._directory.name}/socket"
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(path)
        self._listener.listen()
        self._listener.setblocking(False)
        self._sock: socket.socket | None = None
        self._reader = hiredis.Reader(notEnoughData=NOTHING)
        self._answers = bytearray()
        self.endpoint = Endpoint.parse(f"unix:{path}")

    def turn(self) -> None:
        """Accept a connection, read some bytes and write some."""
        with contextlib.suppress(OSError):
            sock, _ = self._listener.accept()
            self.break_down(is_reset=False)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
            sock.setblocking(False)
            self._sock = sock
        if self._sock is not None:
            with contextlib.suppress(BlockingIOError, ConnectionError):
                self._read(self._sock)
            with contextlib.suppress(BlockingIOError, ConnectionError):
                count = self._rng.choice([1, 10, 1000, 100_000])
                del self._answers[: self._sock.send(self._answers[:count])]

    def break_down(self, is_reset: bool) -> None:
        """Close with a reset if bytes were left unread, else with EOF."""
        sock, self._sock = self._sock, None
        self._answers.clear()
        self._reader = hiredis.Reader(notEnoughData=NOTHING)
        if sock is not None:
            with contextlib.suppress(BlockingIOError, ConnectionError):
                while not is_reset and sock.recv(100_000):
                    pass
            sock.close()

    def refuse(self) -> None:
        """Accept no connection from now on."""
        self._listener.close()

    def say(self, wire: bytes) -> None:
        self._answers += wire

    def close(self) -> None:
        self.break_down(is_reset=False)
        self._listener.close()
        self._directory.cleanup()

    def _read(self, sock: socket.socket) -> None:
        self._reader.feed(sock.recv(self._rng.choice([7, 100, 10_000])))
        while (command := self._reader.gets()) is not NOTHING:
            if command[0] == b"HELLO":
                self._answers += HELLO_REPLY
                continue
            word = command[1].decode()
            self.heard[word.partition(" ")[0]] += 1
            if self._rng.random() < 0.1:
                self._answers += PUSH
            self._answers += hiredis_bulk(command[1])


def hiredis_bulk(data: bytes) -> bytes:
    return b"$%d\r\n%b\r\n" % (len(data), data)


@dataclasses.dataclass(frozen=True, slots=True)
class LayeredMaker(RedisConnectionFactory):
    """A factory whose connections have a layer each."""

    make_layer: Callable[[], ConnectionLayer] = PlainLayer

    def _setup(self) -> SocketSetup:
        setup = RedisConnectionFactory._setup(self)
        setup["layer"] = self.make_layer()
        return setup


class OneConnection:
    """A ConnectionSource; makes a new connection when the last one has failed."""

    def __init__(
        self,
        dispatcher: StepDispatcher,
        endpoint: Endpoint,
        login: RedisLogin,
        make_layer: Callable[[], ConnectionLayer],
    ) -> None:
        self.endpoint = endpoint
        self.name = str(endpoint)
        self.dispatcher = dispatcher
        self.timeouts = TimeoutQueues(dispatcher)
        self.made: list[ClientConnection] = []
        self._maker = LayeredMaker(endpoint, options=SMALL, login=login, make_layer=make_layer)

    direct = live = pool = call_times = None
    gives_own_connections = False

    def get(self, call: Call) -> ClientConnection:
        if not self.made or not self.made[-1].is_usable():
            self.made.append(self._maker.make(self.timeouts, None))
        return self.made[-1]

    def may_retry_elsewhere(self, call: Call, error: RpcError) -> bool:
        return False

    def take_retry(self, error: RpcError) -> bool:
        return True


class NotedCall(Call):
    """A Call that keeps the words it sent and how it ended."""

    __slots__ = ("ends", "words")

    def on_done(self) -> None:
        self.ends.append(self.error or self.message())  # type: ignore[has-type]


class World:
    """A server, a dispatcher and the callers of one seed."""

    def __init__(
        self,
        seed: int,
        login: RedisLogin = NO_LOGIN,
        make_layer: Callable[[], ConnectionLayer] = PlainLayer,
    ) -> None:
        self.rng = random.Random(seed)
        self.server = FakeServer(self.rng)
        self.step = StepDispatcher(seed, flushes_at_turn_end=self.rng.random() < 0.5)
        self.source = OneConnection(self.step, self.server.endpoint, login, make_layer)
        self.calls: list[NotedCall] = []

    def call(self, *words: str, max_retry: int = 3, kind: type[NotedCall] = NotedCall) -> NotedCall:
        request = RedisRequest()
        for word in words:
            request.add("ECHO", word)
        options = CallOptions(max_retry=max_retry, retry=RETRY_WHAT_HAS_NOT_LEFT)
        call = kind()
        call.set_up(self.source, RedisMethod(True), request, None, options, None)  # type: ignore[arg-type]
        call.ends, call.words = [], words
        self.calls.append(call)
        call.start()
        return call

    def start_one(self) -> None:
        number = len(self.calls)
        count = self.rng.choice([1, 1, 1, 2, 5])
        padding = "x" * self.rng.choice([0, 0, 10, 3000])
        self.call(*(f"{number}.{index} {padding}" for index in range(count)))

    def stop_one(self) -> None:
        if self.calls:
            call = self.rng.choice(self.calls[-4:])
            self.rng.choice([call.expire, lambda: call.abort(call.canceled_error())])()

    def turns(self, count: int) -> None:
        for _ in range(count):
            self.rng.choice([self.step.step, self.step.step, self.server.turn])()

    def run_to_the_end(self) -> None:
        for _ in range(100_000):
            if all(call.ends for call in self.calls):
                break
            self.turns(20)
        self.turns(50)

    def close(self) -> None:
        for connection in self.source.made:
            connection.close()
        self.step.run_until_idle()
        self.server.close()
        assert self.step.raised == []


@contextlib.contextmanager
def world(
    seed: int,
    login: RedisLogin = NO_LOGIN,
    make_layer: Callable[[], ConnectionLayer] = PlainLayer,
) -> Iterator[World]:
    made = World(seed, login, make_layer)
    with pytest.MonkeyPatch.context() as monkeypatch:
        use_clock(monkeypatch, made.step.clock)
        try:
            yield made
        finally:
            made.close()


def check_ends(made: World) -> Counter[str]:
    """Check that each call ended once, with its own words or an error; count the kinds of ends.

    No command ran twice, nor one whose error says that it was never sent.
    """
    kinds: Counter[str] = Counter()
    for call in made.calls:
        (end,) = call.ends
        ran = [made.server.heard[word.partition(" ")[0]] for word in call.words]
        assert max(ran) <= 1, "a command ran twice"
        if isinstance(end, RedisResponse):
            kinds["answered"] += 1
            assert list(end) == list(call.words)
        else:
            assert isinstance(end, RpcError)
            assert end.phase is not None
            kinds[f"{type(end).__name__} {end.phase.value}"] += 1
            assert end.phase is not Phase.QUEUED or not any(ran), "it had left, after all"
    assert [connection.in_flight for connection in made.source.made if connection.is_usable()] in (
        [],
        [0],
    )
    return kinds


WAIT_S = 30.0


def echoes_last_words(peer: Peer) -> None:
    """A server that answers each command with its last word; FAIL is an error."""
    reader = hiredis.Reader(notEnoughData=NOTHING)
    while data := peer.sock.recv(65536):
        reader.feed(data)
        while (command := reader.gets()) is not NOTHING:
            word = command[-1]
            peer.send(b"-ERR no\r\n" if word == b"FAIL" else b"$%d\r\n%b\r\n" % (len(word), word))


def words(*names: str) -> RedisRequest:
    request = RedisRequest()
    for name in names:
        request.add("ECHO", name)
    return request
