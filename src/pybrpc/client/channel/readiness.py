"""Waiting until a channel has a server that may have calls."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from pybrpc.base.lazy_modules import asyncio
from pybrpc.base.wake_list import WakeList
from pybrpc.client.endpoints.source_base import SourceBase
from pybrpc.errors import ErrorCode, Phase, RpcError, make_rpc_error

if TYPE_CHECKING:
    from pybrpc.client.cluster.cluster_source import ClusterSource


class _UntilUp:
    """A SourceWatcher that reports once that the endpoint is not down."""

    def __init__(self, source: SourceBase, report: Callable[[], object]) -> None:
        self._source = source
        self._report = report

    def on_source_changed(self) -> None:
        if self._source.why_down is None:
            self._report()


def on_ready(
    source: SourceBase | ClusterSource, report: Callable[[], object]
) -> Callable[[], None]:
    """Call `report` at least once when there is a server for calls, perhaps now, in any thread; it
    must not block. Returns a function that forgets it."""
    if isinstance(source, SourceBase):
        watcher = _UntilUp(source, report)
        source.add_watcher(watcher)
        watcher.on_source_changed()
        return lambda: source.remove_watcher(watcher)
    source.add_ready_listener(report)
    return lambda: source.remove_ready_listener(report)


class Closing(Protocol):
    """A channel that may be closed while somebody waits."""

    close_waiters: WakeList
    """Called when it is closed."""

    def check_open(self) -> None:
        """ChannelClosedError once it is closed."""


def wait_ready(
    channel: Closing, source: SourceBase | ClusterSource, timeout_s: float | None
) -> None:
    """Block until there is a server for calls. The RpcError that says why there is none;
    ChannelClosedError if the channel is closed meanwhile."""
    event = threading.Event()
    wake = event.set
    channel.close_waiters.add(wake)
    forget = on_ready(source, wake)
    try:
        channel.check_open()
        if not event.wait(timeout_s):
            raise _not_ready(source)
        channel.check_open()
    finally:
        forget()
        channel.close_waiters.discard(wake)


async def wait_ready_in_loop(
    channel: Closing, source: SourceBase | ClusterSource, timeout_s: float | None
) -> None:
    """As `wait_ready`, awaited."""
    loop = asyncio.get_running_loop()
    event = asyncio.Event()

    def wake() -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(event.set)

    channel.close_waiters.add(wake)
    forget = on_ready(source, wake)
    try:
        channel.check_open()
        async with asyncio.timeout(timeout_s):
            await event.wait()
        channel.check_open()
    except TimeoutError:
        raise _not_ready(source) from None
    finally:
        forget()
        channel.close_waiters.discard(wake)


def _not_ready(source: SourceBase | ClusterSource) -> RpcError:
    error = source.why_down
    if error is None:
        text = f"{source.name} was not ready in time"
        error = make_rpc_error(ErrorCode.ERPCTIMEDOUT, text, phase=Phase.QUEUED, peer=source.name)
    return error
