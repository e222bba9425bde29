"""public_dir: what `dir()` shows of an object that has attributes for this library beside those for
users."""

from __future__ import annotations


def public_dir(instance: object, of_library: frozenset[str]) -> list[str]:
    """The names for its `__dir__`: without those in `of_library`, which still work."""
    return [name for name in object.__dir__(instance) if name not in of_library]
