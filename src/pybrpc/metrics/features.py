"""FEATURES: what parts of the library say of themselves, for variables that servers expose."""

from __future__ import annotations

from collections.abc import Callable

FEATURES: dict[str, Callable[[], str]] = {}
"""The name of the variable, and what gives its text. A part adds its own when it is imported."""
