"""RedisConnection in seeded interleavings, over real sockets with tiny buffers.

The test plays the server, which reads and answers in bits, pushes in between, and sometimes breaks
the connection; callers come, give up or are timed out at any moment. Whatever the order, a call
ends once, with its own replies or an error, and no command runs twice.
"""

from __future__ import annotations

import contextlib
import random
import socket
import struct
from collections import Counter
from collections.abc import Iterator
from typing import Any

import hiredis
import pytest

from pybrpc.base.endpoint import Endpoint
from pybrpc.client.call import Call
from pybrpc.client.call_options import CallOptions
from pybrpc.client.connection import ClientConnection
from pybrpc.errors import Phase, ProtocolError, RpcError
from pybrpc.protocols.redis.redis_handshake import RedisLogin
from pybrpc.redis.redis_connection_maker import RETRY_WHAT_HAS_NOT_LEFT, RedisConnectionMaker
from pybrpc.redis.redis_method import RedisMethod
from pybrpc.redis.redis_request import RedisRequest
from pybrpc.redis.redis_response import RedisResponse
from pybrpc.rpc.timeout_queue import TimeoutQueues
from pybrpc.testing.step_dispatcher import StepDispatcher
from pybrpc.transport.socket_options import SocketOptions

SEEDS = 30
SMALL = SocketOptions(send_buffer_bytes=4096, receive_buffer_bytes=4096)
NO_LOGIN = RedisLogin(protocol=2, client_name="")
NOTHING = object()
PUSH = b">2\r\n+invalidate\r\n*1\r\n+k\r\n"


class PlayedServer:
    """Answers ECHO word with word, and counts how often each word came. One turn at a time."""

    def __init__(self, rng: random.Random) -> None:
        self.heard: Counter[str] = Counter()
        self._rng = rng
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.setblocking(False)
        self._sock: socket.socket | None = None
        self._reader = hiredis.Reader(notEnoughData=NOTHING)
        self._answers = bytearray()
        self.endpoint = Endpoint("127.0.0.1", self._listener.getsockname()[1])

    def turn(self) -> None:
        """Accept, or read a bit and write a bit."""
        with contextlib.suppress(OSError):
            sock, _ = self._listener.accept()
            self.break_down(is_reset=False)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.setblocking(False)
            self._sock = sock
        if self._sock is not None:
            with contextlib.suppress(BlockingIOError, ConnectionError):
                self._read(self._sock)
            with contextlib.suppress(BlockingIOError, ConnectionError):
                count = self._rng.choice([1, 10, 1000, 100_000])
                del self._answers[: self._sock.send(self._answers[:count])]

    def break_down(self, is_reset: bool) -> None:
        sock, self._sock = self._sock, None
        self._answers.clear()
        self._reader = hiredis.Reader(notEnoughData=NOTHING)
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", is_reset, 0))
            sock.close()

    def refuse(self) -> None:
        """Accept nobody from now on."""
        self._listener.close()

    def say(self, wire: bytes) -> None:
        self._answers += wire

    def close(self) -> None:
        self.break_down(is_reset=False)
        self._listener.close()

    def _read(self, sock: socket.socket) -> None:
        self._reader.feed(sock.recv(self._rng.choice([7, 100, 10_000])))
        while (command := self._reader.gets()) is not NOTHING:
            word = command[1].decode()
            self.heard[word.partition(" ")[0]] += 1
            if self._rng.random() < 0.1:
                self._answers += PUSH
            self._answers += hiredis_bulk(command[1])


def hiredis_bulk(data: bytes) -> bytes:
    return b"$%d\r\n%b\r\n" % (len(data), data)


class OneConnection:
    """A ConnectionSource; makes a new connection when the last one has failed."""

    def __init__(self, dispatcher: StepDispatcher, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.dispatcher = dispatcher
        self.timeouts = TimeoutQueues(dispatcher)
        self.made: list[ClientConnection] = []
        self._maker = RedisConnectionMaker(endpoint, options=SMALL, login=NO_LOGIN)

    def get(self, call: Call) -> ClientConnection:
        if not self.made or not self.made[-1].is_usable:
            self.made.append(self._maker.make(self.timeouts, None))
        return self.made[-1]


class NotedCall(Call):
    """Keeps the words that it sent and how it ended."""

    __slots__ = ("ends", "words")

    def on_done(self) -> None:
        self.ends.append(self.error or self.message())  # type: ignore[has-type]


class World:
    """A server, a dispatcher and the callers of one seed."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.server = PlayedServer(self.rng)
        self.step = StepDispatcher(seed, flushes_at_turn_end=self.rng.random() < 0.5)
        self.source = OneConnection(self.step, self.server.endpoint)
        self.calls: list[NotedCall] = []

    def call(self, *words: str, max_retry: int = 3) -> NotedCall:
        request = RedisRequest()
        for word in words:
            request.add("ECHO", word)
        options = CallOptions(max_retry=max_retry, retry=RETRY_WHAT_HAS_NOT_LEFT)
        call = NotedCall(self.source, RedisMethod(True), request, None, options, None)  # type: ignore[arg-type]
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
            call = self.rng.choice(self.calls)
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
def world(seed: int) -> Iterator[World]:
    made = World(seed)
    try:
        yield made
    finally:
        made.close()


def check_ends(made: World) -> Counter[str]:
    """Each call has ended once, with its own words or an error; what the ends were."""
    kinds: Counter[str] = Counter()
    for call in made.calls:
        (end,) = call.ends
        ran = [made.server.heard[word.partition(" ")[0]] for word in call.words]
        kinds[type(end).__name__] += 1
        assert max(ran) <= 1, "a command ran twice"
        if isinstance(end, RedisResponse):
            assert list(end) == list(call.words)
        else:
            assert isinstance(end, RpcError)
            assert end.phase is not Phase.QUEUED or not any(ran), "it had left, after all"
    assert [connection.in_flight for connection in made.source.made if connection.is_usable] in (
        [],
        [0],
    )
    return kinds


@pytest.mark.parametrize("breaks", [False, True])
def test_any_interleaving(breaks: bool) -> None:
    kinds: Counter[str] = Counter()
    for seed in range(SEEDS):
        with world(seed) as made:
            actions = [made.start_one] * 4 + [made.stop_one]
            if breaks:
                actions.append(lambda: made.server.break_down(made.rng.random() < 0.5))
            for _ in range(40):
                made.rng.choice(actions)()
                made.turns(made.rng.choice([0, 1, 5, 30]))
            made.run_to_the_end()
            kinds += check_ends(made)
    assert kinds["RedisResponse"] > SEEDS * 5
    assert kinds["RpcCanceledError"] > 0
    assert kinds["RpcTimeoutError"] > 0
    assert (kinds["ConnectionFailedError"] > SEEDS) is breaks


def test_what_is_cancelled_before_it_is_sent_takes_no_place() -> None:
    with world(1) as made:
        first, second, third = (made.call(word) for word in ("a", "b", "c"))
        assert second.abort(second.canceled_error())
        made.run_to_the_end()
        assert first.ends == [("a",)]
        assert third.ends == [("c",)]
        assert second.ends[0].phase is Phase.CONNECT
        assert made.server.heard == Counter("ac")


def test_what_is_cancelled_after_it_was_sent_keeps_its_place() -> None:
    with world(2) as made:
        made.call("first")
        made.run_to_the_end()
        late, other = made.call("late", "later"), made.call("other")
        made.step.run_until_idle()
        assert late.abort(late.canceled_error())
        assert late.ends[0].phase is Phase.WAITING
        made.run_to_the_end()
        assert other.ends == [("other",)]
        assert made.server.heard["later"] == 1
        assert made.source.made[0].statistics().late_answers == 1


def test_a_connection_that_never_stood_ends_each_call_once() -> None:
    with world(3) as made:
        made.server.refuse()
        calls = [made.call(str(number), max_retry=0) for number in range(100)]
        made.run_to_the_end()
        assert {call.ends[0].phase for call in calls} == {Phase.CONNECT}
        assert [len(call.ends) for call in calls] == [1] * 100


def test_a_reply_that_nobody_awaits_closes_the_connection() -> None:
    with world(4) as made:
        made.call("a")
        made.run_to_the_end()
        made.server.say(b"-ERR out of the blue\r\n")
        made.turns(200)
        error = made.source.made[0].socket.error
        assert isinstance(error, ProtocolError)
        assert "a reply that no command awaits: <RedisError ERR out of the blue>" in error.text


def test_garbage_among_replies_tells_everybody() -> None:
    with world(5) as made:
        made.call("a")
        made.run_to_the_end()
        made.server.say(b"rubbish")
        calls = [made.call(word) for word in "bc"]
        made.run_to_the_end()
        ends: list[Any] = [call.ends[0] for call in calls]
        assert {type(end) for end in ends} == {ProtocolError}
        assert "no reply of Redis starts with b'r" in ends[0].text


def test_a_map_that_python_cant_hold_fails_its_call_alone() -> None:
    with world(6) as made:
        made.call("a")
        made.run_to_the_end()
        made.server.say(b"%1\r\n*0\r\n:1\r\n")
        bad, good = made.call("b"), made.call("c")
        made.turns(2)
        made.run_to_the_end()
        assert bad.ends[0].name == "ERESPONSE"
        assert "unhashable" in bad.ends[0].text
        assert good.ends == [("b",)], "the played server has said one reply too many"
