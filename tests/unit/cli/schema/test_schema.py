"""Schema: files in any order, missing ones, and methods by their names."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto

from bench.echo_messages import EXAMPLE, SERVICE
from pybrpc.cli.command import UsageError
from pybrpc.cli.schema.schema import Schema

pytestmark = pytest.mark.same_everywhere


def file_of(service: Any) -> FileDescriptorProto:
    made = FileDescriptorProto()
    service.file.CopyToProto(made)
    return made


def importing(name: str, *imports: str) -> FileDescriptorProto:
    return FileDescriptorProto(name=name, syntax="proto3", dependency=imports)


BOTH = [file_of(SERVICE), file_of(EXAMPLE.service)]


@pytest.mark.parametrize(
    "name",
    [
        "bench.EchoService.Echo",
        "bench.EchoService/Echo",
        "/bench.EchoService/Echo",
        "EchoService.Echo",
        "Echo",
    ],
)
def test_method_is_found_by_its_name_or_the_end_of_it(name: str) -> None:
    assert Schema(BOTH[:1]).method(name).full_name == "bench.EchoService.Echo"


def test_name_of_several_methods_is_refused() -> None:
    with pytest.raises(UsageError, match=r"may be any of bench\.\S+, example\.EchoService\.Echo$"):
        Schema(BOTH).method("Echo")
    assert Schema(BOTH).method("example.EchoService.Echo").full_name.startswith("example.")


def test_error_of_an_unknown_method_lists_some() -> None:
    with pytest.raises(UsageError, match=r"no method cho; there are: bench\.EchoService\.Echo"):
        Schema(BOTH).method("cho")
    with pytest.raises(UsageError, match="none at all"):
        Schema([]).method("Echo")


def test_files_may_come_in_any_order() -> None:
    schema = Schema(
        [importing("c", "b"), importing("b", "a", "a2"), importing("a2"), importing("a")]
    )
    names = [file.name for file in schema.file_set().file]
    assert sorted(names) == ["a", "a2", "b", "c"]
    assert names.index("a") < names.index("b") < names.index("c")


def test_packages_may_import_each_other_and_files_may_import_for_others() -> None:
    shared, base, public = importing("a/base"), importing("a/shared"), importing("b/public")
    for file, package in ((shared, "a"), (base, "a"), (public, "b")):
        file.package = package
    shared.message_type.add(name="Shared")
    public.dependency.append("a/base")
    public.public_dependency.append(0)
    user = importing("c/user", "b/public")
    user.message_type.add(name="User").field.add(
        name="shared", number=1, label=1, type=11, type_name=".a.Shared"
    )
    base.dependency.append("b/public")
    schema = Schema([user, base, public, shared])
    found: Any = schema.message_class("User")
    assert found.DESCRIPTOR.fields_by_name["shared"].message_type.full_name == "a.Shared"


def test_of_two_versions_of_a_file_the_last_one_counts() -> None:
    newer = importing("a")
    newer.message_type.add(name="M")
    schema = Schema([importing("a"), newer])
    assert [file.name for file in schema.file_set().file] == ["a"]
    assert schema.named("M").name == "M"


def test_two_files_of_one_name_are_refused() -> None:
    one, other = importing("common.proto"), importing("common.proto")
    other.package = "b"
    with pytest.raises(UsageError, match=r"two files common\.proto, of the packages '' and 'b'$"):
        Schema([one, other])


def test_files_of_protobuf_itself_need_not_be_there() -> None:
    schema = Schema([importing("a", "google/protobuf/timestamp.proto")])
    assert schema.message_class("google.protobuf.Timestamp")().seconds == 0  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ["b.proto", "google/protobuf/no_such.proto"])
def test_missing_file_is_named(name: str) -> None:
    with pytest.raises(UsageError, match=rf"lacks {name}: make it with protoc --include_imports"):
        Schema([importing("a", name)])


def test_circle_of_imports_is_refused() -> None:
    with pytest.raises(UsageError, match="imports itself"):
        Schema([importing("a", "b"), importing("b", "a")])


def test_file_that_makes_no_sense_is_refused() -> None:
    wrong = importing("a")
    wrong.message_type.add(name="M").field.add(name="f", number=1, type_name=".no.Such", label=1)
    with pytest.raises(UsageError, match="a can't be used"):
        Schema([wrong])


def test_types_are_found_by_full_names() -> None:
    schema = Schema(BOTH)
    assert schema.named("bench.EchoRequest").full_name == "bench.EchoRequest"
    assert schema.named("bench.EchoService").full_name == "bench.EchoService"
    for find in (schema.named, schema.message_class):
        with pytest.raises(UsageError, match="nothing"):
            find("nothing")
