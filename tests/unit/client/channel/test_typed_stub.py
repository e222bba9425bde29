"""TypedStub: the methods of a generated class, on a channel of its kind."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool

import pybrpc
from pybrpc.client.channel.aio_stub_method import AioStubMethod
from pybrpc.client.channel.streaming_method import StreamingMethod
from pybrpc.client.channel.stub import StubMethod
from pybrpc.client.channel.typed_stub import AioTypedStub, TypedStub
from pybrpc.rpc.attribute_names import RESERVED
from tests.peers.streaming import MIXED

ADDRESS = "127.0.0.1:1"


class MixedStub(TypedStub):
    SERVICE = MIXED


class MixedAioStub(AioTypedStub):
    SERVICE = MIXED


class Named(MixedStub):
    """A class of a user."""


class Fake:
    """A channel of a test of a user, without `close`."""

    def make_method(self, method: Any) -> str:
        return f"the method {method.name}"


@pytest.mark.parametrize("kind", [MixedStub, Named])
def test_methods_of_threads_are_attributes(kind: Any) -> None:
    stub = kind(pybrpc.Channel(ADDRESS))
    assert type(stub.Echo) is StubMethod
    assert stub.Echo.method.full_name == f"{MIXED.full_name}.Echo"
    assert type(stub.Watch) is StreamingMethod
    assert repr(stub) == f"<{kind.__name__} on {stub.Echo._channel!r}>"


def test_methods_of_loops_are_attributes() -> None:
    stub: Any = MixedAioStub(pybrpc.aio.Channel(ADDRESS))
    assert type(stub.Echo) is AioStubMethod


@pytest.mark.parametrize("kind", [MixedStub, MixedAioStub])
def test_attributes_of_a_stub_that_are_no_methods_are_reserved(kind: Any) -> None:
    stub = kind(Fake() if kind is MixedStub else pybrpc.aio.Channel(ADDRESS))
    own = {name for name in object.__dir__(stub) if not name.startswith("__")}
    assert own - {method.name for method in MIXED.methods} == RESERVED


def test_fake_is_a_channel_too() -> None:
    fake: Any = Fake()
    for kind in (MixedStub, MixedAioStub):
        stub: Any = kind(fake)
        assert stub.Echo == "the method Echo"


@pytest.mark.parametrize(
    ("kind", "channel", "text"),
    [
        (MixedStub, pybrpc.aio.Channel(ADDRESS), r"MixedStub needs a pybrpc\.Channel"),
        (MixedStub, pybrpc.aio.ParallelChannel(), r"MixedStub needs a pybrpc\.Channel"),
        (MixedAioStub, pybrpc.Channel(ADDRESS), r"MixedAioStub needs a pybrpc\.aio\.Channel"),
        (MixedAioStub, pybrpc.ParallelChannel(), r"MixedAioStub needs a pybrpc\.aio\.Channel"),
        (MixedStub, ADDRESS, r"pass a pybrpc\.Channel"),
        (MixedStub, pybrpc.Channel, "pass a channel"),
        (TypedStub, pybrpc.Channel(ADDRESS), "TypedStub has no SERVICE"),
    ],
)
def test_wrong_channel_is_refused(kind: Any, channel: Any, text: str) -> None:
    with pytest.raises(TypeError, match=text):
        kind(channel)


def test_attribute_that_is_no_method_is_missing() -> None:
    stub: Any = MixedStub(pybrpc.Channel(ADDRESS))
    with pytest.raises(AttributeError):
        print(stub.Ecko)


def test_methods_may_have_the_names_that_python_gives_a_meaning() -> None:
    names = ["__class__", "__init__", "__call__", "__dict__", "__slots__"]
    file = FileDescriptorProto(name="special.proto", package="special")
    file.message_type.add(name="Text")
    service = file.service.add(name="Special")
    for name in names:
        service.method.add(name=name, input_type=".special.Text", output_type=".special.Text")
    pool = DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())

    class SpecialStub(TypedStub):
        SERVICE = pool.FindServiceByName("special.Special")

    fake: Any = Fake()
    stub: Any = SpecialStub(fake)
    for name in names:
        assert getattr(stub, f"rpc{name}") == f"the method {name}"
    assert vars(pybrpc.Stub(SpecialStub.SERVICE, fake))["__class__"] == "the method __class__"
