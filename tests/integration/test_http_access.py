"""Credentials, other sites, the internal port: which requests of HTTP are answered.

Names in quotes are those of bRPC's test/brpc_http_rpc_protocol_unittest.cpp.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from typing import Any

import pytest

import pybrpc
from pybrpc.errors import AuthenticationError, ListenError
from pybrpc.server.http.page_target import MAX_RUNNING, MAX_WAITING
from tests.peers.http_server import (
    JSON,
    PATH,
    TIMEOUT_S,
    ask,
    client_of,
    connected,
    post,
    read_all,
    read_responses,
    request_bytes,
    serving_http,
)

BODY = b'{"message":"m"}'


class Judge:
    def generate_credential(self) -> bytes:
        return b"good"

    def verify_credential(self, credential: bytes, client: Any) -> pybrpc.AuthContext:
        if credential != b"good":
            raise AuthenticationError("who are you?")
        return pybrpc.AuthContext(user="me")


def test_credentials_are_verified_for_each_request() -> None:
    users: list[Any] = []

    def note(request: Any, controller: pybrpc.Controller) -> None:
        users.append(controller.auth_context)

    with serving_http(note, auth=Judge(), internal_port=0) as server:
        with client_of(server) as client:
            good = {**JSON, "Authorization": "good"}
            assert ask(client, "POST", PATH, BODY, good).status == 200
            answer = ask(client, "POST", PATH, BODY, JSON)
            assert (answer.status, answer.headers["x-bd-error-code"]) == (403, "1004")
            assert answer.text == "[E1004]Fail to authenticate: who are you?"
            assert ask(client, "GET", "/health").status == 403
            assert ask(client, "GET", "/health", headers=good).status == 200
            assert server.statistics().accepted == 1
        with client_of(server, internal=True) as client:
            assert ask(client, "GET", "/health").status == 200
    assert users == [pybrpc.AuthContext(user="me")]


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "http://evil.example", "Sec-Fetch-Site": "same-origin"},
    ],
)
def test_pages_of_other_sites_are_refused(headers: dict[str, str]) -> None:
    called: list[Any] = []
    with serving_http(lambda *each: called.append(each)) as server, client_of(server) as client:
        answer = ask(client, "POST", PATH, BODY, {"Content-Type": "text/plain", **headers})
        assert (answer.status, "access-control-allow-origin" in answer.headers) == (403, False)
        assert ask(client, "GET", "/vars", headers=headers).status == 403
        own = {"Origin": f"http://{server.endpoint}", "Sec-Fetch-Site": "same-origin"}
        assert ask(client, "POST", PATH, BODY, own).status == 200
    assert len(called) == 1


def test_links_of_other_sites_lead_to_pages_and_not_to_calls() -> None:
    link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    link["Sec-Fetch-Dest"] = "document"
    with serving_http(restful_mappings="/v1/echo => Echo") as server, client_of(server) as client:
        assert ask(client, "GET", "/health", headers=link).status == 200
        assert ask(client, "GET", "/v1/echo?message=m", headers=link).status == 403
        frame = {**link, "Sec-Fetch-Dest": "iframe"}
        assert ask(client, "GET", "/health", headers=frame).status == 403


def test_cors_names_the_sites_that_may() -> None:
    with serving_http(cors=["https://app.example.com"]) as server, client_of(server) as client:
        origin = {"Origin": "https://app.example.com"}
        for answer in (
            ask(client, "POST", PATH, BODY, origin),
            ask(client, "POST", PATH, b"{bad", origin),
            ask(client, "POST", "/none", b"", origin),
            ask(client, "GET", "/health", headers=origin),
        ):
            assert answer.headers["access-control-allow-origin"] == "https://app.example.com"
        asks = {
            **origin,
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "content-type",
        }
        answer = ask(client, "OPTIONS", PATH, headers=asks)
        assert answer.status == 204
        assert answer.headers["access-control-allow-headers"] == "content-type"
        asks["Origin"] = "https://app.example.com.evil"
        assert ask(client, "OPTIONS", PATH, headers=asks).status == 403


def test_verify_builtin_request_on_internal_port() -> None:
    """ "verify_builtin_request_on_internal_port" """
    with serving_http(internal_port=0) as server:
        with client_of(server) as client:
            assert ask(client, "GET", "/health").status == 200
            assert ask(client, "GET", "/connections").status == 403
        with client_of(server, internal=True) as client:
            assert ask(client, "GET", "/connections").status == 200
            assert post(client).status == 403
            rebound = {"Host": "evil.example"}
            assert ask(client, "GET", "/connections", headers=rebound).status == 403
        with connected(server, internal=True) as sock:
            sock.sendall(b"PRPC\0\0\0\0\0\0\0\0")
            assert read_all(sock) == b""


def test_internal_port_has_pages_while_the_server_is_full_and_stops() -> None:
    gate, entered = threading.Event(), threading.Event()

    def wait(request: Any, controller: pybrpc.Controller) -> None:
        entered.set()
        assert gate.wait(TIMEOUT_S)

    with serving_http(wait, internal_port=0, max_concurrency=1) as server:
        with connected(server) as sock:
            sock.sendall(request_bytes("last"))
            assert entered.wait(TIMEOUT_S)
            for path, status in (("/readiness", 200), ("/health", 200), ("/ids", 200)):
                with client_of(server, internal=True) as client:
                    assert ask(client, "GET", path).status == status
            server.stop(TIMEOUT_S)
            for path, status in (("/readiness", 503), ("/health", 200), ("/ids", 200)):
                with client_of(server, internal=True) as client:
                    assert ask(client, "GET", path).status == status
            gate.set()
            assert read_responses(sock, 1)[0].status == 200


def test_connection_to_the_internal_port_that_comes_late_ends_with_the_server() -> None:
    """While the functions of the application for the end run, its pages are still there."""
    gate, entered = threading.Event(), threading.Event()

    def wait() -> None:
        entered.set()
        assert gate.wait(TIMEOUT_S)

    server = pybrpc.Server(internal_port=0)
    server.on_shutdown(wait)
    with server:
        server.start("127.0.0.1:0")
        server.stop(TIMEOUT_S)
        assert entered.wait(TIMEOUT_S)
        with connected(server, internal=True) as sock:
            sock.sendall(b"GET /readiness HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            assert read_responses(sock, 1, "GET")[0].status == 503
            gate.set()
            assert server.join(TIMEOUT_S)
            assert sock.recv(1) == b""


def test_networks_that_may_use_all_pages() -> None:
    with serving_http(builtin_allow=["127.0.0.0/8"]) as server, client_of(server) as client:
        assert ask(client, "GET", "/connections").status == 200
        assert ask(client, "GET", "/connections", headers={"Host": "evil.example"}).status == 403
    with serving_http(builtin_allow=["10.0.0.0/8"]) as server, client_of(server) as client:
        assert ask(client, "GET", "/connections").status == 403


def test_pages_that_run_at_once_are_bounded() -> None:
    gate = threading.Event()
    running = threading.Semaphore(0)

    def report() -> bool:
        running.release()
        return gate.wait(TIMEOUT_S)

    with serving_http(health_reporter=report) as server, contextlib.ExitStack() as stack:
        peers = [stack.enter_context(connected(server)) for _ in range(MAX_RUNNING)]
        for peer in peers:
            peer.sendall(b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n")
        for _ in peers:
            assert running.acquire(timeout=TIMEOUT_S)
        with client_of(server) as client:
            answer = ask(client, "GET", "/status")
            assert (answer.status, answer.headers["retry-after"]) == (503, "1")
            assert post(client).status == 200, "calls go on"
            gate.set()
            for peer in peers:
                assert read_responses(peer, 1, "GET")[0].status == 200
            assert ask(client, "GET", "/status").status == 200


def test_pages_of_one_connection_run_one_after_another() -> None:
    """A packet may ask for hundreds, and to start a thread for each would take long in the turn."""
    gate = threading.Event()
    entered = threading.Semaphore(0)

    def report() -> bool:
        entered.release()
        return gate.wait(TIMEOUT_S)

    count = 1 + MAX_WAITING
    with serving_http(health_reporter=report) as server, connected(server) as peer:
        peer.sendall(b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n" * (count + 5))
        assert entered.acquire(timeout=TIMEOUT_S)
        with client_of(server) as client:
            assert ask(client, "GET", "/version").status == 200
        pages = [each for each in threading.enumerate() if each.name == "pybrpc-page-health"]
        assert len(pages) == 1
        gate.set()
        statuses = [answer.status for answer in read_responses(peer, count + 5, "GET")]
        assert statuses == [200] * count + [503] * 5


def test_server_without_pages() -> None:
    with serving_http(builtin_services=False) as server, client_of(server) as client:
        for path in ("/", "/health", "/vars", "/connections"):
            assert ask(client, "GET", path).status == 404
        assert post(client).status == 200


def test_start_that_fails_at_the_internal_port_leaves_nothing_polled(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with serving_http(internal_port=0) as server:
        taken = server.internal_endpoint.port
        with pytest.raises(ListenError):
            pybrpc.Server(internal_port=taken).start("127.0.0.1:0")
    for _ in range(3):  # their descriptors have the numbers of those above
        with serving_http() as another, client_of(another) as client:
            assert ask(client, "GET", "/health").status == 200
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]
