"""lazy_names: names of a package that are imported when they are first used."""

from __future__ import annotations

import importlib
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

PACKAGE = """
from pybrpc.base.lazy_names import lazy_names

__all__: list[str] = ["VALUE", "other", "inner", "missing", "soon", "sub"]
__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "VALUE": "lazy_package.values",
        "other": "lazy_package.values:VALUE",
        "inner": "lazy_package.values:holder.inner",
        "missing": "lazy_package.values",
        "soon": "lazy_package.interrupted",
    },
    ("sub",),
)
"""
VALUES = """
import types
VALUE = object()
holder = types.SimpleNamespace(inner=1)
"""
INTERRUPTED = """
import lazy_package
try:  # as a signal handler that runs during the import
    lazy_package.soon
except ImportError as error:
    text = str(error)
soon = 1
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    folder = tmp_path / "lazy_package"
    folder.mkdir()
    files = {"__init__": PACKAGE, "values": VALUES, "interrupted": INTERRUPTED, "sub": ""}
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield importlib.import_module("lazy_package")
    for name in [name for name in sys.modules if name.partition(".")[0] == "lazy_package"]:
        del sys.modules[name]


def test_a_name_is_imported_when_it_is_used_and_kept(package: ModuleType) -> None:
    assert "lazy_package.values" not in sys.modules
    value = package.VALUE
    assert value is sys.modules["lazy_package.values"].VALUE
    assert vars(package)["VALUE"] is value


def test_a_name_may_stand_for_another_one_or_for_an_attribute(package: ModuleType) -> None:
    assert package.other is package.VALUE
    assert package.inner == 1


def test_a_submodule_is_imported_when_it_is_used(package: ModuleType) -> None:
    assert "lazy_package.sub" not in sys.modules
    assert package.sub is sys.modules["lazy_package.sub"]


def test_dir_shows_all_names_before_any_of_them_is_imported(package: ModuleType) -> None:
    assert set(dir(package)) == {"VALUE", "other", "inner", "missing", "soon", "sub"}


def test_a_name_that_is_none_is_an_attribute_error_with_the_name(package: ModuleType) -> None:
    text = r"module 'lazy_package' has no attribute 'VALU'$"
    with pytest.raises(AttributeError, match=text) as caught:
        _ = package.VALU
    assert (caught.value.name, caught.value.obj) == ("VALU", package)
    assert not hasattr(package, "__wrapped__")


def test_a_name_that_its_module_lacks_is_an_attribute_error(package: ModuleType) -> None:
    with pytest.raises(AttributeError, match="missing"):
        _ = package.missing


def test_threads_that_use_a_name_at_once_get_the_same_object(package: ModuleType) -> None:
    found: list[object] = []
    start = threading.Barrier(8)

    def use() -> None:
        start.wait()
        found.append(package.VALUE)

    threads = [threading.Thread(target=use) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(map(id, found))) == 1


def test_code_that_interrupts_the_import_of_a_name_hears_it(package: ModuleType) -> None:
    assert package.soon == 1
    text = sys.modules["lazy_package.interrupted"].text
    assert text.startswith("lazy_package.soon is being imported by this thread")
