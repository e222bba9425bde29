"""Runs the server of a peer in this process, alone or in front of another one."""

from __future__ import annotations

from bench.peers.answers import aio_echo, echo
from bench.peers.entry import Entry, Kind
from bench.peers.peer import AioPeer, OnReady, SyncPeer, WaitForEnd


def run_server(
    entry: Entry, backend_port: int, on_ready: OnReady, wait_for_end: WaitForEnd
) -> None:
    """Until `wait_for_end` returns. Requests go on to 127.0.0.1:`backend_port`, unless it is 0."""
    peer = entry.load()
    if entry.kind is Kind.STREAMS:
        peer.serve(on_ready, wait_for_end)
    elif entry.kind is Kind.AIO_STREAMS:
        entry.run_loop(peer.serve(on_ready, wait_for_end))
    elif entry.kind is Kind.AIO:
        entry.run_loop(serve_aio(peer, backend_port, on_ready, wait_for_end))
    elif not backend_port:
        peer.serve(echo, on_ready, wait_for_end)
    else:
        serve_in_front(peer, backend_port, on_ready, wait_for_end)


def serve_in_front(
    peer: SyncPeer, backend_port: int, on_ready: OnReady, wait_for_end: WaitForEnd
) -> None:
    with peer.client(backend_port) as client:
        peer.serve(client.caller(), on_ready, wait_for_end)


async def serve_aio(
    peer: AioPeer, backend_port: int, on_ready: OnReady, wait_for_end: WaitForEnd
) -> None:
    if not backend_port:
        await peer.serve(aio_echo, on_ready, wait_for_end)
        return
    async with peer.client(backend_port) as client:
        await peer.serve(client.call, on_ready, wait_for_end)
