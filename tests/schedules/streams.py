"""StreamStage: streams of one connection under a StepScheduler, and what must hold at the end.

Threads that send, receive, close, reset and fail are threads of the scheduler. Each stops before
each access to the lock and to the slots that threads share, and before each write to the socket.
One more thread makes the turns: it runs what was posted, and plays the peer, which takes what it
gets and tells how much it has consumed.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import pytest

from pybrpc.errors import ErrorCode, RpcError, make_rpc_error
from pybrpc.iobuf.iobuf import IOBuf
from pybrpc.protocols.streaming.stream_frame import CLOSE, DATA, FEEDBACK, RST, StreamFrame
from pybrpc.rpc.stream_options import StreamOptions
from pybrpc.streams import gathered_frames as gathered_frames_module
from pybrpc.streams import send_queue as send_queue_module
from pybrpc.streams import send_side as send_side_module
from pybrpc.streams.core import StreamCore
from pybrpc.streams.gathered_frames import GatheredFrames
from pybrpc.streams.outgoing import Outgoing
from pybrpc.streams.send_queue import SendQueue
from pybrpc.testing.step_scheduler import StepScheduler
from pybrpc.transport.writing import writer as writer_module
from tests.fakes.streams import REMOTE_ID, StreamSide, frames_in
from tests.schedules.traced import TracedLock, TracedSlot

SHARED: dict[type, tuple[str, ...]] = {
    StreamCore: ("has_ended", "is_over", "is_open"),
    SendQueue: ("_is_serving", "_is_waiting"),
}

SMALL_LIMITS = {"ROOM_BYTES": 120, "MARK_BYTES": 60, "BURST_BYTES": 60}
"""A few messages fill the room, and two are a burst."""

SHORT = 22

Mutation = tuple[object, str, object]
"""A class, a name in it, and the replacement."""


class Mutex(TracedLock):
    """A TracedLock for `with`."""

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *exception: object) -> None:
        self.release()
        self._scheduler.point("released")  # those that wait for it may go on


class TracedWait:
    """A Wait for a thread of the scheduler."""

    def __init__(self, scheduler: StepScheduler) -> None:
        self._scheduler = scheduler
        self.ends = 0

    def end(self) -> None:
        self.ends += 1
        self._scheduler.point("ended a wait")

    def wait(self) -> None:
        while not self.ends:
            self._scheduler.wait_for_others()


@dataclasses.dataclass(slots=True, eq=False)
class Sent:
    """One `send`, and how it ended."""

    core: StreamCore
    data: bytes
    returned_at: int = -1
    """By the clock of the stage; -1 if it raised."""
    is_withdrawn: bool = False
    error: RpcError | None = None


class StreamStage:
    """One run."""

    made: ClassVar[list[StreamStage]] = []
    """To be closed."""

    def __init__(self, scheduler: StepScheduler, streams: int = 1, **options: Any) -> None:
        self.made.append(self)
        self.scheduler = scheduler
        self.side = StreamSide()
        self.side.table.queue.lock = Mutex(scheduler, "the streams", is_locked=False)  # type: ignore[assignment]
        self.now = 0
        self.sent: list[Sent] = []
        self.waits: list[tuple[TracedWait, bool]] = []
        """Each wait, and whether it was given up."""
        self.closed_at: dict[StreamCore, int] = {}
        self.wire: list[StreamFrame] = []
        self.received: dict[StreamCore, list[bytes]] = {}
        self.consumes = True
        """Whether the peer tells what it has consumed."""
        self.cores = [self.new_core(index, **options) for index in range(streams)]
        self._consumed: dict[int, int] = {}
        hold = self.side.hold

        def traced_hold(user: Any) -> None:
            hold(user)
            scheduler.point("held")

        self.side.hold = traced_hold  # type: ignore[method-assign]
        self._left = 0

    def new_core(self, index: int, **options: Any) -> StreamCore:
        """A stream that is not open yet."""
        core = self.side.table.new_stream(StreamOptions(**{"min_buf_size": 0, **options}))
        core.connect(REMOTE_ID + index, True, True)
        return core

    def open_all(self) -> None:
        for core in self.cores:
            core.open()

    def hold_writes(self) -> None:
        """Have all that is sent wait in the socket until a turn writes it."""
        socket = self.side.socket
        socket._writer.hold()
        socket.backlog.try_add(0, ignore_limit=True)
        self.in_turn(lambda: socket._writer.keep_write(socket))

    def run(self, *threads: Callable[[], object]) -> None:
        """Run them beside the turns, until nothing moves any more."""
        self._left = len(threads)

        def counted(function: Callable[[], object]) -> Callable[[], None]:
            def run() -> None:
                try:
                    function()
                finally:
                    self._left -= 1

            return run

        self.scheduler.run(*map(counted, threads), self._turns)

    def tick(self) -> int:
        self.now += 1
        return self.now

    # --- what threads do ---

    def wait(self, is_given_up: bool = False) -> TracedWait:
        wait = TracedWait(self.scheduler)
        self.waits.append((wait, is_given_up))
        return wait

    def send(self, core: StreamCore, data: bytes, gives_up: bool = False) -> None:
        """As `Stream.send`; `gives_up`: with a timeout that passes at once."""
        sent = Sent(core, data)
        self.sent.append(sent)
        try:
            if not core.try_send(data):
                self._enqueue(core, sent, gives_up)
        except RpcError as error:
            sent.error = error
            return
        if not sent.is_withdrawn:
            sent.returned_at = self.tick()

    def _enqueue(self, core: StreamCore, sent: Sent, gives_up: bool) -> None:
        wait = TracedWait(self.scheduler)
        outgoing = Outgoing((sent.data,), wait)
        core.enqueue(outgoing)
        if gives_up and core.withdraw(outgoing):
            sent.is_withdrawn = True
            assert not wait.ends, "ended, though it was withdrawn"
            return
        wait.wait()
        self.waits.append((wait, False))
        if outgoing.error is not None:
            raise outgoing.error

    def send_some(
        self,
        core: StreamCore,
        name: bytes,
        count: int,
        gives_up: bool = False,
        long: tuple[int, ...] = (),
    ) -> None:
        """`long`: numbers of messages that are too long to be gathered."""
        for number in range(count):
            size = SHORT if number in long else 18
            self.send(core, b"%s%d" % (name, number) + bytes(size), gives_up)

    def wait_consumed(self, core: StreamCore) -> None:
        wait = TracedWait(self.scheduler)
        with contextlib.suppress(RpcError):
            if core.begin_consumed_wait(wait) is not None:
                wait.wait()
                self.waits.append((wait, False))

    def receive_all(self, core: StreamCore) -> None:
        """Receive to the end."""
        received = self.received.setdefault(core, [])
        while True:
            message = core.take()
            if message is not None:
                received.append(message)
                continue
            wait = TracedWait(self.scheduler)
            if core.begin_receive_wait(wait):
                wait.wait()
                self.waits.append((wait, False))
            elif core.has_ended and not core.unread:
                core.take()
                return

    def close(self, core: StreamCore) -> None:
        self.closed_at.setdefault(core, self.tick())
        wait = TracedWait(self.scheduler)
        if core.close(wait):
            wait.wait()
            self.waits.append((wait, False))

    def wait_ended(self, core: StreamCore) -> None:
        wait = TracedWait(self.scheduler)
        if core.begin_ended_wait(wait):
            wait.wait()
            self.waits.append((wait, False))

    def fail(self) -> None:
        self.side.socket.fail(make_rpc_error(ErrorCode.EFAILEDSOCKET, "the test says so"))

    def in_turn(self, function: Callable[[], object]) -> None:
        """Have it run in a turn; go on at once."""
        self.side.step.post(function)

    def send_by_peer(self, core: StreamCore, *messages: bytes) -> None:
        for message in messages:
            self.in_turn(lambda message=message: self.side.data(core, message))  # type: ignore[misc]
            self.scheduler.point("the peer has sent")

    def end_by_peer(self, core: StreamCore, kind: int = CLOSE) -> None:
        frame = StreamFrame(core.id, core.remote_id, kind)
        self.in_turn(lambda: self.side.feed(frame))

    # --- the turns ---

    def _turns(self) -> None:
        step = self.side.step
        while True:
            has_moved = step.step()
            has_moved |= self._take_wire()
            if has_moved:
                self.scheduler.point("a turn is over")
            elif self._left:
                self.scheduler.wait_for_others()
            else:
                return

    def _take_wire(self) -> bool:
        self.side._received += self.side._receive()
        frames, self.side._received = frames_in(self.side._received)
        for frame in frames:
            self.wire.append(frame)
            if frame.frame_type == DATA and self.consumes:
                self._consume(frame)
        return bool(frames)

    def _consume(self, frame: StreamFrame) -> None:
        total = self._consumed.get(frame.stream_id, 0) + len(frame.data)
        self._consumed[frame.stream_id] = total
        told = StreamFrame(frame.source_stream_id, frame.stream_id, FEEDBACK, consumed_size=total)
        self.in_turn(lambda: self.side.feed(told))

    # --- what must hold ---

    def finish(self) -> None:
        """End all that is left, and look at everything."""
        side = self.side
        for core in list(side.table.streams.values()):
            core.reset()
        side.step.run_until_idle()
        self._take_wire()
        side.step.run_until_idle()
        assert side.step.raised == [], side.step.raised
        for wait, is_given_up in self.waits:
            assert wait.ends == 1 or (is_given_up and not wait.ends), f"{wait.ends} ends"
        self._check_wire()
        side.check_idle()
        made = {each for each in side.released if isinstance(each, StreamCore)}
        if side.socket.error is None:
            assert made >= set(self.cores), "a hold was not released"

    def _check_wire(self) -> None:
        for core in dict.fromkeys(self.cores):
            frames = [each for each in self.wire if each.stream_id == core.remote_id]
            data = [each.data for each in frames if each.frame_type == DATA]
            assert len(set(data)) == len(data), f"sent twice: {data}"
            for name in {each[:1] for each in data}:
                own = [each for each in data if each[:1] == name]
                assert own == sorted(own), f"out of order: {own}"
            kinds = [each.frame_type for each in frames]
            assert kinds.count(CLOSE) <= 1, kinds
            # One that ends it, and one that answers what came for it after that.
            assert kinds.count(RST) <= 2, kinds
            self._check_sent(core, frames)

    def _check_sent(self, core: StreamCore, frames: list[StreamFrame]) -> None:
        ends = [index for index, each in enumerate(frames) if each.frame_type == CLOSE]
        before = frames[: ends[0]] if ends else frames
        arrived = {each.data for each in before if each.frame_type == DATA}
        everything = {each.data for each in frames if each.frame_type == DATA}
        closed_at = self.closed_at.get(core, self.now + 1)
        for sent in self.sent:
            if sent.core is not core:
                continue
            if sent.is_withdrawn:
                assert sent.data not in everything, f"withdrawn, and sent: {sent}"
            elif sent.error is None and core.failure is None and sent.returned_at < closed_at:
                assert sent.data in arrived, f"lost: {sent}"

    def check_all_sent(self) -> None:
        """Nothing has ended: every message arrived, those that were withdrawn excepted."""
        data = {each.data for each in self.wire if each.frame_type == DATA}
        for sent in self.sent:
            assert sent.is_withdrawn or sent.data in data, f"lost: {sent}"
            assert sent.error is None, sent.error


def slot_of(cls: type, name: str) -> Any:
    """The slot, which a base class may have."""
    return next(base.__dict__[name] for base in cls.__mro__ if name in base.__dict__)


@contextlib.contextmanager
def patched(scheduler: StepScheduler, mutations: tuple[Mutation, ...] = ()) -> Iterator[None]:
    """Patch what streams share, with those mutations, until the `with` ends."""
    write = SendQueue.write

    def traced_write(
        queue: SendQueue, data: IOBuf, marked: int = 0, gathered: GatheredFrames | None = None
    ) -> None:
        scheduler.point("write")
        write(queue, data, marked, gathered)
        scheduler.point("written")

    with pytest.MonkeyPatch.context() as patch:
        for place, name, instead in mutations:
            patch.setattr(place, name, instead)
        for cls, names in SHARED.items():
            for name in names:
                patch.setattr(cls, name, TracedSlot(scheduler, slot_of(cls, name), name))
        for name, value in SMALL_LIMITS.items():
            patch.setattr(send_queue_module, name, value)
        patch.setattr(gathered_frames_module, "MAX_BYTES", 55)
        patch.setattr(send_side_module, "SHORT", SHORT)
        patch.setattr(writer_module, "BURST_S", 0.0)  # what is written does not depend on the time
        patch.setattr(SendQueue, "write", traced_write)
        yield
