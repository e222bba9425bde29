"""The variables of the process."""

from __future__ import annotations

import gc
import os
import threading

import pytest

import pybrpc.metrics.process_variables as module
from pybrpc.metrics import Adder, describe_exposed, dump_exposed, list_exposed, take_snapshot
from pybrpc.metrics.process_variables import _Cached, expose_process_variables
from tests.fakes.metrics import SteppedSampler

pytestmark = pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="needs /proc")


def number(name: str) -> float:
    text = describe_exposed(name)
    assert text is not None
    return float(text)


def test_values_are_those_of_this_process() -> None:
    expose_process_variables()
    assert number("pid") == os.getpid()
    assert number("ppid") == os.getppid()
    assert number("process_fd_count") > 2
    assert number("process_thread_count") >= number("process_python_threads") >= 1
    assert number("process_memory_resident") > 1_000_000
    assert number("process_memory_virtual") > number("process_memory_resident")
    assert 0 < number("process_uptime") < 100_000
    assert number("process_cpu_seconds") > 0
    assert number("process_gc_collections_2") == gc.get_stats()[2]["collections"]
    assert number("system_core_count") == os.cpu_count()
    assert all("raised" not in value for _, value in dump_exposed())


def test_descriptors_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    expose_process_variables()
    before = number("process_fd_count")
    read, write = os.pipe()
    try:
        assert number("process_fd_count") == before + 2
    finally:
        os.close(read)
        os.close(write)


def test_exposing_twice_changes_nothing_and_names_of_users_remain() -> None:
    mine = Adder("pid")
    expose_process_variables()
    names = list_exposed()
    expose_process_variables()
    assert list_exposed() == names
    assert describe_exposed("pid") == "0"
    assert not mine.is_hidden


def test_rates_need_the_sampler(sampler: SteppedSampler) -> None:
    expose_process_variables()
    assert len(sampler._sampled) == 0
    assert describe_exposed("process_cpu_usage") is None
    expose_process_variables(with_rates=True)
    sampler.pass_seconds(2)
    assert number("process_cpu_usage") >= 0
    assert number("process_faults_minor_second") >= 0


def test_values_are_read_only_when_asked_and_cached_for_a_moment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reads: list[int] = []
    now_s = [10.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now_s[0])
    cached = _Cached(lambda: reads.append(1) or len(reads))
    assert reads == []
    assert [cached(), cached()] == [1, 1]
    now_s[0] += 0.2
    assert cached() == 2
    monkeypatch.setattr(module.os, "getpid", lambda: 1)
    assert cached() == 3  # in a forked child


def test_command_line_is_not_shown() -> None:
    expose_process_variables(with_rates=True)
    assert not any("cmdline" in name for name in list_exposed())


def test_what_a_system_does_not_have_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> bytes:
        raise FileNotFoundError(name)

    monkeypatch.setattr(module, "_proc_file", missing)
    monkeypatch.setattr(module, "_stat", _Cached(module._read_stat))
    monkeypatch.setattr(module, "_memory", _Cached(lambda: module._proc_file("statm")))
    expose_process_variables(with_rates=True)
    assert "pid" in list_exposed()
    assert "process_thread_count" not in list_exposed()


def test_metrics_have_the_names_of_prometheus() -> None:
    expose_process_variables()
    families = take_snapshot().families
    assert families["process_cpu_seconds"].kind == "counter"
    assert families["process_resident_memory_bytes"].kind == "gauge"
    assert {"process_open_fds", "process_threads"} <= set(families)


def test_threads_may_read_at_once() -> None:
    expose_process_variables()
    threads = [threading.Thread(target=dump_exposed) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
