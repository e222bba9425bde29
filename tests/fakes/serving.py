"""serving: a handler that runs, as the calls see it that it makes. No server is needed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from pybrpc.base.deadline import NEVER
from pybrpc.rpc.serving import ServedCall, new_served_call, set_current_call


@contextlib.contextmanager
def serving_call(deadline: float = NEVER) -> Iterator[ServedCall]:
    """Let the code inside be a handler of a request with that deadline."""
    served = new_served_call(deadline)
    set_current_call(served)
    try:
        yield served
    finally:
        set_current_call(None)
        served.end()


def no_later(function: object) -> None:
    """As `post`: everything is to be done at once."""
    raise AssertionError("something is left for later")
