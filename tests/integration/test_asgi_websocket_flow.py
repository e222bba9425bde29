"""Websockets of ASGI that send much, go away, or flood; stops, pings, and what is unread."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame, Opcode
from websockets.sync.client import ClientConnection, connect

import pybrpc
from pybrpc.server.http.asgi.mount import MAX_WEBSOCKET_MESSAGE_SIZE as MAX_SIZE
from pybrpc.server.http.asgi.websocket_cycle import (
    FEW_FRAMES,
    MAX_UNREAD,
    MESSAGE_BYTES,
    SLICE_BYTES,
    WebSocketCycle,
)
from pybrpc.server.http.response_stream import WINDOW_BYTES
from tests.fakes.threads import wait_until
from tests.peers.asgi_websockets import GREETING, Mount, MountedWebsockets, accept, echo
from tests.peers.http_peer import HttpPeer
from tests.peers.serving import starting


@pytest.fixture
def mount() -> Iterator[Mount]:
    with starting(MountedWebsockets) as start:
        yield start


def test_a_client_that_sends_much_waits_for_the_application(mount: Mount) -> None:
    goes_on = threading.Event()

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await accept(receive, send)
        await asyncio.to_thread(goes_on.wait, 1000.0)
        count = 0
        while (message := await receive())["type"] == "websocket.receive":
            count += len(message["bytes"])
            if count == total:
                await send({"type": "websocket.send", "text": str(count)})

    size = MAX_SIZE // 2
    total = 64 * size
    sent: list[int] = []

    def send_all(client: ClientConnection) -> None:
        for _ in range(64):
            client.send(b"a" * size)
            sent.append(size)

    with mount(application).connect() as client:
        thread = threading.Thread(target=send_all, args=(client,))
        thread.start()
        before = -1
        while before != len(sent) or not sent:
            before = len(sent)
            threading.Event().wait(0.2)
        assert sum(sent) < total
        goes_on.set()
        assert client.recv(20) == str(total)
        thread.join(20)


def test_an_application_that_sends_much_waits_for_the_client(mount: Mount) -> None:
    sent: list[int] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await accept(receive, send)
        while True:
            await send({"type": "websocket.send", "bytes": b"a" * 65536})
            sent.append(65536)

    mounted = mount(application)
    with HttpPeer(mounted.address, 65536) as peer:
        peer.send(GREETING % b"")
        peer.read_until(b"\r\n\r\n")
        before = -1
        while before != len(sent):
            before = len(sent)
            threading.Event().wait(0.2)
    wait_until(lambda: bool(mounted.raised))
    assert isinstance(mounted.raised[0], OSError)
    wait_until(mounted.is_idle)


def test_a_stop_closes_websockets_with_code_1001(mount: Mount) -> None:
    mounted = mount(echo)
    with mounted.connect() as client:
        client.send("a")
        assert client.recv(20) == "a"
        mounted.server.stop(10)
        with pytest.raises(ConnectionClosed):
            client.recv(20)
        assert client.close_code == 1001
    assert mounted.server.join(20)
    assert mounted.raised == []


def test_a_client_that_answers_no_ping_is_given_up(
    mount: Mount, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pybrpc.server.http.asgi.websocket_cycle.PING_S", 0.02)
    mounted = mount(echo)
    with HttpPeer(mounted.address) as peer:
        peer.send(GREETING % b"")
        peer.read_until(b"\r\n\r\n")
        data = peer.read_all()
    ping = Frame(Opcode.PING, b"").serialize(mask=False)
    assert data == ping + Frame(Opcode.CLOSE, b"\x03\xf3no pong").serialize(mask=False)
    wait_until(mounted.is_idle)


def test_a_client_that_takes_no_pongs_is_not_read(mount: Mount) -> None:
    ping = Frame(Opcode.PING, b"a" * 125).serialize(mask=True) * 1000
    mounted = mount(echo)
    sent: list[int] = []

    def flood(peer: HttpPeer) -> None:
        with contextlib.suppress(OSError):
            while True:
                peer.send(ping)
                sent.append(len(ping))

    with HttpPeer(mounted.address, 65536) as peer:
        peer.send(GREETING % b"")
        peer.read_until(b"\r\n\r\n")
        thread = threading.Thread(target=flood, args=(peer,))
        thread.start()
        before = -1
        while before != len(sent) or not sent:
            before = len(sent)
            threading.Event().wait(0.3)
        (connection,) = mounted.server.unfinished_connections()
        assert connection.unwritten_bytes < 4 * WINDOW_BYTES
        peer.socket.shutdown(socket.SHUT_RDWR)
        thread.join(20)
    wait_until(mounted.is_idle)


def test_websockets_of_a_server_in_a_loop(mount: Mount) -> None:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "websocket":
            await echo(scope, receive, send)

    async def serve() -> str | bytes:
        async with pybrpc.Server() as server:
            server.mount("/app", application)
            address = await server.start_async("127.0.0.1:0")

            def talk() -> str | bytes:
                with connect(f"ws://{address}/app/", proxy=None) as client:
                    client.send("a" * 300_000)
                    return client.recv(20)

            return await asyncio.to_thread(talk)

    assert asyncio.run(serve()) == "a" * 300_000


@pytest.mark.parametrize("is_read", [True, False])
def test_a_client_that_goes_away_while_much_is_unread_stops_nobody(
    mount: Mount, is_read: bool
) -> None:
    goes_on = threading.Event()
    seen: list[Any] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        if scope["query_string"]:
            await echo(scope, receive, send)
            return
        await accept(receive, send)
        await asyncio.to_thread(goes_on.wait, 1000.0)
        while is_read and (not seen or seen[-1]["type"] == "websocket.receive"):
            seen.append(await receive())

    mounted = mount(application)
    run: Any = mounted.server._run
    count = 3 * MAX_UNREAD
    with HttpPeer(mounted.address) as peer:
        peer.send(GREETING % b"")
        peer.read_until(b"\r\n\r\n")
        for _ in range(count):
            peer.send(Frame(Opcode.TEXT, b"a").serialize(mask=True))
    wait_until(lambda: [each.state for each in run.connections] == ["half-closed"])
    (connection,) = run.connections
    wait_until(lambda: connection.unanswered.size_bytes > MAX_UNREAD * MESSAGE_BYTES)
    with mounted.connect() as client:
        client.send("a")
        assert client.recv(20) == "a"
    goes_on.set()
    wait_until(mounted.is_idle)
    if is_read:
        assert [each.get("text") for each in seen] == ["a"] * count + [None]


def test_a_flood_of_tiny_messages_lets_other_tasks_run_in_between(
    mount: Mount, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of them come in one read. Turns of the loop are counted beside."""
    count, turns, frames = 9000, [0], []
    on_data = WebSocketCycle._on_data

    def noting(cycle: WebSocketCycle, data: bytes) -> int:
        frames.append((on_data(cycle, data), turns[0]))
        return frames[-1][0]

    async def tick() -> None:
        while True:
            turns[0] += 1
            await asyncio.sleep(0)

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        ticking = asyncio.ensure_future(tick())
        try:
            for _ in range(count):
                assert (await receive())["text"] == ""
            await send({"type": "websocket.send", "text": "all"})
            await receive()
        finally:
            ticking.cancel()

    monkeypatch.setattr(WebSocketCycle, "_on_data", noting)
    with mount(application).connect() as client:
        client.socket.sendall(b"\x81\x80abcd" * count)
        assert client.recv() == "all"
    long = [turn for found, turn in frames if found > FEW_FRAMES]
    assert max(found for found, _ in frames) <= SLICE_BYTES // 6 + 1
    assert len(set(long)) == len(long) >= count * 6 // SLICE_BYTES // 2


def test_fragments_of_one_byte_cost_no_more_than_their_bytes(mount: Mount) -> None:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        text = (await receive())["text"]
        await send({"type": "websocket.send", "text": str(len(text))})
        await receive()

    mounted = mount(application)
    with mounted.connect() as client:
        client.socket.sendall(b"\x01\x81abcd\0" + b"\0\x81abcd\0" * 5000)
        (cycle,) = (each for each in mounted.server._mounts[0].target._running)
        wait_until(lambda: len(cycle._fragments) == 5001)
        assert sys.getsizeof(cycle._fragments) < 12_000
        client.socket.sendall(b"\x80\x80abcd")
        assert client.recv() == "5001"
