"""A port that is given up for a while, and wanted again."""

from __future__ import annotations

import time
from collections.abc import Callable

LONGEST_S = 10.0


def retry_while_taken(listen: Callable[[], object]) -> None:
    """Call `listen` until it raises no OSError; raise that after `LONGEST_S`.

    Meanwhile the system may have given the port to a connection that goes out.
    """
    end = time.monotonic() + LONGEST_S
    while True:
        try:
            listen()
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.02)
        else:
            return
