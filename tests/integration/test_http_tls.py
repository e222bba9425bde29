"""A client of HTTP over TLS, and the server of Python's standard library."""

from __future__ import annotations

import contextlib
import http.server
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pybrpc
from tests.peers.tls import Certificates


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers with the Host of the request."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = self.headers["Host"].encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: Any) -> None: ...


@contextlib.contextmanager
def https_server(certificates: Certificates) -> Iterator[str]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.server.cert, certificates.server.key)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_https(tmp_path: Path) -> None:
    certificates = Certificates(tmp_path)
    tls = pybrpc.ClientTls(ca=certificates.ca)
    with (
        https_server(certificates) as address,
        pybrpc.Channel(address, protocol="http", tls=tls, timeout=30) as channel,
    ):
        for _ in range(3):
            assert channel.http("GET", "/").text() == address
        with channel.http("GET", "/", stream=True) as response:
            assert response.body.read() == address.encode()
        statistics = channel.endpoint_statistics()
        assert statistics is not None
        assert statistics.created == 1
