"""ThreadChain and LoopChain: run interceptors around a call, each once, the first one outermost.

What an interceptor raises is what the next outer one gets from `proceed()`, and at last the caller
of `run`. So it is with errors of the call itself.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from types import CoroutineType
from typing import Any

from pybrpc.rpc.interceptors.interceptor import InterceptedCall, Interceptor, Kind

Last = Callable[[Any], Any]
"""The call itself: takes the request, returns the response."""


class _Unchanged:
    """The type of `UNCHANGED`."""

    def __repr__(self) -> str:
        return "UNCHANGED"


UNCHANGED = _Unchanged()
"""As the argument of `proceed`: the request stays as it is."""


class Proceed:
    """The second argument of an interceptor: `proceed()` or `proceed(request)`, once.

    Returns the response, something to await, or something to yield, as the kind needs it.
    RuntimeError when it is called again, or when the interceptor has ended; TypeError for `None`.
    """

    __slots__ = ("_call", "_interceptor", "_left", "_onward")

    def __init__(
        self, interceptor: Interceptor, call: InterceptedCall, onward: Callable[[], Any]
    ) -> None:
        self._interceptor = interceptor
        self._call = call
        self._onward = onward
        self._left: list[None] = [None]
        """Calls that are left; taken in one step, by whichever thread."""

    def __call__(self, request: Any = UNCHANGED) -> Any:
        name = self._interceptor.name
        if request is None:
            raise TypeError(f"{name} calls proceed(None): give a request, or nothing")
        try:
            self._left.pop()
        except IndexError:
            raise RuntimeError(
                f"{name} calls proceed() again, or after its end: a call goes on once"
            ) from None
        if request is not UNCHANGED:
            self._call.request = request
        return self._onward()

    @property
    def is_taken(self) -> bool:
        """Whether it can't be called any more."""
        return not self._left

    def end(self) -> None:
        """The interceptor has ended."""
        self._left.clear()

    def __repr__(self) -> str:
        return f"<proceed of {self._interceptor.name}{', called' if self.is_taken else ''}>"


class GeneratorRun:
    """One run of a generator interceptor: `begin`, then `finish` or `fail`, if it asks for them."""

    __slots__ = ("_asked", "_generator", "_interceptor", "_proceed", "response")

    def __init__(self, interceptor: Interceptor, call: InterceptedCall) -> None:
        self._interceptor = interceptor
        asked = self._asked = object()
        """The value of `proceed()`, to be yielded."""
        self._proceed = Proceed(interceptor, call, lambda: asked)
        self._generator: Generator[Any, Any, Any] = interceptor.function(call, self._proceed)
        self.response: Any = None
        """The response that it has returned without asking."""

    def begin(self) -> bool:
        """Run it to its `yield proceed()`. False if it has returned a response instead."""
        try:
            asked = next(self._generator)
        except StopIteration as end:
            self.response = end.value
            self._proceed.end()
            return False
        if asked is not self._asked:
            self.close()
            raise TypeError(
                f"{self._interceptor.name} yields {type(asked).__name__}: write "
                "`response = yield proceed()`"
            )
        return True

    def finish(self, response: Any) -> Any:
        """Give it the response of the call. Returns its own."""
        return self._end(self._generator.send, response)

    def fail(self, error: BaseException) -> Any:
        """Raise the error of the call in it. Returns its response, if it has one in spite of it."""
        try:
            return self._end(self._generator.throw, error)
        finally:
            # An error that is raised here refers to this frame.
            del error

    def close(self) -> None:
        """Nobody will finish it."""
        self._proceed.end()
        self._generator.close()

    def _end(self, step: Callable[[Any], Any], value: Any) -> Any:
        try:
            step(value)
        except StopIteration as end:
            return end.value
        finally:
            del step, value
        self.close()
        raise RuntimeError(f"{self._interceptor.name} yields again: a call goes on once")


class ThreadChain:
    """Interceptors that run in the calling thread, which may block. Any thread."""

    __slots__ = ("interceptors",)

    def __init__(self, interceptors: tuple[Interceptor, ...]) -> None:
        """None of them is async."""
        self.interceptors = interceptors

    def run(self, call: InterceptedCall, last: Last) -> Any:
        """Run them around `last`. Returns the response of the first; raises anything."""
        return self._run_from(0, call, last)

    def _run_from(self, index: int, call: InterceptedCall, last: Last) -> Any:
        if index == len(self.interceptors):
            return last(call.request)
        interceptor = self.interceptors[index]
        run = self._run_generator if interceptor.kind is Kind.GENERATOR else self._run_plain
        return checked_response(interceptor, call, run(index, call, last))

    def _run_plain(self, index: int, call: InterceptedCall, last: Last) -> Any:
        interceptor = self.interceptors[index]
        proceed = Proceed(interceptor, call, lambda: self._run_from(index + 1, call, last))
        try:
            return interceptor.function(call, proceed)
        finally:
            proceed.end()

    def _run_generator(self, index: int, call: InterceptedCall, last: Last) -> Any:
        run = GeneratorRun(self.interceptors[index], call)
        if not run.begin():
            return run.response
        try:
            response = self._run_from(index + 1, call, last)
        except BaseException as error:
            return run.fail(error)
        return run.finish(response)


class LoopChain:
    """Interceptors that run in a task of a loop."""

    __slots__ = ("interceptors",)

    def __init__(self, interceptors: tuple[Interceptor, ...]) -> None:
        """None of them is a plain function."""
        self.interceptors = interceptors

    async def run(self, call: InterceptedCall, last: Callable[[Any], Awaitable[Any]]) -> Any:
        """As `ThreadChain.run`; `last` returns something to await."""
        return await self._run_from(0, call, last)

    async def _run_from(
        self, index: int, call: InterceptedCall, last: Callable[[Any], Awaitable[Any]]
    ) -> Any:
        if index == len(self.interceptors):
            return await last(call.request)
        interceptor = self.interceptors[index]
        run = self._run_generator if interceptor.kind is Kind.GENERATOR else self._run_async
        return checked_response(interceptor, call, await run(index, call, last))

    async def _run_async(
        self, index: int, call: InterceptedCall, last: Callable[[Any], Awaitable[Any]]
    ) -> Any:
        interceptor = self.interceptors[index]
        proceed = Proceed(interceptor, call, lambda: self._run_from(index + 1, call, last))
        try:
            return await interceptor.function(call, proceed)
        finally:
            proceed.end()

    async def _run_generator(
        self, index: int, call: InterceptedCall, last: Callable[[Any], Awaitable[Any]]
    ) -> Any:
        run = GeneratorRun(self.interceptors[index], call)
        if not run.begin():
            return run.response
        try:
            response = await self._run_from(index + 1, call, last)
        except BaseException as error:
            return run.fail(error)
        return run.finish(response)


def checked_response(interceptor: Interceptor, call: InterceptedCall, response: Any) -> Any:
    """Return `response`, which `interceptor` has returned; TypeError if it is none."""
    if response is None and not call.may_lack_response():
        raise TypeError(
            f"the interceptor {interceptor.name} returned None: return the response of proceed(), "
            "or another one"
        )
    if type(response) is CoroutineType:
        response.close()
        raise TypeError(
            f"the interceptor {interceptor.name} returned the coroutine "
            f"{response.__qualname__}, which nobody awaits"
        )
    return response
