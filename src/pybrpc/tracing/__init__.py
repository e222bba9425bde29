"""Traces after bRPC's rpcz: what calls there were, how long each step took, and what led to what.

    tracing.rpcz.enabled = True
    tracing.annotate("cache miss")            # in a handler
    for span in tracing.rpcz.store.newest():
        print(span)

A Span is one side of one call. Those of this process are kept in memory, as many as fit into
16 MiB; ids that travel with the requests join them with those of other processes. See
docs/tracing.md.
"""

from pybrpc.tracing.annotating import annotate
from pybrpc.tracing.context import TraceContext, extract, inject
from pybrpc.tracing.log_ids import CallIds, CallIdsFilter, call_ids
from pybrpc.tracing.process_rpcz import RPCZ, Rpcz, RpczStatistics
from pybrpc.tracing.query import SpanQuery
from pybrpc.tracing.span import Annotation, Span, SpanKind
from pybrpc.tracing.store import SpanStore, StoreStatistics
from pybrpc.tracing.switch import current_span

rpcz = RPCZ
on_span_end = RPCZ.on_span_end
remove_span_end = RPCZ.remove_span_end

__all__ = [
    "Annotation",
    "CallIds",
    "CallIdsFilter",
    "Rpcz",
    "RpczStatistics",
    "Span",
    "SpanKind",
    "SpanQuery",
    "SpanStore",
    "StoreStatistics",
    "TraceContext",
    "annotate",
    "call_ids",
    "current_span",
    "extract",
    "inject",
    "on_span_end",
    "remove_span_end",
    "rpcz",
]


def __dir__() -> list[str]:
    return __all__
