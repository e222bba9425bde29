"""Channel: for threads. Blocking calls, futures and callbacks."""

from __future__ import annotations

from typing import Any

from google.protobuf.message import Message

from pybrpc.client.call_options import CallOptions
from pybrpc.client.channel import CHANNEL_TIMEOUT, ChannelBase, Timeout, statistics_of
from pybrpc.client.connection import ConnectionStatistics
from pybrpc.client.forms import BlockingCall, CallbackCall, CallFuture, DoneCallback, FutureCall
from pybrpc.client.shared_source import SharedSource
from pybrpc.errors import ChannelClosedError, WouldDeadlockError
from pybrpc.rpc.controller import Controller
from pybrpc.rpc.method import Method


class Channel(ChannelBase):
    """Calls from any number of threads over one connection.

    address          "host:port"
    timeout          seconds for a whole call: queueing, connecting, sending, waiting and retries;
                     `None` for no limit. Sent along as timeout_ms.
    connect_timeout  seconds for one attempt to connect
    max_retry        how often a call is sent again when its connection broke before an answer.
                     As in bRPC the server may then have run it; 0 for calls that must not repeat.
    retry_policy     which failures are worth another attempt, and how long to wait before it
    backup_request_ms      send a call again, and take the first answer, if there was none for so
                     long; for at most a tenth of the calls, and within max_retry
    backup_request_policy  the same, with another share or a rule of your own
    wait_for_ready   while the endpoint is down calls wait for it until their deadline; otherwise
                     they fail at once with the cause
    connection_type  "single": all calls share one; "pooled": a call has one for itself, out of at
                     most `max_pool_size` (100), and queues if all are used; "short": one per call
    connections      parallel connections of the type single; calls take them in turn
    connection_group       a name; channels with different ones share no connection
    idle_timeout     seconds without a call after which a connection is closed; `None`: never
    dial_backoff     how often an endpoint that is down is dialled in the background; `None`: never,
                     each call dials for itself
    health_check     a `HealthCheck`, which an endpoint that was down must pass
    auth             an `Authenticator`: the first request of each connection carries a credential
    tls              a `ClientTls`, an `ssl.SSLContext`, or True: trust the system's authorities
    compress_type    how requests are compressed, a `CompressType`, unless a call's controller says
                     otherwise; each response is as its handler says
    checksum_type    how requests are summed, a `ChecksumType`, unless a call's controller says
                     otherwise
    checksum_with_attachment  whether such a checksum covers the attachment too

    Thread-safe. The dispatcher thread of the process drives the connection; it starts with the
    first call. `close()`, or `with`, gives the connection back.
    """

    _taken: SharedSource | None = None

    def source(self) -> SharedSource:
        """Where its connections come from. For the forms of calling."""
        source = self._taken
        if source is None:
            source = self._taken = self._share(None).source
        elif self._is_closed:
            raise ChannelClosedError(f"{self!r} was closed; make a new channel")
        return source

    def make_method(self, method: Method) -> StubMethod:
        return StubMethod(self, self.method_as_sent(method))

    @property
    def _used_source(self) -> SharedSource | None:
        return self._taken

    def statistics(self) -> ConnectionStatistics | None:
        """What the connection has done so far; `None` before the first call."""
        return statistics_of(self._taken)

    def close(self) -> None:
        """Give the connection back; the last one who shares it closes it. Never blocks."""
        self._release()

    def __enter__(self) -> Channel:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


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
        call = BlockingCall(*self._arguments(request, timeout, controller))
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
        return FutureCall(*self._arguments(request, timeout, controller)).begin(self._channel)

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
        CallbackCall(*self._arguments(request, timeout, controller)).begin(done, self._channel)

    def _arguments(
        self, request: Message, timeout: Timeout, controller: Controller | None
    ) -> tuple[SharedSource, Method, Message, float | None, CallOptions, Controller | None]:
        channel = self._channel
        timeout_s = channel.timeout_of_call(timeout)
        options = channel.call_options
        return channel.source(), self.method, request, timeout_s, options, controller

    def __repr__(self) -> str:
        return f"<StubMethod {self.method.full_name} on {self._channel!r}>"
