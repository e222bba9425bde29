"""Work of a dispatcher is done in bounded steps, in order, whatever a piece of it raises."""

from __future__ import annotations

import asyncio
import threading

import pytest

from pybrpc.transport.dispatch import epoll_dispatcher, step_queue
from pybrpc.transport.dispatch.asyncio_dispatcher import AsyncioDispatcher
from pybrpc.transport.dispatch.epoll_dispatcher import EpollDispatcher
from pybrpc.transport.dispatch.event_dispatcher import (
    DispatcherClosedError,
)
from pybrpc.transport.dispatch.step_queue import FunctionWork, StepQueue, Work
from tests.fakes.threads import WAIT_S

MANY = 100_000


def work_of(function: object, argument: object = None) -> FunctionWork:
    return FunctionWork(lambda _: function(), argument, "work of a test")  # type: ignore[operator]


class Chain(Work):
    """Work that adds itself again until it was done `left` times."""

    def __init__(self, queue: object, left: int) -> None:
        self.queue = queue
        self.left = left
        self.depth = 0
        self.deepest = 0

    def run(self) -> None:
        self.depth += 1
        self.deepest = max(self.deepest, self.depth)
        self.left -= 1
        if self.left:
            self.queue.add(self)  # type: ignore[attr-defined]
        self.depth -= 1

    description = "a chain"


def test_work_is_done_in_order() -> None:
    queue, done = StepQueue(WAIT_S), []
    for number in range(10):
        queue.add(FunctionWork(done.append, number, "append"))
    queue.run_step()
    assert done == list(range(10))
    assert queue.is_empty()


def test_step_does_a_bounded_number_of_works() -> None:
    queue, done = StepQueue(step_s=WAIT_S, most=4), []
    for number in range(10):
        queue.add(FunctionWork(done.append, number, "append"))
    queue.run_step()
    assert done == [0, 1, 2, 3]
    queue.run_step()
    queue.run_step()
    assert done == list(range(10))


def test_step_that_has_lasted_long_enough_begins_no_more_work(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 0.0

    def take_a_second() -> None:
        nonlocal now
        now += 1
        done.append(now)

    done: list[float] = []
    monkeypatch.setattr(step_queue, "monotonic", lambda: now)
    queue = StepQueue(step_s=2.5)
    for _ in range(10):
        queue.add(work_of(take_a_second))
    queue.run_step()
    assert done == [1, 2, 3]


def test_chain_of_works_needs_no_stack() -> None:
    queue = StepQueue()
    chain = Chain(queue, MANY)
    queue.add(chain)
    steps = 0
    while not queue.is_empty():
        queue.run_step()
        steps += 1
    assert chain.left == 0
    assert chain.deepest == 1
    assert steps > 1


def test_step_inside_a_step_does_nothing() -> None:
    queue, done = StepQueue(WAIT_S), []
    queue.add(work_of(queue.run_step))
    queue.add(FunctionWork(done.append, 1, "append"))
    queue.run_step()
    assert done == [1]


@pytest.mark.parametrize(
    "kind", [ValueError, SystemExit, GeneratorExit, asyncio.CancelledError, MemoryError]
)
def test_work_that_raises_loses_no_other_work(
    kind: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    def user_code() -> None:
        raise kind

    queue, done = StepQueue(WAIT_S), []
    queue.add(work_of(user_code))
    queue.add(FunctionWork(done.append, 1, "append"))
    queue.run_step()
    assert done == [1]
    assert "work of a test raised" in caplog.messages


def test_withdrawn_work_is_not_done() -> None:
    queue, done = StepQueue(), []
    work = FunctionWork(done.append, 1, "append")
    queue.add(work)
    assert queue.withdraw(work)
    assert not queue.withdraw(work)
    queue.run_step()
    assert done == []


def test_completions_run_in_a_turn_of_the_own_thread() -> None:
    dispatcher, ran, threads = EpollDispatcher(), threading.Event(), []
    dispatcher.start()

    def note() -> None:
        threads.append((threading.current_thread().name, dispatcher.is_current()))
        ran.set()

    dispatcher.complete(work_of(note))
    assert ran.wait(WAIT_S)
    dispatcher.close()
    assert threads == [("pybrpc-dispatcher", True)]


@pytest.mark.parametrize("verb", ["complete", "post_costly"])
def test_closing_dispatcher_does_the_work_that_it_accepted(verb: str) -> None:
    for _ in range(50):
        dispatcher, done, accepted = EpollDispatcher(), [], 0
        dispatcher.start()
        closer = threading.Thread(target=dispatcher.close)
        closer.start()
        try:
            while True:
                getattr(dispatcher, verb)(FunctionWork(done.append, 1, "append"))
                accepted += 1
        except DispatcherClosedError:
            closer.join()
        assert len(done) == accepted


def test_loop_does_the_work_in_bounded_steps() -> None:
    async def main() -> None:
        dispatcher = AsyncioDispatcher(asyncio.get_running_loop())
        chain = Chain(dispatcher._completions, MANY)
        dispatcher.complete(chain)
        rounds = 0
        while chain.left:
            await asyncio.sleep(0)
            rounds += 1
        assert rounds > 1
        assert chain.deepest == 1

    asyncio.run(main())


def test_other_threads_add_work_to_a_loop() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        dispatcher, done, over = AsyncioDispatcher(loop), [], asyncio.Event()

        def produce() -> None:
            for number in range(1000):
                dispatcher.complete(FunctionWork(done.append, number, "append"))
            dispatcher.complete(work_of(over.set))

        thread = threading.Thread(target=produce)
        thread.start()
        await asyncio.wait_for(over.wait(), WAIT_S)
        thread.join()
        assert done == list(range(1000))

    asyncio.run(main())


def test_work_for_a_closed_loop_is_refused() -> None:
    loop = asyncio.new_event_loop()
    dispatcher = AsyncioDispatcher(loop)
    loop.close()
    with pytest.raises(DispatcherClosedError):
        dispatcher.complete(work_of(lambda: None))
    assert dispatcher._completions.queue.is_empty()


@pytest.mark.python_only
def test_dispatcher_that_can_not_poll_closes(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As after a daemonizer has closed all descriptors. Nobody waits for it in vain then."""
    monkeypatch.setattr(epoll_dispatcher, "FAILED_POLL_PAUSE_S", 0.001)
    dispatcher = EpollDispatcher()
    dispatcher._runner.fds._epoll.close()
    dispatcher.start()
    dispatcher._thread.join(WAIT_S)
    assert not dispatcher._thread.is_alive()
    with pytest.raises(DispatcherClosedError):
        dispatcher.post(lambda: None)
    assert any("can't poll" in message for message in caplog.messages)
    dispatcher.close()
