"""Applications of ASGI that a server mounts: websockets, judged by the client of `websockets`."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
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
from tests.peers.asgi_apps import Application, Mounted
from tests.peers.http_peer import HttpPeer, read_response
from tests.peers.serving import starting

GREETING = (
    b"GET /app/ HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n%b\r\n"
)


class MountedWebsockets(Mounted):
    """A running server with one application, which only has websockets, at /app."""

    def __init__(self, application: Application, **options: Any) -> None:
        async def only_websockets(scope: Any, receive: Any, send: Any) -> None:
            assert scope["type"] == "websocket"
            try:
                await application(scope, receive, send)
            except BaseException as error:
                self.raised.append(error)
                raise

        self.raised: list[BaseException] = []
        super().__init__(only_websockets, **options)

    def connect(self, **options: Any) -> ClientConnection:
        return connect(
            f"ws://{self.address}/app/chat?room=1", compression=None, proxy=None, **options
        )


Mount = Callable[..., MountedWebsockets]


@pytest.fixture
def mount() -> Iterator[Mount]:
    with starting(MountedWebsockets) as start:
        yield start


async def accept(receive: Any, send: Any, **more: Any) -> None:
    assert await receive() == {"type": "websocket.connect"}
    await send({"type": "websocket.accept", **more})


async def echo(scope: Any, receive: Any, send: Any) -> None:
    await accept(receive, send)
    while (message := await receive())["type"] == "websocket.receive":
        await send({**message, "type": "websocket.send"})


@pytest.mark.parametrize("message", ["", "text \xe4", b"", b"bytes", b"x" * 500_000])
def test_messages_come_back(mount: Mount, message: str | bytes) -> None:
    mounted = mount(echo)
    with mounted.connect() as client:
        for _ in range(3):
            client.send(message)
            assert client.recv(20) == message
    wait_until(mounted.is_idle)
    assert mounted.raised == []


def test_a_message_in_fragments_is_one(mount: Mount) -> None:
    with mount(echo).connect() as client:
        client.send(["a", "b", "c"])
        assert client.recv(20) == "abc"


def test_the_scope_says_what_the_request_is(mount: Mount) -> None:
    seen: list[Any] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope)
        await accept(receive, send, subprotocol="two", headers=[(b"x-of", b"me")])

    with mount(application).connect(subprotocols=["one", "two"]) as client:
        assert client.subprotocol == "two"
        assert client.response is not None
        assert client.response.headers["x-of"] == "me"
        with pytest.raises(ConnectionClosed):
            client.recv(20)
        assert client.close_code == 1000
    (scope,) = seen
    assert (scope["scheme"], scope["path"], scope["query_string"]) == ("ws", "/app/chat", b"room=1")
    assert (scope["root_path"], scope["subprotocols"]) == ("/app", ["one", "two"])


def test_pings_are_answered_while_the_application_does_something_else(mount: Mount) -> None:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        await accept(receive, send)
        await asyncio.sleep(1000)

    with mount(application).connect() as client:
        assert client.ping().wait(20)


@pytest.mark.parametrize(("code", "reason"), [(1000, ""), (4001, "enough")])
def test_each_side_learns_how_the_other_one_has_closed(
    mount: Mount, code: int, reason: str
) -> None:
    seen: list[Any] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await accept(receive, send)
        message = await receive()
        if message["type"] == "websocket.receive":
            await send({"type": "websocket.close", "code": code, "reason": reason})
        else:
            seen.append(message)

    mounted = mount(application)
    with mounted.connect() as client:
        client.close(code, reason)
    wait_until(lambda: bool(seen))
    assert seen == [{"type": "websocket.disconnect", "code": code, "reason": reason}]
    with mounted.connect() as client:
        client.send("close")
        with pytest.raises(ConnectionClosed):
            client.recv(20)
        assert (client.close_code, client.close_reason) == (code, reason)
    wait_until(mounted.is_idle)


def test_a_client_that_goes_away_without_a_word_is_code_1006(mount: Mount) -> None:
    seen: list[Any] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await accept(receive, send)
        seen.append(await receive())
        with pytest.raises(OSError, match="gone"):
            await send({"type": "websocket.send", "text": "a"})
        seen.append(await receive())

    mounted = mount(application)
    with HttpPeer(mounted.address) as peer:
        peer.send(GREETING % b"")
        assert peer.read_until(b"\r\n\r\n").startswith(b"HTTP/1.1 101 ")
    wait_until(lambda: len(seen) == 2)
    assert {each["code"] for each in seen} == {1006}
    wait_until(mounted.is_idle)
    assert mounted.raised == []


async def refuse(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "websocket.close"})


async def raises(scope: Any, receive: Any, send: Any) -> None:
    raise ValueError("no")


async def answers_nothing(scope: Any, receive: Any, send: Any) -> None:
    await receive()


async def sends_first(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "websocket.send", "text": "a"})


async def accepts_badly(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "websocket.accept", "headers": [(b"a", b"b\r\nc: d")]})


@pytest.mark.parametrize(
    ("application", "status"),
    [
        (refuse, 403),
        (raises, 500),
        (answers_nothing, 500),
        (sends_first, 500),
        (accepts_badly, 500),
    ],
)
def test_a_handshake_that_is_not_accepted_is_answered(
    mount: Mount, application: Application, status: int
) -> None:
    mounted = mount(application)
    with pytest.raises(InvalidStatus) as caught:
        mounted.connect()
    assert caught.value.response.status_code == status
    with HttpPeer(mounted.address) as peer:
        for _ in range(2):
            peer.send(GREETING % b"")
            assert read_response(peer).status == status


async def raises_later(scope: Any, receive: Any, send: Any) -> None:
    await accept(receive, send)
    raise SystemExit(3)


async def sends_nonsense(scope: Any, receive: Any, send: Any) -> None:
    await accept(receive, send)
    await send({"type": "websocket.accept"})


async def sends_no_data(scope: Any, receive: Any, send: Any) -> None:
    await accept(receive, send)
    await send({"type": "websocket.send"})


@pytest.mark.parametrize("application", [raises_later, sends_nonsense, sends_no_data])
def test_an_application_that_fails_later_is_code_1011(
    mount: Mount, application: Application, caplog: pytest.LogCaptureFixture
) -> None:
    mounted = mount(application)
    with mounted.connect() as client:
        with pytest.raises(ConnectionClosed):
            client.recv(20)
        assert client.close_code == 1011
    assert "the application at /app raised" in caplog.text
    wait_until(mounted.is_idle)


def test_a_close_code_that_can_not_be_sent_still_ends_the_connection(mount: Mount) -> None:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        await accept(receive, send)
        await send({"type": "websocket.close", "code": 5})

    mounted = mount(application)
    with mounted.connect() as client, pytest.raises(ConnectionClosed):
        client.recv(20)
    wait_until(mounted.is_idle)


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (Frame(Opcode.CONT, b"a").serialize(mask=True), 1002),
        (Frame(Opcode.TEXT, b"\xff").serialize(mask=True), 1007),
        (Frame(Opcode.BINARY, b"a" * (MAX_SIZE + 1)).serialize(mask=True), 1009),
        (Frame(Opcode.TEXT, b"a").serialize(mask=False), 1002),
        (b"\xff" * 100, 1002),
        (b"GET / HTTP/1.1\r\n\r\n", 1002),
    ],
    ids=["continuation", "text", "long", "unmasked", "reserved", "http"],  # masks are random
)
def test_frames_that_can_not_be_are_answered_with_a_code(
    mount: Mount, frame: bytes, code: int
) -> None:
    mounted = mount(echo)
    with HttpPeer(mounted.address) as peer:
        peer.send(GREETING % b"")
        peer.read_until(b"\r\n\r\n")
        peer.send(frame)
        data = peer.read_all()
    assert data[0] == 0x80 | Opcode.CLOSE
    assert int.from_bytes(data[2:4], "big") == code
    wait_until(mounted.is_idle)


def test_the_longest_message_is_an_option_of_the_mount(mount: Mount) -> None:
    with mount(echo, max_websocket_message_size=10).connect() as client:
        client.send("a" * 10)
        assert client.recv(20) == "a" * 10
        with contextlib.suppress(ConnectionClosed):  # it may close before the last, empty fragment
            client.send(["a" * 10, "b"])
        with pytest.raises(ConnectionClosed):
            client.recv(20)
        assert client.close_code == 1009


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (b"Origin: https://evil.example\r\n", 403),
        (b"Sec-Fetch-Site: cross-site\r\n", 403),
        (b"Content-Length: 1\r\n", 400),
    ],
)
def test_a_handshake_that_can_not_be_is_refused(mount: Mount, headers: bytes, status: int) -> None:
    mounted = mount(echo)
    with HttpPeer(mounted.address) as peer:
        peer.send(GREETING % headers)
        assert read_response(peer).status == status


@pytest.mark.parametrize(
    ("old", "new", "status"),
    [
        (b"Version: 13", b"Version: 12", 400),
        (b"Key: dGhl", b"Key: ", 400),
        (b"GET", b"POST", 400),
        (b"HTTP/1.1", b"HTTP/1.0", 200),
        (b": Upgrade", b": Upgrade, close", 400),
    ],
)
def test_a_greeting_that_is_none_opens_nothing(
    mount: Mount, old: bytes, new: bytes, status: int
) -> None:
    mounted = mount(echo)
    with HttpPeer(mounted.address) as peer:
        peer.send((GREETING % b"").replace(old, new))
        found = read_response(peer).status
    # HTTP/1.0 has no Upgrade: so that is a plain request, which this application does not know.
    assert found == (status if status != 200 else 500)


def test_foreign_pages_may_connect_if_the_mount_says_so(mount: Mount) -> None:
    with mount(echo, check_origin=False).connect(origin="https://other.example") as client:
        client.send("a")
        assert client.recv(20) == "a"


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
