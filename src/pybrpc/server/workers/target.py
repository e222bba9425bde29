"""The server that each worker makes, named in a text: "package.module:make_server"."""

from __future__ import annotations

import importlib
import operator
from typing import Any


def check_target(target: str) -> str:
    """`target` if it has the form "package.module:name", else a ValueError that says so."""
    module, colon, name = target.partition(":")
    if not colon or not all(part.isidentifier() for part in f"{module}.{name}".split(".")):
        raise ValueError(
            f'say what makes the server as "package.module:make_server", not {target!r}'
        )
    if module == "__main__":
        raise ValueError(
            f"{target!r} can't be imported by another process: put what makes the server into a "
            "module of its own"
        )
    return target


def load_target(target: str) -> Any:
    """What is behind the text. Whatever its import raises, or AttributeError."""
    module, _, name = target.partition(":")
    return operator.attrgetter(name)(importlib.import_module(module))
