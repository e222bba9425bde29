"""Applications of ASGI that a server mounts: requests of HTTP."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

import pybrpc
from pybrpc.server.http.body_queue import WINDOW_BYTES as UNREAD_BYTES
from pybrpc.server.http.response_stream import WINDOW_BYTES
from tests.fakes.threads import wait_until
from tests.peers.asgi_apps import Application, Mount, body_of, echo, only_http, respond
from tests.peers.http_peer import HttpPeer, read_response

PART = b"x" * 16 * 1024


def test_the_scope_says_what_the_request_is(mount: Mount) -> None:
    seen: list[Any] = []

    @only_http
    async def application(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope)
        await respond(send, b"")

    mounted = mount(application)
    assert mounted.fetch("/app/a%20b/%C3%A4?q=%201", X_One="A").status == 200
    (scope,) = seen
    assert scope["asgi"]["version"] == "3.0"
    assert (scope["http_version"], scope["method"], scope["scheme"]) == ("1.1", "GET", "http")
    assert (scope["path"], scope["raw_path"]) == ("/app/a b/\xe4", b"/app/a%20b/%C3%A4")
    assert (scope["root_path"], scope["query_string"]) == ("/app", b"q=%201")
    assert (b"x-one", b"A") in scope["headers"]
    assert (b"host", b"127.0.0.1") in scope["headers"]
    assert scope["server"] == ("127.0.0.1", mounted.address.port)
    assert scope["client"][0] == "127.0.0.1"


@pytest.mark.parametrize("minor", [0, 1])
@pytest.mark.parametrize("body", [b"", b"hello", PART * 100])
def test_an_application_echoes_a_body(mount: Mount, body: bytes, minor: int) -> None:
    with HttpPeer(mount(echo).address) as peer:
        threading.Thread(
            target=peer.request, args=("POST", "/app/x", body), kwargs={"minor": minor}
        ).start()
        response = read_response(peer, "POST")
    assert (response.status, response.is_whole) == (200, True)
    assert response.body == body


def test_paths_beside_the_mount_are_those_of_the_server(mount: Mount) -> None:
    mounted = mount(echo)
    assert (
        mounted.fetch("/EchoService/Echo", "POST", b'{"message":"hi"}').body == b'{"message":"hi"}'
    )
    assert mounted.fetch("/application").status == 404
    assert mounted.fetch("/app").status == 200


def test_pipelined_requests_are_answered_in_order(mount: Mount) -> None:
    with HttpPeer(mount(echo).address) as peer:
        for number in range(50):
            peer.request("POST", "/app/", b"%d" % number)
        for number in range(50):
            assert read_response(peer, "POST").body == b"%d" % number


def test_a_body_without_length_is_chunked(mount: Mount) -> None:
    @only_http
    async def application(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 201})
        for more in (True, True, False):
            await send({"type": "http.response.body", "body": b"ab", "more_body": more})

    response = mount(application).fetch()
    assert (response.status, response.body, response.is_whole) == (201, b"ababab", True)
    assert response.headers["transfer-encoding"] == "chunked"


def test_head_has_no_body(mount: Mount) -> None:
    mounted = mount(echo)
    with HttpPeer(mounted.address) as peer:
        peer.request("HEAD", "/app/")
        peer.request("POST", "/app/", b"next")
        response = read_response(peer, "HEAD")
        assert (response.status, response.body, response.is_whole) == (200, b"", True)
        assert read_response(peer, "POST").body == b"next"


def test_each_cookie_has_its_line(mount: Mount) -> None:
    @only_http
    async def application(scope: Any, receive: Any, send: Any) -> None:
        await respond(send, b"", (b"set-cookie", b"a=1"), (b"Set-Cookie", b"b=2"))

    with HttpPeer(mount(application).address) as peer:
        peer.request("GET", "/app")
        head = peer.read_until(b"\r\n\r\n").lower()
    assert head.count(b"set-cookie:") == 2


async def raises(scope: Any, receive: Any, send: Any) -> None:
    raise ValueError("secret")


async def raises_anything(scope: Any, receive: Any, send: Any) -> None:
    raise SystemExit(3)


async def sends_nothing(scope: Any, receive: Any, send: Any) -> None:
    await receive()


async def sends_nonsense(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.nonsense"})


async def sends_body_first(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.body", "body": b"x"})


async def sends_bad_header(scope: Any, receive: Any, send: Any) -> None:
    await respond(send, b"", (b"x", b"a\r\nb: c"))


async def sends_bad_status(scope: Any, receive: Any, send: Any) -> None:
    await respond(send, b"", status=7)


async def sends_interim_status(scope: Any, receive: Any, send: Any) -> None:
    await respond(send, b"", status=103)


async def sends_bad_length(scope: Any, receive: Any, send: Any) -> None:
    await respond(send, b"", (b"content-length", b"x"))


@pytest.mark.parametrize(
    "application",
    [
        raises,
        raises_anything,
        sends_nothing,
        sends_nonsense,
        sends_body_first,
        sends_bad_header,
        sends_bad_status,
        sends_interim_status,
        sends_bad_length,
    ],
)
def test_an_application_that_fails_before_its_head_is_answered_500(
    mount: Mount, application: Application, caplog: pytest.LogCaptureFixture
) -> None:
    mounted = mount(only_http(application))
    with HttpPeer(mounted.address) as peer:
        for _ in range(2):
            peer.request("GET", "/app/")
            response = read_response(peer)
            assert (response.status, response.is_whole) == (500, True)
            assert b"secret" not in response.body
    assert "the application at /app" in caplog.text
    assert mounted.server.statistics().errors == 2


async def fails_later(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": b"part", "more_body": True})
    raise ValueError("later")


async def ends_early(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": b"part", "more_body": True})


async def sends_less(scope: Any, receive: Any, send: Any) -> None:
    await respond(send, b"part", (b"content-length", b"5"))


async def sends_more(scope: Any, receive: Any, send: Any) -> None:
    await send(
        {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]}
    )
    await send({"type": "http.response.body", "body": b"part", "more_body": True})
    await send({"type": "http.response.body", "body": b"part"})


@pytest.mark.parametrize("application", [fails_later, ends_early, sends_less, sends_more])
def test_an_application_that_fails_later_cuts_the_body_off(
    mount: Mount, application: Application
) -> None:
    mounted = mount(only_http(application))
    response = mounted.fetch()
    assert (response.status, response.body, response.is_whole) == (200, b"part", False)
    wait_until(mounted.is_idle)


def test_what_is_sent_behind_the_response_is_an_error_of_the_application(
    mount: Mount, caplog: pytest.LogCaptureFixture
) -> None:
    @only_http
    async def application(scope: Any, receive: Any, send: Any) -> None:
        await respond(send, b"a")
        await send({"type": "http.response.body", "body": b"b"})

    with HttpPeer(mount(application).address) as peer:
        for _ in range(2):
            peer.request("GET", "/app/")
            assert read_response(peer).body == b"a"
        wait_until(lambda: "where it can't be sent" in caplog.text)


def test_the_word_to_send_a_body_comes_when_the_application_receives(mount: Mount) -> None:
    @only_http
    async def application(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/app/refuse":
            await respond(send, b"no", (b"content-length", b"2"), status=403)
        else:
            await echo(scope, receive, send)

    mounted = mount(application)
    head = b"POST /app/%s HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n"
    with HttpPeer(mounted.address) as peer:
        peer.send(head % b"take")
        assert peer.read_until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        peer.send(b"body")
        assert read_response(peer, "POST").body == b"body"
        peer.send(head % b"refuse")
        response = read_response(peer, "POST")
        assert (response.status, response.interim) == (403, [])
        assert peer.read_all() == b""


def test_a_body_that_the_application_does_not_read_ends_the_connection(mount: Mount) -> None:
    @only_http
    async def application(scope: Any, receive: Any, send: Any) -> None:
        await respond(send, b"no", (b"content-length", b"2"))

    mounted = mount(application)
    with HttpPeer(mounted.address) as peer:
        peer.send(b"POST /app/ HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nabc")
        assert read_response(peer, "POST").body == b"no"
        assert peer.read_all() == b""
    with HttpPeer(mounted.address) as peer:
        for _ in range(2):
            peer.request("POST", "/app/", b"a body that has come")
            assert read_response(peer, "POST").body == b"no"


def test_an_upload_waits_for_the_application(mount: Mount) -> None:
    goes_on = threading.Event()
    taken: list[int] = []

    @only_http
    async def application(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.to_thread(goes_on.wait, 1000.0)
        while True:
            message = await receive()
            taken.append(len(message["body"]))
            if not message["more_body"]:
                break
        await respond(send, b"%d" % sum(taken))

    mounted = mount(application, options=pybrpc.SocketOptions(receive_buffer_bytes=65536))
    size = 16 * UNREAD_BYTES
    sent: list[int] = []

    def upload(peer: HttpPeer) -> None:
        peer.send(b"POST /app/ HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size)
        for _ in range(size // len(PART)):
            peer.send(PART)
            sent.append(len(PART))

    with HttpPeer(mounted.address) as peer:
        thread = threading.Thread(target=upload, args=(peer,))
        thread.start()
        before = -1
        while before != len(sent) or not sent:
            before = len(sent)
            threading.Event().wait(0.2)
        assert sum(sent) < size // 2
        goes_on.set()
        assert read_response(peer, "POST").body == b"%d" % size
        thread.join(20)


def test_a_download_waits_for_the_client(mount: Mount) -> None:
    sent: list[int] = []
    errors: list[BaseException] = []

    @only_http
    async def application(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200})
        try:
            while True:
                await send({"type": "http.response.body", "body": PART, "more_body": True})
                sent.append(len(PART))
        except BaseException as error:
            errors.append(error)
            raise

    mounted = mount(application, options=pybrpc.SocketOptions(send_buffer_bytes=65536))
    with HttpPeer(mounted.address, 65536) as peer:
        peer.request("GET", "/app/")
        peer.read()
        before = -1
        while before != len(sent):
            before = len(sent)
            threading.Event().wait(0.2)
        (connection,) = mounted.server.unfinished_connections()
        assert connection.unwritten_bytes <= WINDOW_BYTES + len(PART)
    wait_until(lambda: bool(errors))
    assert isinstance(errors[0], OSError)
    wait_until(mounted.is_idle)


def test_an_application_gets_to_know_that_the_client_is_gone(mount: Mount) -> None:
    seen: list[Any] = []

    @only_http
    async def application(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b"a", "more_body": True})
        await body_of(receive)
        seen.append(await receive())
        seen.append(await receive())

    mounted = mount(application)
    with HttpPeer(mounted.address) as peer:
        peer.request("GET", "/app/")
        peer.read_until(b"a\r\n")
    wait_until(lambda: len(seen) == 2)
    assert seen == [{"type": "http.disconnect"}] * 2
    wait_until(mounted.is_idle)


def test_a_client_that_ends_its_side_still_gets_its_response(mount: Mount) -> None:
    with HttpPeer(mount(echo).address) as peer:
        peer.request("POST", "/app/", PART * 100)
        peer.shut_down()
        response = read_response(peer, "POST")
    assert (response.body, response.is_whole) == (PART * 100, True)


@pytest.mark.slow
def test_requests_of_one_connection_that_run_at_once_are_bounded(mount: Mount) -> None:
    goes_on = threading.Event()
    running: list[int] = []

    @only_http
    async def application(scope: Any, receive: Any, send: Any) -> None:
        running.append(1)
        while not goes_on.is_set():
            await asyncio.sleep(0.01)
        await respond(send, b"", (b"content-length", b"0"))

    request = b"GET /app/ HTTP/1.1\r\nHost: a\r\n\r\n"
    with HttpPeer(mount(application).address) as peer:
        thread = threading.Thread(target=lambda: [peer.send(request * 100) for _ in range(60)])
        thread.start()
        before = -1
        while before != len(running) or not running:
            before = len(running)
            threading.Event().wait(0.2)
        assert before < 4000
        goes_on.set()
        for _ in range(6000):
            peer.read_until(b"\r\n\r\n")
        thread.join(20)


def test_a_body_that_breaks_off_is_a_disconnect(mount: Mount) -> None:
    seen: list[Any] = []

    @only_http
    async def application(scope: Any, receive: Any, send: Any) -> None:
        while not seen or seen[-1]["type"] != "http.disconnect":
            seen.append(await receive())

    mounted = mount(application)
    with HttpPeer(mounted.address) as peer:
        peer.send(b"POST /app/ HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc")
        wait_until(lambda: bool(seen))
    wait_until(mounted.is_idle)
    with HttpPeer(mounted.address) as peer:
        seen.clear()
        peer.send(
            b"POST /app/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nno"
        )
        wait_until(lambda: bool(seen) and seen[-1]["type"] == "http.disconnect")
    wait_until(mounted.is_idle)


def test_a_whole_body_of_a_client_that_is_gone_is_not_cut_short(mount: Mount) -> None:
    goes_on = threading.Event()
    seen: list[Any] = []

    @only_http
    async def application(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.to_thread(goes_on.wait, 1000.0)
        seen.append(await receive())

    mounted = mount(application)
    run: Any = mounted.server._run
    with HttpPeer(mounted.address) as peer:
        peer.request("POST", "/app/", PART)
        wait_until(lambda: any(each.unanswered.size_bytes > len(PART) for each in run.connections))
        peer.reset()
        wait_until(lambda: not run.connections)
    goes_on.set()
    wait_until(lambda: bool(seen))
    assert seen == [{"type": "http.disconnect"}]


def test_number_in_place_of_bytes_is_an_error_of_the_application(mount: Mount) -> None:
    """`bytes(5)` would be five zero bytes."""

    @only_http
    async def application(scope: Any, receive: Any, send: Any) -> None:
        start = {"type": "http.response.start", "status": 200}
        with pytest.raises(TypeError, match="sent a int where bytes are needed"):
            await send(start | {"headers": [(b"x", 5)]})
        await send(start)
        with pytest.raises(TypeError, match="sent a int where bytes are needed"):
            await send({"type": "http.response.body", "body": 5})
        await send({"type": "http.response.body", "body": bytearray(b"ok")})

    assert mount(application).fetch("/app/").body == b"ok"
