"""PausableServer: a server of a real program that tests start, kill, and make silent."""

from __future__ import annotations

import os
import signal
from typing import Self

from tests.peers.running_program import RunningProgram


class PausableServer:
    """Runs while the `with` does. A subclass sets `_program`, and says how it starts."""

    _program: RunningProgram

    def start(self) -> None:
        """Returns when it answers."""
        raise NotImplementedError

    def pause(self) -> None:
        """Have it accept connections and answer nothing."""
        os.kill(self._program.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        os.kill(self._program.pid, signal.SIGCONT)

    def kill(self) -> None:
        self._program.stop()

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        self.kill()
