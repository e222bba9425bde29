"""proto_source: what it writes can be compiled, and is the same schema."""

from __future__ import annotations

from google.protobuf import descriptor_pb2, descriptor_pool

from pybrpc.builtin.proto_source import source_of

FIELD = descriptor_pb2.FieldDescriptorProto


def field(
    name: str, number: int, kind: int, label: int = FIELD.LABEL_OPTIONAL, **more: object
) -> FIELD:
    return FIELD(name=name, number=number, type=kind, label=label, **more)


def pool_of(file: descriptor_pb2.FileDescriptorProto) -> descriptor_pool.DescriptorPool:
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return pool


def file_of_proto3() -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(name="a.proto", package="pkg", syntax="proto3")
    message = file.message_type.add(name="All")
    entry = message.nested_type.add(name="PartsEntry")
    entry.options.map_entry = True
    entry.field.extend([field("key", 1, FIELD.TYPE_STRING), field("value", 2, FIELD.TYPE_INT32)])
    inner = message.nested_type.add(name="Inner")
    inner.field.add(name="deep", number=1, type=FIELD.TYPE_BYTES, label=FIELD.LABEL_OPTIONAL)
    message.enum_type.add(name="Kind").value.add(name="NONE", number=0)
    message.oneof_decl.add(name="choice")
    message.oneof_decl.add(name="_maybe")
    message.field.extend(
        [
            field("plain", 1, FIELD.TYPE_UINT64),
            field("many", 2, FIELD.TYPE_DOUBLE, FIELD.LABEL_REPEATED),
            field(
                "parts",
                3,
                FIELD.TYPE_MESSAGE,
                FIELD.LABEL_REPEATED,
                type_name=".pkg.All.PartsEntry",
            ),
            field("one", 4, FIELD.TYPE_BOOL, oneof_index=0),
            field("two", 5, FIELD.TYPE_MESSAGE, oneof_index=0, type_name=".pkg.All.Inner"),
            field("maybe", 6, FIELD.TYPE_STRING, oneof_index=1, proto3_optional=True),
            field("kind", 7, FIELD.TYPE_ENUM, type_name=".pkg.All.Kind"),
            field("inner", 8, FIELD.TYPE_MESSAGE, type_name=".pkg.All.Inner"),
        ]
    )
    method = file.service.add(name="S").method.add(name="Go", input_type=".pkg.All")
    method.output_type = ".pkg.All"
    method.server_streaming = True
    return file


PROTO3 = """\
message All {
  message Inner {
    bytes deep = 1;
  }
  enum Kind {
    NONE = 0;
  }
  uint64 plain = 1;
  repeated double many = 2;
  map<string, int32> parts = 3;
  oneof choice {
    bool one = 4;
    .pkg.All.Inner two = 5;
  }
  optional string maybe = 6;
  .pkg.All.Kind kind = 7;
  .pkg.All.Inner inner = 8;
}
"""


def test_a_message_of_proto3() -> None:
    pool = pool_of(file_of_proto3())
    assert source_of(pool.FindMessageTypeByName("pkg.All")) == PROTO3
    assert source_of(pool.FindServiceByName("pkg.S")) == (
        "service S {\n  rpc Go(.pkg.All) returns (stream .pkg.All);\n}\n"
    )
    assert source_of(pool.FindEnumTypeByName("pkg.All.Kind")) == "enum Kind {\n  NONE = 0;\n}\n"


def test_labels_and_defaults_of_proto2() -> None:
    file = descriptor_pb2.FileDescriptorProto(name="b.proto", package="pkg", syntax="proto2")
    message = file.message_type.add(name="M")
    message.enum_type.add(name="K").value.add(name="RED", number=3)
    message.field.extend(
        [
            field("a", 1, FIELD.TYPE_INT32, FIELD.LABEL_REQUIRED),
            field("b", 2, FIELD.TYPE_STRING, default_value='say "x"'),
            field("c", 3, FIELD.TYPE_ENUM, type_name=".pkg.M.K", default_value="RED"),
            field("d", 4, FIELD.TYPE_BOOL, default_value="true"),
            field("e", 5, FIELD.TYPE_BYTES, default_value="\\377"),
            field("f", 6, FIELD.TYPE_INT64),
        ]
    )
    message.field[5].options.deprecated = True
    lines = source_of(pool_of(file).FindMessageTypeByName("pkg.M")).splitlines()
    assert lines[4:] == [
        "  required int32 a = 1;",
        '  optional string b = 2 [default = "say \\"x\\""];',
        "  optional .pkg.M.K c = 3 [default = RED];",
        "  optional bool d = 4 [default = true];",
        '  optional bytes e = 5 [default = "\\u00ff"];',
        "  optional int64 f = 6 [deprecated = true];",
        "}",
    ]


def test_a_deep_message_ends() -> None:
    file = descriptor_pb2.FileDescriptorProto(name="c.proto", package="pkg", syntax="proto3")
    message = file.message_type.add(name="M0")
    for depth in range(1, 31):
        message = message.nested_type.add(name=f"M{depth}")
    source = source_of(pool_of(file).FindMessageTypeByName("pkg.M0"))
    assert source.count("{") == source.count("}") == 31
