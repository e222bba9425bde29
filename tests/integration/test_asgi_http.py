"""Applications of ASGI that a server mounts: requests of HTTP, and the lifespan."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import pybrpc
from bench.echo_messages import SERVICE
from pybrpc.errors import ServerStateError
from pybrpc.server.http.body_queue import WINDOW_BYTES as UNREAD_BYTES
from pybrpc.server.http.response_stream import WINDOW_BYTES
from soak.echo_services import PlainEcho
from tests.fakes.threads import wait_until
from tests.peers.http_peer import HttpPeer, Response, read_response

PART = b"x" * 16 * 1024
Application = Callable[[Any, Any, Any], Any]


class Mounted:
    """A running server with one application at /app."""

    def __init__(self, application: Any, start: bool = True, **options: Any) -> None:
        of_mount = {name: options.pop(name) for name in list(options) if name.startswith("check_")}
        self.server = pybrpc.Server(**options)
        self.server.add_service(SERVICE, PlainEcho())
        self.server.mount("/app", application, **of_mount)
        if start:
            self.address = self.server.start("127.0.0.1:0")

    def fetch(
        self, target: str = "/app/", method: str = "GET", body: bytes = b"", **headers: str
    ) -> Response:
        with HttpPeer(self.address) as peer:
            peer.request(method, target, body, **headers)
            return read_response(peer, method)

    def is_idle(self) -> bool:
        return all(each.holds == 0 for each in self.server.unfinished_connections())


Mount = Callable[..., Mounted]


@pytest.fixture
def mount() -> Iterator[Mount]:
    made: list[Mounted] = []

    def start(application: Any, **options: Any) -> Mounted:
        made.append(Mounted(application, **options))
        return made[-1]

    yield start
    for each in made:
        each.server.stop(0)
        assert each.server.join(20)


async def body_of(receive: Any) -> bytes:
    body = b""
    while True:
        message = await receive()
        assert message["type"] == "http.request", message
        body += message["body"]
        if not message["more_body"]:
            return body


async def respond(send: Any, body: bytes, *headers: tuple[bytes, bytes], status: int = 200) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def only_http(application: Application) -> Application:
    """`application`, which knows no lifespan."""

    async def wrapped(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        await application(scope, receive, send)

    return wrapped


@only_http
async def echo(scope: Any, receive: Any, send: Any) -> None:
    body = await body_of(receive)
    await respond(send, body, (b"content-length", b"%d" % len(body)))


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


@pytest.mark.parametrize("path", ["app", "/", "/app/", "", "/a//b", "/a b", "/a?", "/%61"])
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
    with pytest.raises(ServerStateError, match="already"):
        mounted.server.mount("/app", echo)
    with pytest.raises(TypeError, match="check_origin"):
        mounted.server.mount("/b", echo, check_origin=1)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="max_websocket_message_size"):
        mounted.server.mount("/b", echo, max_websocket_message_size=0)
