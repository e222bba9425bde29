"""A generator handler streams to a page in a real browser, which reads it by EventSource."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

import pybrpc
from tests.peers.http_server import SERVICE
from tests.protos import conformance_pb2 as pb

pytestmark = [pytest.mark.program("chromium"), pytest.mark.slow]

LOADED_MS = 5000
"""Time of the page that passes, at most, before the document is looked at."""

PAGE = b"""<!DOCTYPE html><title>Tokens</title><p id="tokens"></p><script>
const shown = document.getElementById("tokens"), source = new EventSource("/tokens?message=a+b+c");
source.onmessage = (event) => { shown.textContent += JSON.parse(event.data).message + ","; };
source.onerror = () => { source.close(); shown.textContent += "end"; };
</script>"""


class Handlers:
    """`Echo` is the page, `Stream` what it reads."""

    def Echo(self, request: pb.EchoRequest, controller: pybrpc.Controller) -> pb.EchoResponse:
        controller.http_response.content_type = "text/html"
        controller.response_attachment = PAGE
        return pb.EchoResponse()

    async def Stream(
        self, request: pb.EchoRequest, controller: pybrpc.Controller
    ) -> AsyncIterator[pb.EchoResponse]:
        for token in request.message.split():
            yield pb.EchoResponse(message=token)


def document_of(url: str, folder: Path) -> str:
    """The document after its scripts have run."""
    command = [
        "chromium",
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        f"--user-data-dir={folder}",
        f"--virtual-time-budget={LOADED_MS}",
        "--dump-dom",
        url,
    ]
    env: dict[str, Any] = os.environ | {"HOME": str(folder)}
    return subprocess.run(
        command, capture_output=True, text=True, timeout=120, env=env, check=True
    ).stdout


def test_generator_streams_tokens_to_a_page(tmp_path: Path) -> None:
    mappings = "GET /page => Echo, GET /tokens => Stream"
    with pybrpc.Server() as server:
        server.add_service(SERVICE, Handlers(), restful_mappings=mappings)
        endpoint = server.start("127.0.0.1:0")
        document = document_of(f"http://{endpoint}/page?message=-", tmp_path)
    found = re.search('<p id="tokens">(.*?)</p>', document)
    assert found is not None
    assert found[1] == "a,b,c,end"
