"""BatchedCallbacks: what futures ask of their loop, done in one handle for all of a round."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pybrpc.client.calls.aio_calls import BatchedCallbacks

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
    def __init__(self, log: list[object]) -> None:
        self._log = log

    def settle(self) -> None:
        self._log.append(self)


@pytest.fixture
def loop() -> Iterator[CountingLoop]:
    loop = CountingLoop()
    yield loop
    loop.close()


@pytest.fixture
def wakes(loop: CountingLoop) -> BatchedCallbacks:
    return BatchedCallbacks(loop)


def raise_it(error: BaseException) -> Callable[[object], None]:
    def callback(_: object) -> None:
        raise error

    return callback


def test_all_of_a_round_come_in_order_and_in_one_handle(
    loop: CountingLoop, wakes: BatchedCallbacks
) -> None:
    called: list[object] = []
    for number in range(5):
        wakes.call_soon(called.append, number)
    assert called == []
    loop.run_round()
    assert called == [0, 1, 2, 3, 4]
    assert loop.handles == 1


def test_what_is_asked_for_meanwhile_comes_in_the_next_round(
    loop: CountingLoop, wakes: BatchedCallbacks
) -> None:
    called: list[object] = []
    wakes.call_soon(lambda first: wakes.call_soon(called.append, first), "later")
    loop.run_round()
    assert called == []
    loop.run_round()
    assert called == ["later"]


def test_each_runs_in_the_context_it_was_given_or_asked_in(
    loop: CountingLoop, wakes: BatchedCallbacks
) -> None:
    seen: list[str] = []

    def look(_: object) -> None:
        seen.append(VARIABLE.get())

    given = contextvars.copy_context()
    given.run(VARIABLE.set, "given")
    wakes.call_soon(look, None, context=given)
    asked_in = contextvars.copy_context()
    asked_in.run(VARIABLE.set, "asked")
    asked_in.run(wakes.call_soon, look, None)
    wakes.call_soon(look, None)
    loop.run_round()
    assert seen == ["given", "asked", "none"]


def test_one_that_raises_is_told_to_the_loop_and_keeps_nobody_from_being_called(
    loop: CountingLoop, wakes: BatchedCallbacks
) -> None:
    told: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: told.append(context))
    called: list[object] = []
    error = ValueError("oops")
    wakes.call_soon(raise_it(error), None)
    wakes.call_soon(called.append, 1)
    loop.run_round()
    assert called == [1]
    (context,) = told
    assert context["exception"] is error
    assert "Exception in callback" in context["message"]


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_comes_out_of_the_loop_and_the_others_are_called_in_the_next_round(
    loop: CountingLoop, wakes: BatchedCallbacks, kind: type[BaseException]
) -> None:
    called: list[object] = []
    wakes.call_soon(called.append, 1)
    wakes.call_soon(raise_it(kind()), None)
    wakes.call_soon(called.append, 2)
    wakes.call_soon(called.append, 3)
    with pytest.raises(kind):
        loop.run_round()
    assert called == [1]
    wakes.call_soon(called.append, 4)
    loop.run_round(2)
    assert called == [1, 2, 3, 4]


def test_a_future_that_takes_it_for_its_loop(loop: CountingLoop, wakes: BatchedCallbacks) -> None:
    called: list[object] = []
    future: asyncio.Future[int] = asyncio.Future(loop=wakes)  # type: ignore[arg-type]
    future.add_done_callback(called.append)
    future.set_result(7)
    assert called == []
    loop.run_round()
    assert called == [future]


def test_an_error_that_nobody_has_asked_for_is_told_to_the_loop(
    loop: CountingLoop, wakes: BatchedCallbacks
) -> None:
    told: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: told.append(context))
    future: asyncio.Future[int] = asyncio.Future(loop=wakes)  # type: ignore[arg-type]
    future.set_exception(ValueError("oops"))
    del future
    assert "never retrieved" in told[0]["message"]


def test_it_knows_whether_the_loop_is_being_debugged(loop: CountingLoop) -> None:
    wakes = BatchedCallbacks(loop)
    assert not wakes.get_debug()
    loop.set_debug(True)
    assert BatchedCallbacks(loop).get_debug()
    wakes.call_soon(lambda _: None, None)
    loop.run_round()
    assert wakes.get_debug()


def test_calls_of_other_threads_are_settled_in_the_loop_in_one_round(
    loop: CountingLoop, wakes: BatchedCallbacks
) -> None:
    settled: list[object] = []
    calls = [EndedCall(settled) for _ in range(3)]

    async def put_them() -> None:
        for call in calls:
            await asyncio.to_thread(wakes.put, call)

    loop.run_until_complete(put_them())
    loop.run_round(2)
    assert settled == calls


def test_calls_for_a_closed_loop_are_dropped() -> None:
    loop = CountingLoop()
    wakes = BatchedCallbacks(loop)
    loop.close()
    wakes.put(EndedCall([]))  # type: ignore[arg-type]
