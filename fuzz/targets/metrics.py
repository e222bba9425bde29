"""Texts that readers of metrics send: wildcards, Accept headers, labels, snapshots of workers."""

from __future__ import annotations

import fnmatch

from fuzz.fuzz_target import FuzzTarget, assert_says
from fuzz.parameters import Parameters
from pybrpc.metrics.exposition.prometheus import prefers_openmetrics, to_openmetrics, to_prometheus
from pybrpc.metrics.names import to_underscored_name
from pybrpc.metrics.snapshot import Family, Snapshot
from pybrpc.metrics.wildcards import MAX_PATTERNS, Wildcards

_NAMES = ("", "a", "rpc_server_8000_echo_latency_99", "process_memory_resident", "a" * 300)


def check(data: bytes) -> None:
    given = Parameters(data)
    wants_snapshot = given.flag()
    rest = given.rest()
    if wants_snapshot:
        _check_snapshot(rest)
        return
    text = rest.decode("utf-8", "surrogateescape")
    _check_wildcards(text)
    prefers_openmetrics(text)
    name = to_underscored_name(text)
    assert to_underscored_name(name) == name
    _check_label(text)


def _check_wildcards(text: str) -> None:
    try:
        wildcards = Wildcards(text)
    except ValueError as error:
        assert_says(error, "at most")
        return
    parts = [part for part in text.replace(";", ",").split(",") if part and "[" not in part]
    assert sum("*" in part or "?" in part for part in parts) <= MAX_PATTERNS
    for name in _NAMES:
        is_meant = wildcards.match(name)
        if len(text) < 50:  # fnmatch may take exponential time
            meant = any(fnmatch.fnmatchcase(name, part) for part in parts)
            assert is_meant >= meant
            assert is_meant == meant or "[" in text


def _check_label(text: str) -> None:
    family = Family("metric", "counter", text, ("label",), 1, {(text,): 1})
    snapshot = Snapshot({"metric": family})
    for lines in (to_prometheus(snapshot), to_openmetrics(snapshot)):
        lines.encode()
        assert lines.count("\n") in (3, 4)
        (sample,) = (line for line in lines.split("\n") if line.startswith("metric"))
        assert sample.endswith('"} 1')


def _check_snapshot(data: bytes) -> None:
    try:
        snapshot = Snapshot.from_bytes(data)
    except ValueError as error:
        assert_says(error, "no snapshot")
        return
    again = Snapshot.from_bytes(snapshot.to_bytes())
    assert again.to_bytes() == snapshot.to_bytes()
    to_prometheus(snapshot)
    to_openmetrics(snapshot)


_SNAPSHOT = (
    b'[{"name":"a","kind":"histogram","help":"","labels":["x"],"divisor":1,'
    b'"values":[[["y"],{"total":3,"buckets":[[1,2]]}]]},'
    b'{"name":"b","kind":"gauge","help":"h","labels":[],"divisor":7,"values":[[[],1.5]]}]'
)
TARGET = FuzzTarget(
    check,
    lambda: (
        b"\0rpc_server_*;process_?d,pid",
        b"\0*a*b?c*",
        b"\0application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.3",
        b"\1" + _SNAPSHOT,
    ),
    dictionary=(
        b"*",
        b"?",
        b";",
        b"q=",
        b'"kind":',
        b'"gauge"',
        b'"counter"',
        b'"buckets":',
        b"[[",
    ),
    max_bytes=1000,
)
