"""Calls of threads over a fake connection, and what may go wrong in them."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable
from typing import Any

from pybrpc.client.calls.call_options import CallOptions
from pybrpc.rpc.controller import Controller
from tests.fakes.connections import ECHO, FakeSource, OddMethod
from tests.protos import conformance_pb2 as pb


class Failed(BaseException):
    """As what pytest.fail() raises."""


EVERYTHING = [
    ValueError,
    MemoryError,
    RecursionError,
    asyncio.CancelledError,
    GeneratorExit,
    KeyboardInterrupt,
    SystemExit,
    Failed,
]


ODD = OddMethod(ValueError)


class Held:
    """An object of the caller, in a local variable of the function that calls."""


def is_freed_after(call: Callable[[Held], None]) -> bool:
    held = Held()
    reference = weakref.ref(held)
    call(held)
    del held
    return reference() is None


def make(
    new_call: Any,
    source: FakeSource,
    method: Any = ECHO,
    controller: Controller | None = None,
    **options: Any,
) -> Any:
    request = pb.EchoRequest(message="x")
    made = CallOptions(**{"max_retry": 0, **options})
    return new_call(source, method, request, 5.0, made, controller)
