"""Stub: the methods of a service on a channel; StubMethod: one of them, for threads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.message import Message

from pybrpc.base.checked_options import shown
from pybrpc.client.calls.sync_calls import (
    CallFuture,
    DoneCallback,
    new_blocking_call,
    new_callback_call,
    new_future_call,
)
from pybrpc.client.channel.interfaces import CallingChannel, ThreadsChannel
from pybrpc.client.channel.options import CHANNEL_TIMEOUT, Timeout
from pybrpc.client.channel.stream_call import StreamCall
from pybrpc.client.channel.streaming_method import StreamingMethod
from pybrpc.rpc.controller import Controller
from pybrpc.rpc.method import Method, methods_of, streaming_methods_of
from pybrpc.rpc.stream_options import StreamOptions

if TYPE_CHECKING:
    from pybrpc.client.calls.call_options import CalledMethod
    from pybrpc.client.calls.interfaces import ConnectionSource


class StubMethod:
    """One method of a stub on a Channel: call it, or use `.future` or `.with_callback`."""

    __slots__ = ("_channel", "method")

    def __init__(self, channel: ThreadsChannel, method: CalledMethod) -> None:
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

        Not on the dispatcher thread, where callbacks run, nor in the loop of a server that has to
        answer it: WouldDeadlockError.
        """
        channel = self._channel
        source = channel.open_source
        if source is None:
            source = channel.source_of_blocking(self.method)
        timeout_s = timeout_s_of(channel, timeout, controller)
        call = new_blocking_call(
            source, self.method, request, timeout_s, channel.call_options, controller
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
        channel = self._channel
        source, timeout_s = _source(channel), timeout_s_of(channel, timeout, controller)
        call = new_future_call(
            source, self.method, request, timeout_s, channel.call_options, controller
        )
        return call.begin(channel)

    def with_callback(
        self,
        request: Message,
        done: DoneCallback,
        *,
        timeout: Timeout = CHANNEL_TIMEOUT,
        controller: Controller | None = None,
    ) -> None:
        """Start a call. Never blocks. Ends with `done(response, None)` or `done(None, error)`.

        `done` is called once, mostly by the dispatcher thread, which polls all connections: it
        must not block. It may start calls. A plain function: an async one is not run.
        """
        if not callable(done):
            raise TypeError(f"done must be a function of a response and an error, not {done!r}")
        channel = self._channel
        source, timeout_s = _source(channel), timeout_s_of(channel, timeout, controller)
        call = new_callback_call(
            source, self.method, request, timeout_s, channel.call_options, controller
        )
        call.begin(done, channel)

    def stream(
        self,
        request: Message,
        *,
        streams: int = 1,
        options: StreamOptions | None = None,
        timeout: Timeout = CHANNEL_TIMEOUT,
        controller: Controller | None = None,
    ) -> StreamCall:
        """A call that opens `streams` streams, for `with`: nothing is sent before.

        `timeout` is that of the call, until its answer.
        """
        return StreamCall(
            self._channel, self.method, request, streams, options, timeout, controller
        )

    def __repr__(self) -> str:
        return f"<StubMethod {self.method.full_name} on {self._channel!r}>"


def timeout_s_of(
    channel: CallingChannel, timeout: Timeout, controller: Controller | None
) -> float | None:
    """The timeout in seconds of one call."""
    if controller is None and timeout is CHANNEL_TIMEOUT:
        return channel.timeout_s
    return channel.timeout_of_call(timeout, controller)


def _source(channel: ThreadsChannel) -> ConnectionSource:
    source = channel.open_source
    return channel.source() if source is None else source


class MethodMaker(Protocol):
    """A channel, as a Stub sees it."""

    def make_method(self, method: Method) -> Any:
        """The callable for one method on this channel."""


class Stub:
    """The methods of a service as attributes, without generated code.

        stub = pybrpc.Stub(echo_pb2.DESCRIPTOR.services_by_name["EchoService"], channel)
        reply = stub.Echo(request, timeout=0.5)      # pybrpc.Channel
        reply = await stub.Echo(request)             # pybrpc.aio.Channel

    Cheap to make, thread-safe. A method that streams is there too, and raises a
    StreamingMethodError when it is called.
    """

    def __init__(self, service: ServiceDescriptor, channel: MethodMaker) -> None:
        if isinstance(channel, type):
            raise TypeError(f"pass a channel, not {shown(channel)}")
        if not hasattr(channel, "make_method"):
            raise TypeError(f"pass a pybrpc.Channel or pybrpc.aio.Channel, not {channel!r}")
        methods = methods_of(service)
        self._service_name = service.full_name
        self._channel = channel
        attributes = vars(self)  # into which "__class__" goes as any other name
        for method in methods:
            attributes[method.name] = channel.make_method(method)
        for name in streaming_methods_of(service):
            attributes[name] = StreamingMethod(f"{service.full_name}.{name}")

    def __getattr__(self, name: str) -> Any:
        methods = ", ".join(name for name in vars(self) if not name.startswith("_"))
        service = vars(self).get("_service_name")
        raise AttributeError(f"{service} has no method {name}; it has {methods}")

    def __repr__(self) -> str:
        return f"<Stub of {self._service_name} on {self._channel!r}>"
