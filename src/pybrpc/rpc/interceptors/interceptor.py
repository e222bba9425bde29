"""Interceptor: a function around calls; InterceptedCall: the call, as it sees it.

There are three kinds, all called as `intercept(call, proceed)`, where `proceed()` goes on with the
call and gives its response:

- a plain function runs in a thread that may block: `response = proceed()`;
- an `async def` runs in the loop of the call: `response = await proceed()`;
- a generator function runs anywhere: `response = yield proceed()`. It must not block, since the
  thread may be that of a loop.
"""

from __future__ import annotations

import dataclasses
import enum
import inspect
from collections.abc import Callable, Iterable
from typing import Any, Literal

from pybrpc.base.checked_options import shown, why_not_called
from pybrpc.base.endpoint import Endpoint
from pybrpc.rpc.controller import Controller

Side = Literal["server", "client"]


class Kind(enum.Enum):
    """How an interceptor waits for the rest of the call."""

    PLAIN = "a plain function"
    ASYNC = "an `async def`"
    GENERATOR = "a generator function"


class InterceptedCall:
    """One call, as all its interceptors see it.

    side        "server" or "client"
    method      full name, "package.Service.Method"
    request     the message, `RawRequest`, or bytes of a raw method; `proceed(request)` changes it
    controller  the handler's or the caller's: options, attachments, user fields; after `proceed()`
                the results of the call
    peer        address of the other side
    is_stream   whether the request asks for streams

    For one thread or task at a time.
    """

    __slots__ = (
        "__weakref__",
        "controller",
        "is_stream",
        "method",
        "peer",
        "request",
        "side",
    )

    def __init__(
        self,
        side: Side,
        method: str,
        request: Any,
        controller: Controller,
        peer: Endpoint | None,
        is_stream: bool,
    ) -> None:
        self.side: Side = side
        self.method = method
        self.request = request
        self.controller = controller
        self.peer = peer
        self.is_stream = is_stream

    @property
    def metadata(self) -> dict[str, str]:
        """The user fields of the request: names and values."""
        return self.controller.request_user_fields

    def may_lack_response(self) -> bool:
        """Whether an interceptor may return `None`: a handler has called `set_failed`."""
        return self.side == "server" and self.controller.failed

    def __dir__(self) -> list[str]:
        return [name for name in object.__dir__(self) if name != "may_lack_response"]

    def __repr__(self) -> str:
        where = "from" if self.side == "server" else "to"
        return f"<InterceptedCall of {self.method} {where} {self.peer}>"


@dataclasses.dataclass(frozen=True, slots=True)
class Interceptor:
    """A function that was checked."""

    function: Callable[..., Any]
    kind: Kind

    @property
    def name(self) -> str:
        """Its name in errors."""
        name = getattr(self.function, "__qualname__", None)
        return name if isinstance(name, str) else type(self.function).__name__

    def check_is_no(self, kind: Kind, where: str, advice: str) -> None:
        """TypeError if it is of `kind`, which can't be used `where`."""
        if self.kind is kind:
            raise TypeError(
                f"the interceptor {self.name} is {kind.value}, and can't be used {where}: make it "
                f"{advice}, or a generator function (`response = yield proceed()`), which can be "
                "used everywhere"
            )


def checked_interceptors(interceptors: Iterable[Any]) -> tuple[Interceptor, ...]:
    """The interceptors of a server or a channel, the outermost first. TypeError."""
    if isinstance(interceptors, str | bytes) or not isinstance(interceptors, Iterable):
        raise TypeError(f"interceptors must be a list of functions, not {shown(interceptors)}")
    return tuple(_checked(function) for function in interceptors)


def _checked(function: Any) -> Interceptor:
    if isinstance(function, type) or not callable(function):
        raise TypeError(
            f"interceptors must be functions of a call and proceed, not {shown(function)}"
        )
    called = function if inspect.isroutine(function) else getattr(function, "__call__", function)  # noqa: B004
    interceptor = Interceptor(function, _kind_of(function, called))
    for each in (function, called):
        if mismatch := why_not_called(each, "call", "proceed"):
            raise TypeError(
                f"the interceptor {interceptor.name} is called as intercept(call, proceed): "
                f"{mismatch}"
            )
    return interceptor


def _kind_of(function: Any, called: Any) -> Kind:
    for each in (function, called):
        if inspect.iscoroutinefunction(each):
            return Kind.ASYNC
        if inspect.isgeneratorfunction(each):
            return Kind.GENERATOR
        if inspect.isasyncgenfunction(each):
            raise TypeError(
                f"the interceptor {shown(function)} is an async generator: leave out `async`, or "
                "`yield`"
            )
    return Kind.PLAIN
