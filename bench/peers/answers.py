"""How a server answers when it has none behind it: it sleeps if asked to, and echoes."""

from __future__ import annotations

import asyncio
import time


def echo(payload: bytes, sleep_us: int) -> bytes:
    if sleep_us:
        time.sleep(sleep_us / 1e6)
    return payload


async def aio_echo(payload: bytes, sleep_us: int) -> bytes:
    if sleep_us:
        await asyncio.sleep(sleep_us / 1e6)
    return payload
