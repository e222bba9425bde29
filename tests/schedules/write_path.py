"""Interleaved: one real Socket over a real descriptor, under a StepScheduler, and what must hold.

Producers, threads that fail, cancel or close, and the dispatcher are threads of the scheduler. Each
stops before each access to a shared value (see `traced_write_path`). The schedule also decides how
much the kernel takes, and where a signal handler runs that writes from inside a write.

`check` compares with a sequential oracle: a list of all messages in the order of the exchanges.
Each was written whole and once, and completed, or it was not written, and failed.
"""

from __future__ import annotations

import contextlib
import dataclasses
import socket as plain
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from pybrpc.errors import ErrorCode, Phase, RpcError, make_rpc_error
from pybrpc.iobuf import IOBuf, cut_multiple_into_fd
from pybrpc.testing.step_dispatcher import StepDispatcher
from pybrpc.testing.step_scheduler import StepScheduler
from pybrpc.transport.dispatch.event_dispatcher import Continuation, DispatcherClosedError
from pybrpc.transport.dispatch.step_queue import Work, run_work
from pybrpc.transport.socket.socket import Socket
from pybrpc.transport.writing.write_request import WriteRequest
from tests.fakes.frames import HEADER, frame
from tests.fakes.sockets import UserMessage
from tests.schedules.traced_write_path import Mutation, patched

MOST_STEPS = 60
"""Most points that one start_write may pass, whatever other threads do."""

HANDLER = 9
"""The producer number of the signal handler."""

LONGEST_S = 0.005
NOBODY = "the queue"


@dataclasses.dataclass(slots=True, eq=False)
class Sent:
    """One message and its outcome."""

    producer: int
    number: int
    data: bytes
    request: WriteRequest | None = None
    refused: RpcError | None = None
    is_bad: bool = False
    claimed: Phase | None = None
    """The phase that its caller saw when it gave up."""
    told: list[RpcError | None] = dataclasses.field(default_factory=list)

    @property
    def name(self) -> tuple[int, int]:
        return self.producer, self.number

    @property
    def is_accepted(self) -> bool:
        return self.refused is None


class ClosingDispatcher(StepDispatcher):
    """Closes as EpollDispatcher does: it refuses new posts, then runs those it has."""

    def __init__(self, play: Interleaved) -> None:
        super().__init__()
        self._play = play
        self.is_closing = False

    def post(self, function: Continuation) -> None:
        self._play.point("post")
        if self.is_closing:
            self._play.on_post_refused(function)
            raise DispatcherClosedError("closed by the schedule")
        super().post(function)

    def post_cleanup(self, function: Continuation) -> None:
        self._play.point("post what ends it")
        super().post(function)

    def complete(self, work: Work) -> None:
        self._play.point("report")
        super().post(partial(run_work, work))

    def stop(self) -> None:
        self.is_closing = True

    def run_what_was_posted(self) -> None:
        while self._posted:
            self._run(self._posted.popleft())
        self._is_closed = True


class Interleaved:
    """One run. The methods between the lines are the threads'."""

    def __init__(
        self,
        scheduler: StepScheduler,
        *,
        moods: int = 0,
        signals: int = 0,
    ) -> None:
        """`moods`: so often the kernel may take less than it is given; `signals`: so many."""
        self.scheduler = scheduler
        self.moods = moods
        self.signals = signals
        self.step = ClosingDispatcher(self)
        self.clock = self.step.clock
        self.messages: list[Sent] = []
        self.exchanged: list[WriteRequest] = []
        self.wire = bytearray()
        self.violations: list[str] = []
        self.failures: list[RpcError] = []
        self.woken = 0
        self.ends = 0
        self.socket: Socket
        self._by_request: dict[int, Sent] = {}
        self._owner: object = NOBODY
        self._late: list[Callable[[], None]] = []
        self._steps: dict[object, int] = {}
        self._calls: dict[object, int] = {}
        self._in_handler: set[int] = set()
        self._in_system_call = False
        self._left = 0

    def run(self, *threads: Callable[[], object]) -> None:
        """Run them beside a dispatcher, until nothing moves any more."""
        self._left = len(threads)

        def counted(function: Callable[[], object]) -> Callable[[], None]:
            def run() -> None:
                try:
                    function()
                finally:
                    self._left -= 1

            return run

        self.scheduler.run(*map(counted, threads), self._run_dispatcher)

    # --- what threads do ---

    def write(self, producer: int, number: int, size: int = 1, **options: Any) -> Sent:
        """`start_write` of one frame, of which everything is noted."""
        return self._write(Sent(producer, number, frame(producer, number, size)), **options)

    def write_bad(self, producer: int, number: int) -> Sent:
        """One that can't be turned into bytes."""
        sent = Sent(producer, number, frame(producer, number, 1), is_bad=True)
        return self._write(sent, UserMessage(ValueError("the test says so")))

    def _write(self, sent: Sent, message: UserMessage | None = None, **options: Any) -> Sent:
        self.messages.append(sent)
        before = self._counts()
        is_healthy = not self.socket.is_failed
        try:
            sent.request = WriteRequest(
                IOBuf() if message else IOBuf(sent.data),
                message,
                lambda error: self._on_outcome(sent, error),
                notify_on_success=True,
                shutdown_write=options.pop("shutdown_write", False),
            )
            self._by_request[id(sent.request)] = sent
            self.socket.write_request(sent.request, **options)
        except RpcError as error:
            sent.refused = error
        if is_healthy and not self.socket.is_failed and not self._handles:
            steps, calls = (now - then for now, then in zip(self._counts(), before, strict=True))
            self.expect(steps <= MOST_STEPS, f"3: a write took {steps} steps")
            self.expect(calls <= 1, f"3: a write made {calls} system calls")
        return sent

    def fail(self) -> None:
        self.socket.fail(make_rpc_error(ErrorCode.EFAILEDSOCKET, "the test says so"))

    def give_up(self, sent: Sent) -> None:
        """Cancel the message and read its phase, as a call does at its deadline."""
        if sent.request is not None and not sent.told:
            sent.request.cancel()
            sent.claimed = sent.request.phase

    def wait_for_room(self) -> None:
        self.socket.backlog.when_writable(lambda: self._on_room())

    def close_dispatcher(self) -> None:
        with contextlib.suppress(DispatcherClosedError):
            self.step.post(self.step.stop)

    # --- what the patched code tells ---

    def point(self, label: str) -> None:
        if self.scheduler.running < 0:
            return
        self._steps[self._me] = self._steps.get(self._me, 0) + 1
        self.scheduler.point(label)
        if self._may_be_interrupted() and self.scheduler.choose(2, "a signal"):
            self.signals -= 1
            self._in_handler.add(self.scheduler.running)
            self.write(HANDLER, self.signals)
            self._in_handler.discard(self.scheduler.running)

    def _may_be_interrupted(self) -> bool:
        is_programs = self.scheduler.running < self._threads
        return self.signals > 0 and is_programs and not self._handles

    def on_exchange(self, request: WriteRequest) -> None:
        self.exchanged.append(request)

    def on_taken(self, from_where: str) -> None:
        is_own = from_where == "a continuation" and self._owner == self._me
        self.expect(
            is_own or self._owner == from_where,
            f"two have the right: {self._me} took it from {from_where}, {self._owner} had it",
        )
        self._owner = self._me

    def on_passed(self, to_where: str) -> None:
        self.expect(self._owner == self._me, f"{self._me} passed on what {self._owner} had")
        self._owner = to_where

    def on_paused(self, where: str) -> None:
        if self._owner == "a continuation":
            self.on_taken("a continuation")
        self.on_passed(where)

    def on_post_refused(self, function: Continuation) -> None:
        if getattr(getattr(function, "func", None), "__name__", "") == "keep_write":
            self.on_taken("a continuation")

    def on_failed_request(self) -> None:
        """A producer fails at most what it has taken for writing itself."""
        is_own = self.socket.error is None
        self.expect(is_own or self._may_end, f"3: {self._me} fails what others have queued")

    @property
    def _may_end(self) -> bool:
        """Whether this thread may end what is another thread's."""
        is_dispatchers = self.scheduler.running >= self._threads
        return is_dispatchers or self.scheduler.running < 0 or self.step.is_closing

    def start_timer(self, function: Callable[[], None]) -> None:
        if self._owner != "a continuation":
            self.on_passed("a continuation")
        self._late.append(function)

    def cut_into_fd(self, fd: int, pieces: Sequence[IOBuf]) -> int:
        with self.system_call(fd):
            return self._give_kernel(fd, pieces, self.mood())

    @contextlib.contextmanager
    def system_call(self, fd: int) -> Iterator[None]:
        """Others run while the kernel works: none of them may write, or close the descriptor."""
        self.expect(self._owner == self._me, f"{self._me} writes, {self._owner} has the right")
        self.expect(not self._in_system_call, "two write at once")
        self._in_system_call = True
        self._calls[self._me] = self._calls.get(self._me, 0) + 1
        self.scheduler.point("system call")
        self.expect(fd >= 0 and self.socket.fd == fd, "a write into a closed descriptor")
        try:
            yield
        finally:
            self._in_system_call = False
        self.scheduler.point("the system call returns")

    def mood(self) -> int:
        """0: the kernel takes all. 1: nothing. 2: a header, and nothing of what is behind it."""
        mood = self.scheduler.choose(3, "the kernel") if self.moods else 0
        self.moods -= mood > 0
        return mood

    def _give_kernel(self, fd: int, pieces: Sequence[IOBuf], mood: int) -> int:
        if mood == 1 and any(pieces):
            raise BlockingIOError
        before = b"".join(map(bytes, pieces))
        if mood == 2 and before:
            first = next(piece for piece in pieces if piece)
            written = first.cutn(HEADER.size).cut_into_fd(fd)
        else:
            written = cut_multiple_into_fd(fd, pieces)
        self.wire += before[:written]
        return written

    # --- callbacks of the user ---

    def _on_outcome(self, sent: Sent, error: RpcError | None) -> None:
        self.expect(self._owner != self._me, "6: told while the teller has the right")
        self.expect(self._may_end, f"3: {self._me} runs a callback")
        sent.told.append(error)

    def _on_room(self) -> None:
        self.woken += 1

    def on_connected(self, socket: Socket) -> None:
        self.expect(self._owner != self._me, "6: called by the thread with the write right")

    def on_messages(self, socket: Socket, messages: list[Any]) -> None:
        raise AssertionError("the peer says nothing")

    def on_end(self, socket: Socket, error: RpcError) -> bool:
        return False

    def on_failed(self, socket: Socket, error: RpcError) -> None:
        self.expect(self._owner != self._me, "6: called by the thread with the write right")
        self.expect(self._may_end, f"3: {self._me} tells the user of the failure")
        self.failures.append(error)

    # --- what must hold at the end ---

    def expect(self, holds: bool, otherwise: str) -> None:
        if not holds:
            self.violations.append(otherwise)

    def check(self, received: bytes | None = None) -> None:
        """`received`: by the peer, if it is more or other than what the kernel took."""
        assert not self.violations, self.violations[0]
        assert not self.step.raised, repr(self.step.raised[0])
        data = bytes(self.wire) if received is None else received
        names, torn = frames_and_rest(data)
        self._check_order(names)
        for sent in self.messages:
            self._check_message(sent, names, torn)
        self._check_rest()

    def _check_order(self, names: list[tuple[int, int]]) -> None:
        assert len(names) == len(set(names)), f"2: sent twice: {names}"
        sent = [self._by_request.get(id(request)) for request in self.exchanged]
        order = [one.name for one in sent if one is not None and one.name in names]
        assert names == order, f"1: {names} on the wire, exchanged in the order {order}"
        for producer in {name[0] for name in names}:
            numbers = [number for one, number in names if one == producer]
            assert producer == HANDLER or numbers == sorted(numbers), f"1: {numbers}"

    def _check_message(
        self, sent: Sent, names: list[tuple[int, int]], torn: tuple[int, int] | None
    ) -> None:
        failed = self.socket.error
        is_whole, is_begun = sent.name in names, sent.name in names or sent.name == torn
        if not sent.is_accepted:
            assert not sent.told, f"7, 9: refused, and told: {sent}"
            assert not is_begun, f"7, 9: refused, and sent: {sent}"
            return
        assert len(sent.told) == 1, f"2, 5, 10: told {len(sent.told)} times: {sent}"
        (error,) = sent.told
        if error is None:
            assert is_whole, f"2: told as written: {sent}"
            assert not sent.is_bad
            assert sent.claimed is not Phase.QUEUED, f"said to be queued, and sent: {sent}"
            return
        assert not (error.phase is Phase.QUEUED and is_begun), f"10: not queued, but sent: {sent}"
        if sent.claimed is Phase.QUEUED:
            assert not is_begun, f"said to be queued, and sent: {sent}"
        if sent.is_bad and error.code == ErrorCode.EINVAL:
            assert not is_begun, f"8: {sent}"
        elif failed is None:
            allowed = {ErrorCode.ESHUTDOWNWRITE} | (
                {ErrorCode.ECANCELED} if sent.claimed else set()
            )
            assert error.code in allowed, f"{error!r} on a healthy connection"
        elif error.code not in (ErrorCode.ESHUTDOWNWRITE, ErrorCode.ECANCELED):
            assert error.code == failed.code, f"10: {error!r}, but the socket has {failed!r}"

    def _check_rest(self) -> None:
        socket = self.socket
        assert self._owner == NOBODY, f"5: the right was left at {self._owner}"
        assert socket._writer._queue._head.get() is None, "5: the right was not given back"
        assert (socket.backlog.size_bytes, socket.backlog.requests) == (0, 0), "7: counted wrong"
        assert not socket.backlog.is_overcrowded, "7: overcrowded though it is empty"
        if socket.is_failed:
            assert len(self.failures) == 1, f"10: on_failed was called {len(self.failures)} times"
            assert socket._sock is None, "3: the descriptor was left open"

    # --- the dispatcher ---

    @property
    def _me(self) -> object:
        return (self.scheduler.running, self._handles)

    @property
    def _handles(self) -> bool:
        return self.scheduler.running in self._in_handler

    @property
    def _threads(self) -> int:
        """Signals strike where a program's own code runs, and not in the dispatcher's thread."""
        return len(self.scheduler._workers) - 1

    def _counts(self) -> tuple[int, int]:
        return self._steps.get(self._me, 0), self._calls.get(self._me, 0)

    def _run_dispatcher(self) -> None:
        while True:
            if self.step.is_closing and not self.step._is_closed:
                self.step.run_what_was_posted()
            was_posted = bool(self.step._posted)
            if self._move():
                if not was_posted and self.socket.is_failed and self._left:
                    # Its end makes a descriptor ready until the one that failed it goes on.
                    self.scheduler.wait_for_others()
                continue
            if not self._left:
                self.clock.advance(LONGEST_S)
                if not self._move():
                    return
            else:
                self.clock.advance(LONGEST_S)
                self.scheduler.wait_for_others()

    def _move(self) -> bool:
        """Whether there was anything to do; what a closed dispatcher was left with is lost."""
        if self._late:
            if self._left:
                self.scheduler.wait_for_others()
            self._late.pop(0)()
            return True
        return not self.step.is_closing and self.step.step()


def frames_and_rest(data: bytes) -> tuple[list[tuple[int, int]], tuple[int, int] | None]:
    """(producer, number) of the whole frames, and of the last one if it was cut."""
    names: list[tuple[int, int]] = []
    at = 0
    while at < len(data):
        producer, number, size = HEADER.unpack_from(data, at)
        assert producer <= HANDLER, f"8: what nobody sent at byte {at}"
        filling = data[at + HEADER.size : at + HEADER.size + size]
        assert filling == bytes([producer + 1]) * len(filling), f"1: torn frame at byte {at}"
        if len(filling) < size:
            return names, (producer, number)
        names.append((producer, number))
        at += HEADER.size + size
    return names, None


@contextlib.contextmanager
def interleaved(
    scheduler: StepScheduler, mutations: tuple[Mutation, ...] = (), **limits: int
) -> Iterator[Interleaved]:
    """A stage on which everything steps; what is left open at its end is closed."""
    play = Interleaved(scheduler, **limits)
    with patched(play, mutations):
        try:
            yield play
        finally:
            if hasattr(play, "socket"):
                play.socket.abandon()


def pair_of(play: Interleaved, **setup: Any) -> plain.socket:
    """Give the stage a connected socket; return its peer."""
    near, far = plain.socketpair()
    play.socket = Socket.of(near, play.step, user=play, **setup)
    play._owner = NOBODY if play.socket.is_connected else "the connector"
    far.setblocking(False)
    return far
