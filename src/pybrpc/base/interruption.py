"""raise_if_interrupted: gives an exception that was set in this thread from outside its chance."""

from __future__ import annotations


def raise_if_interrupted() -> None:
    """Raise an exception that another thread has set in this one, if there is one.

    Python raises it when the thread begins the next function of Python code. Compiled code may not
    call one for long, or only inside a guard, which would take the exception for one of user code.
    So this function does nothing, and is not compiled.
    """
