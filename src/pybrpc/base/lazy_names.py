"""lazy_names: public names that are imported when they are first used (PEP 562).

A package with many public names would otherwise load everything for a program that needs one of
them: the server for a client, asyncio for a program of threads. The package lists its names three
times, and a test compares: under `TYPE_CHECKING`, for type checkers; in `__all__`; and in the table
that it gives to `lazy_names`.

The thread that asks for a name first imports its module; other threads wait for that import, and
all get the same object. Afterwards the name is an attribute of the package like any other. What a
call needs is imported with the class that the call is made by, so no call imports anything.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from operator import attrgetter

from pybrpc.base.import_gate import importing


def lazy_names(
    package: str, defined_in: Mapping[str, str], modules: Iterable[str] = ()
) -> tuple[Callable[[str], object], Callable[[], list[str]]]:
    """`__getattr__` and `__dir__` for the module named `package`.

    `defined_in` has the module of each name, or "module:other" if the name is `other` there.
    `modules` are submodules that are imported when they are first used.
    """
    submodules = frozenset(modules)

    def get(name: str) -> object:
        if name in submodules:
            with importing:
                return import_module(f"{package}.{name}")
        place = defined_in.get(name)
        if place is None:
            text = f"module {package!r} has no attribute {name!r}"
            raise AttributeError(text, name=name, obj=sys.modules.get(package))
        module, _, other = place.partition(":")
        with importing:
            imported = import_module(module)
        try:
            value: object = attrgetter(other or name)(imported)
        except AttributeError:
            if not getattr(imported.__spec__, "_initializing", False):
                raise
            text = (
                f"{package}.{name} is being imported by this thread: code that interrupts it, such "
                "as a signal handler, can't use it yet; import it before that may come"
            )
            raise ImportError(text, name=module) from None
        vars(sys.modules[package])[name] = value
        return value

    def names() -> list[str]:
        return list(vars(sys.modules[package])["__all__"])

    return get, names
