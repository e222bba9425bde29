"""bRPC's own tests of variables with labels, each as a test here.

| bRPC's file and test                       | here                                            |
|--------------------------------------------|-------------------------------------------------|
| bvar_multi_dimension madder                | test_adders                                     |
| mmaxer, mminer, mintrecoder, mstatus       | test_other_variables                            |
| mmadder_perf, mmaxer_perf, mminer_perf,    | test_threads_record_without_loss: the counts;   |
| mintrecorder_perf                          | times are in docs/metrics.md                    |
| stats                                      | test_stats                                      |
| get_description                            | test_description                                |
| mlatencyrecorder                           | test_latency_recorder                           |
| test_hash                                  | a measurement of hashes                         |
| labels                                     | test_labels: tuples of str are the only form    |
| shared                                     | test_deleted_variable_can_still_be_used,        |
|                                            | test_sets_are_deleted_while_threads_use_them    |
| bvar_mvariable expose                      | test_expose                                     |
| bvar_mvariable dump                        | test_dump                                       |
| bvar_mvariable test_describe_exposed       | test_describe_exposed                           |
"""

from __future__ import annotations

import json
import operator
import threading

import pytest

from pybrpc.metrics import (
    Adder,
    IntRecorder,
    LatencyRecorder,
    Maxer,
    Miner,
    MultiDimension,
    Reducer,
    Status,
    describe_exposed,
    list_exposed,
    to_brpc_metrics,
)
from tests.fakes.metrics import SteppedSampler

LABELS = ("idc", "method", "status")
SET = ("bj", "get", "200")


def test_adders() -> None:
    counts = MultiDimension(Adder, LABELS, "request_count")
    adder = counts.get_stats(*SET)
    adder << 2 << 4
    assert counts.get_stats(*SET).get_value() == 6
    adder << 2.5 << -9
    assert counts.get_stats(*SET).get_value() == -0.5
    texts = MultiDimension(lambda: Reducer(operator.add, ""), LABELS, "my_string")
    texts.get_stats(*SET) << "hello " << "world"
    assert texts.get_stats(*SET).get_value() == "hello world"


def test_other_variables() -> None:
    maxer = MultiDimension(Maxer, LABELS, "request_count_mmaxer").get_stats(*SET)
    maxer << 1 << 2 << 3
    assert maxer.get_value() == 3
    miner = MultiDimension(Miner, LABELS, "request_count_mminer").get_stats(*SET)
    miner << 1 << 2 << 3
    assert miner.get_value() == 1
    recorder = MultiDimension(IntRecorder, LABELS, "request_count_recorder").get_stats(*SET)
    recorder << 1 << 2 << 3
    assert recorder.average() == 2
    status = MultiDimension(lambda: Status(0), LABELS, "my_mstatus").get_stats(*SET)
    status.set_value(1)
    assert status.get_value() == 1


def test_threads_record_without_loss() -> None:
    adders = MultiDimension(Adder, LABELS, "adders")
    maxers = MultiDimension(Maxer, LABELS, "maxers")
    miners = MultiDimension(Miner, LABELS, "miners")
    recorders = MultiDimension(IntRecorder, LABELS, "recorders")

    def record() -> None:
        for number in range(1, 3001):
            adders.get_stats(*SET).add(2)
            maxers.get_stats(*SET).record(number)
            miners.get_stats(*SET).record(-number)
            recorders.get_stats(*SET).record(number)

    threads = [threading.Thread(target=record) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert adders.get_stats(*SET).get_value() == 2 * 8 * 3000
    assert maxers.get_stats(*SET).get_value() == 3000
    assert miners.get_stats(*SET).get_value() == -3000
    assert recorders.get_stats(*SET).get_value().average() == 1500.5


def test_stats() -> None:
    counts = MultiDimension(Adder, LABELS, "test_stats")
    assert counts.count_stats() == 0
    sets = [("tc", "get", "200"), ("nj", "get", "200"), ("hz", "post", "500"), ("gz", "post", "1")]
    for number, values in enumerate(sets, start=1):
        assert not counts.has_stats(*values)
        counts.get_stats(*values)
        assert counts.has_stats(*values)
        assert counts.count_stats() == number
        assert counts.list_stats() == sorted(sets[:number])
    assert counts.delete_stats(*sets[3])
    assert not counts.delete_stats(*sets[3])
    assert not counts.has_stats(*sets[3])
    assert counts.list_stats() == sorted(sets[:3])
    counts.clear_stats()
    assert counts.count_stats() == 0
    assert not any(counts.has_stats(*values) for values in sets)
    assert counts.get_stats(*sets[0]).get_value() == 0


def test_description() -> None:
    counts = MultiDimension(Adder, LABELS, "test_get_description")
    counts.get_stats("gz", "post", "200") << 1
    counts.get_stats("tc", "post", "200") << 2
    assert json.loads(counts.describe()) == {
        "name": "test_get_description",
        "labels": list(LABELS),
        "stats_count": 2,
    }


def test_latency_recorder(sampler: SteppedSampler) -> None:
    recorders = MultiDimension(lambda: LatencyRecorder(window_s=1), LABELS, "calls")
    recorder = recorders.get_stats("tc", "get", "200")
    for latency_us in range(1, 8):
        recorder << latency_us
    sampler.pass_seconds()
    assert recorder.latency() == 4
    assert recorder.max_latency() == 7
    assert recorder.qps() == 7
    assert recorder.count() == 7


def test_labels() -> None:
    counts = MultiDimension(Adder, list(LABELS), "my_madder")
    assert counts.labels == LABELS
    assert counts.name == "my_madder"
    adder = counts.get_stats("cv", "post", 200)
    assert counts.get_stats("cv", "post", "200") is adder
    assert counts.has_stats("cv", "post", 200)
    assert counts.count_stats() == 1
    adder << 3
    assert counts.get_value() == {("cv", "post", "200"): 3}
    assert counts.delete_stats("cv", "post", 200)
    assert counts.count_stats() == 0


def test_deleted_variable_can_still_be_used() -> None:
    counts = MultiDimension(Adder, LABELS, "my_adder")
    adder = counts.get_stats("idc", "post", "200")
    adder << 1
    counts.delete_stats("idc", "post", "200")
    adder << 1
    assert adder.get_value() == 2
    assert not counts.has_stats("idc", "post", "200")
    assert counts.get_stats("idc", "post", "200").get_value() == 0


def test_sets_are_deleted_while_threads_use_them() -> None:
    counts = MultiDimension(Adder, LABELS, "my_adder")
    stopped = threading.Event()

    def use() -> None:
        while not stopped.is_set():
            counts.get_stats("idc", "post", "200") << 1

    def delete() -> None:
        for _ in range(2000):
            counts.delete_stats("idc", "post", "200")
        stopped.set()

    threads = [threading.Thread(target=use) for _ in range(4)]
    threads.append(threading.Thread(target=delete))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counts.count_stats() <= 1


def test_expose() -> None:
    counts = MultiDimension(Adder, LABELS)
    assert list_exposed() == []
    for prefix, name, exposed_as in (
        ("", "request_count_madder", "request_count_madder"),
        ("", "request_count_madder_another", "request_count_madder_another"),
        ("", "request-count::madder", "request_count_madder"),
        ("", "request.count-madder::BaNaNa", "request_count_madder_ba_na_na"),
        ("foo::bar::Apple", "request", "foo_bar_apple_request"),
        ("foo.bar::BaNaNa", "request", "foo_bar_ba_na_na_request"),
        ("foo::bar.Car_Rot", "request", "foo_bar_car_rot_request"),
        ("foo-bar-RPCTest", "request", "foo_bar_rpctest_request"),
        ("foo-bar-HELLO", "request", "foo_bar_hello_request"),
    ):
        counts.expose(name, prefix=prefix)
        assert counts.name == exposed_as
        assert list_exposed() == [exposed_as]
    second = MultiDimension(Adder, ("user", "url", "cost"), "client_url")
    third = MultiDimension(Adder, ("product", "system", "module"), "request_from")
    assert list_exposed() == ["client_url", "foo_bar_hello_request", "request_from"]
    assert third.hide()
    assert list_exposed() == ["client_url", "foo_bar_hello_request"]
    assert not second.is_hidden


def test_dump(sampler: SteppedSampler) -> None:
    sets = [("gz", "post", "200"), ("tc", "get", "200"), ("jx", "post", "500")]
    adders = MultiDimension(Adder, LABELS, "dump_adder")
    maxers = MultiDimension(Maxer, LABELS, "dump_maxer")
    miners = MultiDimension(Miner, LABELS, "dump_miner")
    for values, numbers in zip(sets, [(1, 3, 5), (2, 4, 6), (3, 6, 9)], strict=True):
        for number in numbers:
            for each in (adders, maxers, miners):
                each.get_stats(*values) << number  # type: ignore[attr-defined]
    recorders = MultiDimension(LatencyRecorder, LABELS, "dump_recorder")
    for latency_us in (1, 3, 5, 2, 4, 6, 3, 6, 9):
        recorders.get_stats(*sets[0]) << latency_us
    sampler.pass_seconds()
    assert to_brpc_metrics().splitlines() == DUMPED.splitlines()


DUMPED = """\
# HELP dump_adder
# TYPE dump_adder gauge
dump_adder{idc="gz",method="post",status="200"} 9
dump_adder{idc="jx",method="post",status="500"} 18
dump_adder{idc="tc",method="get",status="200"} 12
# HELP dump_maxer
# TYPE dump_maxer gauge
dump_maxer{idc="gz",method="post",status="200"} 5
dump_maxer{idc="jx",method="post",status="500"} 9
dump_maxer{idc="tc",method="get",status="200"} 6
# HELP dump_miner
# TYPE dump_miner gauge
dump_miner{idc="gz",method="post",status="200"} 1
dump_miner{idc="jx",method="post",status="500"} 3
dump_miner{idc="tc",method="get",status="200"} 2
# HELP dump_recorder_latency
# TYPE dump_recorder_latency gauge
dump_recorder_latency{idc="gz",method="post",status="200"} 4
dump_recorder_latency{idc="gz",method="post",status="200",quantile="80"} 6
dump_recorder_latency{idc="gz",method="post",status="200",quantile="90"} 9
dump_recorder_latency{idc="gz",method="post",status="200",quantile="99"} 9
dump_recorder_latency{idc="gz",method="post",status="200",quantile="999"} 9
dump_recorder_latency{idc="gz",method="post",status="200",quantile="9999"} 9
# HELP dump_recorder_max_latency
# TYPE dump_recorder_max_latency gauge
dump_recorder_max_latency{idc="gz",method="post",status="200"} 9
# HELP dump_recorder_qps
# TYPE dump_recorder_qps gauge
dump_recorder_qps{idc="gz",method="post",status="200"} 9
# HELP dump_recorder_count
# TYPE dump_recorder_count counter
dump_recorder_count{idc="gz",method="post",status="200"} 9
"""


def test_describe_exposed() -> None:
    counts = MultiDimension(Adder, LABELS, "request_count_describe")
    assert describe_exposed("request_count_describe") == counts.describe()


@pytest.mark.parametrize("values", [(), ("bj",), ("bj", "get", "200", "more")])
def test_wrong_number_of_values_is_refused(values: tuple[str, ...]) -> None:
    counts = MultiDimension(Adder, LABELS)
    for function in (counts.get_stats, counts.has_stats, counts.delete_stats):
        with pytest.raises(ValueError, match="3 labels"):
            function(*values)
