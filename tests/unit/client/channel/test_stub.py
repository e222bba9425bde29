"""Stub and channels as objects: attributes, refused arguments, repr."""

from __future__ import annotations

from typing import Any

import pytest

import pybrpc
from tests.protos import conformance_pb2 as pb

ECHO = pb.DESCRIPTOR.services_by_name["EchoService"]
CHANNELS = [pybrpc.Channel, pybrpc.aio.Channel]


@pytest.mark.parametrize("channel_class", CHANNELS)
def test_stub_has_the_methods_of_its_service(channel_class: Any) -> None:
    stub = pybrpc.Stub(ECHO, channel_class("127.0.0.1:1"))
    for name in ("Echo", "Stream"):
        method = getattr(stub, name).method
        assert method.full_name == f"conformance.EchoService.{name}"
        assert (method.request_class, method.response_class) == (pb.EchoRequest, pb.EchoResponse)


def test_unknown_method_raises_an_error_that_lists_the_known_ones() -> None:
    stub = pybrpc.Stub(ECHO, pybrpc.Channel("127.0.0.1:1"))
    with pytest.raises(
        AttributeError, match=r"conformance\.EchoService has no method Ecoh; it has Echo, Stream"
    ):
        stub.Ecoh  # noqa: B018


@pytest.mark.parametrize("channel", [None, "127.0.0.1:1", object()])
def test_stub_refuses_an_object_that_is_no_channel(channel: Any) -> None:
    with pytest.raises(TypeError, match=r"pass a pybrpc\.Channel or pybrpc\.aio"):
        pybrpc.Stub(ECHO, channel)


def test_stub_refuses_the_class_of_a_channel() -> None:
    with pytest.raises(TypeError, match=r"^pass a channel, not the class Channel: make an object"):
        pybrpc.Stub(ECHO, pybrpc.Channel)  # type: ignore[arg-type]


def test_stub_refuses_an_object_that_is_no_service() -> None:
    with pytest.raises(TypeError, match="pass the descriptor of a service"):
        pybrpc.Stub(pb.EchoRequest, pybrpc.Channel("127.0.0.1:1"))  # type: ignore[arg-type]


@pytest.mark.parametrize("channel_class", CHANNELS)
@pytest.mark.parametrize("max_retry", [-1, 1.5, True, None, "3"])
def test_senseless_max_retry_is_refused(channel_class: Any, max_retry: Any) -> None:
    with pytest.raises(ValueError, match="max_retry must be a whole number >= 0"):
        channel_class("127.0.0.1:1", max_retry=max_retry)


@pytest.mark.parametrize("channel_class", CHANNELS)
def test_unknown_option_is_refused(channel_class: Any) -> None:
    with pytest.raises(TypeError, match="timeout_ms"):
        channel_class("127.0.0.1:1", timeout_ms=5)


def test_repr_names_service_channel_and_state() -> None:
    channel = pybrpc.Channel("127.0.0.1:8000", timeout=1.5)
    assert repr(channel) == "<Channel to 127.0.0.1:8000, open, timeout 1.5 s>"
    stub = pybrpc.Stub(ECHO, channel)
    assert repr(stub) == f"<Stub of conformance.EchoService on {channel!r}>"
    assert repr(stub.Echo) == f"<StubMethod conformance.EchoService.Echo on {channel!r}>"
    channel.close()
    assert repr(channel) == "<Channel to 127.0.0.1:8000, closed, timeout 1.5 s>"


def test_repr_of_an_aio_channel() -> None:
    channel = pybrpc.aio.Channel("[::1]:8000", timeout=None)
    assert repr(channel) == "<AioChannel to [::1]:8000, open, timeout none>"
    stub = pybrpc.Stub(ECHO, channel)
    assert repr(stub.Echo) == f"<AioStubMethod conformance.EchoService.Echo on {channel!r}>"


@pytest.mark.parametrize("done", [None, "done", 5])
def test_callback_that_can_not_be_called_is_refused(done: Any) -> None:
    controller = pybrpc.Controller()
    stub = pybrpc.Stub(ECHO, pybrpc.Channel("127.0.0.1:1"))
    with pytest.raises(TypeError, match="done must be a function of a response and an error, not "):
        stub.Echo.with_callback(pb.EchoRequest(), done, controller=controller)


@pytest.mark.parametrize(
    ("name", "right"),
    [("future", "await it, or keep it"), ("with_callback", "add a done callback")],
)
def test_forms_for_threads_do_not_exist_in_asyncio(name: str, right: str) -> None:
    method = pybrpc.Stub(ECHO, pybrpc.aio.Channel("127.0.0.1:1")).Echo
    with pytest.raises(AttributeError, match=right):
        getattr(method, name)
    assert name not in dir(method)


def test_asyncio_call_without_a_loop_is_refused_with_advice() -> None:
    stub = pybrpc.Stub(ECHO, pybrpc.aio.Channel("127.0.0.1:1"))
    with pytest.raises(RuntimeError, match=r"no running event loop: .* or use a pybrpc\.Channel"):
        stub.Echo(pb.EchoRequest())
