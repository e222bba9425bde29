"""Runs the examples that stand on a page of the documentation."""

from __future__ import annotations

import ast
import asyncio
import inspect
import re
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


def examples_of(page: str) -> list[str]:
    """The Python ones of a page, such as "docs/tls.md"."""
    return re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)


def run_example(text: str, names: dict[str, Any], addresses: Mapping[str, str]) -> None:
    """Run it with `names`, which it adds to; `addresses` are put in the place of those it names."""
    for shown, real in addresses.items():
        text = text.replace(f'"{shown}"', f'"{real}"')
    code = compile(text, "example", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    if code.co_flags & inspect.CO_COROUTINE:
        asyncio.run(types.FunctionType(code, names)())
    else:
        exec(code, names)


def run_page(page: str, names: dict[str, Any], addresses: Mapping[str, str]) -> None:
    """All examples of a page, in their order, as one program."""
    for text in examples_of(page):
        run_example(text, names, addresses)
