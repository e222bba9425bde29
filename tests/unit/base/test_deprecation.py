"""Warnings about names that have changed point at the line that uses the old name."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pybrpc.base import deprecation
from pybrpc.base.deprecation import warn_renamed


def test_warning_is_at_the_caller() -> None:
    with pytest.warns(DeprecationWarning, match="^old is now new$") as warned:
        warn_renamed("old", "new")
    assert warned[0].filename == __file__


@pytest.mark.parametrize("depth", [1, 2, 5])
def test_warning_skips_frames_of_the_package(depth: int) -> None:
    inside: dict[str, Callable[[int], None]] = {"warn_renamed": warn_renamed}  # type: ignore[dict-item]
    source = "def call(n): call(n - 1) if n else warn_renamed('old', 'new')"
    exec(compile(source, deprecation.__file__, "exec"), inside)
    with pytest.warns(DeprecationWarning, match="^old is now new$") as warned:
        inside["call"](depth)
    assert warned[0].filename == __file__


def test_warning_without_an_outer_frame_is_at_the_outermost_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(deprecation, "_PACKAGE", "")
    with pytest.warns(DeprecationWarning, match="^old is now new$"):
        warn_renamed("old", "new")
