"""spawn: starts a process in which some signals wait until it is ready for them."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Collection, Mapping


def spawn(
    command: list[str],
    *,
    fds: Collection[int],
    blocked: Collection[signal.Signals],
    directory: str,
    environment: Mapping[str, str] | None = None,
) -> subprocess.Popen[bytes]:
    """Start `command`, which inherits the descriptors `fds`. Raises OSError.

    The signals in `blocked` are blocked in it, until it unblocks them: by default they would kill
    an interpreter that starts. Ctrl-C in the terminal doesn't reach it.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, blocked)
    try:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            pass_fds=fds,
            cwd=directory,
            env=environment,
            process_group=0,
        )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
