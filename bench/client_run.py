"""Runs the client of a peer in this process: its kind and the work say which loop it is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from bench import closed_loop, open_loop
from bench.figures import Figures
from bench.meter import Meter
from bench.peers import ENTRIES
from bench.peers.entry import Kind
from bench.peers.peer import AioPeer
from bench.streams import stream_tasks, stream_threads
from bench.work import (
    ClosedLoop,
    FixedRate,
    StreamCrowd,
    StreamEcho,
    StreamPing,
    StreamPull,
    Window,
    Work,
)

LOOPS: dict[tuple[Kind, type[Work]], Callable[..., Figures]] = {
    (Kind.SYNC, ClosedLoop): closed_loop.run_threads,
    (Kind.SYNC, FixedRate): open_loop.run_threads,
    (Kind.CALLBACKS, ClosedLoop): closed_loop.run_callbacks,
    (Kind.STREAMS, StreamEcho): stream_threads.run_echo,
    (Kind.STREAMS, StreamPull): stream_threads.run_pull,
    (Kind.STREAMS, StreamPing): stream_threads.run_ping,
}
AIO_LOOPS: dict[type[Work], Callable[..., Awaitable[Figures]]] = {
    ClosedLoop: closed_loop.run_tasks,
    FixedRate: open_loop.run_tasks,
    StreamEcho: stream_tasks.run_echo,
    StreamPull: stream_tasks.run_pull,
    StreamPing: stream_tasks.run_ping,
    StreamCrowd: stream_tasks.run_crowd,
}


def run_client(name: str, work: Work, window: Window, meter: Meter, port: int) -> Figures:
    """Call 127.0.0.1:`port` as `work` says."""
    entry = ENTRIES[name]
    peer: Any = entry.load()
    if entry.kind in (Kind.AIO, Kind.AIO_STREAMS):
        return entry.run_loop(run_aio(peer, work, window, meter, port))
    with peer.client(port) as client:
        figures = LOOPS[entry.kind, type(work)](client, work, window, meter)
        return {**figures, **client.statistics()}


async def run_aio(peer: AioPeer, work: Work, window: Window, meter: Meter, port: int) -> Figures:
    async with peer.client(port) as client:
        figures = await AIO_LOOPS[type(work)](client, work, window, meter)
        return {**figures, **client.statistics()}
