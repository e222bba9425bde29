"""OrderedReplies: responses are written in the order of their requests, whichever comes first."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator

import pytest

from pybrpc.errors import ErrorCode, make_rpc_error
from pybrpc.iobuf import IOBuf
from pybrpc.server.calls.ordered_replies import REPLY_BYTES, OrderedReplies
from pybrpc.testing.step_scheduler import StepScheduler, explore, explore_randomly
from pybrpc.transport.writing.backlog import Backlog
from tests.fakes.reply_lines import Line
from tests.schedules.scenarios import all_of
from tests.schedules.traced import TracedDict
from tests.schedules.write_path import Interleaved, interleaved, pair_of

ERROR = make_rpc_error(ErrorCode.EFAILEDSOCKET, "the test says so")

OrderedLine = Line[OrderedReplies]


@pytest.fixture
def line() -> Iterator[OrderedLine]:
    with contextlib.closing(Line(OrderedReplies)) as made:
        yield made


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
def test_responses_are_written_in_the_order_of_requests(
    line: OrderedLine, order: tuple[int]
) -> None:
    received = b""
    for index, position in enumerate(order):
        line.answer(position)
        done = set(order[: index + 1])
        ready = next(number for number in range(5) if number not in done)
        received += line.received()
        assert received == b"".join(b"<%d>" % number for number in range(ready))
        waiting = len(done) - ready
        assert line.replies.held_bytes == waiting * (3 + REPLY_BYTES)
        assert line.unanswered.requests == waiting
        assert line.unanswered.size_bytes == line.replies.held_bytes
    assert "4 written, 0 waiting" in repr(line.replies)


def test_positions_are_given_out_in_order(line: OrderedLine) -> None:
    assert [line.replies.next_position() for _ in range(3)] == [4, 5, 6]


@pytest.mark.python_only
def test_responses_that_wait_overcrowd_the_connection(line: OrderedLine) -> None:
    """It is not read until they are written."""
    line.replies._unanswered = unanswered = Backlog(1000, 500)
    line.replies.put(1, IOBuf(bytes(2000)))
    line.replies.write()
    assert unanswered.is_overcrowded
    line.answer(0)
    assert not unanswered.is_overcrowded
    assert len(line.received()) == 2003


@pytest.mark.parametrize("position", [0, 1])
def test_second_response_for_a_position_is_dropped(line: OrderedLine, position: int) -> None:
    """A thread was interrupted between putting the first one and ending its call."""
    line.answer(position)
    line.replies.put(position, IOBuf(b"another"))
    line.answer(1 - position)
    assert line.received() == b"<0><1>"
    assert line.unanswered.size_bytes == line.unanswered.requests == 0


def test_request_without_a_response_closes_the_connection(line: OrderedLine) -> None:
    line.answer(1)
    line.answer(3)
    line.replies.fail_missing()
    line.step.run_until_idle()
    assert line.socket.error is not None
    assert "without a response" in line.socket.error.text
    assert line.unanswered.size_bytes == line.unanswered.requests == 0
    line.answer(0)
    assert line.received() == b""
    assert line.unanswered.size_bytes == line.unanswered.requests == 0


def test_responses_that_wait_are_dropped_when_the_socket_fails(line: OrderedLine) -> None:
    line.replies.put(1, IOBuf(b"x"))
    line.socket.fail(ERROR)
    line.replies.write()
    assert line.unanswered.size_bytes == line.replies.held_bytes == 0


@pytest.mark.python_only
def test_writer_that_is_interrupted_fails_the_connection(line: OrderedLine) -> None:
    """Some responses were taken and are lost: none may be written in their place."""

    class Raising(dict[int, IOBuf]):
        def pop(self, *arguments: object) -> IOBuf:  # type: ignore[override]
            super().pop(*arguments)  # type: ignore[call-overload]
            raise RuntimeError("the test says so")

    line.replies._kept = Raising()
    line.answer(0)
    assert line.socket.error is not None
    assert line.received() == b""


@pytest.mark.python_only
def test_write_that_raises_fails_the_connection(line: OrderedLine) -> None:
    class Broken:
        def __init__(self) -> None:
            self.failed: list[object] = []

        def write_request(self, *arguments: object) -> None:
            raise MemoryError

        def fail(self, error: object) -> None:
            self.failed.append(error)

    broken = Broken()
    line.replies._socket = broken  # type: ignore[assignment]
    line.replies.put(0, IOBuf(b"x"))
    line.replies.write()
    assert "Fail to write a response: MemoryError" in str(broken.failed[0])
    assert line.replies.held_bytes == 0


# --- every order of threads ---


def played(
    scheduler: StepScheduler, orders: list[list[int]], fail: bool = False
) -> tuple[Interleaved, OrderedReplies, Backlog, bytes]:
    """Each thread answers the positions of one list; perhaps one more fails the socket."""
    with interleaved(scheduler) as stage, pair_of(stage) as far:
        unanswered = Backlog(1 << 20)
        replies = OrderedReplies(stage.socket, unanswered)
        replies._kept = TracedDict(stage, "the responses")
        for _ in itertools.chain(*orders):
            replies.next_position()

        def answering(positions: list[int]) -> Callable[[], None]:
            def run() -> None:
                for position in positions:
                    replies.put(position, IOBuf(b"<%d>" % position))
                    replies.write()

            return run

        threads = [answering(positions) for positions in orders]
        stage.run(*threads, *([stage.fail] if fail else []))
        received = all_of(far)
        assert not stage.violations, stage.violations[0]
        assert not stage.step.raised
        stage._check_rest()
        assert unanswered.size_bytes == unanswered.requests == 0
        assert not replies._kept
        return stage, replies, unanswered, received


def all_answered(orders: list[list[int]]) -> Callable[[StepScheduler], None]:
    def scenario(scheduler: StepScheduler) -> None:
        *_, received = played(scheduler, orders)
        count = sum(map(len, orders))
        assert received == b"".join(b"<%d>" % number for number in range(count))

    return scenario


def some_answered(scheduler: StepScheduler) -> None:
    """The socket fails meanwhile: the peer gets the first ones, in order."""
    *_, received = played(scheduler, [[1], [0]], fail=True)
    assert b"<0><1>".startswith(received)


@pytest.mark.python_only
@pytest.mark.slow
def test_every_interleaving_of_two_threads_writes_all_in_order() -> None:
    scenario = all_answered([[1], [0]])
    assert explore(scenario, max_preemptions=1, max_schedules=10_000) > 100


@pytest.mark.python_only
@pytest.mark.parametrize("orders", [[[1], [0]], [[2, 0], [1, 3]], [[2], [1], [0]]])
def test_random_interleavings_write_all_in_order(orders: list[list[int]], seeds: range) -> None:
    assert explore_randomly(all_answered(orders), seeds) == len(seeds)


@pytest.mark.python_only
def test_random_interleavings_with_a_failure_write_the_first_ones(seeds: range) -> None:
    assert explore_randomly(some_answered, seeds) == len(seeds)
