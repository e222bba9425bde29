"""SignalSafeCondition: a Condition whose lock a signal handler that raises never leaves held.

`threading.Condition` enters its lock in a function of Python, `__enter__`. A signal handler may run
between its two steps, the lock taken and the return; if that handler raises, as that of Ctrl-C
does, the `with` has not begun and nobody releases the lock. Other threads wait for it for ever.
Python enters a lock itself in one step. So here `with` finds the functions of the lock.
"""

from __future__ import annotations

import threading
from typing import Any


class SignalSafeCondition(threading.Condition):
    """Used as its base class. It may become the class of a Condition that something else made."""

    _lock: Any
    __enter__ = property(lambda self: self._lock.__enter__)
    __exit__ = property(lambda self: self._lock.__exit__)
