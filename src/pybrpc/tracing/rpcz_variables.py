"""The variables of tracing: the spans that the process keeps for /rpcz."""

from __future__ import annotations

from pybrpc.metrics.process_variables import expose_once
from pybrpc.metrics.status import NumberOf, PassiveStatus
from pybrpc.tracing.process_rpcz import RPCZ


def expose_rpcz_variables() -> None:
    """Expose those that are not exposed yet. They are read when somebody looks. Any thread."""
    expose_once(
        "rpcz_span_count", lambda: NumberOf(lambda: len(RPCZ.store), help="Spans that are kept")
    )
    expose_once(
        "rpcz_span_memory",
        lambda: PassiveStatus(
            lambda: RPCZ.store.statistics().size_bytes,
            metric_name="rpcz_span_bytes",
            help="Bytes of these spans, an estimate",
        ),
    )
    expose_once(
        "rpcz_evicted_spans",
        lambda: PassiveStatus(
            lambda: RPCZ.store.statistics().evicted,
            is_counter=True,
            help="Spans that had to leave for newer ones",
        ),
    )
