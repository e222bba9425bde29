"""The examples of docs/testing.md run as they stand there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import pybrpc
from bench.echo_messages import SERVICE, EchoRequest
from soak.echo_services import PlainEcho

PAGE = Path(__file__).parents[2] / "docs" / "testing.md"


def test_the_examples_run(capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, Any] = {"pybrpc": pybrpc, "SERVICE": SERVICE, "EchoRequest": EchoRequest}
    with pybrpc.Server() as server:
        server.add_service(SERVICE, PlainEcho())
        address = str(server.start("127.0.0.1:0"))
        for text in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL):
            exec(compile(text.replace("127.0.0.1:8000", address), str(PAGE), "exec"), names)
    assert names["reply"].message == "hello"
    assert capsys.readouterr().out == "ECONNRESET waiting\n"
