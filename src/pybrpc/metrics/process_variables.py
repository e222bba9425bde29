"""Variables of the process itself, under bRPC's names (bvar/default_variables.cpp).

They are read when they are looked at, and at no other time; what one file has is read at most every
100 ms. bRPC's process_cmdline and process_work_dir are not among them: pages are public by default,
and a command line may have secrets in it.
"""

from __future__ import annotations

import contextlib
import gc
import os
import resource
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from pybrpc.metrics.registry import exposed
from pybrpc.metrics.sampler import default_sampler
from pybrpc.metrics.status import PassiveStatus
from pybrpc.metrics.variable import Variable
from pybrpc.metrics.window import PerSecond

CACHED_S = 0.1
PAGE_BYTES = resource.getpagesize()
_TICKS = os.sysconf("SC_CLK_TCK")


class _Cached:
    """Calls `read` again when its last result is older than 100 ms. Threads may both do so."""

    def __init__(self, read: Callable[[], Any]) -> None:
        self._read = read
        self._latest: tuple[float, int, Any] | None = None

    def __call__(self) -> Any:
        latest, now, pid = self._latest, time.monotonic(), os.getpid()
        if latest is None or now - latest[0] > CACHED_S or latest[1] != pid:
            self._latest = latest = (now, pid, self._read())
        return latest[2]


def _proc_file(name: str) -> bytes:
    with open(f"/proc/self/{name}", "rb", buffering=0) as file:
        return file.read()


def _read_stat() -> list[bytes]:
    """The fields of /proc/self/stat from the third on (proc(5))."""
    return _proc_file("stat").rpartition(b") ")[2].split()


def _read_io() -> dict[str, int]:
    lines = _proc_file("io").decode().splitlines()
    return {name: int(value) for name, _, value in (line.partition(": ") for line in lines)}


_stat = _Cached(_read_stat)
_memory = _Cached(lambda: [int(pages) for pages in _proc_file("statm").split()])
_io = _Cached(_read_io)
_usage = _Cached(lambda: resource.getrusage(resource.RUSAGE_SELF))
_load = _Cached(os.getloadavg)


def _stat_field(number: int) -> Callable[[], int]:
    """The field of that number in proc(5)."""
    return lambda: int(_stat()[number - 3])


def _memory_field(place: int) -> Callable[[], int]:
    return lambda: int(_memory()[place]) * PAGE_BYTES


def _io_field(name: str) -> Callable[[], int]:
    return lambda: int(_io()[name])


def _usage_field(name: str) -> Callable[[], float]:
    return lambda: float(getattr(_usage(), name))


def _load_of(place: int) -> Callable[[], float]:
    return lambda: float(_load()[place])


def _uptime_s() -> float:
    started = int(_stat()[22 - 3]) / _TICKS  # since the machine was started
    return time.clock_gettime(time.CLOCK_BOOTTIME) - started


def _cpu_s() -> float:
    usage = _usage()
    return float(usage.ru_utime + usage.ru_stime)


def _fd_count() -> int:
    return len(os.listdir("/proc/self/fd")) - 1  # without that of listdir


def _collections(generation: int) -> Callable[[], int]:
    return lambda: int(gc.get_stats()[generation]["collections"])


# name, function, what /metrics calls it, help; counters end in _total there
_VARIABLES: tuple[tuple[str, Callable[[], Any], str | None, str], ...] = (
    ("pid", os.getpid, None, "Process id"),
    ("ppid", os.getppid, None, "Process id of the parent"),
    ("pgrp", os.getpgrp, None, "Id of the process group"),
    ("process_uptime", _uptime_s, "process_uptime_seconds", "Age of the process in seconds"),
    ("process_fd_count", _fd_count, "process_open_fds", "Open file descriptors"),
    ("process_thread_count", _stat_field(20), "process_threads", "Threads of the process"),
    ("process_priority", _stat_field(18), None, "Priority of the process"),
    ("process_nice", _stat_field(19), None, "Nice value of the process"),
    ("process_faults_major", _stat_field(12), "process_major_faults_total", "Page faults with I/O"),
    ("process_faults_minor", _stat_field(10), "process_minor_faults_total", "Other page faults"),
    (
        "process_memory_virtual",
        _memory_field(0),
        "process_virtual_memory_bytes",
        "Virtual memory in bytes",
    ),
    (
        "process_memory_resident",
        _memory_field(1),
        "process_resident_memory_bytes",
        "Resident memory in bytes",
    ),
    ("process_memory_shared", _memory_field(2), "process_shared_memory_bytes", "Shared memory"),
    ("process_memory_text", _memory_field(3), "process_text_memory_bytes", "Memory of code"),
    (
        "process_memory_data_and_stack",
        _memory_field(5),
        "process_data_memory_bytes",
        "Memory of data and stack",
    ),
    ("process_cpu_seconds", _cpu_s, "process_cpu_seconds_total", "User and system time"),
    ("process_gc_collections_0", _collections(0), "process_gc_gen0_total", "Young collections"),
    ("process_gc_collections_1", _collections(1), "process_gc_gen1_total", "Middle collections"),
    ("process_gc_collections_2", _collections(2), "process_gc_gen2_total", "Full collections"),
    ("process_gc_objects", lambda: sum(gc.get_count()), None, "Objects since collections"),
    ("process_python_threads", threading.active_count, None, "Threads that Python knows"),
    ("system_core_count", lambda: os.cpu_count() or 1, "system_cores", "Cores of the machine"),
    ("system_loadavg_1m", _load_of(0), None, "Load average of one minute"),
    ("system_loadavg_5m", _load_of(1), None, "Load average of five minutes"),
    ("system_loadavg_15m", _load_of(2), None, "Load average of fifteen minutes"),
    ("kernel_version", lambda: " ".join(os.uname()[:4]), None, "Kernel"),
    ("python_version", lambda: sys.version.partition(" ")[0], None, "Python"),
)
_RATES: tuple[tuple[str, Callable[[], float]], ...] = (
    ("process_cpu_usage", _cpu_s),
    ("process_cpu_usage_user", _usage_field("ru_utime")),
    ("process_cpu_usage_system", _usage_field("ru_stime")),
    ("process_faults_minor_second", _stat_field(10)),
    ("process_io_read_bytes_second", _io_field("rchar")),
    ("process_io_write_bytes_second", _io_field("wchar")),
    ("process_io_read_second", _io_field("syscr")),
    ("process_io_write_second", _io_field("syscw")),
    ("process_disk_read_bytes_second", _io_field("read_bytes")),
    ("process_disk_write_bytes_second", _io_field("write_bytes")),
    ("process_inblocks_second", _usage_field("ru_inblock")),
    ("process_outblocks_second", _usage_field("ru_oublock")),
    ("process_context_switches_voluntary_second", _usage_field("ru_nvcsw")),
    ("process_context_switches_involuntary_second", _usage_field("ru_nivcsw")),
    # Seconds per second in which the thread of the windows runs.
    ("bvar_sampler_collector_usage", lambda: default_sampler().busy_s),
)


def expose_process_variables(*, with_rates: bool = False) -> None:
    """Expose the variables of the process that this system has and that are not exposed yet.

    with_rates   those too that are per second, such as process_cpu_usage: the sampler then reads
                 some files of /proc once a second

    Without /proc (macOS) only some are there. Any thread. A server does this at its start.
    """
    for name, function, metric_name, help_text in _VARIABLES:
        if exposed.find(name) is None and _works(function):
            is_counter = metric_name is not None and metric_name.endswith("_total")
            _expose(
                name,
                PassiveStatus(
                    function, metric_name=metric_name, help=help_text, is_counter=is_counter
                ),
            )
    if with_rates:
        for name, rated in _RATES:
            if exposed.find(name) is None and _works(rated):
                help_text = f"{name}: the rate of 10 seconds"
                _expose(name, PerSecond(PassiveStatus(rated), help=help_text))


def expose_once(name: str, make: Callable[[], Variable]) -> None:
    """Expose the variable that `make` makes, unless there is one of that name already."""
    if exposed.find(name) is None:
        _expose(name, make())


def _expose(name: str, variable: Variable) -> None:
    with contextlib.suppress(ValueError):  # another thread has just exposed one
        variable.expose(name)


def _works(function: Callable[[], Any]) -> bool:
    try:
        function()
    except (OSError, AttributeError, ValueError, IndexError, KeyError):
        return False
    return True
