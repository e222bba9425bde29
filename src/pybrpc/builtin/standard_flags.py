"""The flags that this library defines itself, beside those that stand where they are used."""

from __future__ import annotations

from pybrpc.base.flag_values import FLAGS
from pybrpc.transport.runtime import default_runtime
from pybrpc.transport.writing.process_backlog import MAX_QUEUED_BYTES


def _not_negative(value: int) -> str:
    return "" if value >= 0 else "it is 0 or more"


def _set_max_queued_bytes(value: int) -> None:
    default_runtime().max_queued_bytes = value or None


MAX_QUEUED = FLAGS.define(
    "max_queued_bytes",
    MAX_QUEUED_BYTES,
    "Bytes that may be queued on all connections together; 0: no limit (Runtime.max_queued_bytes)",
    check=_not_negative,
    on_change=_set_max_queued_bytes,
)
