"""python -m bench.slowed MODULE ...: runs a module where code is fifty times slower: in callgrind.

The limits in seconds of turns, and of handlers that run inline, are as much longer, so that a turn
does as many calls as elsewhere, and in the same thread. So is the time between two looks of the
sampler of metrics.
"""

from __future__ import annotations

import runpy
import sys

SLOWER = 50
"""How many times as slow."""


def main() -> None:
    from pybrpc.metrics import sampler
    from pybrpc.server.calls import invoker, method_entry
    from pybrpc.server.lifecycle import running_server
    from pybrpc.server.running import inline_runner
    from pybrpc.transport.dispatch import standby, step_queue, turn_runner

    step_queue.STEP_S *= SLOWER
    turn_runner.TURN_S *= SLOWER
    turn_runner.COSTLY_STEP_S *= SLOWER
    standby.MAX_INLINE_S *= SLOWER
    inline_runner.INLINE_S *= SLOWER
    for module in (method_entry, invoker, running_server):
        module.SLOW_S *= SLOWER  # type: ignore[attr-defined]
    sampler.TICK_S *= SLOWER
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
