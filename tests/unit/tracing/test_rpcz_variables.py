"""The variables of tracing."""

from __future__ import annotations

import pytest

from pybrpc.tracing import rpcz_variables
from pybrpc.tracing.store import SpanStore
from tests.fakes.metrics import number, own_variables
from tests.fakes.spans import ended_span


class FakeRpcz:
    store = SpanStore(100_000)


def test_spans_that_are_kept_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rpcz_variables, "RPCZ", FakeRpcz)
    with own_variables():
        rpcz_variables.expose_rpcz_variables()
        assert number("rpcz_span_count") == number("rpcz_span_memory") == 0
        for _ in range(3):
            FakeRpcz.store.put(ended_span())
        assert number("rpcz_span_count") == 3
        assert number("rpcz_span_memory") > 0
        assert number("rpcz_evicted_spans") == 0
        FakeRpcz.store.max_bytes = 1
        assert number("rpcz_span_count") == number("rpcz_span_memory") == 0
        assert number("rpcz_evicted_spans") == 3
