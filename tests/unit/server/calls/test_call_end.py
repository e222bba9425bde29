"""CallEnd: each admitted call ends exactly once, in two moments, whatever is raised meanwhile."""

from __future__ import annotations

import random
import threading
from collections import Counter
from typing import Any, cast

import pytest

from pybrpc.base.atomic import atomic_counter
from pybrpc.errors import ErrorCode, OvercrowdedError, RpcError
from pybrpc.iobuf import IOBuf
from pybrpc.protocols.baidu_std import BAIDU_STD
from pybrpc.server.calls.admission import Admission
from pybrpc.server.calls.call_end import CallEnd, RefusedRequest
from pybrpc.server.calls.method_entry import MethodEntry
from pybrpc.server.calls.server_call import NO_ANSWER, ServerCall, new_server_call
from pybrpc.server.calls.service_registry import ServiceRegistry
from pybrpc.server.limiters.limiter import ConstantLimiter
from pybrpc.testing.step_scheduler import StepScheduler, explore
from pybrpc.transport.writing.backlog import Backlog
from tests.peers.raw_peer import SERVICE, request
from tests.peers.serving import EchoService

pytestmark = pytest.mark.python_only

METHOD = f"{SERVICE.full_name}.Echo"


class FakeConnection:
    """A connection and its socket. Notes the state in which it is called."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.socket = self
        self.replies: Any = None
        self.protocol = BAIDU_STD
        self.calls: set[ServerCall] = set()
        self.unanswered = Backlog(1 << 30)
        self.written: list[bytes] = []
        self.failed: list[RpcError] = []
        self.calls_when_written: list[int] = []
        self.running_when_written: list[int] = []
        self.left_when_ended: list[int] = []
        self.ends_raise = False
        self.admission: Admission | None = None
        self._error = error

    def start_write(self, data: IOBuf, *, ignore_eovercrowded: bool) -> None:
        assert ignore_eovercrowded
        if self._error is not None:
            raise self._error
        self.written.append(bytes(data))
        self.calls_when_written.append(len(self.calls))
        if self.admission is not None:
            self.running_when_written.append(len(self.admission.running))

    def fail(self, error: RpcError) -> None:
        self.failed.append(error)

    def on_calls_ended(self) -> None:
        self.left_when_ended.append(len(self.calls))
        if self.ends_raise:
            raise SystemExit


class Listener:
    def __init__(self, raises: bool = False) -> None:
        self.heard: list[tuple[ServerCall, float]] = []
        self._raises = raises

    def on_call_end(self, call: ServerCall, latency_s: float) -> None:
        self.heard.append((call, latency_s))
        if self._raises:
            raise KeyboardInterrupt


class Server:
    """An Admission, its CallEnd, and a connection whose calls enter and end."""

    def __init__(self, error: BaseException | None = None, limit: int = 0) -> None:
        self.registry = ServiceRegistry()
        self.registry.add(SERVICE, EchoService())
        self.entry: MethodEntry = self.registry.entry_named(METHOD)
        self.entry.limiter = ConstantLimiter(limit) if limit else None
        self.admission = Admission(self.registry, None)
        self.errors = atomic_counter()
        self.call_end = CallEnd(self.admission, self.errors)
        self.connection = FakeConnection(error)
        self.connection.admission = self.admission

    def admit(self, count: int = 1, connection: FakeConnection | None = None) -> list[ServerCall]:
        connection = connection or self.connection
        calls = []
        for number in range(count):
            message = request(number, message="x" * number)
            call = new_server_call(cast(Any, connection), message, self.entry, 0.0)
            connection.calls.add(call)
            connection.unanswered.try_add(call.size_bytes, True)
            self.admission.enter(call)
            calls.append(call)
        return calls

    def end(self, calls: list[ServerCall], data: IOBuf | None = None) -> None:
        self.call_end.end(cast(Any, self.connection), calls, data)

    def is_balanced(self) -> bool:
        unanswered = self.connection.unanswered
        return (
            not self.admission.running
            and not self.entry.running
            and not self.connection.calls
            and unanswered.size_bytes == unanswered.requests == 0
        )


def test_limits_are_released_before_the_response_is_written_and_memory_after_it() -> None:
    server = Server(limit=5)
    calls = server.admit(3)
    assert len(server.entry.running) == 3
    server.end(calls, IOBuf(b"answers"))
    connection = server.connection
    assert connection.written == [b"answers"]
    assert (connection.running_when_written, connection.calls_when_written) == ([0], [3])
    assert connection.left_when_ended == [0]
    assert server.is_balanced()


def test_second_end_of_a_call_does_nothing() -> None:
    server = Server()
    listener = Listener()
    server.call_end.listeners = (listener,)
    one, two = server.admit(2)
    server.end([one])
    server.end([one], IOBuf(b"late"))
    server.end([one, two, two], IOBuf(b"answer"))
    assert server.connection.written == [b"answer"]
    assert server.connection.left_when_ended == [1, 0]
    assert [call for call, _ in listener.heard] == [one, two]
    assert server.is_balanced()


@pytest.mark.parametrize(
    "error", [OvercrowdedError("gone"), ValueError(), SystemExit(), MemoryError()]
)
def test_call_ends_whatever_writing_its_response_raises(error: BaseException) -> None:
    server = Server(error)
    server.end(server.admit(2), IOBuf(b"answers"))
    assert server.is_balanced()
    # An answer of which an unknown part is lost must leave no client waiting.
    assert len(server.connection.failed) == (0 if isinstance(error, RpcError) else 1)


def test_call_ends_whatever_its_connection_and_listeners_raise(
    caplog: pytest.LogCaptureFixture,
) -> None:
    server, listener = Server(), Listener()
    server.connection.ends_raise = True
    server.call_end.listeners = (Listener(raises=True), listener)
    calls = server.admit(2)
    # Not in the main thread, which would get the KeyboardInterrupt.
    thread = threading.Thread(target=server.end, args=(calls, IOBuf(b"answers")))
    thread.start()
    thread.join()
    assert server.is_balanced()
    assert [call for call, _ in listener.heard] == calls
    assert "raised when its calls ended" in caplog.text
    assert "raised at the end of a call" in caplog.text


def test_listener_hears_of_a_call_before_its_connection_forgets_it() -> None:
    """A stop waits for the connection, and may end what listeners use."""
    server = Server()
    held: list[int] = []

    class Looking(Listener):
        def on_call_end(self, call: ServerCall, latency_s: float) -> None:
            held.append(len(server.connection.calls))

    server.call_end.listeners = (Looking(),)
    server.end(server.admit(2), IOBuf(b"answers"))
    assert held == [2, 2]
    assert server.is_balanced()


def test_each_listener_hears_of_a_refusal_whatever_another_raises(
    caplog: pytest.LogCaptureFixture,
) -> None:
    heard: list[RefusedRequest] = []

    class Refusals:
        def __init__(self, raises: bool) -> None:
            self._raises = raises

        def on_refused(self, refused: RefusedRequest) -> None:
            heard.append(refused)
            if self._raises:
                raise SystemExit

    server = Server()
    server.call_end.refusal_listeners = (Refusals(raises=True), Refusals(raises=False))
    refused = RefusedRequest(cast(Any, server.connection), request(1), 2004, 10, 0.0)
    server.call_end.note_refused(refused)
    assert heard == [refused, refused]
    assert "raised at a refusal" in caplog.text


def test_listener_gets_code_latency_and_sizes() -> None:
    server, listener = Server(), Listener()
    server.call_end.listeners = (listener,)
    good, bad, dropped = server.admit(3)
    for call, code in ((good, 0), (bad, int(ErrorCode.EREQUEST))):
        call.error_code, call.sent_bytes = code, 1
    server.end([good, bad], IOBuf(b"xx"))
    server.end([dropped])
    assert [call.error_code for call, _ in listener.heard] == [0, ErrorCode.EREQUEST, NO_ANSWER]
    assert [call.sent_bytes for call, _ in listener.heard] == [1, 1, 0]
    assert [call.received_bytes for call, _ in listener.heard] == [
        len(call.request.body) for call in (good, bad, dropped)
    ]
    assert all(latency_s > 0 for _, latency_s in listener.heard)
    assert server.errors.get() == 1


def test_each_call_ends_once_while_many_threads_end_the_same_calls() -> None:
    server, listener = Server(limit=10_000), Listener()
    server.call_end.listeners = (listener,)
    calls = server.admit(2000)

    def end_all(seed: int) -> None:
        rng = random.Random(seed)
        mine = calls.copy()
        rng.shuffle(mine)
        while mine:
            count = rng.randrange(1, 8)
            server.end(mine[:count], IOBuf(b".") if rng.random() < 0.5 else None)
            del mine[:count]

    threads = [threading.Thread(target=end_all, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert Counter(id(call) for call, _ in listener.heard) == Counter(map(id, calls))
    assert server.is_balanced()


class TracedSet(set[Any]):
    """A set with points before each access."""

    def __init__(self, scheduler: StepScheduler) -> None:
        super().__init__()
        self._scheduler = scheduler

    def __contains__(self, item: object) -> bool:
        self._scheduler.point("look for a call")
        return super().__contains__(item)

    def remove(self, item: Any) -> None:
        self._scheduler.point("remove a call")
        super().remove(item)

    def discard(self, item: Any) -> None:
        self._scheduler.point("discard a call")
        super().discard(item)


def two_answers_and_a_reset(scheduler: StepScheduler) -> None:
    """Two workers answer, and the connection drops all calls that it knows."""
    server, listener = Server(limit=5), Listener()
    server.call_end.listeners = (listener,)
    server.admission.running = TracedSet(scheduler)
    server.entry.running = TracedSet(scheduler)
    server.connection.admission = None
    calls = server.admit(3)
    scheduler.run(
        lambda: server.end(calls[:2], IOBuf(b"one")),
        lambda: server.end(calls[1:], IOBuf(b"other")),
        lambda: server.end(calls),
    )
    assert Counter(call for call, _ in listener.heard) == Counter(calls)
    assert server.is_balanced()


def test_calls_leave_once_in_every_order_of_answers_and_a_reset() -> None:
    assert explore(two_answers_and_a_reset, max_preemptions=2) > 100


class Replies:
    """Those of a connection that the response at `last` ends."""

    def __init__(self, last: int) -> None:
        self._last = last
        self.done: list[str] = []

    def drops(self, position: int) -> bool:
        return position > self._last

    def write(self) -> None:
        self.done.append("write")

    def fail_missing(self) -> None:
        self.done.append("fail")


@pytest.mark.parametrize(
    ("last", "data", "codes", "done"),
    [
        (0, IOBuf(), [0, NO_ANSWER, NO_ANSWER], ["write"]),
        (5, IOBuf(), [0, 0, 0], ["write"]),
        (-1, None, [NO_ANSWER] * 3, []),
        (1, None, [0, 0, NO_ANSWER], ["fail"]),
    ],
)
def test_calls_behind_the_last_response_are_ends_without_an_answer(
    last: int, data: IOBuf | None, codes: list[int], done: list[str]
) -> None:
    server = Server()
    server.connection.replies = replies = Replies(last)
    calls = server.admit(3)
    for position, call in enumerate(calls):
        call.position, call.error_code = position, 0
    server.end(calls, data)
    assert ([call.error_code for call in calls], replies.done) == (codes, done)
    assert server.is_balanced()
