"""Runs of interceptors around a call that nobody waits for: of a future, or with a callback.

If all interceptors are generators, their first parts run in the caller's thread, which they don't
block, and the parts after the call in a thread for callbacks. No thread waits for the call. If one
is a plain function, which blocks until the call has ended, all of it runs in a thread for
callbacks. In no case does an interceptor run in the thread that polls.

All parts run in one copy of the caller's context.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import CancelledError
from contextvars import Context, copy_context
from functools import partial
from typing import Any

from pybrpc.client.calls.sync_calls import CallFuture
from pybrpc.client.channel.intercepted.intercepted_future import InterceptedFuture
from pybrpc.rpc.interceptors.chain import GeneratorRun, ThreadChain, checked_response
from pybrpc.rpc.interceptors.interceptor import InterceptedCall, Interceptor, Kind
from pybrpc.rpc.serving import ServedCall, current_call, set_current_call
from pybrpc.streams.callback_threads import callback_threads

StartCall = Callable[[Any], CallFuture]
"""Starts the call itself, for a request."""


def run_around(
    chain: ThreadChain,
    call: InterceptedCall,
    start: StartCall,
    future: InterceptedFuture,
    owner: object,
) -> None:
    """Run `chain` around the call that `start` starts, and settle `future`. Never blocks.

    `owner`: the channel, whose share of threads is used. RuntimeError if no thread can be started.
    """
    context = copy_context()
    if all(interceptor.kind is Kind.GENERATOR for interceptor in chain.interceptors):
        generators = GeneratorsRun(chain.interceptors, call, start, future, context)
        inner = context.run(generators.begin)
        # Only now: two threads can't be in one context.
        if inner is None:
            generators.end_soon()
        else:
            inner.add_done_callback(generators.on_done)
        return
    run = BlockingRun(chain, call, start, future, current_call())
    callback_threads().put(partial(context.run, run.run), owner)


class BlockingRun:
    """Interceptors of which one waits for the call. In a thread for callbacks."""

    __slots__ = ("_call", "_chain", "_future", "_served", "_start")

    def __init__(
        self,
        chain: ThreadChain,
        call: InterceptedCall,
        start: StartCall,
        future: InterceptedFuture,
        served: ServedCall | None,
    ) -> None:
        """`served`: the call that the caller serves."""
        self._chain = chain
        self._call = call
        self._start = start
        self._future: Any = future
        """`None` once it is settled: errors refer to frames in which this object is."""
        self._served = served

    def run(self) -> None:
        """Run them, and set the future."""
        if self._served is not None:
            set_current_call(self._served)
        response: Any = None
        error: BaseException | None = None
        try:
            if not self._future.cancelled():
                response = self._chain.run(self._call, self._wait_for_call)
        except BaseException as raised:
            error = raised
        future, self._future = self._future, None
        try:
            future.settle(response, error)
        finally:
            # An error refers to this frame.
            del future, error

    def _wait_for_call(self, request: Any) -> Any:
        return self._future.follow(self._start(request)).result()


class GeneratorsRun:
    """Generators around one call: `begin`, then `on_done` or `end_soon`."""

    __slots__ = (
        "_call",
        "_context",
        "_error",
        "_future",
        "_interceptors",
        "_response",
        "_runs",
        "_start",
    )

    def __init__(
        self,
        interceptors: tuple[Interceptor, ...],
        call: InterceptedCall,
        start: StartCall,
        future: InterceptedFuture,
        context: Context,
    ) -> None:
        self._interceptors = interceptors
        self._call = call
        self._start = start
        self._future: Any = future
        """`None` once it is settled: errors refer to frames in which this object is."""
        self._context = context
        self._runs: list[GeneratorRun] = []
        """Those that wait for the call, the outermost first."""
        self._response: Any = None
        self._error: BaseException | None = None

    def begin(self) -> CallFuture | None:
        """Run their first parts, and start the call. `None` if one has answered or raised. Never
        raises."""
        try:
            for interceptor in self._interceptors:
                run = GeneratorRun(interceptor, self._call)
                if not run.begin():
                    self._response = checked_response(interceptor, self._call, run.response)
                    return None
                self._runs.append(run)
            inner: CallFuture = self._future.follow(self._start(self._call.request))
            return inner
        except BaseException as error:
            self._error = error
        return None

    def on_done(self, inner: Any) -> None:
        """The call has ended. In the thread that polls, the one that cancels, or the caller's."""
        # Nothing is raised here: an error refers to the frames through which it went, and to those
        # below them, which refer to the future.
        if inner.cancelled():
            self._error = CancelledError()
        else:
            self._error = inner.exception()
            self._response = None if self._error is not None else inner.result()
        self.end_soon()

    def end_soon(self) -> None:
        """Run their last parts in a thread for callbacks, or here if none can be started."""
        try:
            callback_threads().put(partial(self._context.run, self._end))
        except RuntimeError:
            self._context.run(self._end)

    def _end(self) -> None:
        """Run their last parts, the innermost first, and set the future. Never raises."""
        while self._runs:
            run = self._runs.pop()
            interceptor = self._interceptors[len(self._runs)]
            try:
                self._response = checked_response(interceptor, self._call, self._step(run))
            except BaseException as raised:
                self._error = raised
        error, self._error = self._error, None
        future, self._future = self._future, None
        try:
            future.settle(self._response, error)
        finally:
            # An error refers to this frame.
            del future, error

    def _step(self, run: GeneratorRun) -> Any:
        error, self._error = self._error, None
        try:
            return run.finish(self._response) if error is None else run.fail(error)
        finally:
            error = None
