"""Which application, method or page answers a path; mounts that hide something are refused."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest

import pybrpc
from pybrpc.errors import ServerStateError
from tests.peers.asgi_apps import only_http, respond
from tests.peers.http_server import PATH, SERVICE, EchoHandler, ask, client_of, post

Application = Callable[[Any, Any, Any], Any]


def named(name: str) -> Application:
    """An application that says its name, and what the scope has."""

    @only_http
    async def application(scope: Any, receive: Any, send: Any) -> None:
        await respond(send, f"{name} {scope['root_path']}|{scope['path']}".encode())

    return application


def server_with(*mounts: str, mappings: str = "", **options: Any) -> pybrpc.Server:
    server = pybrpc.Server(**options)
    server.add_service(SERVICE, EchoHandler(), partial=True, restful_mappings=mappings)
    for path in mounts:
        server.mount(path, named(f"<{path}>"))
    return server


@pytest.mark.parametrize(
    "path",
    [
        "/vars",
        "/brpc.vars",
        "/index",
        "/vars/sub",
        "/EchoService",
        "/conformance.EchoService",
        "/EchoService/Echo",
        "/EchoService/ui",
    ],
)
def test_mount_that_hides_a_page_or_a_service_is_refused(path: str) -> None:
    server = server_with()
    with pytest.raises(ValueError, match="begins with the name of the"):
        server.mount(path, named("a"))
    if "EchoService" not in path:
        server_with(path, builtin_services=False)


@pytest.mark.parametrize("path", ["/v1", "/v1/echo"])
def test_mount_that_hides_a_restful_path_is_refused(path: str) -> None:
    server = server_with(mappings="/v1/echo/{message} => Echo, /*/echo => Echo")
    with pytest.raises(ValueError, match=r"hides the restful path /v1/echo/\{message\}"):
        server.mount(path, named("a"))
    server.mount("/v1/echoes", named("a"))
    server.mount("/v2", named("a"))
    with pytest.raises(ValueError, match="already"):
        server.mount("/v2", named("b"))


def test_service_that_a_mount_would_hide_is_refused() -> None:
    server = pybrpc.Server()
    server.mount("/EchoService/ui", named("a"))
    with pytest.raises(ServerStateError, match="of the mount /EchoService/ui"):
        server.add_service(SERVICE, EchoHandler(), partial=True)
    server = pybrpc.Server()
    server.mount("/v1", named("a"))
    mappings = "/v1/echo => Echo"
    with pytest.raises(ValueError, match="restful path /v1/echo is below the mount /v1"):
        server.add_service(SERVICE, EchoHandler(), partial=True, restful_mappings=mappings)
    server.add_service(SERVICE, EchoHandler(), partial=True)
    with pytest.raises(ValueError, match="of the service conformance"):
        server.mount("/EchoService", named("a"))


def test_longest_path_goes_first() -> None:
    server = server_with("/v1", "/v1/app", mappings="/* => Echo", builtin_services=False)
    with server:
        server.start("127.0.0.1:0")
        with client_of(server) as client:
            for path, found in (
                ("/v1/app/x", "</v1/app> /v1/app|/v1/app/x"),
                ("/v1/app", "</v1/app> /v1/app|/v1/app"),
                ("/v1/apple", "</v1> /v1|/v1/apple"),
                ("/v1/", "</v1> /v1|/v1/"),
            ):
                assert ask(client, "GET", path).text == found
            assert post(client, "hi", path="/v2").json["message"] == "hi"


def test_application_at_the_root_gets_what_nothing_else_is_for() -> None:
    server = pybrpc.Server(internal_port=0)
    mapped: dict[str, Any] = {"restful_mappings": "GET /v1/echo => Echo", "allow_default_url": True}
    server.add_service(SERVICE, EchoHandler(), partial=True, **mapped)
    server.mount("/", named("</>"))
    server.mount("/app", named("</app>"))
    with server:
        server.start("127.0.0.1:0")
        with client_of(server) as client:
            for path, found in (
                ("/", "</> |/"),
                ("/users/7", "</> |/users/7"),
                ("/EchoService/None", "</> |/EchoService/None"),
                ("/app/x", "</app> /app|/app/x"),
            ):
                assert ask(client, "GET", path).text == found
            assert ask(client, "GET", "/health").text == "OK"
            assert "more pages" in ask(client, "GET", "/index").text
            assert post(client, "hi", path=PATH).json["message"] == "hi"
            assert ask(client, "GET", "/v1/echo?message=m").json["message"] == "m"
            assert ask(client, "POST", "/v1/echo").status == 405
            evil = {"Origin": "http://evil.example"}
            assert ask(client, "GET", "/users/7", headers=evil).status == 403
        with client_of(server, internal=True) as client:
            assert ask(client, "GET", "/users/7").status == 403


def test_errors_of_the_application_at_the_root_name_it(caplog: pytest.LogCaptureFixture) -> None:
    @only_http
    async def application(scope: Any, receive: Any, send: Any) -> None:
        """Sends nothing."""

    server = pybrpc.Server()
    server.mount("/", application)
    with caplog.at_level(logging.ERROR, "pybrpc.server"), server:
        server.start("127.0.0.1:0")
        with client_of(server) as client:
            assert ask(client, "GET", "/").status == 500
    assert "the application at / has sent no response" in caplog.text
