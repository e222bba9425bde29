"""Channel: for threads. Blocking calls, futures and callbacks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NoReturn, overload

from pybrpc.base.checked_options import checked_flag
from pybrpc.base.deadline import checked_timeout_s
from pybrpc.base.import_gate import importing
from pybrpc.client.channel.base import ChannelBase, statistics_of
from pybrpc.client.channel.options import CHANNEL_TIMEOUT, Timeout
from pybrpc.client.channel.raw_stub_method import RawStubMethod
from pybrpc.client.channel.readiness import wait_ready
from pybrpc.client.channel.stub import StubMethod
from pybrpc.client.connections.connection import ConnectionStatistics
from pybrpc.rpc.answering_loops import check_may_block, may_be_answered_by_loop, note_channel
from pybrpc.rpc.controller import Controller
from pybrpc.rpc.method import Method
from pybrpc.rpc.raw_method import RawMethod

if TYPE_CHECKING:
    from pybrpc.client.calls.call_options import CalledMethod
    from pybrpc.client.channel.base import ChannelSource
    from pybrpc.client.channel.http_call import HttpBodyLike
    from pybrpc.client.channel.http_response import HttpResponse
    from pybrpc.client.channel.http_stream import HttpStreamCall
    from pybrpc.protocols.http1.headers import HeadersLike


class Channel(ChannelBase):
    """Calls from any number of threads over one connection.

    address          "host:port"; or several servers: the URL of a naming service, such as
                     "list://10.0.0.1:8000,10.0.0.2:8000", or a list of addresses
    protocol         "baidu_std", "hulu_pbrpc", "sofa_pbrpc", "http", or one that was registered.
                     The others carry less than the first; a call that asks for more is a
                     BadRequestError. "http" sends messages as JSON; "http:proto",
                     "http:proto-json" and "http:proto-text" in another form. Default: "baidu_std"
    timeout          seconds for a whole call: queueing, connecting, sending, waiting and retries;
                     `None` for no limit. Default: 0.5. Sent along as timeout_ms.
    connect_timeout  seconds for one attempt to connect; `None` for no limit. Default: 1
    max_retry        how often a call is sent again when its connection broke before a response. As
                     in bRPC the server may have run it already; 0 for calls that may run once only.
                     Default: 3
    retry_policy     which failures are worth another attempt, and how long to wait before it
    backup_request_ms      milliseconds without a response after which a call is sent a second
                     time, and the first response counts; for at most a tenth of the calls, and
                     within max_retry
    backup_request_policy  like `backup_request_ms`, with another share or a rule of your own
    wait_for_ready   while the endpoint is down calls wait for it until their deadline; otherwise
                     they fail at once with the cause
    connection_type  "single": all calls share one connection; "pooled": each call has one for
                     itself, out of a pool, and queues if all are used; "short": one per call;
                     "auto": as "single", but threads that block at the same time have up to 8
                     connections of their own. Default: "pooled" for http, which has no "single" and
                     no "auto"; else "single"
    connections      parallel connections of the type single; calls take them in turn. Default: 1
    max_pool_size    connections of the type pooled that may exist at once; `None`: 100. Of the type
                     auto: those of threads that block; `None`: 8
    connection_group       a name; channels with different ones share no connection
    idle_timeout     seconds without a call after which a connection is closed; `None`, the default:
                     never
    dial_backoff     how often an endpoint that is down is dialled in the background; `None`: never,
                     each call dials for itself. Default: `Backoff()`, 0.1 to 10 seconds
    health_check     a `HealthCheck`, which an endpoint that was down must pass
    auth             an `Authenticator`: the first request of each connection carries a credential
    tls              a `ClientTls`, an `ssl.SSLContext`, or True: trust the system's authorities
    compress_type    how requests are compressed, a `CompressType`, unless a call's controller says
                     otherwise; the handler chooses for each response
    checksum_type    how requests are checksummed, a `ChecksumType`, unless a call's controller says
                     otherwise
    checksum_with_attachment  whether such a checksum covers the attachment too
    max_body_size    bytes that a response may have, also when it is decompressed. A longer one is
                     read and dropped, and fails its call alone. Default: 64 MiB
    max_streams_unconsumed_bytes  bytes that the streams of one connection together may have sent
                     and the server not consumed, before their windows shrink to `min_buf_size` of
                     their `StreamOptions`. 0, the default: they don't shrink
    json_options     `JsonOptions` of messages in JSON, with protocol="http": as the server has them
    interceptors     functions that run around each call, the first one outermost, each called as
                     `intercept(call, proceed)` with an `InterceptedCall`; docs/interceptors.md
    options          `SocketOptions` of the connections
    load_balancer    how the servers of a cluster are chosen, by name, with parameters:
                     "wrr", "p2c_ewma:choices=3"; or an object of your own. Default: "p2c_ewma".
                     This option and those below are for several servers only
    circuit_breaker  when a server whose calls fail is left out for a while: an `OutlierDetection`,
                     the default with its defaults, or an `EmaCircuitBreaker`; False: never
    cluster_recover  a `ClusterRecover`: after no server was usable, calls are let in little by
                     little
    retry_budget     a `RetryBudget`: how many retries there may be for each call; `None`: as many
                     as max_retry allows
    server_filter    gets each `ServerNode` that the naming service names; False to leave it out

    Thread-safe. The dispatcher thread of the process polls the connection; it starts with the
    first call. `close()`, or `with`, releases the connection.
    """

    open_source: ChannelSource | None = None
    """The source of its connections; `None` before the first call, once it is closed, and while a
    loop of this process may have to answer its calls."""

    _taken: ChannelSource | None = None
    _other_name = "pybrpc.aio.Channel"

    def source(self) -> ChannelSource:
        """The source of its connections, for a call."""
        source = self.open_source
        return self._take_source() if source is None else source

    def source_of_blocking(self, method: CalledMethod) -> ChannelSource:
        """`source`, for a blocking call of `method`. WouldDeadlockError if this is the thread of
        the loop that has to answer it."""
        if isinstance(method, Method | RawMethod):
            check_may_block(self.endpoints, method.service_name, method.name)
        return self.source()

    def wait_ready(self, timeout: float | None = None) -> None:
        """Block until a server may have calls: the naming service has answered, and at least one
        server is not known to be down. Nothing is connected.

        After `timeout` seconds an RpcError with the reason, ENODATA or EHOSTDOWN for a cluster;
        `None`: no limit. A channel with one server is ready unless that is known to be down.
        ChannelClosedError if the channel is closed meanwhile.
        """
        wait_ready(self, self.source(), checked_timeout_s(timeout))

    def forget_open_source(self) -> None:
        """Look again, before the next call, whether a loop of this process has to answer it."""
        self.open_source = None

    def _take_source(self) -> ChannelSource:
        taken = self._taken
        if taken is None or self._is_closed:
            note_channel(self)
            taken = self._taken = self._share(None).source
        self.open_source = taken
        if may_be_answered_by_loop(self.endpoint):
            self.open_source = None
        if self._is_closed:
            self.open_source = None
            raise self._closed_error()
        return taken

    def make_method(self, method: Method | RawMethod) -> StubMethod:
        """The callable for one method, for a Stub."""
        sent = self.method_as_sent(method)
        if self._interceptors:
            with importing:
                from pybrpc.client.channel.intercepted.intercepted_method import (
                    InterceptedMethod,
                )

            return InterceptedMethod(self, sent, self._interceptors)
        return StubMethod(self, sent)

    def raw_method(
        self, service: str, method: str, *, index: int | None = None, is_idempotent: bool = False
    ) -> RawStubMethod:
        """A method by its names, with bytes in place of messages: for proxies.

        `service` is the full name, with the package. The result is called like a method of a Stub,
        but takes bytes or an IOBuf, which are sent as they are, and gives bytes. Whether they are
        compressed is up to the caller: the controller's `request_compress_type` and
        `response_compress_type` say how, and the channel's `compress_type` does not count.

        `index`: place of the method in its service, from 0 on, which hulu_pbrpc needs.
        `is_idempotent`: whether a request may run twice without harm. TypeError, ValueError.
        """
        raw = RawMethod(service, method, index, is_idempotent)
        return RawStubMethod(self.make_method(raw))

    @overload
    def http(
        self,
        method: str,
        path: str,
        *,
        body: HttpBodyLike = b"",
        headers: HeadersLike = (),
        timeout: Timeout = CHANNEL_TIMEOUT,
        controller: Controller | None = None,
        stream: Literal[False] = False,
    ) -> HttpResponse: ...

    @overload
    def http(
        self,
        method: str,
        path: str,
        *,
        body: HttpBodyLike = b"",
        headers: HeadersLike = (),
        timeout: Timeout = CHANNEL_TIMEOUT,
        controller: Controller | None = None,
        stream: Literal[True],
        progressive_read_timeout: float | None = None,
    ) -> HttpStreamCall: ...

    def http(
        self,
        method: str,
        path: str,
        *,
        body: HttpBodyLike = b"",
        headers: HeadersLike = (),
        timeout: Timeout = CHANNEL_TIMEOUT,
        controller: Controller | None = None,
        stream: bool = False,
        progressive_read_timeout: float | None = None,
    ) -> HttpResponse | HttpStreamCall:
        """Send a plain request of HTTP, and wait for its response. A status is no error.

        `method`, such as "GET"; `path`, with its query; `headers`: a mapping, or pairs of names and
        values. `timeout` and `controller`: as for a call of a stub.

        `body`: bytes, or an iterable of bytes, which is sent in chunks while it is iterated over
        here, and never sent again. With `stream=True` the result is for `with`; it gives the
        response when its head has come, and its body is read part by part. A part that does not
        come in `progressive_read_timeout` seconds is an RpcTimeoutError, EPROGREADTIMEOUT.

        For a channel with protocol="http", else ValueError; RpcError if there is no response.
        """
        called_with = (body, headers, timeout, controller, checked_flag("stream", stream), False)
        http = self.http_part()
        call = http.new_call(self, method, path, *called_with)
        if stream:
            return http.new_stream_call(call, progressive_read_timeout)
        response: HttpResponse = call.run()
        return response

    @property
    def _used_source(self) -> ChannelSource | None:
        return self._taken

    def statistics(self) -> ConnectionStatistics | None:
        """Counts of the connection so far; `None` before the first call."""
        return statistics_of(self._taken)

    def close(self) -> None:
        """Release the connection; the last channel that shares it closes it. Never blocks."""
        self._release()
        self.open_source = None

    def __enter__(self) -> Channel:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    async def __aenter__(self) -> NoReturn:
        raise TypeError(f"use `with {self._public_name}`; for `async with`, {self._other_name}")

    async def __aexit__(self, *exception: object) -> None: ...
