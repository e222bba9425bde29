"""Compiled classes look as their source does: signatures, docstrings, lines in tracebacks."""

from __future__ import annotations

import ast
import inspect
import traceback
from pathlib import Path
from typing import Any

import pytest

import pybrpc
from pybrpc import lowlevel
from pybrpc.base.implementation import HOT_MODULES

PUBLIC = {
    getattr(module, name): name
    for module in (pybrpc, lowlevel)
    for name in module.__all__
    if isinstance(getattr(module, name), type) and getattr(module, name).__module__ in HOT_MODULES
}
"""The public classes that are compiled, where anything is."""


def written(cls: type) -> ast.ClassDef:
    """The class in its source."""
    name = cls.__module__.partition(".")[2].replace(".", "/")
    tree = ast.parse((Path(pybrpc.__file__).parent / f"{name}.py").read_text())
    return next(
        node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == cls.__name__
    )


def methods(cls: type) -> dict[str, ast.FunctionDef]:
    """The public methods, and `__init__`, in their source."""
    return {
        node.name: node
        for node in written(cls).body
        if isinstance(node, ast.FunctionDef)
        and (node.name == "__init__" or not node.name.startswith("_"))
        and not any("setter" in ast.unparse(one) for one in node.decorator_list)
    }


def parameters(function: ast.FunctionDef) -> list[str]:
    arguments = function.args
    every = [*arguments.posonlyargs, *arguments.args, arguments.vararg, *arguments.kwonlyargs]
    return [one.arg for one in (*every, arguments.kwarg) if one is not None]


def test_some_public_classes_are_compiled() -> None:
    names = {"Controller", "IOBuf", "Socket", "MessageCutter", "EpollDispatcher"}
    assert names <= set(PUBLIC.values())


@pytest.mark.parametrize("cls", PUBLIC, ids=PUBLIC.get)
def test_signatures_of_a_public_class_are_those_of_its_source(cls: Any) -> None:
    for name, source in methods(cls).items():
        wanted = parameters(source)
        if name == "__init__":
            assert list(inspect.signature(cls).parameters) == wanted[1:]
            continue
        found = getattr(cls, name)
        if callable(found):
            shown = list(inspect.signature(found).parameters)
            assert shown == (wanted[1:] if inspect.ismethod(found) else wanted), name


@pytest.mark.parametrize("cls", PUBLIC, ids=PUBLIC.get)
def test_docstrings_of_a_public_class_are_those_of_its_source(cls: Any) -> None:
    assert inspect.getdoc(cls) == ast.get_docstring(written(cls))
    for name, source in methods(cls).items():
        wanted = ast.get_docstring(source)
        if name != "__init__" and wanted is not None:
            assert inspect.getdoc(getattr(cls, name)) == wanted, name


def test_traceback_shows_lines_of_the_source_in_any_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="error code 0 means success") as caught:
        pybrpc.Controller().set_failed(0)
    places = traceback.extract_tb(caught.value.__traceback__)
    (place,) = (place for place in places if place.filename.endswith("pybrpc/rpc/controller.py"))
    assert place.line is not None
    assert "checked_failure(" in place.line
