"""The number of modules that `import pybrpc` loads, counted in a process of its own; and the names
that are imported later. docs/design/0032-packages.md has the times."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import pybrpc

SOURCE = Path(pybrpc.__file__).parent
MAX_MODULES = 110
"""Those that Python itself loads included. 89 in CPython 3.11."""

COUNT = """
import sys
before = set(sys.modules)
import pybrpc
print(len(sys.modules), *sorted(set(sys.modules) - before))
"""
USED_LATER = {
    *("asyncio", "concurrent.futures", "ctypes", "google.protobuf", "http", "logging"),
    *("multiprocessing", "socket", "ssl", "subprocess", "tempfile", "uuid"),
    *("pybrpc.aio", "pybrpc.builtin", "pybrpc.client", "pybrpc.server", "pybrpc.transport"),
}


def run(script: str) -> str:
    command = [sys.executable, "-S", "-c", script]
    path = {"PYTHONPATH": ":".join(sys.path)}
    environment = {"PYBRPC_IMPL": pybrpc.__impl__, **path}
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_import_loads_few_modules_and_none_that_is_used_later() -> None:
    count, *loaded = run(COUNT).split()
    assert int(count) <= MAX_MODULES, loaded
    assert USED_LATER.isdisjoint(loaded)
    assert "pybrpc.base.implementation" in loaded


def files_with_lazy_names() -> list[Path]:
    files = sorted(SOURCE.rglob("*.py"))
    return [path for path in files if "lazy_names(__name__" in path.read_text()]


@pytest.mark.parametrize(
    "path", files_with_lazy_names(), ids=lambda path: str(path.relative_to(SOURCE))
)
def test_lazy_names_are_those_that_type_checkers_see(path: Path) -> None:
    """Each in `__all__`, imported under TYPE_CHECKING, and found where the table says."""
    parts = path.relative_to(SOURCE.parent).with_suffix("").parts
    package = importlib.import_module(".".join(parts).removesuffix(".__init__"))
    block = next(
        node
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    )
    imported: dict[str, object] = {}
    for statement in block.body:
        exec(ast.unparse(statement), imported)
    del imported["__builtins__"]
    table = vars(package)["_DEFINED_IN"]
    submodules = vars(package).get("_SUBMODULES", ())
    eager = {name for name in package.__all__ if name.startswith("__")}
    assert table.keys() <= set(package.__all__)
    assert set(package.__all__) <= table.keys() | eager | set(submodules)
    assert set(package.__all__) - eager <= imported.keys()
    for name in package.__all__:
        if name not in eager:
            assert getattr(package, name) == imported[name], name
