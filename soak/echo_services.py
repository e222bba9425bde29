"""What is called: an echo in a plain handler, and one in an async handler."""

from __future__ import annotations

import asyncio
from typing import Any

import pybrpc
from bench.echo_messages import EchoResponse


class PlainEcho:
    """Runs in worker threads."""

    def Echo(self, request: Any, controller: pybrpc.Controller) -> Any:
        controller.response_attachment = controller.request_attachment
        return EchoResponse(message=request.message)


class AsyncEcho:
    """Runs in the server's loop, and lets others run in between."""

    async def Echo(self, request: Any, controller: pybrpc.Controller) -> Any:
        await asyncio.sleep(0)
        controller.response_attachment = controller.request_attachment
        return EchoResponse(message=request.message)
