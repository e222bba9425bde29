"""A process that is an RtmpRelay on one core. It prints its port, and for each line that it reads
how often a player has begun to skip frames.

    python -m bench.rtmp_relay
"""

from __future__ import annotations

import os
import sys

import pybrpc
from pybrpc.rtmp import RelayEvent, RtmpRelay


class Skips:
    """Counts the players that were too slow."""

    def __init__(self) -> None:
        self.count = 0

    def on_event(self, event: RelayEvent) -> None:
        self.count += event.kind == "skipping"


def main() -> None:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    skips = Skips()
    with RtmpRelay(on_event=skips.on_event) as relay:
        server = pybrpc.Server(rtmp_service=relay)
        print(server.start("127.0.0.1:0").port, flush=True)
        for _ in sys.stdin:
            print(skips.count, flush=True)
        server.stop()
        server.join()


if __name__ == "__main__":
    main()
