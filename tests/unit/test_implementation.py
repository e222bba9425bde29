"""Which form of the hot modules runs, and that their two files agree."""

from __future__ import annotations

import ast
import gc
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

import pybrpc
from pybrpc.base import implementation
from pybrpc.base.implementation import (
    HOT_MODULES,
    HotModule,
    PythonFinder,
    choose,
    find_hot_modules,
)
from pybrpc.client.calls.attempt import new_attempt
from pybrpc.iobuf import IOBuf
from pybrpc.protocols.message import RpcRequest, RpcResponse
from pybrpc.rpc.controller import Controller
from pybrpc.transport.writing.write_request import WriteRequest

ROOT = Path(pybrpc.__file__).parent
MADE_WITH_EACH_CALL: list[Callable[[], object]] = [
    IOBuf,
    Controller,
    lambda: new_attempt(cast(Any, None), cast(Any, None)),
    lambda: WriteRequest(IOBuf()),
]
DECLARED = sorted(ROOT.rglob("*.pxd"))

needs_compiled = pytest.mark.skipif(
    pybrpc.__impl__ != "compiled", reason="holds of compiled classes alone"
)


def modules_with(built: list[bool]) -> list[HotModule]:
    extension = "there.so"
    return [
        HotModule(f"pybrpc.m{number}", f"m{number}.py", extension if is_built else None)
        for number, is_built in enumerate(built)
    ]


@pytest.mark.parametrize("wanted", [None, ""])
def test_implementation_that_is_complete_is_chosen(wanted: str | None) -> None:
    assert choose(wanted, modules_with([True, True])) == "compiled"
    assert choose(wanted, modules_with([False, False])) == "python"


@pytest.mark.parametrize("built", [[True, True], [False, False], [True, False]])
def test_python_can_always_be_had(built: list[bool]) -> None:
    assert choose("python", modules_with(built)) == "python"


@pytest.mark.parametrize(
    ("wanted", "built", "why"),
    [
        ("compiled", [False, False], "is not compiled"),
        ("compiled", [True, False], r"in part, without pybrpc\.m1"),
        (None, [True, False], r"in part, without pybrpc\.m1"),
        ("cython", [True, True], "'cython'"),
    ],
)
def test_implementation_that_is_missing_is_an_error(
    wanted: str | None, built: list[bool], why: str
) -> None:
    with pytest.raises(ImportError, match=why):
        choose(wanted, modules_with(built))


def test_an_extension_older_than_its_source_is_an_error(tmp_path: Path) -> None:
    suffix = implementation.EXTENSION_SUFFIXES[0]
    for name in ("hot.py", "hot.pxd", f"hot{suffix}"):
        (tmp_path / name).touch()
    for name, time in (("hot.py", 100), ("hot.pxd", 100), (f"hot{suffix}", 200)):
        os.utime(tmp_path / name, (time, time))
    assert choose(None, find_hot_modules(["pybrpc.hot"], str(tmp_path))) == "compiled"
    os.utime(tmp_path / "hot.pxd", (300, 300))
    with pytest.raises(ImportError, match=r"pybrpc\.hot changed after"):
        choose(None, find_hot_modules(["pybrpc.hot"], str(tmp_path)))
    # As installed, without what compiles it.
    (tmp_path / "hot.pxd").unlink()
    os.utime(tmp_path / "hot.py", (300, 300))
    assert choose(None, find_hot_modules(["pybrpc.hot"], str(tmp_path))) == "compiled"


WHERE_FROM = """
import importlib, sys, pybrpc
from pybrpc.base.implementation import HOT_MODULES
files = [importlib.import_module(name).__file__ for name in HOT_MODULES]
print(pybrpc.__impl__, {file.rpartition(".")[2] for file in files})
"""


def loaded_with(wanted: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYBRPC_IMPL": wanted}
    command = [sys.executable, "-c", WHERE_FROM]
    return subprocess.run(
        command, cwd=ROOT.parent, env=environment, capture_output=True, text=True, check=False
    )


def test_python_loads_the_sources_whatever_lies_beside_them() -> None:
    assert loaded_with("python").stdout == "python {'py'}\n"


def test_every_hot_module_runs_compiled_or_none() -> None:
    result = loaded_with("compiled")
    if pybrpc.__impl__ == "compiled":
        assert result.stdout == "compiled {'so'}\n"
    else:
        assert result.stdout == "compiled {'so'}\n" or "ImportError" in result.stderr


def test_this_run_is_what_was_asked_for() -> None:
    assert pybrpc.__impl__ == (os.environ.get("PYBRPC_IMPL") or pybrpc.__impl__)
    files = {str(sys.modules[name].__file__)[-3:] for name in HOT_MODULES if name in sys.modules}
    assert files == {".so" if pybrpc.__impl__ == "compiled" else ".py"}


@pytest.mark.skipif(not DECLARED, reason="an installed package has no .pxd files")
def test_hot_modules_are_those_that_have_a_pxd() -> None:
    names = [
        ".".join(("pybrpc", *path.relative_to(ROOT).with_suffix("").parts)) for path in DECLARED
    ]
    assert sorted(HOT_MODULES) == names


@pytest.mark.parametrize("declarations", DECLARED, ids=lambda path: path.stem)
def test_a_pxd_declares_the_attributes_of_its_classes(declarations: Path) -> None:
    source = declarations.with_suffix(".py")
    in_source = attributes_in_source(source)
    for name, attributes in attributes_in_pxd(declarations).items():
        assert attributes == in_source[name], f"{name} in {declarations.name}"


@needs_compiled
@pytest.mark.parametrize("make", MADE_WITH_EACH_CALL)
def test_objects_of_each_call_come_from_a_freelist(make: Callable[[], object]) -> None:
    """A freelist is no allocation, which the collector would count."""
    kept = [make() for _ in range(20)]
    kept.clear()
    gc.disable()
    try:
        before = gc.get_count()[0]
        kept += [make() for _ in range(20)]
        assert gc.get_count()[0] - before < 10
    finally:
        gc.enable()


@needs_compiled
def test_garbage_collector_tracks_no_message() -> None:
    assert not gc.is_tracked(RpcRequest(1, "service", "method"))
    assert not gc.is_tracked(RpcResponse(1))


def attributes_in_pxd(path: Path) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    name = ""
    for line in path.read_text().splitlines():
        if started := re.match(r"cdef class (\w+)", line):
            name = started[1]
            found[name] = set()
        elif line and not line.startswith(" "):
            name = ""
        elif name and (field := re.match(r"    cdef [^()]*?(\w+)$", line)):
            found[name].add(field[1])
    return found


def attributes_in_source(path: Path) -> dict[str, set[str]]:
    """The attributes in `__slots__`, or the fields of a dataclass."""
    return {
        node.name: slots_of(node)
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.ClassDef)
    }


def slots_of(node: ast.ClassDef) -> set[str]:
    fields = set()
    for part in node.body:
        if isinstance(part, ast.Assign) and ast.unparse(part.targets[0]) == "__slots__":
            return set(ast.literal_eval(part.value))
        if isinstance(part, ast.AnnAssign):
            fields.add(ast.unparse(part.target))
    return fields


def test_finder_of_sources_finds_hot_modules_and_no_others() -> None:
    source = str(ROOT / "base" / "atomic.py")
    finder = PythonFinder([HotModule("pybrpc.hot", source, "atomic.so")])
    spec = finder.find_spec("pybrpc.hot")
    assert spec is not None
    assert spec.origin == source
    assert finder.find_spec("pybrpc.cold") is None


@pytest.mark.parametrize("are_there", [True, False])
def test_sources_are_put_before_extension_modules_that_are_there(
    monkeypatch: pytest.MonkeyPatch, are_there: bool
) -> None:
    found = modules_with([are_there])
    monkeypatch.setenv("PYBRPC_IMPL", "python")
    monkeypatch.setattr(sys, "meta_path", [])
    monkeypatch.setattr(implementation, "HOT_MODULES", ["pybrpc.m0"])
    monkeypatch.setattr(implementation, "find_hot_modules", lambda names, root: found)
    assert implementation._set_up() == "python"
    assert [type(finder) for finder in sys.meta_path] == [PythonFinder] * are_there
