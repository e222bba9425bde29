"""The write path while garbage collection and signals write too, and while a peer stalls."""

from __future__ import annotations

import contextlib
import gc
import signal
import struct
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType

import pytest

from pybrpc.iobuf import IOBuf
from pybrpc.transport.dispatch.event_dispatcher import EventDispatcher
from pybrpc.transport.socket.socket import Socket
from tests.fakes.dispatchers import running_dispatcher
from tests.fakes.sockets import Outcomes, Wire, make_pair
from tests.fakes.threads import WAIT_S, in_threads
from tests.stress.rounds import WRITERS, encrypted_wire

pytestmark = pytest.mark.stress

NUMBERED = struct.Struct("!QQ")
DESTRUCTORS, HANDLER = WRITERS, WRITERS + 1
TIGHT = 4096
GARBAGE_EVERY = 40
FEWEST_SIGNALS = 10
STALLS = 20
STALL_S = 0.01


class Writes:
    """Numbered messages, of each producer in its order."""

    def __init__(self, socket: Socket) -> None:
        self._socket = socket
        self.counts = [0] * (WRITERS + 2)
        self.final_data: list[int] = []
        """The numbers of the destructors that have written."""

    def write(self, producer: int) -> None:
        number = self.counts[producer]
        self.counts[producer] += 1
        self._socket.start_write(IOBuf(NUMBERED.pack(producer, number)))

    def write_from_destructor(self, number: int) -> None:
        """Destructors run in any thread, so that they have no order among each other."""
        self._socket.start_write(IOBuf(NUMBERED.pack(DESTRUCTORS, number)))
        self.final_data.append(number)

    def wait_for_destructors(self, count: int) -> None:
        """`gc.collect` does nothing while another thread is in the midst of a collection."""
        end = time.monotonic() + WAIT_S
        while len(self.final_data) < count and time.monotonic() < end:
            gc.collect()
            time.sleep(0.001)


class Garbage:
    """A cycle that only the garbage collector ends, with a message for its last words."""

    def __init__(self, writes: Writes, number: int) -> None:
        self.itself = self
        self.writes = writes
        self.number = number

    def __del__(self) -> None:
        self.writes.write_from_destructor(self.number)


@contextlib.contextmanager
def a_signal_every_millisecond(handler: Callable[[], None]) -> Iterator[None]:
    """In the main thread; the handler isn't interrupted by itself."""
    is_in_handler = False

    def run(number: int, frame: FrameType | None) -> None:
        nonlocal is_in_handler
        if not is_in_handler:
            is_in_handler = True
            handler()
            is_in_handler = False

    before = signal.signal(signal.SIGALRM, run)
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextlib.contextmanager
def eager_garbage_collection() -> Iterator[None]:
    before = gc.get_threshold()
    gc.set_threshold(50, 5, 5)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.collect()


def make_wire(dispatcher: EventDispatcher, layer: str, kind: str) -> Wire:
    if layer == "tls":
        return encrypted_wire(dispatcher, kind, TIGHT)
    near, far = make_pair(kind, TIGHT)
    return Wire(Socket.of(near, dispatcher), far)


class Reader:
    """Reads all in a thread of its own, and stalls now and then."""

    def __init__(self, wire: Wire, stalls: int) -> None:
        self.received = bytearray()
        self._wire = wire
        self._stalls = stalls
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while part := self._wire.peer.recv(1 << 16):
            self.received += part
            if self._stalls and len(self.received) > (STALLS - self._stalls) * 50_000:
                self._stalls -= 1
                time.sleep(STALL_S)

    def join(self) -> bytes:
        self._thread.join(2 * WAIT_S)
        assert not self._thread.is_alive()
        return bytes(self.received)


@pytest.mark.parametrize("kind", ["epoll", "asyncio", "uvloop"])
@pytest.mark.parametrize("layer", ["plain", "tls"])
@pytest.mark.parametrize("pair", ["unix", "tcp"])
def test_8_threads_times_20_000_while_destructors_and_signals_write(
    kind: str, layer: str, pair: str, rounds: int
) -> None:
    for _ in range(rounds):
        with running_dispatcher(kind) as dispatcher:
            run_round(make_wire(dispatcher, layer, pair), 20_000)


def run_round(wire: Wire, each: int) -> None:
    writes = Writes(wire.socket)
    garbage = WRITERS * (each // GARBAGE_EVERY)
    reader = Reader(wire, STALLS)

    def run(producer: int) -> None:
        for number in range(each):
            writes.write(producer)
            if number % GARBAGE_EVERY == 0:
                Garbage(writes, producer * (each // GARBAGE_EVERY) + number // GARBAGE_EVERY)

    with eager_garbage_collection(), a_signal_every_millisecond(lambda: writes.write(HANDLER)):
        others = threading.Thread(target=in_threads, args=(WRITERS - 1, lambda i: run(i + 1)))
        others.start()
        run(0)  # where signals strike
        while writes.counts[HANDLER] < FEWEST_SIGNALS:
            time.sleep(0.001)
        others.join()
    writes.wait_for_destructors(garbage)
    over = Outcomes()
    wire.socket.start_write(IOBuf(), on_outcome=over, notify_on_success=True, shutdown_write=True)
    assert over.take() == [None]
    found: dict[int, list[int]] = {}
    for producer, number in NUMBERED.iter_unpack(reader.join()):
        found.setdefault(producer, []).append(number)
    statistics = wire.socket.statistics()
    wire.close()
    assert sorted(found.pop(DESTRUCTORS)) == list(range(garbage))
    assert found.pop(HANDLER) == list(range(writes.counts[HANDLER]))
    assert found == {producer: list(range(each)) for producer in range(WRITERS)}
    assert statistics.backlog_bytes == 0
    # A layer meets a full kernel with what it has taken already, which is no blocked write.
    assert statistics.writes_blocked > 0 or statistics.written_in_place == 0
