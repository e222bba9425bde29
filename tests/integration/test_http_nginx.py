"""A client of HTTP/1.1 and a real nginx."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pybrpc
from tests.peers.echo import ECHO, echo_request
from tests.peers.nginx_http import NginxHttp


def channel(address: str, **options: Any) -> pybrpc.Channel:
    return pybrpc.Channel(address, protocol="http", timeout=30, **options)


def test_plain_requests(tmp_path: Path) -> None:
    with NginxHttp(tmp_path) as nginx, channel(nginx.address) as each:
        (nginx.files / "big").write_bytes(bytes(5_000_000))
        big = each.http("GET", "/big")
        assert (len(big.body), big.headers["content-length"]) == (5_000_000, "5000000")
        assert each.http("HEAD", "/big").body == b""
        echo = each.http("POST", "/echo", body=b"abc", headers={"X-Own": "mine"})
        assert echo.text() == "POST mine 3"
        same = each.http("GET", "/big", headers={"If-None-Match": big.headers["etag"]})
        assert (same.status, same.body) == (304, b"")
        part = each.http("GET", "/big", headers={"Range": "bytes=1-3"})
        assert (part.status, part.body) == (206, bytes(3))
        assert each.http("GET", "/moved").status == 301
        assert each.http("GET", "/none").status == 404
        statistics = each.endpoint_statistics()
        assert statistics is not None
        assert statistics.created == 1


def test_gzip_in_chunks(tmp_path: Path) -> None:
    with NginxHttp(tmp_path) as nginx, channel(nginx.address) as each:
        asked = {"Accept-Encoding": "gzip"}
        response = each.http("GET", "/json", headers=asked)
        assert response.headers["content-encoding"] == "gzip"
        assert response.headers["transfer-encoding"] == "chunked"
        assert response.json() == {"message": "from nginx"}
        with each.http("GET", "/json", headers=asked, stream=True) as streamed:
            assert json.loads(gzip.decompress(streamed.body.read())) == response.json()
        controller = pybrpc.Controller()
        controller.http_request.headers["Accept-Encoding"] = "gzip"
        reply = pybrpc.Stub(ECHO, each).Echo(echo_request(), controller=controller)
        assert reply.message == "from nginx"
        assert controller.response_compress_type == pybrpc.CompressType.GZIP


def test_connections_that_nginx_closes_after_some_requests(tmp_path: Path) -> None:
    with NginxHttp(tmp_path, keepalive_requests=2) as nginx, channel(nginx.address) as each:
        for _ in range(10):
            assert each.http("GET", "/echo").status == 200
        statistics = each.endpoint_statistics()
        assert statistics is not None
        assert statistics.created == 5


def test_long_bodies(tmp_path: Path) -> None:
    with NginxHttp(tmp_path) as nginx, channel(nginx.address) as each:
        (nginx.files / "big").write_bytes(bytes(50_000_000))
        with each.http("GET", "/big", stream=True) as response:
            assert sum(map(len, response.body)) == 50_000_000
        parts = (bytes(100_000) for _ in range(100))
        assert each.http("POST", "/big", body=parts).status == 405, "at the head"
        assert each.http("GET", "/echo").status == 200
