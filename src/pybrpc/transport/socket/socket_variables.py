"""The variables of all connections of the process, under bRPC's names."""

from __future__ import annotations

from pybrpc.iobuf.block_pool import POOL
from pybrpc.metrics.process_variables import expose_once
from pybrpc.metrics.status import NumberOf, PassiveStatus
from pybrpc.metrics.window import PerSecond
from pybrpc.transport.socket_table import SOCKETS
from pybrpc.transport.writing.writable_wait import WAITS
from pybrpc.transport.writing.writer import writes_handed_over


def expose_socket_variables() -> None:
    """Expose those that are not exposed yet. Any thread.

    They count nothing anew for a call: lengths are read when somebody looks, and two counters once
    a second, one of which changes by the batch, the other when the kernel takes no more.
    """
    expose_once(
        "rpc_socket_count",
        lambda: NumberOf(lambda: len(SOCKETS), help="Connections that have not failed"),
    )
    expose_once(
        "rpc_waitepollout_count",
        lambda: NumberOf(
            _count_waits, help="Connections that wait until their peer reads what is written"
        ),
    )
    expose_once(
        "rpc_waitepollout_second",
        lambda: PerSecond(
            PassiveStatus(WAITS.get_value), help="Such waits that have begun, per second"
        ),
    )
    expose_once(
        "rpc_keepwrite_second",
        lambda: PerSecond(
            PassiveStatus(writes_handed_over), help="Batches left to a dispatcher per second"
        ),
    )
    expose_once(
        "iobuf_block_count",
        lambda: NumberOf(lambda: POOL.block_count, help="Large blocks that are used or kept"),
    )
    expose_once(
        "iobuf_block_memory",
        lambda: PassiveStatus(
            lambda: POOL.size_bytes, metric_name="iobuf_block_bytes", help="Bytes of these blocks"
        ),
    )


def _count_waits() -> int:
    return sum(socket.waits_for_kernel for socket in SOCKETS.all())
