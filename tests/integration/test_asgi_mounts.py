"""Applications of ASGI that a server mounts: who may call them, their lifespan, their paths."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

import pybrpc
from pybrpc.errors import ServerStateError
from tests.peers.asgi_apps import Mount, Mounted, echo, only_http, respond
from tests.peers.http_peer import HttpPeer, read_response


def test_requests_of_other_sites_are_refused_unless_the_mount_allows_them(mount: Mount) -> None:
    assert mount(echo).fetch(Origin="https://evil.example").status == 403
    assert mount(echo, check_origin=False).fetch(Origin="https://evil.example").status == 200


def test_the_origins_of_the_server_may_use_a_mount(mount: Mount) -> None:
    origin = "https://app.example.com"
    mounted = mount(echo, cors=[origin], auth=Secret())
    asked = mounted.fetch(method="OPTIONS", Origin=origin, Access_Control_Request_Method="POST")
    assert asked.status == 204
    assert asked.headers["access-control-allow-origin"] == origin
    response = mounted.fetch(Origin=origin, Authorization="word")
    assert (response.status, response.headers["access-control-allow-origin"]) == (200, origin)
    assert mounted.fetch(method="OPTIONS", Origin="https://evil.example").status == 403


class Secret:
    """An Authenticator that knows one word."""

    def generate_credential(self) -> bytes:
        return b"word"

    def verify_credential(self, credential: bytes, client: pybrpc.Endpoint) -> pybrpc.AuthContext:
        if credential != b"word":
            raise ValueError("no")
        return pybrpc.AuthContext()


def test_credentials_are_checked_unless_the_mount_checks_them_itself(mount: Mount) -> None:
    mounted = mount(echo, auth=Secret())
    assert mounted.fetch().status in (401, 403)
    assert mounted.fetch(Authorization="word").status == 200
    assert mount(echo, auth=Secret(), check_credentials=False).fetch().status == 200


class Lifespan:
    """An application that notes its start and end."""

    def __init__(self, startup: Any = None, shutdown: Any = None) -> None:
        self.seen: list[str] = []
        self._answers = {
            "lifespan.startup": startup or {"type": "lifespan.startup.complete"},
            "lifespan.shutdown": shutdown or {"type": "lifespan.shutdown.complete"},
        }

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await respond(send, scope["state"]["name"].encode())
            return
        scope["state"]["name"] = "of the lifespan"
        for _ in range(2):
            message = await receive()
            self.seen.append(message["type"])
            await send(self._answers[message["type"]])


def test_an_application_starts_and_ends_with_its_server(mount: Mount) -> None:
    application = Lifespan()
    mounted = mount(application)
    server = mounted.server
    for _ in range(2):
        assert application.seen == ["lifespan.startup"]
        assert mounted.fetch().body == b"of the lifespan"
        server.stop()
        assert server.join(20)
        assert application.seen == ["lifespan.startup", "lifespan.shutdown"]
        application.seen.clear()
        mounted.address = server.start("127.0.0.1:0")


def test_an_application_in_the_loop_of_the_server(caplog: pytest.LogCaptureFixture) -> None:
    application = Lifespan(shutdown={"type": "lifespan.shutdown.failed", "message": "oh"})

    async def serve() -> bytes:
        async with pybrpc.Server() as server:
            server.mount("/app", application)
            address = await server.start_async("127.0.0.1:0")

            def fetch() -> bytes:
                with HttpPeer(address) as peer:
                    peer.request("GET", "/app/")
                    return read_response(peer).body

            return await asyncio.to_thread(fetch)

    assert asyncio.run(serve()) == b"of the lifespan"
    assert application.seen == ["lifespan.startup", "lifespan.shutdown"]
    assert "can't end: oh" in caplog.text


def test_a_server_does_not_start_if_an_application_can_not() -> None:
    failed = {"type": "lifespan.startup.failed", "message": "no database"}
    mounted = Mounted(Lifespan(startup=failed), start=False)
    with pytest.raises(ServerStateError, match="/app can't start: no database"):
        mounted.server.start("127.0.0.1:0")
    assert not mounted.server.is_running


def test_an_application_that_raises_at_its_start_is_served(mount: Mount) -> None:
    assert mount(echo).fetch(method="POST", body=b"a").body == b"a"


def test_a_stop_lets_a_response_go_on_up_to_the_grace(mount: Mount) -> None:
    cancelled = threading.Event()

    @only_http
    async def application(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b"a", "more_body": True})
        try:
            await asyncio.sleep(1000)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    mounted = mount(application)
    with HttpPeer(mounted.address) as peer:
        peer.request("GET", "/app/")
        peer.read_until(b"a\r\n")
        mounted.server.stop(0.1)
        assert mounted.server.join(20)
        assert peer.read_all() == b""
    assert cancelled.wait(20)


@pytest.mark.parametrize("path", ["app", "//", "/app/", "", "/a//b", "/a b", "/a?", "/%61"])
def test_a_path_that_can_not_be_mounted_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="the path of a mount"):
        pybrpc.Server().mount(path, echo)


@pytest.mark.parametrize("application", [None, "app", Lifespan, lambda scope: None])
def test_what_is_no_application_is_refused(application: Any) -> None:
    with pytest.raises(TypeError, match="an application of ASGI 3"):
        pybrpc.Server().mount("/app", application)


def test_a_path_is_mounted_once_and_before_the_start(mount: Mount) -> None:
    mounted = mount(echo)
    with pytest.raises(ServerStateError, match="before the server is started"):
        mounted.server.mount("/b", echo)
    mounted.server.stop(0)
    assert mounted.server.join(20)
    with pytest.raises(ValueError, match="mounted at /app already"):
        mounted.server.mount("/app", echo)
    with pytest.raises(TypeError, match="check_origin"):
        mounted.server.mount("/b", echo, check_origin=1)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="max_websocket_message_size"):
        mounted.server.mount("/b", echo, max_websocket_message_size=0)
