"""TypedStub and AioTypedStub: the base classes of the stubs that protoc-gen-pybrpc makes."""

from __future__ import annotations

import inspect
from collections.abc import Coroutine
from typing import Any, ClassVar, Protocol

from google.protobuf.descriptor import ServiceDescriptor

from pybrpc.client.channel.stub import MethodMaker, Stub
from pybrpc.rpc.attribute_names import attribute_names


class ThreadsCaller(MethodMaker, Protocol):
    """A `pybrpc.Channel`, or another channel for threads."""

    def close(self) -> None: ...


class LoopsCaller(MethodMaker, Protocol):
    """A `pybrpc.aio.Channel`, or another channel of `pybrpc.aio`."""

    def close(self) -> Coroutine[Any, Any, None]: ...


class _TypedStubBase:
    """The part that both forms have in common."""

    SERVICE: ClassVar[ServiceDescriptor]
    """The descriptor of the service. Generated classes set it."""

    _is_aio: ClassVar[bool] = False
    _channel: Any

    def __init__(self, channel: Any) -> None:
        name = type(self).__name__
        if not hasattr(type(self), "SERVICE"):
            raise TypeError(f"{name} has no SERVICE: protoc-gen-pybrpc makes classes that have one")
        methods = vars(Stub(self.SERVICE, channel))
        close = getattr(channel, "close", None)
        if close is not None and inspect.iscoroutinefunction(close) is not self._is_aio:
            needed = "pybrpc.aio.Channel" if self._is_aio else "pybrpc.Channel"
            raise TypeError(f"{name} needs a {needed}, or one of its kind, not {channel!r}")
        self._channel = channel
        names = attribute_names(method.name for method in self.SERVICE.methods)
        for method, attribute in names.items():
            setattr(self, attribute, methods[method])

    def __repr__(self) -> str:
        return f"<{type(self).__name__} on {self._channel!r}>"


class TypedStub(_TypedStubBase):
    """The base class of generated stubs for threads: their methods are `pybrpc.TypedMethod`s.

    Cheap to make, thread-safe. As with `pybrpc.Stub`, a method that streams raises a
    StreamingMethodError when it is called; type checkers don't see it.
    """

    def __init__(self, channel: ThreadsCaller) -> None:
        """TypeError if `channel` is not a channel for threads."""
        super().__init__(channel)


class AioTypedStub(_TypedStubBase):
    """The base class of generated stubs for asyncio: their methods are `pybrpc.aio.TypedMethod`s.

    As `pybrpc.TypedStub`, on a `pybrpc.aio.Channel`.
    """

    _is_aio = True

    def __init__(self, channel: LoopsCaller) -> None:
        """TypeError if `channel` is not a channel for asyncio."""
        super().__init__(channel)
