"""Exceptions that callbacks and handlers of the soak raise on purpose, and how to know them again.

What a callback or a handler raises concerns its own call only, whatever it is. Some of these are no
`Exception`, so that `except Exception` does not catch them.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

ON_PURPOSE = "raised on purpose"
RATE = 0.03
"""The share of callbacks, and of calls whose handler raises."""


class BareError(BaseException):
    """A direct subclass of BaseException."""


Kind = type[BaseException]

HANDLER_KINDS: Mapping[str, Kind] = {
    kind.__name__: kind
    for kind in (
        ValueError,
        asyncio.CancelledError,
        GeneratorExit,
        KeyboardInterrupt,
        SystemExit,
        MemoryError,
        RecursionError,
        BareError,
    )
}
LOOP_KINDS = (ValueError, asyncio.CancelledError, GeneratorExit, MemoryError, BareError)
"""Exceptions of a callback that an asyncio loop survives: the others end `run_forever`."""

CALLBACK_KINDS = (*HANDLER_KINDS.values(), StopIteration)


def drawn_kind(source: random.Random, kinds: tuple[Kind, ...]) -> Kind | None:
    """An exception to raise; mostly `None`."""
    return source.choice(kinds) if source.random() < RATE else None


def raise_if(kind: Kind | None) -> None:
    if kind is not None:
        raise kind(ON_PURPOSE)


def raiser(kind: Kind) -> Callable[..., Any]:
    """A callback that raises."""

    def callback(*_: Any) -> NoReturn:
        raise kind(ON_PURPOSE)

    return callback


def is_on_purpose(error: BaseException | None) -> bool:
    return error is not None and error.args == (ON_PURPOSE,)
