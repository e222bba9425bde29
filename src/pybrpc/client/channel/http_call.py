"""PlainHttpCall: one request of `channel.http()`, and how threads and tasks make its call."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from pybrpc.base.checked_options import shown
from pybrpc.base.deadline import NEVER
from pybrpc.base.lazy_modules import asyncio
from pybrpc.client.calls.sync_calls import new_blocking_call, new_future_call
from pybrpc.client.channel.http_response import HttpResponse
from pybrpc.client.channel.options import Timeout
from pybrpc.client.connections.http_body import BegunResponse, ProgressiveResponse
from pybrpc.client.connections.http_method import add_log_headers, fill_head, headers_of_call
from pybrpc.client.connections.http_request import HttpRequest
from pybrpc.client.connections.http_upload import Upload
from pybrpc.errors import BadRequestError, BadResponseError, Phase, WouldDeadlockError
from pybrpc.iobuf.iobuf import IOBuf
from pybrpc.protocols.http1.client_session import WholeResponse
from pybrpc.protocols.http1.headers import HeadersLike, HttpHeaders
from pybrpc.rpc.answering_loops import check_may_block
from pybrpc.rpc.body_error import BodyError
from pybrpc.rpc.controller import Controller
from pybrpc.rpc.controller_values import NO_LIMIT_MS
from pybrpc.rpc.http_bodies import plain_body
from pybrpc.streams.loop_calls import LoopWait
from pybrpc.streams.thread_wait import ThreadWait

if TYPE_CHECKING:
    from pybrpc.client.calls.call_options import CallOptions
    from pybrpc.transport.dispatch.event_dispatcher import EventDispatcher

Part: TypeAlias = bytes | bytearray | memoryview | IOBuf
HttpBodyLike: TypeAlias = Part | Iterable[Part]
AioHttpBodyLike: TypeAlias = HttpBodyLike | AsyncIterable[Part]

_IDEMPOTENT = frozenset(("GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE"))
"""RFC 9110, 9.2.2."""


class PlainHttpMethod:
    """A CalledMethod: one method and path, without a service."""

    __slots__ = ("full_name", "is_idempotent", "peer")

    def __init__(self, request: HttpRequest, peer: str) -> None:
        # Not the path: metrics and spans keep something for each name.
        self.full_name = f"http.{request.method}"
        self.is_idempotent = request.method in _IDEMPOTENT and request.upload is None
        self.peer = peer

    def serialize(self, request: HttpRequest, controller: Controller | None) -> HttpRequest:
        return request

    def parse(self, response: Any, max_body_size: int) -> HttpResponse | ProgressiveResponse:
        """BadResponseError if the body is not in the Content-Encoding that it tells."""
        if isinstance(response, BegunResponse):
            return ProgressiveResponse(response)
        assert isinstance(response, WholeResponse)
        head = response.head
        try:
            body = plain_body(response.body, head.headers.get("content-encoding"), max_body_size)
        except BodyError as error:
            text = f"Fail to read the body of the response: {error}"
            raise BadResponseError(text, phase=Phase.WAITING) from None
        return HttpResponse(head, body, response.trailers, self.peer)

    def fill(self, controller: Controller, response: Any) -> None:
        fill_head(controller, response)


class PlainHttpCall:
    """One request, with the options of its call. Everything is checked when it is made."""

    __slots__ = ("_method", "_options", "_timeout_s", "channel", "controller", "parts", "request")

    def __init__(
        self,
        channel: Any,
        method: str,
        path: str,
        body: object,
        headers: HeadersLike,
        timeout: Timeout,
        controller: Controller | None,
        is_progressive: bool,
        takes_async: bool,
    ) -> None:
        self._timeout_s: float | None = channel.timeout_of_call(timeout, controller)
        self.channel = channel
        self.controller = controller
        data, self.parts = _checked_body(body, takes_async)
        all_headers = headers_of_call(controller)
        all_headers.update(HttpHeaders(headers))
        add_log_headers(all_headers, controller)
        if controller is not None and controller._request_attachment:
            text = "request_attachment must be empty: give body="
            raise BadRequestError(text, phase=Phase.QUEUED)
        self.request = HttpRequest(
            method,
            path,
            all_headers,
            data,
            is_progressive=is_progressive,
            upload=None if self.parts is None else Upload(),
        )
        self._method = PlainHttpMethod(self.request, str(channel.endpoint))
        self._options = self._call_options()

    def _call_options(self) -> CallOptions:
        """Those of the channel. What is sent or read in parts can't be sent a second time while the
        first one lives."""
        options: CallOptions = self.channel.call_options
        if self.parts is not None:
            retry = dataclasses.replace(options.retry, may_have_run=False)
            options = dataclasses.replace(options, retry=retry)
        if self.parts is not None or self.request.is_progressive:
            options = dataclasses.replace(options, backup=None)
            controller = self.controller
            if controller is not None and controller.backup_request_ms not in (None, NO_LIMIT_MS):
                raise ValueError("a body in parts can't have a backup request")
        return options

    def run(self) -> Any:
        """Make the call, and wait for its result. For threads."""
        try:
            return self._run()
        except BaseException:
            self.request.give_up()
            raise

    async def run_in_loop(self) -> Any:
        """Make the call, and await its result."""
        try:
            return await self._run_in_loop()
        except BaseException:
            self.request.give_up()
            raise

    def _run(self) -> Any:
        source = self.channel.source_of_blocking(self._method)
        self._check_may_block()
        arguments: Any = (
            source,
            self._method,
            self.request,
            self._timeout_s,
            self._options,
            self.controller,
        )
        upload = self.request.upload
        if upload is None:
            return new_blocking_call(*arguments).wait()
        if source.dispatcher.is_current():
            raise WouldDeadlockError(f"{self!r} inside a callback would wait for itself")
        future = new_future_call(*arguments).begin(self.channel)
        future.add_done_callback(lambda _: upload.close())
        try:
            self._send_parts(upload, source.dispatcher)
            return future.result()
        except BaseException:
            future.cancel()
            raise

    async def _run_in_loop(self) -> Any:
        from pybrpc.client.calls.aio_calls import new_aio_call

        binding = self.channel.binding()
        call = new_aio_call(
            binding,
            self._method,
            self.request,
            self._timeout_s,
            self._options,
            self.controller,
        )
        future: Any = call.begin(binding, self.channel)
        upload = self.request.upload
        if upload is None:
            return await future
        future.add_done_callback(lambda _: upload.close())
        try:
            if isinstance(self.parts, AsyncIterable):
                await self._send_beside(upload, future)
            else:
                await self._send_parts_in_loop(upload)
            return await future
        except BaseException:
            future.cancel()
            raise

    def _check_may_block(self) -> None:
        service, _, method = self.request.target.partition("?")[0][1:].partition("/")
        if method:
            check_may_block(self.channel.endpoints, service, method)

    def _send_parts(self, upload: Upload, dispatcher: EventDispatcher) -> None:
        parts: Any = self.parts
        for part in parts:
            _wait_ready(upload, dispatcher)
            if upload.is_closed:
                return
            upload.send(part)
        _wait_ready(upload, dispatcher)
        upload.finish()

    async def _send_beside(self, upload: Upload, future: Any) -> None:
        """Send the parts until the call ends: what makes them may wait for longer than that."""
        sender = asyncio.ensure_future(self._send_parts_in_loop(upload))
        future.add_done_callback(lambda _: sender.cancel())
        try:
            await asyncio.wait((sender,))
        finally:
            if not sender.done():
                sender.cancel()
                await asyncio.wait((sender,))
        if not sender.cancelled():
            error = sender.exception()
            if error is not None and not future.done():
                raise error
        elif not future.done():
            raise asyncio.CancelledError  # by what makes the parts

    async def _send_parts_in_loop(self, upload: Upload) -> None:
        parts: Any = self.parts
        if isinstance(parts, AsyncIterable):
            async for part in parts:
                await _await_ready(upload)
                if upload.is_closed:
                    return
                upload.send(part)
        else:
            for part in parts:
                await _await_ready(upload)
                if upload.is_closed:
                    return
                upload.send(part)
        await _await_ready(upload)
        upload.finish()

    def __repr__(self) -> str:
        return f"<PlainHttpCall {self._method.full_name} on {self.channel!r}>"


def _wait_ready(upload: Upload, dispatcher: EventDispatcher) -> None:
    wait = ThreadWait(dispatcher)
    if upload.begin_wait(wait):
        try:
            dispatcher.wait(wait, NEVER)
        finally:
            upload.forget_wait(wait)


async def _await_ready(upload: Upload) -> None:
    wait = LoopWait()
    if upload.begin_wait(wait):
        try:
            await wait.future
        finally:
            upload.forget_wait(wait)


def _checked_body(body: object, takes_async: bool) -> tuple[bytes | IOBuf, Any]:
    """The body, or an iterable of its parts. TypeError if it is neither."""
    if isinstance(body, IOBuf):
        return body.copy(), None
    if isinstance(body, bytes | bytearray | memoryview):
        return bytes(body), None
    if isinstance(body, str):
        raise TypeError('body must be bytes, not a string: encode it, text.encode("utf-8")')
    if isinstance(body, AsyncIterable) and not takes_async:
        raise TypeError("an asynchronous iterator of parts is for a pybrpc.aio.Channel")
    if isinstance(body, Iterable | AsyncIterable) and not isinstance(body, Mapping):
        return b"", body
    raise TypeError(f"body must be bytes, or an iterable of bytes, not {shown(body)}")
