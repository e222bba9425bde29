"""Modules of the standard library that are imported when code that runs needs them.

asyncio and ssl take long to import, and bring many modules with them; hashlib loads OpenSSL. A
program whose threads call one server over plain TCP needs none of them, nor json. Code that tasks,
TLS, clusters or pages alone reach uses them from here; a class that
has a base class of asyncio imports asyncio itself, and is in a module for asyncio alone.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

from pybrpc.base.import_gate import importing

if TYPE_CHECKING:
    import asyncio as asyncio
    import hashlib as hashlib
    import json as json
    import ssl as ssl


class LazyModule:
    """A module that is imported when its first attribute is needed. Any thread.

    Afterwards it has the `__dict__` of the module: so its attributes cost what they cost there, and
    are the same ones, also when the module changes.
    """

    def __init__(self, name: str) -> None:
        self.__name__ = name

    def __getattr__(self, name: str) -> Any:
        with importing:
            module = import_module(self.__name__)
        self.__dict__ = module.__dict__
        return getattr(module, name)

    def __repr__(self) -> str:
        return f"<lazy module {self.__name__}>"


if not TYPE_CHECKING:
    asyncio = LazyModule("asyncio")
    hashlib = LazyModule("hashlib")
    json = LazyModule("json")
    ssl = LazyModule("ssl")


def running_loop() -> asyncio.AbstractEventLoop | None:
    """The asyncio loop that runs in this thread, if any. Doesn't import asyncio: where nobody has
    imported it, no loop runs."""
    get = getattr(sys.modules.get("asyncio.events"), "_get_running_loop", None)
    return None if get is None else get()
