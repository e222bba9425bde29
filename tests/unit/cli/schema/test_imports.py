"""The imports of files that are whole packages, and packages that import each other."""

from __future__ import annotations

import random
from typing import Any

import pytest

from pybrpc.cli.command import CommandError
from pybrpc.cli.schema.imports import circles, owner_of
from pybrpc.cli.schema.schema import Schema
from pybrpc.cli.schema.sources import files_of_sources

pytestmark = pytest.mark.same_everywhere


def message(name: str, *fields: str) -> str:
    """The source of a message."""
    lines = [f"  {field} f{number} = {number};" for number, field in enumerate(fields, start=1)]
    return "\n".join([f"message {name} {{", *lines, "}", ""])


# As of a/first.proto, b/outer.proto, a/base.proto, b/inner.proto: each imports the next one.
CROSSED = {
    "a.First": message("First", ".b.Outer", ".b.Inner"),
    "a.Base": message("Base", "string", ".a.Base", ".b.Inner"),
    "a.Kind": "enum Kind {\n  NONE = 0;\n}\n",
    "a.Doing": "service Doing {\n  rpc Do(.a.First) returns (.b.Outer);\n}\n",
    "b.Outer": message("Outer", "map<string, .a.Base>", ".a.Kind", ".c.Alone"),
    "b.Inner": message("Inner", "bytes"),
    "c.Alone": message("Alone", "int32"),
    "d.User": message("User", ".a.First"),
}


def test_packages_that_import_each_other_become_several_files() -> None:
    files = files_of_sources(CROSSED)
    assert sorted(file.name for file in files) == [
        *("a.Base.proto", "a.Doing.proto", "a.First.proto", "a.Kind.proto"),
        *("b.Inner.proto", "b.Outer.proto", "c.proto", "d.proto"),
    ]
    schema = Schema(files)
    (method,) = schema.methods()
    assert (method.full_name, method.output_type.full_name) == ("a.Doing.Do", "b.Outer")
    outer: Any = schema.message_class("b.Outer")
    sent = outer(f2="NONE", f3={"f1": 7})
    sent.f1["key"].f2.f1 = "nested"
    assert outer.FromString(sent.SerializeToString()) == sent


def test_types_that_use_each_other_stay_in_one_file() -> None:
    files = files_of_sources(
        {
            "a.Leaf": message("Leaf", "string"),
            "a.Node": message("Node", ".a.Tree", ".b.User"),
            "a.Tree": message("Tree", ".a.Node"),
            "b.User": message("User", ".a.Leaf"),
        }
    )
    by_name = {file.name: [each.name for each in file.message_type] for file in files}
    assert by_name == {
        "a.Leaf.proto": ["Leaf"],
        "a.Node.proto": ["Node", "Tree"],
        "b.User.proto": ["User"],
    }
    assert Schema(files).named("a.Tree").full_name == "a.Tree"


def test_files_of_a_package_that_was_split_have_the_syntax_of_the_package() -> None:
    files = files_of_sources(
        {
            "a.One": message("One", "required string", ".b.Two"),
            "a.Three": message("Three", "repeated int32"),
            "b.Two": message("Two", ".a.Three"),
        }
    )
    assert {file.name: file.syntax for file in files} == {
        "a.One.proto": "proto2",
        "a.Three.proto": "proto2",
        "b.Two.proto": "proto3",
    }


def test_types_of_two_packages_that_use_each_other_are_an_error() -> None:
    sources = {"a.One": message("One", ".b.Two"), "b.Two": message("Two", ".a.One")}
    with pytest.raises(CommandError, match=r"^a\.One and b\.Two use each other, but are of two"):
        files_of_sources(sources)


def test_type_within_a_message_whose_message_is_not_listed_makes_no_package() -> None:
    inner = "message Middle {\n    message Inner {\n      string f1 = 1;\n    }\n  }\n"
    outer = f"message Outer {{\n  {inner}  .a.Outer.Middle.Inner f1 = 1;\n}}\n"
    files = files_of_sources({"a.Outer": outer, "a.Outer.Middle.Inner": message("Inner", "string")})
    assert [(file.name, file.package) for file in files] == [("a.proto", "a")]
    assert Schema(files).named("a.Outer.Middle.Inner").name == "Inner"


def test_owner_is_the_outermost_one() -> None:
    tops = {"a.B", "a.B.C", "x"}
    assert owner_of("a.B.C.D", tops) == "a.B"
    assert owner_of(".x", tops) == "x"
    assert owner_of("a", tops) is None
    assert owner_of("a.B" + ".c" * 100_000, tops) == "a.B"


def test_circles_are_those_that_lead_to_each_other() -> None:
    chance = random.Random(3)
    for _ in range(200):
        names = "abcdefgh"[: chance.randint(1, 8)]
        uses = {name: {each for each in names if chance.random() < 0.2} for name in names}
        leads = {name: led_to(name, uses) for name in names}
        expected = {
            frozenset(other for other in names if other in leads[name] and name in leads[other])
            for name in names
        }
        found = circles(uses)
        assert sorted(each for group in found for each in group) == list(names)
        assert set(map(frozenset, found)) == expected


def led_to(name: str, uses: dict[str, set[str]]) -> set[str]:
    found = {name}
    while more := {each for other in found for each in uses[other]} - found:
        found |= more
    return found


def test_long_chain_needs_no_deep_stack() -> None:
    uses = {str(number): {str(number + 1)} for number in range(20_000)}
    assert len(circles(uses)) == 20_000
