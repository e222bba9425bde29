"""AioChannel: for asyncio. The same stubs, awaited."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, Literal, NoReturn, Unpack, overload

import pybrpc.transport.dispatch.asyncio_dispatcher  # noqa: F401 - here, not in the first call
from pybrpc.base.checked_options import checked_flag
from pybrpc.base.deadline import checked_timeout_s
from pybrpc.base.endpoint import Endpoint
from pybrpc.base.import_gate import importing
from pybrpc.base.named_options import shows_options
from pybrpc.client.calls.aio_calls import LoopBinding
from pybrpc.client.channel.aio_stub_method import AioStubMethod
from pybrpc.client.channel.base import ChannelBase, Lease, statistics_of
from pybrpc.client.channel.options import (
    CHANNEL_DEFAULTS,
    CHANNEL_TIMEOUT,
    ChannelOptions,
    Timeout,
)
from pybrpc.client.channel.raw_stub_method import AioRawStubMethod
from pybrpc.client.channel.readiness import wait_ready_in_loop
from pybrpc.client.channel.servers import Servers
from pybrpc.client.connections.connection import ConnectionStatistics
from pybrpc.rpc.controller import Controller
from pybrpc.rpc.method import Method
from pybrpc.rpc.raw_method import RawMethod

if TYPE_CHECKING:
    from pybrpc.client.channel.base import ChannelSource
    from pybrpc.client.channel.http_call import AioHttpBodyLike
    from pybrpc.client.channel.http_response import HttpResponse
    from pybrpc.client.channel.http_stream import AioHttpStreamCall
    from pybrpc.protocols.http1.headers import HeadersLike
    from pybrpc.rpc.interceptors.interceptor import Interceptor


class AioChannel(ChannelBase):
    """`pybrpc.aio.Channel`: calls from any number of tasks over one connection.

    The running loop polls the connection: no thread, no hop. The channel may be made outside a
    loop and used in several, each of which has its own connection. With `share_with_threads` the
    calls go over the connection that the threads of the process use (`pybrpc.Channel`), polled by
    the dispatcher thread: one TCP connection for all, for one hop per batch of responses.

    The other options are those of `pybrpc.Channel`.
    """

    _public_name = "pybrpc.aio.Channel"
    _other_name = "pybrpc.Channel"

    @shows_options(ChannelOptions, CHANNEL_DEFAULTS, "pybrpc.aio.Channel")
    def __init__(
        self,
        address: Servers | Endpoint,
        *,
        share_with_threads: bool = False,
        **options: Unpack[ChannelOptions],
    ) -> None:
        super().__init__(address, **options)
        self.share_with_threads = checked_flag("share_with_threads", share_with_threads)
        self.open_binding: LoopBinding | None = None
        """The binding of the loop used last; `None` before the first call and once closed."""
        self._last: Lease | None = None
        self._bindings: dict[asyncio.AbstractEventLoop, tuple[LoopBinding, Lease]] = {}

    def _check_kind(self, interceptor: Interceptor) -> None:
        from pybrpc.rpc.interceptors.interceptor import Kind

        where = "by a pybrpc.aio.Channel, whose loop it would block"
        interceptor.check_is_no(Kind.PLAIN, where, "an `async def`")

    def binding(self) -> LoopBinding:
        """The connections of this channel in the running loop."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            text = (
                "no running event loop: call on a pybrpc.aio.Channel in an async function, or use "
                "a pybrpc.Channel"
            )
            raise RuntimeError(text) from None
        if self._is_closed:
            raise self._closed_error()
        if loop not in self._bindings:
            lease = self._share(None if self.share_with_threads else loop)
            binding = LoopBinding(loop, lease.source, self.share_with_threads)
            self._bindings[loop] = binding, lease
            self._release_closed_loops()
        self.open_binding, self._last = self._bindings[loop]
        if self._is_closed:
            self.open_binding = None
            raise self._closed_error()
        return self._bindings[loop][0]

    def _release_closed_loops(self) -> None:
        """A loop does not report that it closes. Its connections are released when the channel is
        used in the next loop."""
        for loop in list(self._bindings):
            if loop.is_closed():
                _, lease = self._bindings.pop(loop, (None, None))
                if lease is not None:
                    self._end_lease(lease)

    def make_method(self, method: Method | RawMethod) -> AioStubMethod:
        """The callable for one method, for a Stub."""
        sent = self.method_as_sent(method)
        if self._interceptors:
            with importing:
                from pybrpc.client.channel.intercepted.aio_intercepted_method import (
                    AioInterceptedMethod,
                )

            return AioInterceptedMethod(self, sent, self._interceptors)
        return AioStubMethod(self, sent)

    def raw_method(
        self, service: str, method: str, *, index: int | None = None, is_idempotent: bool = False
    ) -> AioRawStubMethod:
        """As `pybrpc.Channel.raw_method`."""
        raw = RawMethod(service, method, index, is_idempotent)
        return AioRawStubMethod(self.make_method(raw))

    @overload
    def http(
        self,
        method: str,
        path: str,
        *,
        body: AioHttpBodyLike = b"",
        headers: HeadersLike = (),
        timeout: Timeout = CHANNEL_TIMEOUT,
        controller: Controller | None = None,
        stream: Literal[False] = False,
    ) -> Coroutine[Any, Any, HttpResponse]: ...

    @overload
    def http(
        self,
        method: str,
        path: str,
        *,
        body: AioHttpBodyLike = b"",
        headers: HeadersLike = (),
        timeout: Timeout = CHANNEL_TIMEOUT,
        controller: Controller | None = None,
        stream: Literal[True],
        progressive_read_timeout: float | None = None,
    ) -> AioHttpStreamCall: ...

    def http(
        self,
        method: str,
        path: str,
        *,
        body: AioHttpBodyLike = b"",
        headers: HeadersLike = (),
        timeout: Timeout = CHANNEL_TIMEOUT,
        controller: Controller | None = None,
        stream: bool = False,
        progressive_read_timeout: float | None = None,
    ) -> Coroutine[Any, Any, HttpResponse] | AioHttpStreamCall:
        """As `pybrpc.Channel.http`, awaited; with `stream=True` for `async with`. The iterable of a
        body may be an asynchronous one."""
        called_with = (body, headers, timeout, controller, checked_flag("stream", stream), True)
        http = self.http_part()
        call = http.new_call(self, method, path, *called_with)
        if stream:
            return http.new_aio_stream_call(call, progressive_read_timeout)
        return call.run_in_loop()

    @property
    def _used_source(self) -> ChannelSource | None:
        return self._last.source if self._last is not None else None

    async def wait_ready(self, timeout: float | None = None) -> None:
        """As `pybrpc.Channel.wait_ready`, awaited, for the running loop."""
        self.binding()
        source = self._used_source
        assert source is not None
        await wait_ready_in_loop(self, source, checked_timeout_s(timeout))

    def statistics(self) -> ConnectionStatistics | None:
        """Counts of the connection in the loop used last; `None` before the first call."""
        return statistics_of(self._used_source)

    async def close(self) -> None:
        """Release the connections; the last channel that shares one closes it."""
        self._release()
        self.open_binding = None
        await asyncio.sleep(0)  # the descriptor is closed in the loop's next turn

    async def __aenter__(self) -> AioChannel:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.close()

    def __enter__(self) -> NoReturn:
        raise TypeError(f"use `async with {self._public_name}`; for `with`, {self._other_name}")

    def __exit__(self, *exception: object) -> None: ...
