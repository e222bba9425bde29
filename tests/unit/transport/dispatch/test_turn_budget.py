"""TurnBudget: what the sockets of a loop do in one round of it is bounded, and in order."""

from __future__ import annotations

import socket
import struct
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from pybrpc.base.endpoint import Endpoint
from pybrpc.errors import RpcError
from pybrpc.iobuf import IOBuf, cut_multiple_into_fd
from pybrpc.protocols.baidu_std import BAIDU_STD
from pybrpc.protocols.message import Message, RpcRequest
from pybrpc.transport.dispatch.event_dispatcher import EventDispatcher
from pybrpc.transport.dispatch.step_queue import FunctionWork
from pybrpc.transport.dispatch.turn_budget import (
    CALL_S,
    END_S,
    LONG_RUNS,
    LONG_S,
    ROUND_S,
    BudgetedReader,
    TurnBudget,
)
from pybrpc.transport.interfaces import PlainLayer
from pybrpc.transport.listening.acceptor import Acceptor
from pybrpc.transport.runtime import default_runtime
from pybrpc.transport.socket.reader import SMALL_BYTES
from pybrpc.transport.socket.socket import Socket
from tests.fakes.dispatchers import run_inside, running_dispatcher
from tests.fakes.sockets import MakeWire, User
from tests.fakes.threads import WAIT_S, wait_until
from tests.peers.loops import LOOPS

SMALL = bytes(BAIDU_STD.pack_request(RpcRequest(1, "S", "M", b"small")))
LARGE = bytes(BAIDU_STD.pack_request(RpcRequest(2, "S", "M", bytes(20_000))))
COUNT = 10


class Rounds:
    """The loop of a TurnBudget, whose rounds are made by hand."""

    def __init__(self) -> None:
        self.posted: deque[Callable[[], None]] = deque()
        loop: Any = self
        self.budget = TurnBudget(loop)
        self.ran: list[str] = []

    def work(self, name: str, cost_s: float = 0.0) -> FunctionWork:
        def run(_: None) -> None:
            self.ran.append(name)
            self.budget.charge(cost_s)

        return FunctionWork(run, None, name)

    def call_soon(self, function: Callable[[], None], context: Any) -> None:
        self.posted.append(function)

    def call_later(self, _: float, *__: Any, context: Any) -> None:
        """It makes no timers."""

    def run_round(self) -> list[str]:
        self.ran.clear()
        for _ in range(len(self.posted)):
            self.posted.popleft()()
        return list(self.ran)


def test_deferred_work_runs_in_order_one_budget_in_each_round() -> None:
    rounds = Rounds()
    for name in "abcde":
        rounds.budget.defer(rounds.work(name, ROUND_S / 2))
    assert [rounds.run_round() for _ in range(4)] == [["a", "b"], ["c", "d"], ["e"], []]
    assert not rounds.budget.is_spent


def test_budget_is_filled_up_in_the_round_after_it_was_spent() -> None:
    rounds = Rounds()
    budget = rounds.budget
    budget.charge(ROUND_S / 2)
    assert (budget.is_spent, len(rounds.posted)) == (False, 0), "nobody pays for what is left"
    budget.charge(ROUND_S)
    budget.charge(ROUND_S)
    assert (budget.is_spent, len(rounds.posted)) == (True, 1)
    rounds.run_round()
    assert (budget.is_spent, len(rounds.posted)) == (False, 0)


def test_work_that_defers_work_waits_for_the_next_round() -> None:
    rounds = Rounds()

    def again(_: None) -> None:
        rounds.ran.append("again")
        rounds.budget.defer(FunctionWork(again, None, "again"))

    rounds.budget.defer(FunctionWork(again, None, "again"))
    assert [rounds.run_round() for _ in range(3)] == [["again"]] * 3


def test_work_without_a_cost_of_its_own_is_bounded_too() -> None:
    rounds = Rounds()
    most = round(ROUND_S / CALL_S)
    for _ in range(2 * most):
        rounds.budget.defer(rounds.work("x"))
    assert len(rounds.run_round()) in (most, most + 1)


@pytest.mark.parametrize("raised", [ValueError, SystemExit, GeneratorExit])
def test_work_that_raises_does_not_end_the_round(raised: type[BaseException]) -> None:
    rounds = Rounds()

    def fail(_: None) -> None:
        raise raised

    rounds.budget.defer(FunctionWork(fail, None, "work that raises"))
    rounds.budget.defer(rounds.work("next"))
    assert rounds.run_round() == ["next"]


def reader_of(rounds: Rounds, *costs_s: float) -> BudgetedReader:
    """A reader that costs so much the first time, so much the second time, ..."""
    costs = iter(costs_s)

    def read() -> None:
        rounds.ran.append("read")
        rounds.budget.charge(next(costs))

    return BudgetedReader(read, rounds.budget)


def test_reader_that_was_long_is_deferred_once_while_the_budget_is_spent() -> None:
    rounds = Rounds()
    costs = [2 * LONG_S] * (LONG_RUNS - 1)
    reader = reader_of(rounds, *costs, ROUND_S, ROUND_S, 0.0)
    for _ in range(LONG_RUNS):
        reader()
    assert (rounds.ran, rounds.budget.is_spent) == (["read"] * LONG_RUNS, True)
    reader()
    reader()
    assert rounds.ran == ["read"] * LONG_RUNS
    assert rounds.run_round() == ["read"]
    reader()
    assert rounds.run_round() == ["read"]


def test_any_reader_is_deferred_once_ends_of_connections_have_spent_a_budget() -> None:
    rounds = Rounds()
    most = round(ROUND_S / END_S)

    def end() -> None:
        rounds.ran.append("end")
        rounds.budget.charge_end()

    readers = [BudgetedReader(end, rounds.budget) for _ in range(4 * most)]
    for reader in readers:
        reader()
    assert len(rounds.ran) in (most, most + 1)
    left = len(readers) - len(rounds.ran)
    done = rounds.run_round()
    assert most // 2 < len(done) <= most + 1, "one budget in each of the next rounds"
    reader_of(rounds, 0.0)()
    assert rounds.ran == [*done, "read"], "those that wait do not keep a short one waiting"
    left -= len(done)
    while rounds.posted:
        left -= len(rounds.run_round())
    assert left == 0


def test_reader_that_was_short_is_not_deferred_while_little_is_overspent() -> None:
    rounds = Rounds()
    long = [LONG_S * 2] * (LONG_RUNS - 1)
    costs = [0.0, *long, LONG_S / 2, *long]
    reader = reader_of(rounds, *costs)
    rounds.budget.charge(ROUND_S)
    for _ in costs:
        reader()
    assert rounds.ran == ["read"] * len(costs)


# --- sockets on loops ---


class Round:
    """Counts the rounds of a loop, and what is done in each."""

    def __init__(self, dispatcher: EventDispatcher) -> None:
        self._dispatcher = dispatcher
        self._number = 0
        self._is_over = False
        self.done: Counter[int] = Counter()

    def begin(self) -> None:
        """In a turn."""
        if not self._is_over:
            self._number += 1
            self._dispatcher.post(self.begin)

    def count(self) -> None:
        self.done[self._number] += 1

    def note(self, *_: Any) -> None:
        """Something was done that takes all the time that a round has."""
        self.count()
        ends_at = time.thread_time() + ROUND_S
        while time.thread_time() < ends_at:
            continue

    def assert_done(self, count: int, most: int = 2) -> None:
        wait_until(lambda: self.done.total() == count)
        self._is_over = True
        # The number goes up somewhere inside a round.
        assert max(self.done.values()) <= most, self.done


class SlowLayer(PlainLayer):
    """A layer, such as TLS, to which a read or write of many bytes is a lot of work.

    At first it holds `held` messages, which it gives without reading the descriptor.
    """

    writes_in_background = True

    def __init__(self, rounds: Round, held: int = 0) -> None:
        self._rounds = rounds
        self._held = held

    @property
    def has_unread(self) -> bool:  # type: ignore[override]
        return self._held > 0

    def append_from_fd(self, fd: int, buffer: IOBuf, max_bytes: int, /) -> int:  # type: ignore[override]
        if self._held:
            self._held -= 1
            count = buffer.append_received(SMALL)
        else:
            count = buffer.append_from_fd(fd, max_bytes)
            if count <= SMALL_BYTES:
                return count
        self._rounds.note()
        return count

    def cut_into_fd(self, fd: int, pieces: Sequence[IOBuf], /) -> int:  # type: ignore[override]
        self._rounds.note()
        return cut_multiple_into_fd(fd, pieces)


class SlowUser(User):
    """It takes long for a large message."""

    def __init__(self, rounds: Round) -> None:
        super().__init__()
        self._rounds = rounds

    def on_messages(self, socket: Socket, messages: list[Message]) -> None:
        if len(messages[0].body) > SMALL_BYTES:
            self._rounds.note()


@pytest.fixture(params=LOOPS)
def dispatcher(request: pytest.FixtureRequest) -> Iterator[EventDispatcher]:
    with running_dispatcher(request.param) as running:
        yield running


def begin(dispatcher: EventDispatcher, rounds: Round, function: Callable[[], object]) -> None:
    """Begin to count rounds, and do it in the first one."""

    def run() -> None:
        rounds.begin()
        function()

    run_inside(dispatcher, run)


def test_reads_of_many_tls_sockets_are_spread_over_rounds(
    dispatcher: EventDispatcher, make_wire: MakeWire
) -> None:
    rounds, user = Round(dispatcher), User()
    wires = [make_wire(dispatcher, user=user, layer=SlowLayer(rounds)) for _ in range(COUNT)]
    for _ in wires:
        user.connected.get(timeout=WAIT_S)
    begin(dispatcher, rounds, lambda: [wire.peer.sendall(LARGE) for wire in wires])
    rounds.assert_done(COUNT)
    wait_until(lambda: user.messages.qsize() == COUNT)


def test_reads_of_what_tls_holds_are_spread_over_rounds(
    dispatcher: EventDispatcher, make_wire: MakeWire
) -> None:
    rounds, user = Round(dispatcher), User()

    def make_all() -> None:
        for _ in range(COUNT):
            make_wire(dispatcher, user=user, layer=SlowLayer(rounds, held=2))

    begin(dispatcher, rounds, make_all)
    rounds.assert_done(2 * COUNT)


def test_writes_of_many_tls_sockets_are_spread_over_rounds(
    dispatcher: EventDispatcher, make_wire: MakeWire
) -> None:
    rounds, user = Round(dispatcher), User()
    wires = [make_wire(dispatcher, user=user, layer=SlowLayer(rounds)) for _ in range(COUNT)]
    for _ in wires:
        user.connected.get(timeout=WAIT_S)
    begin(dispatcher, rounds, lambda: [wire.socket.start_write(IOBuf(LARGE)) for wire in wires])
    rounds.assert_done(COUNT)
    assert [wire.receive(len(LARGE)) for wire in wires] == [LARGE] * COUNT


def test_short_messages_are_read_and_answered_while_long_ones_wait(
    dispatcher: EventDispatcher, make_wire: MakeWire
) -> None:
    rounds, user = Round(dispatcher), User()
    answered_after: list[int] = []

    class Answering(User):
        def on_messages(self, socket: Socket, messages: list[Message]) -> None:
            socket.start_write(IOBuf(b"first"))
            socket.start_write(IOBuf(b"answer"))
            answered_after.append(rounds.done.total())

    wires = [make_wire(dispatcher, user=user, layer=SlowLayer(rounds)) for _ in range(COUNT)]
    short = make_wire(dispatcher, user=Answering())
    for _ in wires:
        user.connected.get(timeout=WAIT_S)

    def send_all() -> None:
        for wire in wires:
            wire.peer.sendall(LARGE)
        short.peer.sendall(SMALL)

    begin(dispatcher, rounds, send_all)
    assert short.receive(11) == b"firstanswer"
    assert answered_after[0] <= 2
    rounds.assert_done(COUNT)


def test_large_messages_of_many_sockets_are_spread_over_rounds(
    dispatcher: EventDispatcher, make_wire: MakeWire
) -> None:
    rounds = Round(dispatcher)
    user = SlowUser(rounds)
    wires = [make_wire(dispatcher, user=user) for _ in range(COUNT)]
    for _ in wires:
        user.connected.get(timeout=WAIT_S)
    begin(dispatcher, rounds, lambda: [wire.peer.sendall(LARGE) for wire in wires])
    rounds.assert_done(COUNT)


@pytest.mark.parametrize("is_reset", [False, True])
def test_ends_of_many_connections_are_spread_over_rounds(
    dispatcher: EventDispatcher, make_wire: MakeWire, is_reset: bool
) -> None:
    """Freeing what belongs to one takes longer than reading a small message."""
    count = 400
    rounds = Round(dispatcher)

    class Ending(User):
        def on_failed(self, socket: Socket, error: RpcError) -> None:
            rounds.count()

    user = Ending()
    wires = [make_wire(dispatcher, user=user) for _ in range(count)]
    for _ in wires:
        user.connected.get(timeout=WAIT_S)

    def end_all() -> None:
        for wire in wires:
            if is_reset:
                reset = struct.pack("ii", 1, 0)
                wire.peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
            wire.peer.close()

    begin(dispatcher, rounds, end_all)
    rounds.assert_done(count, most=round(3 * ROUND_S / END_S))


def test_connections_that_many_listeners_accept_are_spread_over_rounds(
    dispatcher: EventDispatcher,
) -> None:
    rounds, runtime = Round(dispatcher), default_runtime()

    def on_accepted(sock: socket.socket) -> None:
        sock.close()
        rounds.note()

    where = Endpoint("127.0.0.1", 0)
    acceptors = [Acceptor(where, dispatcher, on_accepted, runtime) for _ in range(COUNT)]
    addresses = [("127.0.0.1", acceptor.endpoint.port) for acceptor in acceptors]
    callers = [socket.create_connection(address) for address in addresses]
    begin(dispatcher, rounds, lambda: [acceptor.start() for acceptor in acceptors])
    rounds.assert_done(COUNT)
    for caller in callers:
        caller.close()
    run_inside(dispatcher, lambda: [acceptor.close() for acceptor in acceptors])


def test_socket_that_fails_while_its_read_is_deferred_is_not_read(
    dispatcher: EventDispatcher, make_wire: MakeWire
) -> None:
    rounds, user = Round(dispatcher), User()
    wire = make_wire(dispatcher, user=user, layer=SlowLayer(rounds))
    user.connected.get(timeout=WAIT_S)
    budget = dispatcher.budget
    assert budget is not None

    def spend_and_close() -> None:
        wire.peer.send(SMALL)
        budget.charge(ROUND_S)
        wire.socket.close()

    run_inside(dispatcher, spend_and_close)
    user.errors.get(timeout=WAIT_S)
    run_inside(dispatcher, lambda: None)
    assert (rounds.done.total(), user.messages.qsize()) == (0, 0)
