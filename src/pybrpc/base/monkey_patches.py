"""check_monkey_patches: refuses libraries that replace parts of the standard library too late.

gevent and eventlet replace threads, locks and waiting by their own. That works if they do it before
this package is imported, and for threads too. Else a part of this package waits for threads, while
another waits as a coroutine: calls would time out, or seem to wait for themselves.
"""

from __future__ import annotations

import sys
import threading

from pybrpc.errors import MonkeyPatchError

_get_ident = threading.get_ident
"""The function as it was when this package was imported."""

_WHO_KNOWS = (("gevent.monkey", "is_module_patched"), ("eventlet.patcher", "is_monkey_patched"))


def check_monkey_patches() -> None:
    """Raise MonkeyPatchError if what was replaced does not go together with this package."""
    if threading.get_ident is not _get_ident:
        raise MonkeyPatchError(
            "threads were replaced, by gevent or eventlet, after pybrpc was imported: "
            "patch before the first import of pybrpc"
        )
    for module, name in _WHO_KNOWS:
        is_patched = getattr(sys.modules.get(module), name, None)
        if is_patched is not None and is_patched("select") and not _is_thread_patched(is_patched):
            raise MonkeyPatchError(
                f"{module.partition('.')[0]} has replaced select, but not threads: patch both, "
                "before the first import of pybrpc, or neither"
            )


def _is_thread_patched(is_patched: object) -> bool:
    assert callable(is_patched)
    return any(is_patched(name) for name in ("threading", "thread"))
