"""The write path under load: order, and one outcome for each message, whatever fails meanwhile."""

from __future__ import annotations

import random
import struct
import threading

import pytest

from pybrpc.errors import ConnectionFailedError, RpcError
from pybrpc.iobuf import IOBuf
from pybrpc.transport.dispatch.event_dispatcher import EventDispatcher
from pybrpc.transport.socket.socket import Socket
from tests.peers.load import share_of
from tests.unit.transport.tools import (
    WAIT_S,
    Outcomes,
    User,
    Wire,
    in_threads,
    make_pair,
    running_dispatcher,
)

pytestmark = pytest.mark.stress

WRITERS = 8
NUMBERED = struct.Struct("!QQ")


@pytest.mark.parametrize("kind", ["epoll", "asyncio", "uvloop"])
@pytest.mark.parametrize("buffer_bytes", [None, 4096], ids=["roomy", "tight"])
def test_8_threads_times_20_000_messages(kind: str, buffer_bytes: int | None) -> None:
    each = share_of(20_000)
    with running_dispatcher(kind) as dispatcher:
        near, far = make_pair("tcp", buffer_bytes)
        wire = Wire(Socket.of(near, dispatcher), far)
        received: list[bytes] = []

        def run(index: int) -> None:
            if index == WRITERS:
                received.append(wire.receive(WRITERS * each * NUMBERED.size))
                return
            for number in range(each):
                wire.socket.start_write(IOBuf(NUMBERED.pack(index, number)))

        in_threads(WRITERS + 1, run)
        over = Outcomes()
        wire.socket.start_write(IOBuf(), on_outcome=over, notify_on_success=True)
        assert over.take() == [None]
        statistics = wire.socket.statistics()
        wire.close()
    order: dict[int, list[int]] = {}
    for index, number in NUMBERED.iter_unpack(received[0]):
        order.setdefault(index, []).append(number)
    assert order == {index: list(range(each)) for index in range(WRITERS)}
    assert (statistics.backlog_bytes, statistics.messages_written) == (0, WRITERS * each + 1)


class Round:
    """One socket to which all writers write until one of them, or the peer, makes it fail."""

    def __init__(self, wire: Wire, fails_at: int, who: str) -> None:
        self.wire = wire
        self.fails_at = fails_at
        self.who = who
        self.outcomes = Outcomes()
        self.counts = [0] * WRITERS
        self.user = User()
        wire.socket.set_user(self.user)

    def write(self, index: int) -> None:
        for number in range(60):
            if index == 0 and number == self.fails_at:
                self.fail()
            told = Once(self.outcomes)
            try:
                self.wire.socket.start_write(
                    IOBuf(bytes(100)), on_outcome=told, notify_on_success=True
                )
            except RpcError:
                return
            self.counts[index] += 1

    def fail(self) -> None:
        if self.who == "this side":
            self.wire.socket.fail(ConnectionFailedError("the test says so"))
        else:
            self.wire.peer.close()

    def check(self) -> None:
        accepted = sum(self.counts)
        errors = self.outcomes.take(accepted)
        assert {type(error) for error in errors} <= {type(None), ConnectionFailedError}
        self.user.take_error()


class Once:
    """An outcome callback that is an error to call twice."""

    def __init__(self, outcomes: Outcomes) -> None:
        self.outcomes = outcomes
        self.token = threading.Lock()

    def __call__(self, error: RpcError | None) -> None:
        is_first = self.token.acquire(blocking=False)
        self.outcomes(error if is_first else RuntimeError("told twice"))  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["epoll", "asyncio", "uvloop"])
@pytest.mark.parametrize("who", ["this side", "the peer"])
def test_every_accepted_message_has_one_outcome_when_sockets_fail(kind: str, who: str) -> None:
    rng = random.Random(1)
    with running_dispatcher(kind) as dispatcher:
        for _ in range(10):
            rounds = [make_round(dispatcher, rng.randrange(60), who) for _ in range(share_of(50))]
            run_rounds(rounds)
            for round_ in rounds:
                assert round_.outcomes.untaken == round_.user.errors.qsize() == 0
                assert round_.wire.socket.backlog.size_bytes == 0


def make_round(dispatcher: EventDispatcher, fails_at: int, who: str) -> Round:
    near, far = make_pair("unix", 4096)
    return Round(Wire(Socket.of(near, dispatcher, user=User()), far), fails_at, who)


def run_rounds(rounds: list[Round]) -> None:
    barrier = threading.Barrier(WRITERS)

    def run(index: int) -> None:
        for round_ in rounds:
            barrier.wait(WAIT_S)
            round_.write(index)
            barrier.wait(WAIT_S)
            if index == 0:
                round_.wire.close()
                round_.check()

    in_threads(WRITERS, run)
