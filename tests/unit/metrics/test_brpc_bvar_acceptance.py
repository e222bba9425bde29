"""bRPC's own tests of bvar, each as a test here.

| bRPC's file and test                          | here                                             |
|-----------------------------------------------|--------------------------------------------------|
| bvar_reducer adder                            | test_adder                                       |
| bvar_reducer Min, max                         | test_min, test_max; ints have no limits here, so |
|                                               | there is no value before the first               |
| bvar_reducer perf, atomicity                  | test_threads_add_without_loss                    |
| bvar_reducer global                           | test_adder_of_a_module                           |
| bvar_reducer window                           | test_reducer_window                              |
| bvar_reducer non_primitive                    | test_non_primitive                               |
| bvar_reducer non_primitive_mt                 | test_non_primitive_mt: no order between threads  |
| bvar_reducer simple_window                    | test_simple_window                               |
| bvar_recorder test_complement, test_compress, | no compressed sums here: test_recorder_negative  |
| bvar_recorder test_compress_negtive_number    |                                                  |
| bvar_recorder sanity                          | test_recorder_sanity                             |
| bvar_recorder window                          | test_recorder_window                             |
| bvar_recorder negative                        | test_recorder_negative                           |
| bvar_recorder positive_, negtive_overflow     | test_recorder_overflow: limits of 64 bits        |
| bvar_recorder perf                            | test_recorder_of_threads                         |
| bvar_recorder latency_recorder_qps_accuracy   | test_latency_recorder_qps_accuracy               |
| bvar_window window                            | test_windows_over_the_same_variable_agree        |
| bvar_status status, passive_status            | test_status, test_passive_status                 |
| bvar_status non_primitive                     | test_status_of_a_class                           |
| bvar_variable status                          | test_status                                      |
| bvar_variable expose                          | test_expose                                      |
| bvar_variable dump                            | test_dump                                        |
| bvar_variable latency_recorder                | test_latency_recorder_names                      |
| bvar_variable recursive_mutex                 | a measurement of mutexes                         |
| bvar_variable dtor_waits_for_inflight_describe| test_hiding_during_describe_is_safe              |
| bvar_percentile add, merge1, merge2,          | test_percentile_add, test_percentile_merge_is_   |
| combine_of                                    | exact, test_percentile_combine                   |
| bvar_sampler single_, multi_threaded          | test_sampler.py                                  |
"""

from __future__ import annotations

import operator
import threading
from collections import Counter as Counts
from dataclasses import dataclass

import pytest

from pybrpc import metrics
from pybrpc.metrics import (
    Adder,
    IntRecorder,
    LatencyRecorder,
    Maxer,
    Miner,
    PassiveStatus,
    Percentile,
    PerSecond,
    Reducer,
    Status,
    Window,
    count_exposed,
    describe_exposed,
    dump_exposed,
    list_exposed,
)
from tests.fakes.metrics import SteppedSampler

OF_THE_MODULE = Adder()


def run_threads(number: int, function: object) -> None:
    threads = [threading.Thread(target=function) for _ in range(number)]  # type: ignore[arg-type]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_adder() -> None:
    first, second, third = Adder(), Adder(), Adder()
    first << 2 << 4
    assert first.get_value() == 6
    second << 2.0 << 4.0
    assert second.get_value() == 6.0
    third << -9 << 1 << 0 << 3
    assert third.get_value() == -5


def test_min() -> None:
    miner = Miner()
    assert miner.get_value() is None
    miner << 10 << 20
    assert miner.get_value() == 10
    miner << -5
    assert miner.get_value() == -5
    miner << 2**64
    assert miner.get_value() == -5
    miner << 0
    assert miner.get_value() == -5


def test_max() -> None:
    maxer = Maxer()
    assert maxer.get_value() is None
    maxer << 20 << 10
    assert maxer.get_value() == 20
    maxer << 30
    assert maxer.get_value() == 30
    maxer << 0
    assert maxer.get_value() == 30


def test_adder_of_a_module() -> None:
    assert OF_THE_MODULE.get_value() == 0


def test_threads_add_without_loss() -> None:
    adder = Adder()

    def add() -> None:
        for _ in range(20_000):
            adder.add(2)

    run_threads(8, add)
    assert adder.get_value() == 2 * 8 * 20_000


def test_reducer_window(sampler: SteppedSampler) -> None:
    adder, maxer, miner = Adder(), Maxer(), Miner()
    windows = {seconds: Window(adder, seconds) for seconds in (1, 2, 3)}
    largest = {seconds: Window(maxer, seconds) for seconds in (1, 2, 3)}
    smallest = {seconds: Window(miner, seconds) for seconds in (1, 2, 3)}
    total = 0
    for second in range(1, 7):
        for place in range(1000):
            number = second * 1000 + place
            adder << 1
            maxer << 6000 - number
            miner << number
            total += 1
        sampler.pass_seconds()
        assert adder.get_value() == total
        for seconds in (1, 2, 3):
            looked_at = min(seconds, second)
            assert windows[seconds].get_value() == 1000 * looked_at
            first = (second - looked_at + 1) * 1000
            assert largest[seconds].get_value() == 6000 - first
            assert smallest[seconds].get_value() == first
    assert maxer.get_value() == 5000  # with windows too; C++ logs an error


@dataclass
class Foo:
    x: int

    def __add__(self, other: Foo) -> Foo:
        return Foo(self.x + other.x)


def test_non_primitive() -> None:
    adder = Reducer(operator.add, Foo(0))
    adder << Foo(2) << Foo(3) << Foo(4)
    assert adder.get_value().x == 9


def test_non_primitive_mt() -> None:
    cater = Reducer(operator.add, "")

    names = iter("abcdefgh")

    def append() -> None:
        name = next(names)
        for _ in range(50):
            cater.record(f"{name}:text.")

    run_threads(8, append)
    parts = cater.get_value().split(".")
    assert parts.pop() == ""
    assert Counts(parts) == {f"{name}:text": 50 for name in "abcdefgh"}


def test_simple_window(sampler: SteppedSampler) -> None:
    adder = Adder()
    window = Window(adder, 10)
    adder << 100
    sampler.pass_seconds(3)
    assert window.get_value() == 100


def test_recorder_sanity() -> None:
    recorder = IntRecorder()
    recorder.expose("var1")
    for _ in range(100):
        recorder << 2
    assert recorder.average() == 2
    assert describe_exposed("var1") == "2"
    assert list_exposed() == ["var1"]
    assert count_exposed() == 1
    second = IntRecorder("var2")
    second << 2
    assert second.average() == 2
    assert recorder.hide()
    assert second.hide()
    assert count_exposed() == 0


def test_recorder_window(sampler: SteppedSampler) -> None:
    recorder = IntRecorder()
    windows = {seconds: Window(recorder, seconds) for seconds in (1, 2, 3)}
    for second in range(1, 5):
        for _ in range(10):
            recorder << second * 10
        sampler.pass_seconds()
    assert windows[1].get_value().average_int() == 40
    assert windows[2].get_value().average_int() == 35
    assert windows[3].get_value().average_int() == 30
    assert recorder.get_value().average_int() == 25


def test_recorder_negative() -> None:
    recorder = IntRecorder()
    for _ in range(3):
        recorder << -2
    assert recorder.average() == -2
    recorder << -1
    assert recorder.get_value().average_int() == -1  # towards 0, as C++ divides


def test_recorder_overflow() -> None:
    for beyond, limit in ((2**70, 2**63 - 1), (-(2**70), -(2**63))):
        recorder = IntRecorder()
        for _ in range(5):
            recorder << beyond
        assert recorder.get_value().average_int() == limit
        latency = LatencyRecorder()
        latency << beyond
        assert latency.get_value().total == max(limit, 0)


def test_recorder_of_threads() -> None:
    recorder = IntRecorder()

    def record() -> None:
        for number in range(10_000):
            recorder.record(number)

    run_threads(8, record)
    assert recorder.get_value().average_int() == (10_000 - 1) // 2
    assert recorder.get_value().count == 80_000


@pytest.mark.parametrize("times", [10, 11, 3, 1])
def test_latency_recorder_qps_accuracy(sampler: SteppedSampler, times: int) -> None:
    recorder = LatencyRecorder(window_s=3)
    sampler.pass_seconds(3)
    for _ in range(times):
        recorder << 1
    sampler.pass_seconds()
    for window_s in (2, 3):
        expected = times / window_s
        found = [recorder.qps(window_s) for _ in range(4000)]
        assert all(int(expected) <= qps <= int(expected) + 1 for qps in found)
        assert abs(sum(found) / len(found) - expected) < 0.1
    assert recorder.rate() == pytest.approx(times / 3)


def test_windows_over_the_same_variable_agree(sampler: SteppedSampler) -> None:
    adder, maxer, miner, recorder = Adder(), Maxer(), Miner(), IntRecorder()
    pairs = [(Window(each, 2), Window(each, 2)) for each in (adder, maxer, miner, recorder)]
    rates = PerSecond(adder, 2), PerSecond(adder, 2)
    for number in (10, 2):
        for each in (adder, maxer, miner, recorder):
            each << number
        sampler.pass_seconds()
    assert [first.get_value() for first, _ in pairs[:3]] == [12, 10, 2]
    assert pairs[3][0].get_value().average() == 6.0
    assert all(first.get_value() == second.get_value() for first, second in pairs)
    assert [rate.get_value() for rate in rates] == [6, 6]


def test_status() -> None:
    first = Status("hello 9")
    assert first.is_hidden
    first.expose("var1")
    assert not first.is_hidden
    assert describe_exposed("var1") == "hello 9"
    assert describe_exposed("var1", quote_strings=True) == '"hello 9"'
    assert list_exposed() == ["var1"]

    second = Status(10)
    with pytest.raises(ValueError, match="'var1'"):
        second.expose("var1")
    assert second.is_hidden
    assert count_exposed() == 1
    assert second.describe() == "10"
    assert describe_exposed("var1") == "hello 9"

    assert first.hide()
    assert not first.hide()
    assert count_exposed() == 0
    assert describe_exposed("var1") is None
    first.expose("var1")
    second.expose("var2")
    assert list_exposed() == ["var1", "var2"]
    assert second.hide()
    assert describe_exposed("var2") is None

    second.expose("Var2 Again")
    assert describe_exposed("Var2 Again") is None
    assert describe_exposed("var2_again") == "10"
    third = Status("foobar", "var3")
    fourth = Status(9, "var4")
    assert (third.name, fourth.name) == ("var3", "var4")
    assert list_exposed() == ["var1", "var2_again", "var3", "var4"]
    assert describe_exposed("var4") == "9"
    fourth.set_value(12)
    assert fourth.get_value() == 12


def test_passive_status() -> None:
    first = PassiveStatus(lambda: "0x9", "var11")
    assert describe_exposed("var11") == "0x9"
    second = PassiveStatus(lambda: 9, "var12")
    assert describe_exposed("var12") == "9"
    assert (first.get_value(), second.get_value()) == ("0x9", 9)
    assert list_exposed() == ["var11", "var12"]


def test_status_of_a_class() -> None:
    status = Status(Foo(0))
    status.set_value(Foo(1))
    assert status.get_value().x == 1
    assert status.describe() == "Foo(x=1)"


def test_expose() -> None:
    variable = Status(0)
    for prefix, name in (
        ("foo::bar::Apple", "foo_bar_apple_c1"),
        ("foo.bar::BaNaNa", "foo_bar_ba_na_na_c1"),
        ("foo::bar.Car_Rot", "foo_bar_car_rot_c1"),
        ("foo-bar-RPCTest", "foo_bar_rpctest_c1"),
        ("foo-bar-HELLO", "foo_bar_hello_c1"),
        ("", "c1"),
    ):
        variable.expose("c1", prefix=prefix)
        assert variable.name == name
        assert list_exposed() == [name]


def test_dump() -> None:
    assert dump_exposed() == []
    Adder("var2") << 2
    Status(1, "var1")
    with pytest.raises(ValueError, match="already"):
        Status(12, "var1")
    Status(3, "var3", prefix="foo.bar.Apple")
    Adder("var4", prefix="foo.bar.BaNaNa") << 4
    PassiveStatus(lambda: 5, "var5", prefix="foo::bar::Car_Rot")
    everything = [
        ("foo_bar_apple_var3", "3"),
        ("foo_bar_ba_na_na_var4", "4"),
        ("foo_bar_car_rot_var5", "5"),
        ("var1", "1"),
        ("var2", "2"),
    ]
    assert dump_exposed() == everything
    assert dump_exposed("foo_bar_*", "*var5") == everything[:2]
    assert dump_exposed("*?rot*") == everything[2:3]
    assert dump_exposed("", "var2;var1") == everything[:3]
    assert dump_exposed("", "f?o_b?r_*;not_exist") == everything[3:]
    assert dump_exposed("", "f$o_b$r_*;not_exist", question_mark="$") == everything[3:]
    assert dump_exposed("not_exist") == []
    assert dump_exposed("not_exist;f??o_bar*") == []
    assert dump_exposed("var2,var1") == everything[3:]


def test_latency_recorder_names() -> None:
    recorder = LatencyRecorder()
    recorder << 1 << 2 << 3
    assert recorder.count() == 3
    for name in ("", "latency", "Latency"):
        with pytest.raises(ValueError, match="no prefix"):
            recorder.expose(name)
    suffixes = [
        *("count", "latency", "latency_80", "latency_90", "latency_99", "latency_999"),
        *("latency_9999", "latency_cdf", "latency_percentiles", "max_latency", "qps"),
    ]
    for name, stem in (
        ("FooBar__latency", "foo_bar"),
        ("ApplePie", "apple_pie"),
        ("BaNaNa::Latency", "ba_na_na"),
    ):
        recorder.expose(name)
        assert list_exposed() == [f"{stem}_{suffix}" for suffix in suffixes]


def test_hiding_during_describe_is_safe() -> None:
    entered, go_on = threading.Event(), threading.Event()

    def block() -> int:
        entered.set()
        go_on.wait()
        return 42

    status = PassiveStatus(block, "blocks")
    described: list[str | None] = []
    reader = threading.Thread(target=lambda: described.append(describe_exposed("blocks")))
    reader.start()
    entered.wait()
    assert status.hide()  # needs no wait: the reader keeps the variable alive
    del status
    go_on.set()
    reader.join()
    assert described == ["42"]
    assert describe_exposed("blocks") is None


def test_percentile_add() -> None:
    percentile = Percentile()
    for _ in range(10):
        for number in range(10_000):
            percentile << number + 1
        found = percentile.reset()
        numbers = [found.get_number(tenth / 10) for tenth in range(1, 11)]
        assert numbers == sorted(numbers)
        for tenth, number in enumerate(numbers, start=1):
            assert abs(number - tenth * 1000) < 500


@pytest.mark.parametrize(("first", "second"), [(1000, 2000), (1000, 400)])
def test_percentile_merge_is_exact(first: int, second: int) -> None:
    one, other, both = Percentile(), Percentile(), Percentile()
    for number in range(first):
        one << number
        both << number
    for number in range(second):
        other << number + first
        both << number + first
    assert one.get_value() + other.get_value() == both.get_value()


def test_percentile_combine() -> None:
    base = (1 << 30) + 1
    merged = metrics.Histogram()
    for place in range(10):
        percentile = Percentile()
        for number in range(1000 * (place + 1)):
            percentile << base + place * (place + 1) * 500 + number
        merged += percentile.get_value()
    assert merged.count == 55_000
    assert merged.get_number(0.5) == pytest.approx(base, rel=1 / 32)
