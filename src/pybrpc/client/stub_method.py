"""StubMethod: one method of a stub of a Channel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from google.protobuf.message import Message

from pybrpc.client.call import Call
from pybrpc.client.channel import CHANNEL_TIMEOUT, Timeout
from pybrpc.client.forms import BlockingCall, CallbackCall, CallFuture, DoneCallback, FutureCall
from pybrpc.errors import WouldDeadlockError
from pybrpc.rpc.controller import Controller
from pybrpc.rpc.method import Method

if TYPE_CHECKING:
    from pybrpc.client.sync_channel import Channel


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
