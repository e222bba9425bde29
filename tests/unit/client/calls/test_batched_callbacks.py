"""BatchedCallbacks: one handle of the loop runs all callbacks of a round."""

from __future__ import annotations

import asyncio
import contextvars
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pybrpc.client.calls.aio_calls import MOST_SETTLED, BatchedCallbacks

VARIABLE: contextvars.ContextVar[str] = contextvars.ContextVar("VARIABLE", default="none")


class CountingLoop(asyncio.SelectorEventLoop):
    """Knows how many handles were asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.handles = 0

    def call_soon(self, *arguments: Any, **options: Any) -> asyncio.Handle:
        self.handles += 1
        return super().call_soon(*arguments, **options)

    def run_round(self, rounds: int = 1) -> None:
        for _ in range(rounds):
            super().call_soon(self.stop)
            self.run_forever()


class EndedCall:
    _future: object = None

    def __init__(self, log: list[object]) -> None:
        self._log = log

    def settle(self) -> None:
        self._log.append(self)

    def release_controller(self) -> None:
        self._log.append("released")


@pytest.fixture
def loop() -> Iterator[CountingLoop]:
    loop = CountingLoop()
    yield loop
    loop.close()


@pytest.fixture
def callbacks(loop: CountingLoop) -> BatchedCallbacks:
    return BatchedCallbacks(loop)


def raise_it(error: BaseException) -> Callable[[object], None]:
    def callback(_: object) -> None:
        raise error

    return callback


def test_callbacks_of_a_round_run_in_order_in_one_handle(
    loop: CountingLoop, callbacks: BatchedCallbacks
) -> None:
    called: list[object] = []
    for number in range(5):
        callbacks.call_soon(called.append, number)
    assert called == []
    loop.run_round()
    assert called == [0, 1, 2, 3, 4]
    assert loop.handles == 1


def test_callback_that_is_added_by_a_callback_runs_in_the_next_round(
    loop: CountingLoop, callbacks: BatchedCallbacks
) -> None:
    called: list[object] = []
    callbacks.call_soon(lambda first: callbacks.call_soon(called.append, first), "later")
    loop.run_round()
    assert called == []
    loop.run_round()
    assert called == ["later"]


def test_callback_runs_in_its_own_context(loop: CountingLoop, callbacks: BatchedCallbacks) -> None:
    seen: list[str] = []

    def look(_: object) -> None:
        seen.append(VARIABLE.get())

    given = contextvars.copy_context()
    given.run(VARIABLE.set, "given")
    callbacks.call_soon(look, None, context=given)
    asked_in = contextvars.copy_context()
    asked_in.run(VARIABLE.set, "asked")
    asked_in.run(callbacks.call_soon, look, None)
    callbacks.call_soon(look, None)
    loop.run_round()
    assert seen == ["given", "asked", "none"]


def test_callback_that_raises_is_reported_to_the_loop_and_the_others_run(
    loop: CountingLoop, callbacks: BatchedCallbacks
) -> None:
    told: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: told.append(context))
    called: list[object] = []
    error = ValueError("oops")
    callbacks.call_soon(raise_it(error), None)
    callbacks.call_soon(called.append, 1)
    loop.run_round()
    assert called == [1]
    (context,) = told
    assert context["exception"] is error
    assert "Exception in callback" in context["message"]


def test_exception_handler_of_the_loop_that_raises_delays_no_other_callback(
    loop: CountingLoop, callbacks: BatchedCallbacks
) -> None:
    loop.call_exception_handler = raise_it(SystemExit())  # type: ignore[method-assign,assignment]
    called: list[object] = []
    callbacks.call_soon(raise_it(ValueError()), None)
    callbacks.call_soon(called.append, 1)
    with pytest.raises(SystemExit):
        loop.run_round()
    loop.run_round(2)
    assert called == [1]


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_interrupt_leaves_the_loop_and_the_other_callbacks_run_in_the_next_round(
    loop: CountingLoop, callbacks: BatchedCallbacks, kind: type[BaseException]
) -> None:
    called: list[object] = []
    callbacks.call_soon(called.append, 1)
    callbacks.call_soon(raise_it(kind()), None)
    callbacks.call_soon(called.append, 2)
    callbacks.call_soon(called.append, 3)
    with pytest.raises(kind):
        loop.run_round()
    assert called == [1]
    callbacks.call_soon(called.append, 4)
    loop.run_round(2)
    assert called == [1, 2, 3, 4]


def test_future_with_batched_callbacks_as_its_loop_is_awaited(
    loop: CountingLoop, callbacks: BatchedCallbacks
) -> None:
    called: list[object] = []
    future: asyncio.Future[int] = asyncio.Future(loop=callbacks)  # type: ignore[arg-type]
    future.add_done_callback(called.append)
    future.set_result(7)
    assert called == []
    loop.run_round()
    assert called == [future]


def test_exception_that_was_never_retrieved_is_reported_to_the_loop(
    loop: CountingLoop, callbacks: BatchedCallbacks
) -> None:
    told: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: told.append(context))
    future: asyncio.Future[int] = asyncio.Future(loop=callbacks)  # type: ignore[arg-type]
    future.set_exception(ValueError("oops"))
    del future
    assert "never retrieved" in told[0]["message"]


def test_get_debug_follows_the_loop(loop: CountingLoop) -> None:
    callbacks = BatchedCallbacks(loop)
    assert not callbacks.get_debug()
    loop.set_debug(True)
    assert BatchedCallbacks(loop).get_debug()
    callbacks.call_soon(lambda _: None, None)
    loop.run_round()
    assert callbacks.get_debug()


def test_calls_of_other_threads_are_settled_in_the_loop_in_one_round(
    loop: CountingLoop, callbacks: BatchedCallbacks
) -> None:
    settled: list[object] = []
    calls = [EndedCall(settled) for _ in range(3)]

    async def put_them() -> None:
        for call in calls:
            await asyncio.to_thread(callbacks.put, call)

    loop.run_until_complete(put_them())
    loop.run_round(2)
    assert settled == calls


def test_many_calls_of_other_threads_are_settled_in_several_rounds(
    loop: CountingLoop, callbacks: BatchedCallbacks
) -> None:
    settled: list[object] = []
    for _ in range(2 * MOST_SETTLED + 1):
        callbacks.put(EndedCall(settled))  # type: ignore[arg-type]
    counts = []
    for _ in range(4):
        loop.run_round()
        counts.append(len(settled))
    assert counts == [MOST_SETTLED, 2 * MOST_SETTLED, 2 * MOST_SETTLED + 1, 2 * MOST_SETTLED + 1]


def test_call_that_raises_when_it_is_settled_keeps_no_other_waiting(
    loop: CountingLoop, callbacks: BatchedCallbacks
) -> None:
    class Struck(EndedCall):
        def settle(self) -> None:
            raise KeyboardInterrupt

    settled: list[object] = []
    calls: list[Any] = [Struck(settled), EndedCall(settled), EndedCall(settled)]
    for call in calls:
        callbacks.put(call)
    with pytest.raises(KeyboardInterrupt):
        loop.run_round()
    loop.run_round(2)
    assert settled == calls[1:]


def test_calls_for_a_closed_loop_are_dropped() -> None:
    loop = CountingLoop()
    callbacks = BatchedCallbacks(loop)
    loop.close()
    log: list[object] = []
    call = EndedCall(log)
    reference = weakref.ref(call)
    callbacks.put(call)  # type: ignore[arg-type]
    del call
    assert reference() is None
    assert log == ["released"]


def test_later_calls_for_a_closed_loop_are_dropped_too() -> None:
    loop = CountingLoop()
    callbacks = BatchedCallbacks(loop)
    loop.close()
    for _ in range(3):
        call = EndedCall([])
        reference = weakref.ref(call)
        callbacks.put(call)  # type: ignore[arg-type]
        del call
        assert reference() is None


def test_calls_for_a_loop_that_closes_before_their_round_do_not_pile_up() -> None:
    loop = CountingLoop()
    callbacks = BatchedCallbacks(loop)
    references = []
    for number in range(3 * MOST_SETTLED):
        call = EndedCall([])
        references.append(weakref.ref(call))
        callbacks.put(call)  # type: ignore[arg-type]
        del call
        if number == 0:
            loop.close()
    assert sum(reference() is not None for reference in references) <= MOST_SETTLED
