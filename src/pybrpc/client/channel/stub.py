"""StubMethod: one method of a stub of a Channel."""

from __future__ import annotations

from asyncio import _get_running_loop
from typing import TYPE_CHECKING, Any, Protocol

from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.message import Message

from pybrpc.client.calls.aio_calls import AioCall, AioFuture, CrossThreadAioCall
from pybrpc.client.calls.call import Call
from pybrpc.client.calls.sync_calls import (
    BlockingCall,
    CallbackCall,
    CallFuture,
    DoneCallback,
    FutureCall,
)
from pybrpc.client.channel.base import CHANNEL_TIMEOUT, Timeout
from pybrpc.errors import WouldDeadlockError
from pybrpc.rpc.controller import Controller
from pybrpc.rpc.method import Method, methods_of

if TYPE_CHECKING:
    from pybrpc.client.channel.aio_channel import AioChannel
    from pybrpc.client.channel.channel import Channel


class StubMethod:
    """One method of a stub on a Channel: call it, or use `.future` or `.with_callback`."""

    __slots__ = ("_channel", "method")

    def __init__(self, channel: Channel, method: Method) -> None:
        self._channel = channel
        self.method = method

    def __call__(
        self,
        request: Message,
        *,
        timeout: Timeout = CHANNEL_TIMEOUT,
        controller: Controller | None = None,
    ) -> Any:
        """Call and wait. Returns the response message or raises an RpcError.

        Not on the dispatcher thread, where callbacks run: WouldDeadlockError.
        """
        call = BlockingCall.__new__(BlockingCall)
        self._prepare(call, request, timeout, controller)
        if call.is_on_dispatcher():
            raise WouldDeadlockError(
                f"a blocking call of {self.method.full_name} inside a callback would wait for "
                "itself; use .future or .with_callback there, or another thread"
            )
        return call.wait()

    def future(
        self,
        request: Message,
        *,
        timeout: Timeout = CHANNEL_TIMEOUT,
        controller: Controller | None = None,
    ) -> CallFuture:
        """Start a call. Never blocks. The future gives the response or raises the RpcError."""
        call = FutureCall.__new__(FutureCall)
        self._prepare(call, request, timeout, controller)
        return call.begin(self._channel)

    def with_callback(
        self,
        request: Message,
        done: DoneCallback,
        *,
        timeout: Timeout = CHANNEL_TIMEOUT,
        controller: Controller | None = None,
    ) -> None:
        """Start a call. Never blocks. Ends with `done(response, None)` or `done(None, error)`.

        `done` is called once, mostly by the dispatcher thread, which drives all connections: it
        must not block. It may start calls.
        """
        call = CallbackCall.__new__(CallbackCall)
        self._prepare(call, request, timeout, controller)
        call.begin(done, self._channel)

    def _prepare(
        self, call: Call, request: Message, timeout: Timeout, controller: Controller | None
    ) -> None:
        channel = self._channel
        source = channel.open_source
        if source is None:
            source = channel.source()
        timeout_s = channel.timeout_s
        if timeout is not CHANNEL_TIMEOUT:
            timeout_s = channel.timeout_of_call(timeout)
        call.prepare(source, self.method, request, timeout_s, channel.call_options, controller)

    def __repr__(self) -> str:
        return f"<StubMethod {self.method.full_name} on {self._channel!r}>"


class AioStubMethod:
    """Call it: `await stub.Echo(request)`."""

    __slots__ = ("_channel", "method")

    def __init__(self, channel: AioChannel, method: Method) -> None:
        self._channel = channel
        self.method = method

    def __call__(
        self,
        request: Message,
        *,
        timeout: Timeout = CHANNEL_TIMEOUT,
        controller: Controller | None = None,
    ) -> AioFuture:
        """Start a call; awaiting what it gives yields the response or raises an RpcError.

        The request is on its way when this returns. Cancelling the future, or the task that awaits
        it, ends the call.
        """
        return self._begin(request, timeout, controller)

    def _begin(
        self, request: Message, timeout: Timeout, controller: Controller | None
    ) -> AioFuture:
        channel = self._channel
        side = channel.open_side
        if side is None or side.loop is not _get_running_loop():
            side = channel.side()
        timeout_s = channel.timeout_s
        if timeout is not CHANNEL_TIMEOUT:
            timeout_s = channel.timeout_of_call(timeout)
        call: AioCall
        if side.crosses_threads:
            call = CrossThreadAioCall.__new__(CrossThreadAioCall)
        else:
            call = AioCall.__new__(AioCall)
        call.prepare(side.source, self.method, request, timeout_s, channel.call_options, controller)
        return call.begin(side, channel)

    def __repr__(self) -> str:
        return f"<AioStubMethod {self.method.full_name} on {self._channel!r}>"


class MethodMaker(Protocol):
    """A channel, as a stub sees it."""

    def make_method(self, method: Method) -> Any:
        """The callable for one method on this channel."""


class Stub:
    """The methods of a service as attributes, without generated code.

        stub = pybrpc.Stub(echo_pb2.DESCRIPTOR.services_by_name["EchoService"], channel)
        reply = stub.Echo(request, timeout=0.5)      # pybrpc.Channel
        reply = await stub.Echo(request)             # pybrpc.aio.Channel

    Cheap to make, thread-safe.
    """

    def __init__(self, service: ServiceDescriptor, channel: MethodMaker) -> None:
        if not hasattr(channel, "make_method"):
            raise TypeError(f"pass a pybrpc.Channel or pybrpc.aio.Channel, not {channel!r}")
        self._service_name = ""
        self._channel = channel
        for method in methods_of(service):
            self._service_name = method.service_name
            setattr(self, method.name, channel.make_method(method))

    def __getattr__(self, name: str) -> Any:
        methods = ", ".join(name for name in vars(self) if not name.startswith("_"))
        service = vars(self).get("_service_name")
        raise AttributeError(f"{service} has no method {name}; it has {methods}")

    def __repr__(self) -> str:
        return f"<Stub of {self._service_name} on {self._channel!r}>"
