"""Chains: interceptors run in order, once, and see all that goes in and out."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pybrpc.base.endpoint import Endpoint
from pybrpc.rpc.controller import Controller
from pybrpc.rpc.interceptors.chain import LoopChain, ThreadChain
from pybrpc.rpc.interceptors.interceptor import InterceptedCall, checked_interceptors

ERRORS = [
    ValueError,
    SystemExit,
    KeyboardInterrupt,
    GeneratorExit,
    asyncio.CancelledError,
    StopAsyncIteration,
]
Run = Callable[..., Any]
Notes = list[str]


def make_call(side: Any = "server") -> InterceptedCall:
    where = Endpoint.parse("127.0.0.1:80")
    return InterceptedCall(side, "a.Service.Method", "request", Controller(), where, False)


def run_in_thread(functions: Any, last: Any, call: InterceptedCall | None = None) -> Any:
    return ThreadChain(checked_interceptors(functions)).run(call or make_call(), last)


def run_in_loop(functions: Any, last: Any, call: InterceptedCall | None = None) -> Any:
    async def wait_and_call(request: Any) -> Any:
        await asyncio.sleep(0)
        return last(request)

    coroutine = LoopChain(checked_interceptors(functions)).run(call or make_call(), wait_and_call)
    try:
        # By hand: a task would end its loop by a SystemExit.
        while True:
            coroutine.send(None)
    except StopIteration as end:
        return end.value
    finally:
        coroutine.close()


def plain(notes: Notes, name: str) -> Any:
    def intercept(call: Any, proceed: Any) -> Any:
        notes.append(f"{name} {call.request}")
        try:
            response = proceed(f"{call.request}-{name}")
        except BaseException as error:
            notes.append(f"{name} {type(error).__name__}")
            raise
        notes.append(f"{name} {response}")
        return f"{response}-{name}"

    return intercept


def in_loop(notes: Notes, name: str) -> Any:
    async def intercept(call: Any, proceed: Any) -> Any:
        notes.append(f"{name} {call.request}")
        try:
            response = await proceed(f"{call.request}-{name}")
        except BaseException as error:
            notes.append(f"{name} {type(error).__name__}")
            raise
        notes.append(f"{name} {response}")
        return f"{response}-{name}"

    return intercept


def generator(notes: Notes, name: str) -> Any:
    def intercept(call: Any, proceed: Any) -> Iterator[Any]:
        notes.append(f"{name} {call.request}")
        try:
            response = yield proceed(f"{call.request}-{name}")
        except BaseException as error:
            notes.append(f"{name} {type(error).__name__}")
            raise
        notes.append(f"{name} {response}")
        return f"{response}-{name}"

    return intercept


FORMS = [
    (run_in_thread, plain),
    (run_in_thread, generator),
    (run_in_loop, in_loop),
    (run_in_loop, generator),
]
RUNS = pytest.mark.parametrize("run", [run_in_thread, run_in_loop])


@pytest.mark.parametrize(("run", "make"), FORMS)
def test_first_is_outermost_and_all_see_what_was_changed(run: Run, make: Any) -> None:
    notes: Notes = []
    call = make_call()
    response = run([make(notes, "a"), make(notes, "b")], lambda request: f"<{request}>", call)
    assert response == "<request-a-b>-b-a"
    assert call.request == "request-a-b"
    assert notes == ["a request", "b request-a", "b <request-a-b>", "a <request-a-b>-b"]


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize(("run", "make"), FORMS)
def test_errors_of_the_call_pass_through_all(run: Run, make: Any, error: Any) -> None:
    notes: Notes = []
    raised = error("text")

    def last(request: Any) -> Any:
        raise raised

    with pytest.raises(error) as caught:
        run([make(notes, "a"), make(notes, "b")], last)
    assert caught.value is raised
    assert notes[2:] == [f"b {error.__name__}", f"a {error.__name__}"]


@pytest.mark.parametrize("error", ERRORS)
@RUNS
def test_what_an_interceptor_raises_is_what_the_outer_one_gets(run: Run, error: Any) -> None:
    def inner(call: Any, proceed: Any) -> Iterator[Any]:
        yield proceed()
        raise error

    def outer(call: Any, proceed: Any) -> Iterator[Any]:
        try:
            yield proceed()
        except error:
            return "instead"

    assert run([outer, inner], lambda request: "response") == "instead"


@RUNS
def test_short_circuit(run: Run) -> None:
    def refuse(call: Any, proceed: Any) -> Iterator[Any]:
        return "at once"
        yield

    def never(request: Any) -> Any:
        raise AssertionError("it was called")

    assert run([refuse], never) == "at once"


def test_short_circuit_of_a_plain_and_of_an_async_one() -> None:
    async def at_once(call: Any, proceed: Any) -> Any:
        return "at once"

    assert run_in_thread([lambda call, proceed: 7], None) == 7
    assert run_in_loop([at_once], None) == "at once"


@RUNS
def test_proceed_goes_on_once(run: Run) -> None:
    kept: list[Any] = []

    def twice(call: Any, proceed: Any) -> Iterator[Any]:
        kept.append(proceed)
        assert repr(proceed).endswith("twice>")
        response = yield proceed()
        with pytest.raises(RuntimeError, match=r"twice calls proceed\(\) again, or after its end"):
            proceed()
        assert repr(proceed).endswith("twice, called>")
        return response

    assert run([twice], lambda request: "response") == "response"
    with pytest.raises(RuntimeError, match="again"):
        kept[0]()


def test_proceed_of_one_that_has_ended_goes_on_never() -> None:
    kept: list[Any] = []

    def keep(call: Any, proceed: Any) -> Any:
        kept.append(proceed)
        return "at once"

    assert run_in_thread([keep], None) == "at once"
    with pytest.raises(RuntimeError, match="after its end"):
        kept[0]()


@RUNS
def test_wrong_yields_are_errors(run: Run) -> None:
    def yields_text(call: Any, proceed: Any) -> Iterator[Any]:
        yield "text"

    def yields_again(call: Any, proceed: Any) -> Iterator[Any]:
        response = yield proceed()
        yield response

    def goes_on_in_spite(call: Any, proceed: Any) -> Iterator[Any]:
        try:
            yield proceed()
        except ValueError:
            yield "more"

    def fails(request: Any) -> Any:
        raise ValueError

    with pytest.raises(TypeError, match=r"yields str: write `response = yield proceed\(\)`"):
        run([yields_text], lambda request: "response")
    with pytest.raises(RuntimeError, match="yields again"):
        run([yields_again], lambda request: "response")
    with pytest.raises(RuntimeError, match="yields again"):
        run([goes_on_in_spite], fails)


@RUNS
def test_none_is_no_response_unless_the_handler_failed(run: Run) -> None:
    def forgets(call: Any, proceed: Any) -> Iterator[Any]:
        yield proceed()

    with pytest.raises(TypeError, match="forgets returned None: return the response of proceed"):
        run([forgets], lambda request: "response")
    call = make_call()

    def fail(request: Any) -> None:
        call.controller.set_failed(7, "no")

    assert run([forgets], fail, call) is None


@RUNS
def test_none_is_no_request(run: Run) -> None:
    def gives_none(call: Any, proceed: Any) -> Iterator[Any]:
        return (yield proceed(None))

    with pytest.raises(TypeError, match=r"calls proceed\(None\)"):
        run([gives_none], lambda request: "response")


def test_coroutine_that_a_plain_one_returns_is_closed() -> None:
    async def echo() -> None: ...

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(TypeError, match=r"returned the coroutine .*echo, which nobody awaits"):
            run_in_thread([lambda call, proceed: echo()], None)


def test_generator_is_closed_with_its_task() -> None:
    closed: list[str] = []

    def watch(call: Any, proceed: Any) -> Iterator[Any]:
        try:
            return (yield proceed())
        except GeneratorExit:
            closed.append("closed")
            raise

    async def wait_for_ever(request: Any) -> Any:
        await asyncio.sleep(0)

    coroutine = LoopChain(checked_interceptors([watch])).run(make_call(), wait_for_ever)
    coroutine.send(None)
    coroutine.close()
    assert closed == ["closed"]
