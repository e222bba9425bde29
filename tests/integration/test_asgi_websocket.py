"""Applications of ASGI that a server mounts: websockets, judged by the client of `websockets`."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.frames import Frame, Opcode

from pybrpc.server.http.asgi.mount import MAX_WEBSOCKET_MESSAGE_SIZE as MAX_SIZE
from tests.fakes.threads import wait_until
from tests.peers.asgi_apps import Application
from tests.peers.asgi_websockets import GREETING, Mount, MountedWebsockets, accept, echo
from tests.peers.http_peer import HttpPeer, read_response
from tests.peers.serving import starting


@pytest.fixture
def mount() -> Iterator[Mount]:
    with starting(MountedWebsockets) as start:
        yield start


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
