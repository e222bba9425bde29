"""attribute_names: the names that methods of a service have as attributes of generated classes."""

from __future__ import annotations

import keyword
from collections.abc import Iterable

RESERVED = frozenset({"SERVICE", "_channel"})
"""Attributes of the base classes of generated ones."""


def attribute_names(methods: Iterable[str]) -> dict[str, str]:
    """The attribute of each method of a service: its own name, if that can be one.

    A keyword of Python, and a name that the generated classes need, gets an underscore at its end:
    `import_`. One that begins with two underscores, which Python would change in a class, gets
    "rpc" at its begin. No two methods share a name.
    """
    names = list(methods)
    taken = {name for name in names if _is_usable(name)}
    found: dict[str, str] = {}
    for name in names:
        attribute = name
        if not _is_usable(name):
            attribute = f"rpc{name}" if name.startswith("__") else f"{name}_"
            while attribute in taken or not _is_usable(attribute):
                attribute += "_"
            taken.add(attribute)
        found[name] = attribute
    return found


def _is_usable(name: str) -> bool:
    return not (keyword.iskeyword(name) or name in RESERVED or name.startswith("__"))
