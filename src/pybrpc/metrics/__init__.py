"""Metrics after bRPC's bvar: variables that any thread records to without waiting.

    errors = metrics.Adder("search_errors")
    latency = metrics.LatencyRecorder("search")
    errors.add()
    latency.record(elapsed_us)

A variable with a name is *exposed*: `dump_exposed` shows it as `/vars` does, `take_snapshot` has it
for Prometheus. Recording costs about 0.1 us and takes no lock. See docs/metrics.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pybrpc.base.lazy_names import lazy_names

if TYPE_CHECKING:
    from pybrpc.metrics.exposition.brpc_metrics import to_brpc_metrics
    from pybrpc.metrics.exposition.prometheus import expose, to_openmetrics, to_prometheus
    from pybrpc.metrics.histogram import Histogram
    from pybrpc.metrics.int_recorder import IntRecorder, Stat
    from pybrpc.metrics.latency_recorder import LatencyRecorder
    from pybrpc.metrics.multi_dimension import MultiDimension
    from pybrpc.metrics.names import to_underscored_name
    from pybrpc.metrics.percentile import Percentile
    from pybrpc.metrics.process_variables import expose_process_variables
    from pybrpc.metrics.reducers import Adder, Counter, Maxer, Miner, Reducer
    from pybrpc.metrics.registry import Display, exposed
    from pybrpc.metrics.series import SERIES
    from pybrpc.metrics.snapshot import Snapshot, take_snapshot
    from pybrpc.metrics.snapshot_merger import SnapshotMerger, merge_snapshots
    from pybrpc.metrics.status import PassiveStatus, Status
    from pybrpc.metrics.variable import Variable
    from pybrpc.metrics.window import PerSecond, Window

    list_exposed = exposed.list_exposed
    count_exposed = exposed.count_exposed
    describe_exposed = exposed.describe_exposed
    describe_series_exposed = exposed.describe_series_exposed
    dump_exposed = exposed.dump_exposed
    start_series = SERIES.start
    stop_series = SERIES.stop


__all__ = [
    "Adder",
    "Counter",
    "Display",
    "Histogram",
    "IntRecorder",
    "LatencyRecorder",
    "Maxer",
    "Miner",
    "MultiDimension",
    "PassiveStatus",
    "PerSecond",
    "Percentile",
    "Reducer",
    "Snapshot",
    "SnapshotMerger",
    "Stat",
    "Status",
    "Variable",
    "Window",
    "count_exposed",
    "describe_exposed",
    "describe_series_exposed",
    "dump_exposed",
    "expose",
    "expose_process_variables",
    "list_exposed",
    "merge_snapshots",
    "start_series",
    "stop_series",
    "take_snapshot",
    "to_brpc_metrics",
    "to_openmetrics",
    "to_prometheus",
    "to_underscored_name",
]

_DEFINED_IN = {
    "Adder": "pybrpc.metrics.reducers",
    "Counter": "pybrpc.metrics.reducers",
    "Display": "pybrpc.metrics.registry",
    "Histogram": "pybrpc.metrics.histogram",
    "IntRecorder": "pybrpc.metrics.int_recorder",
    "LatencyRecorder": "pybrpc.metrics.latency_recorder",
    "Maxer": "pybrpc.metrics.reducers",
    "Miner": "pybrpc.metrics.reducers",
    "MultiDimension": "pybrpc.metrics.multi_dimension",
    "PassiveStatus": "pybrpc.metrics.status",
    "PerSecond": "pybrpc.metrics.window",
    "Percentile": "pybrpc.metrics.percentile",
    "Reducer": "pybrpc.metrics.reducers",
    "Snapshot": "pybrpc.metrics.snapshot",
    "SnapshotMerger": "pybrpc.metrics.snapshot_merger",
    "Stat": "pybrpc.metrics.int_recorder",
    "Status": "pybrpc.metrics.status",
    "Variable": "pybrpc.metrics.variable",
    "Window": "pybrpc.metrics.window",
    "count_exposed": "pybrpc.metrics.registry:exposed.count_exposed",
    "describe_exposed": "pybrpc.metrics.registry:exposed.describe_exposed",
    "describe_series_exposed": "pybrpc.metrics.registry:exposed.describe_series_exposed",
    "dump_exposed": "pybrpc.metrics.registry:exposed.dump_exposed",
    "expose": "pybrpc.metrics.exposition.prometheus",
    "expose_process_variables": "pybrpc.metrics.process_variables",
    "list_exposed": "pybrpc.metrics.registry:exposed.list_exposed",
    "merge_snapshots": "pybrpc.metrics.snapshot_merger",
    "start_series": "pybrpc.metrics.series:SERIES.start",
    "stop_series": "pybrpc.metrics.series:SERIES.stop",
    "take_snapshot": "pybrpc.metrics.snapshot",
    "to_brpc_metrics": "pybrpc.metrics.exposition.brpc_metrics",
    "to_openmetrics": "pybrpc.metrics.exposition.prometheus",
    "to_prometheus": "pybrpc.metrics.exposition.prometheus",
    "to_underscored_name": "pybrpc.metrics.names",
}

if not TYPE_CHECKING:  # or any attribute would be known to type checkers
    __getattr__, __dir__ = lazy_names(__name__, _DEFINED_IN)
