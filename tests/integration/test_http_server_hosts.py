"""allowed_hosts: under which names HTTP is answered, and what a name of foreign DNS reaches."""

from __future__ import annotations

from typing import Any

import pytest

import pybrpc
from tests.peers.access_lines import HTTP, AccessLines
from tests.peers.asgi_apps import echo
from tests.peers.http_server import (
    JSON,
    PATH,
    SERVICE,
    EchoHandler,
    ask,
    client_of,
    connected,
    read_responses,
    serving_http,
)

BODY = b'{"message":"m"}'
EVIL = {"Host": "evil.example:8000"}
TARGETS = [("POST", PATH), ("GET", "/app/x"), ("GET", "/health"), ("GET", "/nothing")]


def made_server(called: list[Any], **options: Any) -> pybrpc.Server:
    server = pybrpc.Server(**options)
    server.add_service(SERVICE, EchoHandler(lambda *each: called.append(each)), partial=True)
    server.mount("/app", echo, check_credentials=False)
    return server


def test_other_hosts_are_refused_for_methods_mounts_and_pages() -> None:
    called: list[Any] = []
    hosts = ["api.example.com", "*.corp"]
    with made_server(called, allowed_hosts=hosts) as server:
        server.start("127.0.0.1:0")
        with client_of(server) as client:
            for method, path in TARGETS:
                for host in ("evil.example:8000", str(server.endpoint), "localhost", "corp"):
                    answer = ask(client, method, path, BODY, {**JSON, "Host": host})
                    assert (answer.status, "allowed_hosts" in answer.text) == (421, True)
            assert called == []
            for host in ("api.example.com:8000", "a.corp"):
                statuses = [
                    ask(client, method, path, BODY, {**JSON, "Host": host}).status
                    for method, path in TARGETS
                ]
                assert statuses == [200, 200, 200, 404]
    assert len(called) == 2


def test_host_of_the_target_counts() -> None:
    request = b"GET http://%s/health HTTP/1.1\r\nHost: %s\r\n\r\n"
    with serving_http(allowed_hosts=["good.example"]) as server, connected(server) as sock:
        sock.sendall(request % (b"evil.example", b"good.example"))
        sock.sendall(request % (b"good.example", b"evil.example"))
        sock.sendall(request % (b"good.example:80", b"good.example"))
        sock.sendall(b"GET /health HTTP/1.0\r\n\r\n")
        assert [each.status for each in read_responses(sock, 4, "GET")] == [421, 421, 200, 421]


class Refusing(pybrpc.Authenticator):
    def generate_credential(self) -> bytes:
        return b""

    def verify_credential(self, credential: bytes, client: Any) -> Any:
        raise PermissionError


def test_host_is_looked_at_before_credentials_and_origins() -> None:
    lines = AccessLines()
    options: dict[str, Any] = {"auth": Refusing(), "allowed_hosts": "good.example"}
    with serving_http(access_log=lines.option, **options) as server, client_of(server) as client:
        headers = {**EVIL, "Origin": "http://evil.example:8000", "Authorization": "secret"}
        assert ask(client, "POST", PATH, BODY, headers).status == 421
        assert ask(client, "POST", PATH, BODY, {"Host": "good.example"}).status == 403
    assert lines.wait(2, *HTTP) == [("POST", PATH, 421), ("POST", PATH, 403)]


def test_internal_port_has_its_own_hosts_and_those_that_were_named() -> None:
    with serving_http(allowed_hosts=["good.example"], internal_port=0) as server:
        with client_of(server, internal=True) as client:
            assert ask(client, "GET", "/flags").status == 200
            assert ask(client, "GET", "/flags", headers={"Host": "good.example"}).status == 200
            assert ask(client, "GET", "/flags", headers=EVIL).status == 403
    with serving_http(internal_port=0) as server, client_of(server, internal=True) as client:
        assert ask(client, "GET", "/flags", headers={"Host": "good.example"}).status == 403


def test_pages_that_are_not_public_are_shown_under_hosts_that_were_named() -> None:
    options: dict[str, Any] = {"builtin_allow": ["127.0.0.0/8"]}
    good = {"Host": "good.example"}
    with serving_http(allowed_hosts=["good.example"], **options) as server:
        with client_of(server) as client:
            assert ask(client, "GET", "/flags", headers=good).status == 200
            assert ask(client, "GET", "/flags").status == 421
    for hosts in (None, ["*"], ["good.example", "*"]):
        with serving_http(allowed_hosts=hosts, **options) as server, client_of(server) as client:
            assert ask(client, "GET", "/flags", headers=good).status == 403
            assert ask(client, "GET", "/flags").status == 200


def test_without_the_option_a_rebound_name_reaches_methods_but_no_internal_page() -> None:
    """For the browser it is one site, so the Origin has the same name as the Host. SECURITY.md says
    so."""
    same_site = {**EVIL, "Origin": "http://evil.example:8000", "Sec-Fetch-Site": "same-origin"}
    with serving_http(builtin_allow=["127.0.0.0/8"]) as server, client_of(server) as client:
        assert ask(client, "POST", PATH, BODY, {**JSON, **same_site}).status == 200
        assert ask(client, "GET", "/health", headers=same_site).status == 200
        assert ask(client, "GET", "/flags", headers=same_site).status == 403
    with serving_http(allowed_hosts="127.0.0.1") as server, client_of(server) as client:
        assert ask(client, "POST", PATH, BODY, {**JSON, **same_site}).status == 421


@pytest.mark.parametrize("hosts", [["a:80"], ["http://a"], [""], []])
def test_options_that_make_no_sense(hosts: list[str]) -> None:
    with pytest.raises(ValueError, match="allowed_hosts: "):
        pybrpc.Server(allowed_hosts=hosts)
