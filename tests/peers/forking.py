"""Forked children of a test."""

from __future__ import annotations

import os
import signal
import traceback
from collections.abc import Callable

CHILD_LIMIT_S = 60


def fork(work: Callable[[], None]) -> int:
    """Run `work` in a child; its pid. The child ends without any clean-up, 0 if all went well."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        signal.alarm(CHILD_LIMIT_S)
        work()
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def exit_code_of(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
