"""Where in Python messages are."""

from __future__ import annotations

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto

from pybrpc.codegen.messages import MessageName, Messages, is_importable, module_of

pytestmark = pytest.mark.same_everywhere


@pytest.mark.parametrize(
    ("path", "module"),
    [
        ("echo.proto", "echo_pb2"),
        ("a/b-c.d.proto", "a.b_c.d_pb2"),
        ("a-b/c.protodevel", "a_b.c_pb2"),
        ("proto", "proto_pb2"),
    ],
)
def test_modules_are_those_of_protoc(path: str, module: str) -> None:
    assert module_of(path, "_pb2") == module


@pytest.mark.parametrize("package", ["", "a.b"])
def test_messages_are_found_by_their_full_names(package: str) -> None:
    file = FileDescriptorProto(name="a/b.proto", package=package)
    file.message_type.add(name="Outer").nested_type.add(name="Inner").nested_type.add(name="Core")
    messages = Messages([file])
    scope = f".{package}" if package else ""
    for name in ("Outer", "Outer.Inner", "Outer.Inner.Core"):
        assert messages.named(f"{scope}.{name}") == MessageName("a.b_pb2", name)


@pytest.mark.parametrize("name", ["a", "a.b_pb2", "match.type"])
def test_words_are_importable(name: str) -> None:
    assert is_importable(name)


@pytest.mark.parametrize("name", ["a.import", "None", "1a", "", "a..b", "\ufb01_pb2"])
def test_keywords_and_what_is_no_word_are_not(name: str) -> None:
    assert not is_importable(name)
