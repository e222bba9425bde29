"""The flags that this library defines itself, beside those that stand where they are used."""

from __future__ import annotations

from pybrpc.base.flag_values import FLAGS
from pybrpc.tracing.process_rpcz import RPCZ
from pybrpc.transport.runtime import default_runtime
from pybrpc.transport.writing.process_backlog import MAX_QUEUED_BYTES


def _not_negative(value: int) -> str:
    return "" if value >= 0 else "it is 0 or more"


def _set_max_queued_bytes(value: int) -> None:
    default_runtime().max_queued_bytes = value or None


def _set_enable_rpcz(value: bool) -> None:
    RPCZ.enabled = value


MAX_QUEUED = FLAGS.define(
    "max_queued_bytes",
    MAX_QUEUED_BYTES,
    "Bytes that may be queued on all connections together; 0: no limit (Runtime.max_queued_bytes)",
    check=_not_negative,
    on_change=_set_max_queued_bytes,
    read=lambda: default_runtime().max_queued_bytes or 0,
)
ENABLE_RPCZ = FLAGS.define(
    "enable_rpcz",
    False,
    "Keep spans of calls for /rpcz (pybrpc.tracing.rpcz.enabled)",
    on_change=_set_enable_rpcz,
    read=lambda: RPCZ.enabled,
)
RPCZ_HEX_LOG_ID = FLAGS.define(
    "rpcz_hex_log_id", False, "Show log_id in hexadecimal digits on /rpcz"
)
