"""Modules of the standard library that are imported when an attribute of them is needed."""

from __future__ import annotations

import asyncio
import colorsys
import subprocess
import sys

import pytest

from pybrpc.base.lazy_modules import LazyModule, running_loop

UNUSED = """
import sys
from pybrpc.base import lazy_modules
assert lazy_modules.running_loop() is None
assert "asyncio" not in sys.modules and "ssl" not in sys.modules, "imported too early"
assert lazy_modules.asyncio.CancelledError is sys.modules["asyncio"].CancelledError
assert lazy_modules.ssl.SSLError is sys.modules["ssl"].SSLError
"""


def test_asyncio_and_ssl_are_imported_by_the_first_use_of_an_attribute() -> None:
    subprocess.run([sys.executable, "-c", UNUSED], check=True)


def test_attributes_are_those_of_the_module_also_after_it_changes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lazy = LazyModule("colorsys")
    assert lazy.rgb_to_hsv is colorsys.rgb_to_hsv
    monkeypatch.setattr(colorsys, "rgb_to_hsv", "changed")
    assert lazy.rgb_to_hsv == "changed"
    assert vars(lazy) is vars(colorsys)


def test_an_attribute_that_the_module_lacks_is_its_attribute_error() -> None:
    lazy = LazyModule("colorsys")
    for _ in range(2):
        with pytest.raises(AttributeError, match="'colorsys' has no attribute 'purple'"):
            _ = lazy.purple


def test_repr_names_the_module_and_does_not_import_it() -> None:
    assert repr(LazyModule("not.there")) == "<lazy module not.there>"


def test_running_loop_is_the_loop_of_this_thread() -> None:
    async def both() -> tuple[object, object]:
        return running_loop(), asyncio.get_running_loop()

    found, expected = asyncio.run(both())
    assert found is expected
    assert running_loop() is None
