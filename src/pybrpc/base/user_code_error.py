"""UserCodeError: user code has raised, and this tells it apart from code of this library."""

from __future__ import annotations


class UserCodeError(Exception):
    """Raised in place of what user code has raised, by the code of this library that has called it.

    A traceback does not always tell: a function that is called with wrong arguments has no frame.
    """

    def __init__(self, reason: BaseException) -> None:
        super().__init__(reason)
        self.reason = reason
