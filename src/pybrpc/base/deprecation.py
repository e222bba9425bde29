"""Warnings about names that have changed."""

from __future__ import annotations

import os
import sys
import warnings
from pathlib import Path

_PACKAGE = str(Path(__file__).parents[1]) + os.sep


def warn_renamed(old: str, new: str) -> None:
    """Warn that `old` is now `new`, at the line outside of this package that has used `old`.

    The number of frames in between varies: compiled functions have none.
    """
    level, frame = 2, sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        level, frame = level + 1, frame.f_back
    warnings.warn(f"{old} is now {new}", DeprecationWarning, stacklevel=level)
