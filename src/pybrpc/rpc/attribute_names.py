"""attribute_names: the names that methods of a service have as attributes of generated classes."""

from __future__ import annotations

import keyword
from collections.abc import Collection, Iterable

RESERVED = frozenset({"SERVICE", "_channel", "_is_aio"})
"""Attributes of the base classes of generated ones."""


def attribute_names(methods: Iterable[str], reserved: Collection[str] = RESERVED) -> dict[str, str]:
    """The attribute of each method of a service: its own name, if that can be one.

    A keyword of Python, and a name in `reserved`, which the class of the object needs, gets an
    underscore at its end: `import_`. One that begins with two underscores, which Python would
    change in a class, gets "rpc" at its begin. No two methods share a name.
    """
    names = list(methods)
    taken = {name for name in names if _is_usable(name, reserved)}
    found: dict[str, str] = {}
    for name in names:
        attribute = name
        if not _is_usable(name, reserved):
            attribute = f"rpc{name}" if name.startswith("__") else f"{name}_"
            while attribute in taken or not _is_usable(attribute, reserved):
                attribute += "_"
            taken.add(attribute)
        found[name] = attribute
    return found


def _is_usable(name: str, reserved: Collection[str]) -> bool:
    return not (keyword.iskeyword(name) or name in reserved or name.startswith("__"))
