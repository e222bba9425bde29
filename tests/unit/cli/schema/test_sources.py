"""Sources as C++ prints them, back to descriptors."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto

from bench.echo_messages import SERVICE
from pybrpc.builtin.proto_source import source_of
from pybrpc.cli.command import CommandError
from pybrpc.cli.schema.schema import Schema
from pybrpc.cli.schema.sources import files_of_sources
from tests.peers.echo import ECHO

pytestmark = pytest.mark.same_everywhere

PROTO2 = """\
message Big {
  message Inner {
    required string text = 1;
    enum Kind {
      NONE = 0;
      LESS = -1;
    }
  }
  reserved 7, 9 to 11;
  extensions 100 to 199;
  option (some.option) = {
    a: 1
  };
  optional .a.b.Big.Inner inner = 1;
  repeated int64 numbers = 2 [packed = true];
  optional .a.b.Big.Inner.Kind kind = 3 [default = LESS];
  optional int32 count = 4 [default = 5, deprecated = true];
  map<string, .a.b.Big.Inner> by_name = 5;
  oneof choice {
    .other.Plain plain = 6;
    string text = 8;
  }
  optional .a.b.Big next = 12;
}
"""
PROTO3 = """\
message Plain {
  string name = 1;
  optional uint32 maybe = 2;
  repeated double values = 3;
}
"""
SERVICE_SOURCE = """\
service Doing {
  option deprecated = true;
  rpc Do(.a.b.Big) returns (.other.Plain) {
    option (x) = 1;
  }
  rpc Watch(.a.b.Big) returns (stream .other.Plain);
}
"""
ALL = {
    "a.b.Big": PROTO2.replace("  option (some.option) = {\n    a: 1\n  };\n", ""),
    "a.b.Big.Inner": "message Inner {\n  required string text = 1;\n}\n",
    "a.b.Doing": SERVICE_SOURCE,
    "other.Plain": PROTO3,
}


def test_all_kinds_of_fields_are_read() -> None:
    schema = Schema(files_of_sources(ALL))
    big: Any = schema.message_class("a.b.Big")
    message = big(inner={"text": "x"}, numbers=[1, 2], text="chosen")
    message.by_name["k"].text = "v"
    message.next.count = 3
    assert big.FromString(message.SerializeToString()) == message
    assert (message.count, message.kind, message.WhichOneof("choice")) == (5, -1, "text")
    fields = big.DESCRIPTOR.fields_by_name
    assert fields["numbers"].GetOptions().packed
    assert not big.Inner().IsInitialized()
    plain: Any = schema.message_class("other.Plain")
    assert plain.DESCRIPTOR.fields_by_name["maybe"].has_presence
    assert not plain.DESCRIPTOR.fields_by_name["name"].has_presence


def test_methods_are_read() -> None:
    schema = Schema(files_of_sources(ALL))
    do, watch = schema.methods()
    assert (do.full_name, do.input_type.full_name) == ("a.b.Doing.Do", "a.b.Big")
    kind: Any = watch
    assert (kind.client_streaming, kind.server_streaming) == (False, True)


@pytest.mark.parametrize("service", [SERVICE, ECHO], ids=["proto3", "proto2"])
def test_schema_comes_back_from_its_sources(service: Any) -> None:
    types = [service]
    for method in service.methods:
        types += [method.input_type, method.output_type]
    sources = {each.full_name: source_of(each) for each in types}
    (found,) = files_of_sources(sources)
    original = FileDescriptorProto()
    service.file.CopyToProto(original)
    (again,) = Schema([found]).file_set().file
    assert again.syntax == (original.syntax or "proto2")
    by_name = {message.name: message for message in original.message_type}
    for message in again.message_type:
        assert [(f.name, f.number, f.label) for f in message.field] == [
            (f.name, f.number, f.label) for f in by_name[message.name].field
        ]


@pytest.mark.parametrize(
    "source",
    [
        "",
        "nonsense",
        "message M {\n",
        "message M {\n  optional group G = 1 {\n  }\n}\n",
        "enum E {",
    ],
)
def test_source_that_makes_no_sense_is_an_error(source: str) -> None:
    if source.startswith("enum"):
        with pytest.raises(Exception, match="can't be used"):
            Schema(files_of_sources({"a.E": source}))
    else:
        with pytest.raises(CommandError, match=r"the source of a\.M"):
            files_of_sources({"a.M": source})


@pytest.mark.parametrize("number", ["99999999999", "9" * 400, "9" * 5000])
@pytest.mark.parametrize(
    "source",
    [
        "message M {{\n  int32 x = {};\n}}",
        "message M {{\n  map<string, int32> x = {};\n}}",
        "message M {{\n  enum E {{\n    A = -{};\n  }}\n}}",
        "enum M {{\n  A = {};\n}}",
    ],
)
def test_number_that_is_too_large_is_an_error(source: str, number: str) -> None:
    with pytest.raises(
        CommandError, match=r"^the source of a\.M: a value makes no sense: "
    ) as told:
        files_of_sources({"a.M": source.format(number)})
    assert len(str(told.value)) < 200


def test_messages_in_messages_have_an_end() -> None:
    with pytest.raises(CommandError, match="nested too deeply"):
        files_of_sources({"a.M": "message M {\n" * 100})
