"""Packages that are needed for some schemes only."""

from __future__ import annotations

import importlib
from typing import Any

from pybrpc.errors import MissingExtraError


def import_extra(module: str, package: str, extra: str, scheme: str) -> Any:
    """Import `module`. MissingExtraError, which says what to install, if it is not there."""
    try:
        return importlib.import_module(module)
    except ImportError:
        raise MissingExtraError(
            f'{scheme}:// needs {package}; install it with: pip install "pybrpc[{extra}]"'
        ) from None
