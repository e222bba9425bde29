"""A forked child begins with nothing recorded, has free locks and a sampler of its own.

Each case is a process of its own: forking one with the threads of pytest is not safe.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

CASES = {
    "child_begins_at_zero": """
adder, maxer, recorder = m.Adder("a"), m.Maxer("m"), m.LatencyRecorder("l")
state = m.Status("set", "s")
labelled = m.MultiDimension(m.Counter, ("x",), "c")
adder.add(5); maxer.record(7); recorder.record(9); labelled.get_stats("y").add(3)
assert adder.get_value() == 5
adder.add(6)

def in_child():
    assert adder.get_value() == 0 and maxer.get_value() is None
    assert recorder.count() == 0 and recorder.get_value().total == 0
    assert labelled.get_value() == {("y",): 0}
    assert state.get_value() == "set"
    adder.add(2)
    recorder.record(1)
    assert adder.get_value() == 2 and recorder.count() == 1

in_a_child(in_child)
assert adder.get_value() == 11 and recorder.count() == 1
""",
    "sampler_is_started_again": """
adder = m.Adder("a")
window = m.Window(adder, 10)
recorder = m.LatencyRecorder("l")
m.start_series()

def in_child():
    assert default_sampler().is_running()
    ticks = default_sampler().ticks
    adder.add(4)
    recorder.record(8)
    wait_until(lambda: default_sampler().ticks > ticks)
    assert window.get_value() == 4, window.get_value()
    assert recorder.max_latency() == 8
    assert threading.active_count() == 2
    in_a_child(lambda: default_sampler().is_running() or sys.exit(1))

adder.add(100)
recorder.record(500)
wait_until(lambda: default_sampler().ticks > 0)
in_a_child(in_child)
assert default_sampler().is_running()
""",
    "functions_of_users_do_not_run_while_the_process_forks": """
ran = []
status = m.PassiveStatus(lambda: ran.append(os.getpid()) or len(ran), "s")
window = m.Window(status, 5)
assert ran == [os.getpid()]
in_a_child(lambda: os.getpid() in ran and sys.exit(1))
""",
    "no_sampler_without_a_windowed_variable": """
adder = m.Adder("a")
in_a_child(lambda: threading.active_count() == 1 or sys.exit(1))
""",
    "locks_are_free": """
adder, recorder = m.Adder("a"), m.LatencyRecorder("l")
labelled = m.MultiDimension(m.Adder, ("x",), "c")
from pybrpc.metrics.registry import exposed
import pybrpc.metrics.sampler as module
held, go_on = threading.Event(), threading.Event()

def hold():
    with adder._lock, recorder._lock, labelled._lock, exposed._lock, module._default_lock, \\
            default_sampler()._lock:
        adder._is_folding = True
        held.set()
        go_on.wait()
        adder._is_folding = False

thread = threading.Thread(target=hold)
thread.start()
held.wait()

def in_child():
    adder.add(3)
    assert adder.get_value() == 3
    recorder.record(1)
    assert recorder.count() == 1
    labelled.get_stats("y").add(1)
    m.Adder("b")
    m.Window(adder, 5)
    assert m.count_exposed() == 14

in_a_child(in_child)
go_on.set()
thread.join()
""",
}
SET_UP = """
import os, sys, threading, time, warnings
warnings.simplefilter("ignore", DeprecationWarning)  # of forking with threads, from 3.12 on
from pybrpc import metrics as m
from pybrpc.metrics.sampler import default_sampler

def wait_until(condition):
    while not condition():
        time.sleep(0.005)

def in_a_child(function):
    pid = os.fork()
    if pid == 0:
        try:
            function()
        except BaseException:
            import traceback
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
"""


@pytest.mark.parametrize("case", CASES)
def test_fork(case: str) -> None:
    command = [sys.executable, "-c", SET_UP + CASES[case]]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (result.returncode, result.stderr) == (0, "")


def test_process_with_a_sampler_ends_at_once() -> None:
    script = SET_UP + "m.LatencyRecorder('l'); assert default_sampler().is_running()"
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False
    )
    assert (result.returncode, result.stdout + result.stderr) == (0, "")
