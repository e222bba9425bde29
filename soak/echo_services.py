"""The services of the soak: an echo in a plain handler, and one in an async handler."""

from __future__ import annotations

import asyncio
import time
from typing import Any, Self

import pybrpc
from bench.echo_messages import EchoResponse
from soak.on_purpose import HANDLER_KINDS, raise_if
from soak.streams.service import StreamHandlers

RAISE = "raise"
"""The user field that names an exception for the handler to raise."""


class PlainEcho:
    """Runs in worker threads. With a StreamHandlers, it accepts streams too."""

    _streams: StreamHandlers | None = None

    @classmethod
    def with_streams(cls, streams: StreamHandlers) -> Self:
        service = cls()
        service._streams = streams
        return service

    def Echo(self, request: Any, controller: pybrpc.Controller) -> Any:
        if request.sleep_us:
            time.sleep(request.sleep_us / 1e6)
        if self._streams is not None:
            self._streams.accept_if_asked(request.message, controller)
        return echo(request, controller)


class AsyncEcho:
    """Runs in the server's loop, and lets others run in between. As PlainEcho."""

    _streams: StreamHandlers | None = None

    @classmethod
    def with_streams(cls, streams: StreamHandlers) -> Self:
        service = cls()
        service._streams = streams
        return service

    async def Echo(self, request: Any, controller: pybrpc.Controller) -> Any:
        await asyncio.sleep(request.sleep_us / 1e6)
        if self._streams is not None:
            self._streams.accept_if_asked(request.message, controller)
        return echo(request, controller)


def echo(request: Any, controller: pybrpc.Controller) -> Any:
    """Answer with the request, encoded alike, and with the authenticated name of the caller.

    Or raise what the request asks for.
    """
    raise_if(HANDLER_KINDS.get(controller.request_user_fields.get(RAISE, "")))
    controller.response_attachment = controller.request_attachment
    controller.response_compress_type = controller.request_compress_type
    controller.response_checksum_type = controller.request_checksum_type
    controller.response_checksum_attachment = controller.request_checksum_attachment
    if controller.auth_context is not None:
        controller.response_user_fields["user"] = controller.auth_context.user
    return EchoResponse(message=request.message)
