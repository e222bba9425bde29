"""Code that protoc and the plugin have made during a test, as modules that can be imported."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from tests.peers.protoc import Protoc, any_protoc

TESTS = Path(__file__).parents[1]
CATALOG = TESTS / "typing" / "catalog"
ODD = TESTS / "golden" / "codegen" / "protos"


def generate(protoc: Protoc, source: Path, files: Sequence[str], target: Path) -> None:
    """Have x_pb2.py and x_brpc.py made of each x.proto."""
    protoc.compile(source, files, [f"--python_out={target}", f"--pybrpc_out={target}"])


@contextmanager
def generated(source: Path, files: Sequence[str], directory: Path) -> Iterator[Importer]:
    """The function that imports a module of the code that is made of `files`. Skips the test if
    there is no protoc."""
    generate(any_protoc(directory), source, files, directory)
    sys.path.insert(0, str(directory))
    importlib.invalidate_caches()
    before = set(sys.modules)
    try:
        yield Importer()
    finally:
        sys.path.remove(str(directory))
        for name in set(sys.modules) - before:
            if _is_below(sys.modules[name], directory):
                del sys.modules[name]


class Importer:
    """Imports generated modules."""

    def __call__(self, name: str) -> Any:
        """The module with that full name."""
        return importlib.import_module(name)


def _is_below(module: ModuleType, directory: Path) -> bool:
    paths = [getattr(module, "__file__", None), *getattr(module, "__path__", ())]
    return any(path is not None and Path(path).is_relative_to(directory) for path in paths)
