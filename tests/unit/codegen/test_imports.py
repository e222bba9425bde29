"""The imports of generated files."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest

from pybrpc.codegen.imports import Imports
from pybrpc.codegen.messages import MessageName

pytestmark = pytest.mark.same_everywhere


def imports(
    *modules: str, own: str = "a.x", taken: tuple[str, ...] = (), is_relative: bool = False
) -> Imports:
    names = [MessageName(module, "M") for module in modules]
    return Imports(f"{own}_brpc", f"{own}_pb2", names, taken, is_relative)


@pytest.mark.parametrize(
    ("own", "module", "absolute", "relative"),
    [
        ("x", "x_pb2", "import x_pb2", "from . import x_pb2"),
        ("x", "a.b_pb2", "from a import b_pb2", "from .a import b_pb2"),
        ("a.x", "a.b_pb2", "from a import b_pb2", "from . import b_pb2"),
        ("a.x", "a.c.b_pb2", "from a.c import b_pb2", "from .c import b_pb2"),
        ("a.x", "b_pb2", "import b_pb2", "from .. import b_pb2"),
        ("a.b.x", "a.c.b_pb2", "from a.c import b_pb2", "from ..c import b_pb2"),
        ("a.b.x", "c.b_pb2", "from c import b_pb2", "from ...c import b_pb2"),
        ("a.b.x", "a.b_pb2", "from a import b_pb2", "from .. import b_pb2"),
        ("a.b.x", "b_pb2", "import b_pb2", "from ... import b_pb2"),
    ],
)
def test_module_is_imported(own: str, module: str, absolute: str, relative: str) -> None:
    assert absolute in imports(module, own=own).lines()
    assert relative in imports(module, own=own, is_relative=True).lines()


def test_modules_of_google_are_never_relative() -> None:
    made = imports("google.protobuf.empty_pb2", is_relative=True)
    assert made.lines() == [
        "import pybrpc",
        "from . import x_pb2",
        "from google.protobuf import empty_pb2",
    ]


def test_module_whose_name_is_taken_has_a_longer_one() -> None:
    made = imports("a.b_pb2", "c.b_pb2", "x_pb2")
    assert made.lines() == [
        "import pybrpc",
        "from a import b_pb2",
        "from a import x_pb2",
        "from c import b_pb2 as c_b_pb2",
        "import x_pb2 as x_pb2_",
    ]
    assert made.type_of(MessageName("c.b_pb2", "M.N")) == "c_b_pb2.M.N"
    assert made.descriptors == "x_pb2"


def test_no_module_has_the_name_of_a_method() -> None:
    made = imports("a.b_pb2", taken=("pybrpc", "b_pb2", "a_b_pb2"))
    assert made.library == "pybrpc_"
    assert made.lines()[:2] == ["import pybrpc as pybrpc_", "from a import b_pb2 as a_b_pb2_"]


def test_no_module_has_a_name_that_python_changes_in_a_class() -> None:
    made = imports("a.__b_pb2", own="__x")
    assert made.lines() == [
        "import pybrpc",
        "import __x_pb2 as m__x_pb2",
        "from a import __b_pb2 as m__b_pb2",
    ]
    assert made.descriptors == "m__x_pb2"
    assert made.type_of(MessageName("a.__b_pb2", "M")) == "m__b_pb2.M"
    assert imports(own="__x", taken=("m__x_pb2",)).descriptors == "m__x_pb2_"


def test_message_that_code_can_not_name_is_any() -> None:
    made = imports("import.b_pb2", own="x")
    assert made.type_of(MessageName("import.b_pb2", "M")) == "Any"
    assert made.type_of(MessageName("x_pb2", "None")) == "Any"
    assert made.lines() == ["from typing import Any", "", "import pybrpc", "import x_pb2"]


def test_file_in_a_folder_with_a_keyword_loads_its_descriptors_by_a_call() -> None:
    made = imports(own="import.x")
    assert made.lines() == [
        "from importlib import import_module",
        "",
        "import pybrpc",
        "",
        'x_pb2 = import_module("import.x_pb2")',
    ]
    assert imports(own="import.x", is_relative=True).lines()[-1] == "from . import x_pb2"


def test_file_whose_name_is_no_word_loads_its_descriptors_by_a_call() -> None:
    made = imports(own="1x", is_relative=True)
    assert made.lines()[-1] == '_1x_pb2 = import_module(".1x_pb2", __package__)'


@pytest.mark.parametrize("name", ["\U0001f600", "\ufb01", 'a"b', "1"])
def test_module_with_any_name_is_imported_by_it(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An import statement can't name it, or would read its name as another one."""
    made = imports(own=name)
    module = ModuleType(f"{name}_pb2")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    found: dict[str, object] = {}
    exec("\n".join(made.lines()), found)
    assert found[made.descriptors] is module
