"""Warnings about names that have changed."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable
from typing import Any

_PACKAGE = os.path.dirname(os.path.dirname(__file__)) + os.sep


def warn_renamed(old: str, new: str) -> None:
    """Warn that `old` is now `new`, at the line outside of this package that has used `old`.

    The number of frames in between varies: compiled functions have none.
    """
    level, frame = 2, sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        level, frame = level + 1, frame.f_back
    warnings.warn(f"{old} is now {new}", DeprecationWarning, stacklevel=level)


def renamed_method(old: str, new: str) -> Callable[..., Any]:
    """A method with the name `old` that warns, and calls the method `new`."""

    def call(self: Any, *arguments: Any) -> Any:
        warn_renamed(f"{type(self).__name__}.{old}", new)
        return getattr(self, new)(*arguments)

    call.__name__ = old
    call.__doc__ = f"Deprecated: use `{new}`."
    return call
