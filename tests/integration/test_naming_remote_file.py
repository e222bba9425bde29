"""remotefile:// against HTTP servers: a scripted one, and a real nginx with its ETags.

bRPC's test `remotefile` is in tests/integration/test_acceptance_naming.py.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from pybrpc.errors import AddressError
from pybrpc.naming import watch
from tests.peers.http_stand_in import Answer, Fault, HttpStandIn, Request
from tests.peers.naming_watchers import RecordingWatcher, watching
from tests.peers.nginx_http import NginxHttp

QUICK = "interval=0.02&retry=0.01&max_retry=0.05&confirm_interval=0.01"


class FileServer(HttpStandIn):
    """One file, whatever the path."""

    text = "a:1 3\r\nb:2\n"

    def respond(self, request: Request) -> Answer:
        return Answer(self.text.encode())


@pytest.fixture
def server() -> Iterator[FileServer]:
    with FileServer() as made:
        yield made


def test_changes_and_the_rest_of_the_query(server: FileServer) -> None:
    with watching(f"remotefile://{server.address}/list/of?v=2&{QUICK}&x=%2F") as watcher:
        watcher.wait_list("a:1 3", "b:2")
        server.text = "c:3"
        watcher.wait_list("c:3")
        assert server.requests[0].path == "/list/of"
        assert server.requests[0].fields == {"v": ["2"], "x": ["/"]}


FAULTS = {
    "404": (Fault(status=404, body=b"not here"), "status 404"),
    "204": (Fault(status=204), "status 204"),
    "304 unasked": (Fault(status=304), "status 304"),
    "hang": (Fault(hangs=True), "timed out"),
    "truncated": (Fault(truncated=True), "IncompleteRead"),
    "no text": (Fault(body=b"\xff\xfe"), "no text"),
    "no servers": (Fault(body=b"<html>\n<body>"), "no server can be used"),
    "empty": (Fault(body=b""), "1 of 3"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_keep_the_last_list(server: FileServer, fault: str) -> None:
    server.faults.extend([Fault(), FAULTS[fault][0]])
    with watching(f"remotefile://{server.address}/x?timeout=0.1&{QUICK}") as watcher:
        watcher.wait_error(FAULTS[fault][1])
        assert watcher.lists == [["a:1 3", "b:2"]]
        server.text = "c:3"
        watcher.wait_list("c:3")


@pytest.mark.program("nginx")
def test_nginx_sends_the_file_only_when_it_has_changed(tmp_path: Path) -> None:
    with NginxHttp(tmp_path) as nginx:
        file = nginx.files / "servers"
        file.write_text("a:1\n")
        with watching(f"remotefile://http://{nginx.address}/servers?{QUICK}") as watcher:
            watcher.wait_list("a:1")
            file.write_text("b:2\nc:3 x\n")
            watcher.wait_list("b:2", "c:3 x")
            file.unlink()
            watcher.wait_error("status 404")
            file.write_text("")
            watcher.wait_list()
            assert watcher.lists == [["a:1"], ["b:2", "c:3 x"], []]


def test_https(tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with FileServer(context) as server:
        where = f"remotefile://https://{server.address}/x?{QUICK}"
        with watching(where) as watcher:
            watcher.wait_error("the certificate is refused")
        with watching(f"{where}&ca_file={tmp_path}/ca.pem") as watcher:
            watcher.wait_list("a:1 3", "b:2")


@pytest.mark.parametrize("rest", ["", "/x", "ftp://h/x", "h:x/y", "me:pw@h/x", "h/x?interval=x"])
def test_wrong_urls_are_refused(rest: str) -> None:
    with pytest.raises(AddressError) as caught:
        watch(f"remotefile://{rest}", RecordingWatcher())
    assert "pw" not in str(caught.value)
