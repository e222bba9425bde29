"""ServedCall by itself: who finds it, and what becomes of the calls that are nested in it."""

from __future__ import annotations

import asyncio
import contextvars
import os
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import pybrpc
from pybrpc.base.deadline import NEVER
from pybrpc.rpc import serving
from pybrpc.rpc.serving import (
    MAX_CANCELED_AT_ONCE,
    HandlerThread,
    ServedCall,
    current_call,
    forget_handler_thread,
    handler_thread,
    new_served_call,
    set_current_call,
)


class Nested:
    """A nested call that notes why it was canceled."""

    def __init__(self, served: ServedCall | None = None) -> None:
        self.reasons: list[str] = []
        if served is not None:
            assert served.add(self)

    def on_handler_canceled(self, reason: str) -> None:
        self.reasons.append(reason)


class Posted:
    """Functions that were posted, run one by one by the test."""

    def __init__(self) -> None:
        self.functions: list[Callable[[], None]] = []

    def post(self, function: Callable[[], None]) -> None:
        self.functions.append(function)

    def run_one(self) -> None:
        self.functions.pop(0)()


def never_post(function: Callable[[], None]) -> None:
    raise AssertionError("nothing is left for later")


def serve(function: Callable[[ServedCall], Any]) -> Any:
    """Run `function(served)` in a context of its own, as a server runs a handler."""

    def run() -> Any:
        served = new_served_call(NEVER)
        set_current_call(served)
        try:
            return function(served)
        finally:
            served.end()

    return contextvars.copy_context().run(run)


def test_no_call_is_served_outside_of_handlers() -> None:
    assert serve(lambda served: current_call() is served)
    assert current_call() is None


def test_tasks_and_threads_that_copy_the_context_serve_the_same_call() -> None:
    async def find() -> ServedCall | None:
        return current_call()

    async def find_deeper() -> list[ServedCall | None]:
        task = asyncio.create_task(find())
        return [await task, await asyncio.to_thread(current_call)]

    assert serve(lambda served: asyncio.run(find_deeper()) == [served, served])


def test_context_that_outlives_its_handler_serves_no_call() -> None:
    context = serve(lambda served: contextvars.copy_context())
    assert context.run(current_call) is None


def test_detached_code_serves_no_call_and_the_code_after_it_does() -> None:
    def run(served: ServedCall) -> None:
        with pybrpc.detached():
            assert current_call() is None
            with pybrpc.detached():
                assert current_call() is None
            assert current_call() is None
        assert current_call() is served
        with pytest.raises(KeyError), pybrpc.detached():
            raise KeyError
        assert current_call() is served

    serve(run)


def test_task_that_is_created_detached_serves_no_call_at_any_time() -> None:
    async def find() -> list[ServedCall | None]:
        before = current_call()
        await asyncio.sleep(0)
        return [before, current_call()]

    async def run() -> list[ServedCall | None]:
        with pybrpc.detached():
            task = asyncio.create_task(find())
        return await task

    assert serve(lambda served: asyncio.run(run())) == [None, None]


def test_detached_outside_of_handlers_does_nothing() -> None:
    with pybrpc.detached():
        assert current_call() is None
    assert current_call() is None


def test_cancel_reaches_the_nested_calls_in_flight_once() -> None:
    served = new_served_call(NEVER)
    ended, first, second = Nested(served), Nested(served), Nested(served)
    served.discard(ended)
    served.cancel("the peer left", never_post)
    served.cancel("the peer left again", never_post)
    assert (ended.reasons, first.reasons, second.reasons) == (
        [],
        ["the peer left"],
        ["the peer left"],
    )


def test_call_that_begins_after_the_cancel_is_refused() -> None:
    served = new_served_call(NEVER)
    served.cancel("the peer left", never_post)
    late = Nested()
    assert not served.add(late)
    assert late.reasons == []
    assert served.cancel_reason == "the peer left"
    served.discard(late)


def test_cancel_of_many_nested_calls_leaves_the_rest_to_later_steps() -> None:
    served, posted = new_served_call(NEVER), Posted()
    calls = [Nested(served) for _ in range(2 * MAX_CANCELED_AT_ONCE + 1)]

    def canceled() -> int:
        return sum(len(call.reasons) for call in calls)

    served.cancel("the peer left", posted.post)
    assert canceled() == MAX_CANCELED_AT_ONCE
    posted.run_one()
    assert canceled() == 2 * MAX_CANCELED_AT_ONCE
    posted.run_one()
    assert [call.reasons for call in calls] == [["the peer left"]] * len(calls)
    assert posted.functions == []


@pytest.mark.parametrize("kind", [ValueError, SystemExit, asyncio.CancelledError, GeneratorExit])
def test_nested_call_that_raises_keeps_no_other_from_its_cancel(kind: type[BaseException]) -> None:
    class Raising(Nested):
        def on_handler_canceled(self, reason: str) -> None:
            raise kind

    served = new_served_call(NEVER)
    calls = [(Raising if i % 2 else Nested)(served) for i in range(10)]
    served.cancel("the peer left", never_post)
    assert sum(len(call.reasons) for call in calls) == 5


def test_nested_calls_go_on_when_the_handler_has_ended() -> None:
    served = new_served_call(NEVER)
    call = Nested(served)
    served.end()
    served.cancel("the peer left", never_post)
    assert call.reasons == []
    served.discard(call)


@pytest.fixture
def switching() -> Iterator[None]:
    """Threads switch as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


class CanceledOnAdd(set[Any]):
    """A set of nested calls; just before the first one is added, another thread cancels."""

    def __init__(self, served: ServedCall) -> None:
        self._served = served

    def add(self, call: Any) -> None:
        self._served.cancel("the peer left", never_post)
        set.add(self, call)


@pytest.mark.python_only
def test_call_that_begins_just_behind_a_cancel_is_refused() -> None:
    served = new_served_call(NEVER)
    served._nested = CanceledOnAdd(served)
    late = Nested()
    assert not served.add(late)
    assert (late.reasons, len(served._nested)) == ([], 0)


def begun_during_a_cancel() -> list[Nested]:
    """The calls that three threads begin while another one cancels, the first call among them."""
    served = new_served_call(NEVER)
    barrier = threading.Barrier(4)
    begun: list[Nested] = []

    def begin() -> None:
        calls = [Nested() for _ in range(20)]
        barrier.wait()
        begun.extend([call for call in calls if served.add(call)])

    threads = [threading.Thread(target=begin) for _ in range(3)]
    for thread in threads:
        thread.start()
    barrier.wait()
    served.cancel("the peer left", lambda function: function())
    for thread in threads:
        thread.join()
    return begun


@pytest.mark.usefixtures("switching")
def test_no_nested_call_is_missed_by_a_cancel_that_comes_meanwhile() -> None:
    for _ in range(200):
        assert [call for call in begun_during_a_cancel() if not call.reasons] == []


def test_description_names_the_state() -> None:
    served = new_served_call(NEVER)
    Nested(served)
    assert repr(served) == "<ServedCall running, 1 nested calls>"
    served.cancel("the peer left", never_post)
    assert repr(served) == "<ServedCall canceled, 0 nested calls>"
    served.end()
    assert repr(served) == "<ServedCall over, 0 nested calls>"


# --- plain handlers ---


@pytest.fixture
def thread() -> Iterator[HandlerThread]:
    found = handler_thread()
    assert handler_thread() is found
    yield found
    forget_handler_thread()


def test_thread_of_a_plain_handler_serves_its_call(thread: HandlerThread) -> None:
    assert current_call() is None
    served = thread.served = new_served_call(NEVER)
    assert current_call() is served
    assert contextvars.Context().run(current_call) is served
    assert asyncio.run(asyncio.to_thread(current_call)) is None, "in another thread"
    with pybrpc.detached():
        assert current_call() is None
    served.end()
    assert current_call() is None


def test_tasks_of_a_loop_that_a_plain_handler_runs_serve_its_call(thread: HandlerThread) -> None:
    async def find() -> ServedCall | None:
        return current_call()

    async def find_in_task() -> ServedCall | None:
        return await asyncio.create_task(find())

    served = thread.served = new_served_call(NEVER)
    assert asyncio.run(find_in_task()) is served


def test_context_of_an_async_handler_counts_more_than_the_thread(thread: HandlerThread) -> None:
    thread.served = new_served_call(NEVER)
    assert serve(lambda served: current_call() is served)
    over = serve(lambda served: contextvars.copy_context())
    assert over.run(current_call) is None


def test_thread_that_runs_no_more_handlers_is_forgotten(thread: HandlerThread) -> None:
    thread.served = new_served_call(NEVER)
    forget_handler_thread()
    forget_handler_thread()
    assert current_call() is None
    assert handler_thread() is not thread


def in_child(function: Callable[[], bool]) -> bool:
    """The result of `function()` in a forked process."""
    pid = os.fork()
    if pid == 0:
        try:
            os._exit(0 if function() else 1)
        finally:
            os._exit(2)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def finds_nothing() -> bool:
    return current_call() is None


def usages(monkeypatch: pytest.MonkeyPatch, *found: tuple[int, float] | None) -> HandlerThread:
    """A thread whose usage of the processor is each of `found`, one after the other."""
    left = iter(found)
    monkeypatch.setattr(serving, "thread_usage", lambda: next(left))
    return HandlerThread()


def test_time_in_which_a_handler_was_displaced_is_not_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    thread = usages(monkeypatch, (3, 1.0), (3, 1.25), (3, 2.25), (3, 2.5))
    thread.begin()
    assert thread.own_s(5.0) == 0.25
    assert thread.own_s(0.5) == 0.5
    assert thread.was_displaced()


def test_time_for_which_a_handler_waits_is_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    thread = usages(monkeypatch, (3, 1.0), (4, 1.25), (5, 1.25))
    thread.begin()
    assert thread.own_s(5.0) == 5.0
    assert not thread.was_displaced()


def test_all_time_is_that_of_the_handler_where_nothing_else_is_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    thread = usages(monkeypatch, (3, 1.0), (3, 1.0), None, None, None)
    assert not thread.was_displaced()
    assert thread.own_s(5.0) == 5.0
    thread.begin()
    assert thread.own_s(5.0) == 5.0
    assert not thread.was_displaced()


def test_thread_asks_no_more_while_no_handler_takes_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """And asks again after one that did, of which nothing is known."""
    asked = []

    def usage() -> tuple[int, float]:
        asked.append(1)
        return 3, 1.0

    monkeypatch.setattr(serving, "thread_usage", usage)
    thread = HandlerThread()
    for _ in range(serving.USAGES + 100):
        thread.begin()
    assert len(asked) == serving.USAGES
    assert not thread.was_displaced()
    thread.begin()
    assert thread.was_displaced()
    assert len(asked) == serving.USAGES + 3


def test_forked_process_does_not_serve_the_call_of_an_async_handler() -> None:
    assert serve(lambda served: (current_call() is served, in_child(finds_nothing))) == (True, True)


def test_forked_process_does_not_serve_the_call_of_a_plain_handler() -> None:
    thread = handler_thread()
    thread.served = new_served_call(NEVER)
    try:
        assert current_call() is thread.served
        assert in_child(finds_nothing)
        assert current_call() is thread.served
    finally:
        thread.served = None
        forget_handler_thread()


def test_threads_of_a_forked_process_serve_no_call_of_its_parent() -> None:
    """Their numbers may be those of threads that the parent has."""
    begun, over = threading.Barrier(11), threading.Event()

    def serve_one() -> None:
        handler_thread().served = new_served_call(NEVER)
        begun.wait(30)
        over.wait(30)
        forget_handler_thread()

    def no_thread_finds_one() -> bool:
        found: list[object] = []
        threads = [threading.Thread(target=lambda: found.append(current_call())) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return found == [None] * 20 and handler_thread().served is None

    servers = [threading.Thread(target=serve_one) for _ in range(10)]
    for server in servers:
        server.start()
    begun.wait(30)
    try:
        assert in_child(no_thread_finds_one)
    finally:
        over.set()
        for server in servers:
            server.join()


def test_forked_process_serves_calls_of_its_own() -> None:
    def serves_its_own() -> bool:
        thread = handler_thread()
        thread.served = new_served_call(NEVER)
        return current_call() is thread.served and serve(lambda served: current_call() is served)

    assert in_child(serves_its_own)
