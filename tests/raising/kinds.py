"""The exceptions that user code raises in these tests."""

from __future__ import annotations

import asyncio
import concurrent.futures
import errno
from collections.abc import Callable
from typing import Any, NoReturn

import pytest

from pybrpc.errors import RpcError


class BareError(BaseException):
    """A direct subclass of BaseException."""


class UnprintableError(Exception):
    """It can't be logged: its text raises an Exception."""

    def __str__(self) -> str:
        raise ValueError("no text")

    __repr__ = __str__


class BareUnprintableError(BaseException):
    """It can't be logged: its text raises no Exception."""

    def __str__(self) -> str:
        raise SystemExit("no text")

    __repr__ = __str__


class UnhashableError(Exception):
    """Like an exception made by a dataclass: equal to others, so without a hash."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, UnhashableError)


def deep() -> NoReturn:
    """Raise a RecursionError that the interpreter makes."""
    deep()


KINDS: dict[str, Callable[[], BaseException]] = {
    "ValueError": lambda: ValueError("raised"),
    "RpcError": lambda: RpcError("raised", code=5001),
    "RpcError of code 0": lambda: RpcError("raised", code=0),
    "OSError": lambda: OSError(errno.ECONNRESET, "raised"),
    "CancelledError": asyncio.CancelledError,
    "CancelledError of a future": concurrent.futures.CancelledError,
    "GeneratorExit": GeneratorExit,
    "KeyboardInterrupt": KeyboardInterrupt,
    "SystemExit": lambda: SystemExit(1),
    "MemoryError": MemoryError,
    "RecursionError": RecursionError,
    "StopIteration": lambda: StopIteration("raised"),
    "StopAsyncIteration": StopAsyncIteration,
    "outcome of pytest.fail": lambda: pytest.fail.Exception("raised"),
    "outcome of pytest.skip": lambda: pytest.skip.Exception("raised"),
    "outcome of pytest.exit": lambda: pytest.exit.Exception("raised"),
    "BaseException": lambda: BaseException("raised"),
    "BaseExceptionGroup": lambda: BaseExceptionGroup("raised", [KeyboardInterrupt()]),
    "BareError": lambda: BareError("raised"),
    "UnprintableError": UnprintableError,
    "BareUnprintableError": BareUnprintableError,
    "UnhashableError": UnhashableError,
}
"""By name: a function that makes one."""


def raise_kind(name: str) -> NoReturn:
    """Raise an exception of that kind."""
    if name == "RecursionError":
        deep()
    raise KINDS[name]()


def raiser(name: str) -> Callable[..., Any]:
    """A function that raises an exception of that kind, whatever it is called with."""

    def function(*_: Any, **__: Any) -> NoReturn:
        raise_kind(name)

    return function
