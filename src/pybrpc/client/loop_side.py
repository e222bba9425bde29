"""LoopSide: what an AioChannel has in one loop."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from pybrpc.client.loop_wakes import LoopWakes

if TYPE_CHECKING:
    from pybrpc.client.channel import Lease


class LoopSide:
    """Its connections there, and how the ends of calls come to the loop's tasks.

    `is_foreign`: the loop does not drive the connections, the dispatcher of the threads does.
    """

    __slots__ = ("is_foreign", "lease", "loop", "source", "wakes")

    def __init__(self, loop: asyncio.AbstractEventLoop, lease: Lease, is_foreign: bool) -> None:
        self.loop = loop
        self.lease = lease
        self.source = lease.source
        self.wakes = LoopWakes(loop)
        self.is_foreign = is_foreign
