"""Traces after bRPC's rpcz: what calls there were, how long each step took, and what led to what.

    tracing.rpcz.enabled = True
    tracing.annotate("cache miss")            # in a handler
    for span in tracing.rpcz.store.newest():
        print(span)

A Span is one side of one call. Those of this process are kept in memory, as many as fit into
16 MiB; ids that travel with the requests join them with those of other processes. See
docs/tracing.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pybrpc.base.lazy_names import lazy_names

if TYPE_CHECKING:
    from pybrpc.tracing.annotating import annotate
    from pybrpc.tracing.context import TraceContext, extract, inject
    from pybrpc.tracing.log_ids import CallIds, CallIdsFilter, call_ids
    from pybrpc.tracing.process_rpcz import RPCZ as rpcz
    from pybrpc.tracing.process_rpcz import Rpcz, RpczStatistics, on_span_end, remove_span_end
    from pybrpc.tracing.query import SpanQuery
    from pybrpc.tracing.span import Annotation, Span, SpanKind
    from pybrpc.tracing.store import SpanStore, StoreStatistics
    from pybrpc.tracing.switch import current_span

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

_DEFINED_IN = {
    "Annotation": "pybrpc.tracing.span",
    "CallIds": "pybrpc.tracing.log_ids",
    "CallIdsFilter": "pybrpc.tracing.log_ids",
    "Rpcz": "pybrpc.tracing.process_rpcz",
    "RpczStatistics": "pybrpc.tracing.process_rpcz",
    "Span": "pybrpc.tracing.span",
    "SpanKind": "pybrpc.tracing.span",
    "SpanQuery": "pybrpc.tracing.query",
    "SpanStore": "pybrpc.tracing.store",
    "StoreStatistics": "pybrpc.tracing.store",
    "TraceContext": "pybrpc.tracing.context",
    "annotate": "pybrpc.tracing.annotating",
    "call_ids": "pybrpc.tracing.log_ids",
    "current_span": "pybrpc.tracing.switch",
    "extract": "pybrpc.tracing.context",
    "inject": "pybrpc.tracing.context",
    "on_span_end": "pybrpc.tracing.process_rpcz",
    "remove_span_end": "pybrpc.tracing.process_rpcz",
    "rpcz": "pybrpc.tracing.process_rpcz:RPCZ",
}

if not TYPE_CHECKING:  # or any attribute would be known to type checkers
    __getattr__, __dir__ = lazy_names(__name__, _DEFINED_IN)
