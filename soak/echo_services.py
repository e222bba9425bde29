"""The services of the soak: an echo in a plain handler, and one in an async handler."""

from __future__ import annotations

import asyncio
from typing import Any

import pybrpc
from bench.echo_messages import EchoResponse


class PlainEcho:
    """Runs in worker threads."""

    def Echo(self, request: Any, controller: pybrpc.Controller) -> Any:
        return echo(request, controller)


class AsyncEcho:
    """Runs in the server's loop, and lets others run in between."""

    async def Echo(self, request: Any, controller: pybrpc.Controller) -> Any:
        await asyncio.sleep(0)
        return echo(request, controller)


def echo(request: Any, controller: pybrpc.Controller) -> Any:
    """Answer with the request, encoded alike, and with the authenticated name of the caller."""
    controller.response_attachment = controller.request_attachment
    controller.response_compress_type = controller.request_compress_type
    controller.response_checksum_type = controller.request_checksum_type
    controller.response_checksum_attachment = controller.request_checksum_attachment
    if controller.auth_context is not None:
        controller.response_user_fields["user"] = controller.auth_context.user
    return EchoResponse(message=request.message)
