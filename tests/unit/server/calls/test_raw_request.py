"""RawRequest: what the handler of a generic service gets, and how its method is shown."""

from __future__ import annotations

import dataclasses

import pytest

from pybrpc.errors import BadRequestError
from pybrpc.protocols.message import RpcRequest
from pybrpc.server.calls.raw_request import MAX_NAME, RawRequest, called_name, raw_request_of


def test_request_has_names_and_bytes() -> None:
    made = raw_request_of(RpcRequest(1, "a.Service", "Method", memoryview(b"body")))
    assert made == RawRequest("a.Service", "Method", b"body")
    with pytest.raises(dataclasses.FrozenInstanceError):
        made.body = b""  # type: ignore[misc]


def test_request_of_hulu_has_the_place_of_its_method() -> None:
    asked = RpcRequest(1, "Service", "", b"body", method_index=3)
    assert raw_request_of(asked) == RawRequest("Service", "", b"body", 3)
    assert called_name(asked) == "Service.3"


def test_wrong_checksum_is_a_bad_request() -> None:
    with pytest.raises(BadRequestError):
        raw_request_of(RpcRequest(1, "S", "M", b"body", checksum_type=1, checksum_value=b"1234"))


def test_long_name_is_cut() -> None:
    name = called_name(RpcRequest(1, "a.Service", "M" * 100_000))
    assert name.startswith("a.Service.MMM")
    assert len(name) == MAX_NAME + 3
    assert called_name(RpcRequest(1, "a.Service", "Method")) == "a.Service.Method"
