"""A stub of a service with streaming methods: the others work, these say that they don't."""

from __future__ import annotations

from typing import Any

import pytest

import pybrpc
from pybrpc.client.channel.aio_stub_method import AioStubMethod
from pybrpc.client.channel.stub import StubMethod
from pybrpc.errors import PyBrpcError, StreamingMethodError
from pybrpc.rpc.method import method_of, methods_of, streaming_methods_of
from tests.peers.streaming import MIXED, STREAMING, Text


@pytest.mark.parametrize("make", [pybrpc.Channel, pybrpc.aio.Channel])
def test_streaming_method_raises_in_every_form(make: Any) -> None:
    stub = pybrpc.Stub(MIXED, make("127.0.0.1:1"))
    assert isinstance(stub.Echo, StubMethod | AioStubMethod)
    for name in STREAMING:
        method = getattr(stub, name)
        said = rf"streaming\.Mixed\.{name} streams requests or responses, which pybrpc can't do yet"
        for call in (method, method.future, method.with_callback, method.stream):
            with pytest.raises(StreamingMethodError, match=said):
                call(Text(), timeout=3)
        assert repr(method) == f"<StreamingMethod streaming.Mixed.{name}>"


def test_error_is_a_not_implemented_error() -> None:
    assert issubclass(StreamingMethodError, NotImplementedError)
    assert issubclass(StreamingMethodError, PyBrpcError)


def test_methods_are_told_apart_by_their_descriptors() -> None:
    assert [method.name for method in methods_of(MIXED)] == ["Echo"]
    assert streaming_methods_of(MIXED) == list(STREAMING)
    with pytest.raises(StreamingMethodError, match=r"streaming\.Mixed\.Chat streams"):
        method_of(MIXED.methods_by_name["Chat"])


def test_health_check_needs_a_unary_method() -> None:
    with pytest.raises(StreamingMethodError, match=r"streaming\.Mixed\.Watch streams"):
        pybrpc.HealthCheck(MIXED.methods_by_name["Watch"])
