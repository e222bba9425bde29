"""ComboChannel: the base of all combined channels; ComboMethod, AioComboMethod: their methods."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

from pybrpc.base.checked_options import checked_function_or_none, shown
from pybrpc.base.deadline import checked_timeout_s
from pybrpc.base.public_dir import public_dir
from pybrpc.client.calls.sync_calls import DoneCallback
from pybrpc.client.channel.aio_channel import AioChannel
from pybrpc.client.channel.base import ChannelBase, timeout_of_call
from pybrpc.client.channel.channel import Channel
from pybrpc.client.channel.intercepted.intercepted_method import FutureDone
from pybrpc.client.channel.options import CHANNEL_TIMEOUT, DEFAULT_TIMEOUT_S, Timeout
from pybrpc.client.combo.call_form import BlockingForm, Form, FutureForm, LoopForm
from pybrpc.client.combo.combo_call import ComboCall
from pybrpc.client.combo.combo_future import AioComboFuture, ComboFuture
from pybrpc.client.combo.sub_call import Mapper, Merger
from pybrpc.client.combo.sub_channel import SubChannel, SubMethods
from pybrpc.errors import ChannelClosedError, WouldDeadlockError
from pybrpc.rpc.answering_loops import check_may_block
from pybrpc.rpc.controller import Controller
from pybrpc.rpc.method import Method

_OF_LIBRARY = frozenset(
    {
        "call_options",
        "check_may_block",
        "entries",
        "is_healthy",
        "make_method",
        "new_call",
        "router",
        "runs_user_code",
    }
)
"""Attributes that are not for users."""


class ComboChannel:
    """A channel over other channels. A `pybrpc.Stub` takes it as any other channel."""

    _is_aio = False
    entries: tuple[SubChannel, ...] = ()
    """Its channels. Replaced, never changed."""
    runs_user_code = False
    """Whether to start a call, or to end one, runs functions of the user."""

    def __init__(self, timeout: float | None = DEFAULT_TIMEOUT_S) -> None:
        self.timeout_s = checked_timeout_s(timeout)
        self._lock = threading.RLock()
        self._is_closed = False

    @property
    def name(self) -> str:
        """For texts."""
        return type(self).__name__

    @property
    def is_closed(self) -> bool:
        """Whether `close()` was called. A closed channel makes no calls."""
        return self._is_closed

    @property
    def is_healthy(self) -> bool:
        """Whether a call may succeed, as far as is known. Never blocks."""
        raise NotImplementedError

    def new_call(
        self,
        methods: SubMethods,
        request: Any,
        timeout_s: float | None,
        controller: Controller | None,
        form: Form,
    ) -> ComboCall:
        """A call that has not begun."""
        raise NotImplementedError

    def make_method(self, method: Method) -> Any:
        """The callable for one method, for a Stub."""
        if not isinstance(method, Method):
            raise TypeError(f"a combined channel calls methods of services, not {method!r}")
        return (AioComboMethod if self._is_aio else ComboMethod)(self, method)

    def check_may_block(self, method: Method) -> None:
        """WouldDeadlockError if this thread runs a loop that has to answer calls of `method`."""
        for entry in self.entries:
            channel = entry.channel
            if isinstance(channel, ChannelBase):
                check_may_block(channel.endpoints, method.service_name, method.name)
            else:
                channel.check_may_block(method)

    def _entry(
        self, channel: object, mapper: Mapper | None = None, merger: Merger | None = None
    ) -> SubChannel:
        """TypeError or ValueError if `channel` can't be one of its channels."""
        plain: type = AioChannel if self._is_aio else Channel
        is_combo = isinstance(channel, ComboChannel) and channel._is_aio is self._is_aio
        if not is_combo and not isinstance(channel, plain):
            kinds = "channels of pybrpc.aio" if self._is_aio else "channels of pybrpc"
            raise TypeError(f"{self.name} takes {kinds}, not {shown(channel)}")
        if isinstance(channel, ComboChannel) and self in channel._all_combos():
            raise ValueError(f"{channel!r} can't be a channel of itself")
        names = ("channel_index", "channel_count", "method_name", "request")
        return SubChannel(
            channel,
            checked_function_or_none("mapper", mapper, *names),
            checked_function_or_none("merger", merger, "response", "sub_response"),
        )

    def _all_combos(self) -> Iterator[ComboChannel]:
        """It, and the combined channels among its channels, and so on."""
        yield self
        for entry in self.entries:
            if isinstance(entry.channel, ComboChannel):
                yield from entry.channel._all_combos()

    def _check_open(self) -> None:
        if self._is_closed:
            raise ChannelClosedError(f"{self!r} was closed; make a new channel")

    def _close(self) -> None:
        """Take no more calls, and close the channels that this one has made."""
        self._is_closed = True

    def __dir__(self) -> list[str]:
        return public_dir(self, _OF_LIBRARY)

    def __repr__(self) -> str:
        state = "closed" if self._is_closed else "open"
        return f"<{type(self).__name__} of {len(self.entries)} channels, {state}>"


class ThreadsFront:
    """The part of a combined channel of threads: `close` and `with`."""

    _close: Callable[[], None]

    def close(self) -> None:
        """Take no more calls, and close the channels that this one has made. Those that it was
        given stay open. Never blocks."""
        self._close()

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    async def __aenter__(self) -> NoReturn:
        raise TypeError("use `with`; for `async with`, the channel of the same name in pybrpc.aio")

    async def __aexit__(self, *exception: object) -> None: ...


class LoopsFront:
    """The part of a combined channel of asyncio: `close` and `async with`."""

    _is_aio = True
    _close: Callable[[], None]

    async def close(self) -> None:
        """Take no more calls, and close the channels that this one has made. Those that it was
        given stay open."""
        self._close()
        await asyncio.sleep(0)  # descriptors are closed in the loop's next turn

    async def __aenter__(self) -> Any:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.close()

    def __enter__(self) -> NoReturn:
        raise TypeError("use `async with`; for `with`, the channel of the same name in pybrpc")

    def __exit__(self, *exception: object) -> None: ...


class _Method:
    """One method on a combined channel."""

    __slots__ = ("_channel", "_methods", "method")

    def __init__(self, channel: ComboChannel, method: Method) -> None:
        self._channel = channel
        self._methods = SubMethods(method)
        self.method = method

    def _new_call(
        self, request: Any, timeout: Timeout, controller: Controller | None, form: Form
    ) -> ComboCall:
        channel = self._channel
        channel._check_open()
        timeout_s = timeout_of_call(channel.timeout_s, timeout, controller)
        return channel.new_call(self._methods, request, timeout_s, controller, form)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.method.full_name} on {self._channel!r}>"


class ComboMethod(_Method):
    """A method of a stub on a combined channel: call it, or use `.future` or `.with_callback`."""

    __slots__ = ()

    def __call__(
        self,
        request: Any,
        *,
        timeout: Timeout = CHANNEL_TIMEOUT,
        controller: Controller | None = None,
    ) -> Any:
        """Call and wait. Returns the response message or raises an RpcError. Mappers and mergers
        run in this thread. Not in a callback: WouldDeadlockError."""
        channel = self._channel
        form = BlockingForm(channel)
        if form.dispatcher.is_current():
            raise WouldDeadlockError(
                f"a blocking call of {self.method.full_name} inside a callback would wait for "
                "itself; use .future or .with_callback there, or another thread"
            )
        channel.check_may_block(self.method)
        call = self._new_call(request, timeout, controller, form)
        future = ComboFuture(call, form.dispatcher)
        call.begin(future)
        return form.wait(future)

    def future(
        self,
        request: Any,
        *,
        timeout: Timeout = CHANNEL_TIMEOUT,
        controller: Controller | None = None,
    ) -> ComboFuture:
        """Start a call. The future gives the response or raises the RpcError. Mappers run in this
        thread, mergers in a thread for callbacks; nothing else blocks."""
        return self._future(request, timeout, controller)

    def with_callback(
        self,
        request: Any,
        done: DoneCallback,
        *,
        timeout: Timeout = CHANNEL_TIMEOUT,
        controller: Controller | None = None,
    ) -> None:
        """As `future`. Ends with `done(response, None)` or `done(None, error)`, which must not
        block."""
        if not callable(done):
            raise TypeError(f"done must be a function of a response and an error, not {done!r}")
        self._future(request, timeout, controller, FutureDone(done, self.method.full_name))

    def _future(
        self,
        request: Any,
        timeout: Timeout,
        controller: Controller | None,
        done: FutureDone | None = None,
    ) -> ComboFuture:
        form = FutureForm(self._channel)
        call = self._new_call(request, timeout, controller, form)
        future = ComboFuture(call, form.dispatcher)
        if done is not None:
            future.add_done_callback(done)
        call.begin(future)
        return future

    def stream(self, *arguments: Any, **options: Any) -> NoReturn:
        """TypeError: a combined channel opens no streams."""
        raise TypeError("a combined channel opens no streams: open them on one of its channels")


class AioComboMethod(_Method):
    """A method of a stub on a combined channel of asyncio, awaited."""

    __slots__ = ()

    def __call__(
        self,
        request: Any,
        *,
        timeout: Timeout = CHANNEL_TIMEOUT,
        controller: Controller | None = None,
    ) -> AioComboFuture:
        """Start a call; awaiting the future gives the response or raises an RpcError. Mappers run
        at once, mergers in the loop."""
        form = LoopForm()
        call = self._new_call(request, timeout, controller, form)
        future = AioComboFuture(call, form.loop)
        call.begin(future)
        return future

    stream = ComboMethod.stream
