"""The attributes of a Controller that are for HTTP. What HttpHeaders do: test_http.py."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

import pybrpc
from pybrpc.errors import BadRequestError
from pybrpc.rpc.http_attributes import progressive_attachment_of

LOADED = """
import sys
from pybrpc.rpc.controller import Controller
loaded = lambda: "pybrpc.rpc.http" in sys.modules
controller = Controller()
print(loaded(), controller.http_request.method, loaded())
"""


def test_header_is_made_once_and_may_be_replaced() -> None:
    controller = pybrpc.Controller()
    header = controller.http_request
    assert controller.http_request is header
    assert controller.http_response is not header
    controller.http_request = other = pybrpc.HttpHeader({"A": "1"})
    assert controller.http_request is other


def test_what_is_no_header_is_refused() -> None:
    controller: Any = pybrpc.Controller()
    with pytest.raises(TypeError, match="http_response must be an HttpHeader, not 'x'"):
        controller.http_response = "x"


def test_attachment_in_parts_needs_a_request_of_http() -> None:
    for request in (None, pybrpc.HttpHeader()):
        with pytest.raises(BadRequestError, match="only HTTP carries"):
            progressive_attachment_of(request)


def test_controller_loads_http_when_such_an_attribute_is_used() -> None:
    environment = {"PYTHONPATH": ":".join(sys.path), "PYBRPC_IMPL": pybrpc.__impl__}
    command = [sys.executable, "-c", LOADED]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["False", "GET", "True"]
