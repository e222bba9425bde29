"""`pybrpc serve`: a process that obeys signals, and workers that never outlive it."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
from pathlib import Path

import pytest

import pybrpc
from pybrpc.base.cores import can_bind, share_of
from tests.fakes.threads import wait_until
from tests.peers.commands import COMMAND, Serving, serving
from tests.peers.echo import ECHO, echo_request
from tests.peers.pages import ROOT
from tests.peers.redis_server import free_port
from tests.peers.supervised import APPS, call, is_alive


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_stops_all_when_what_runs_is_answered(log: Path, number: int) -> None:
    with serving(log, f"{APPS}:make_server", "--workers", "2", "--grace", "30") as served:
        with pybrpc.Channel(served.address, timeout=30) as channel:
            future = pybrpc.Stub(ECHO, channel).Echo.future(echo_request("sleep"))
            served.process.send_signal(signal.SIGUSR1)
            wait_until(
                lambda: bool(served.process.send_signal(signal.SIGUSR1)) or is_running(served)
            )
            served.process.send_signal(number)
            assert future.result().message == "sleep"
        assert served.process.wait(60) == 0
        assert not any(map(is_alive, served.pids))
        assert "all: 1 accepted, 1 requests, 0 errors" in served.stdout.read()
        assert len(re.findall("has ended: exit status 0", served.logged)) == 2


def is_running(served: Serving) -> bool:
    return re.search(r"all: 1 accepted, .* 1 running", served.logged) is not None


def test_second_signal_stops_at_once(log: Path) -> None:
    with serving(log, f"{APPS}:make_server", "--grace", "3600") as served:
        with pybrpc.Channel(served.address, timeout=None, max_retry=0) as channel:
            future = pybrpc.Stub(ECHO, channel).Echo.future(echo_request("hang"))
            wait_until(
                lambda: bool(served.process.send_signal(signal.SIGUSR1)) or is_running(served)
            )
            served.process.send_signal(signal.SIGTERM)
            wait_until(lambda: is_refused(served.address))
            served.process.send_signal(signal.SIGTERM)
            assert served.process.wait(60) == 0
            with pytest.raises(pybrpc.RpcError):
                future.result()


def is_refused(address: str) -> bool:
    try:
        call(address, timeout=1, max_retry=0)
    except pybrpc.errors.ConnectError:
        return True
    except pybrpc.RpcError:
        pass  # it was accepted just before
    return False


def test_sighup_replaces_the_workers_one_by_one(log: Path) -> None:
    with serving(log, f"{APPS}:make_server", "--workers", "2") as served:
        served.process.send_signal(signal.SIGHUP)
        wait_until(lambda: len(re.findall("has ended: exit status 0", served.logged)) == 2)
        assert int(call(served.address, "pid")) in served.pids[2:]
        first, second = (served.logged.index(f"(pid {pid}) serves") for pid in served.pids[2:])
        ends = [served.logged.index(f"(pid {pid}) has ended") for pid in served.pids[:2]]
        assert first < min(ends) < second < max(ends)


def test_workers_end_when_their_supervisor_is_killed(log: Path) -> None:
    with serving(log, f"{APPS}:make_server", "--workers", "2") as served:
        with pybrpc.Channel(served.address, timeout=30) as channel:
            future = pybrpc.Stub(ECHO, channel).Echo.future(echo_request("sleep"))
            wait_until(
                lambda: bool(served.process.send_signal(signal.SIGUSR1)) or is_running(served)
            )
            served.process.kill()
            assert future.result().message == "sleep"
        wait_until(lambda: not any(map(is_alive, served.pids)))
        assert len(served.pids) == 2


@pytest.mark.proof
def test_group_of_a_terminal_gets_ctrl_c_and_workers_still_have_their_grace(log: Path) -> None:
    """The terminal sends it to the whole process group of the supervisor."""
    with serving(log, f"{APPS}:make_server", "--workers", "2") as served:
        assert {os.getpgid(pid) for pid in served.pids}.isdisjoint({os.getpgid(served.process.pid)})


@pytest.mark.proof
def test_signal_before_all_serve_ends_it(log: Path) -> None:
    command = [*COMMAND, f"{APPS}:make_late_server", "--bind", "127.0.0.1:0"]
    with log.open("w") as file:
        process = subprocess.Popen(command, cwd=ROOT, stderr=file)
    wait_until(lambda: handles_sigterm(process.pid))
    process.terminate()
    assert process.wait(60) == 1
    assert "stopped before all workers served" in log.read_text()


def handles_sigterm(pid: int) -> bool:
    """By a function of its own."""
    with open(f"/proc/{pid}/status") as file:
        found = re.search(r"SigCgt:\s*([0-9a-f]+)", file.read())
    return found is not None and bool(int(found[1], 16) & (1 << signal.SIGTERM - 1))


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        ([f"{APPS}:nothing"], 1, "pybrpc serve: worker 0 could not start: AttributeError: module"),
        (["no_such_module:make"], 1, "ModuleNotFoundError: No module named 'no_such_module'"),
        (
            ["app"],
            2,
            'pybrpc serve: name the function that makes the server as "package.module:make_server"',
        ),
        pytest.param(
            [f"{APPS}:make_server", "--bind", "localhost"],
            2,
            "has no host and port",
            marks=pytest.mark.proof,
        ),
        pytest.param(
            [f"{APPS}:make_server", "--bind", "192.0.2.1:1"],
            1,
            "Cannot assign requested address",
            marks=pytest.mark.proof,
        ),
    ],
)
def test_command_that_cannot_start_prints_the_reason(
    arguments: list[str], status: int, said: str
) -> None:
    port = free_port()
    command = [*COMMAND, "--bind", f"127.0.0.1:{port}", *arguments]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == status
    assert said in result.stderr
    assert result.stdout == ""


@pytest.mark.proof
def test_worker_that_runs_no_python_code_writes_its_stacks_and_is_replaced(log: Path) -> None:
    arguments = ("tests.cases.apps:make_server", "--workers", "1", "--stall-timeout", "2")
    with serving(log, *arguments) as served:
        (worker,) = served.pids
        with pytest.raises(pybrpc.RpcError):
            call(served.address, "hold", timeout=0.5, max_retry=0)
        served.wait_logged("runs no Python code: it did not report for 2 s")
        wait_until(lambda: len(served.pids) == 2)
        assert not is_alive(worker)
        assert "Fatal Python error: Aborted" in served.logged
        assert re.search(r'apps\.py", line \d+ in Echo', served.logged)
        assert "it did not report for 2 s (killed by SIGABRT)" in served.logged
        assert call(served.address, "pid").isdigit()


@pytest.mark.skipif(not can_bind(), reason="binding needs Linux")
def test_workers_are_bound_to_their_share_of_the_cores(log: Path) -> None:
    cores = sorted(os.sched_getaffinity(0))
    listed = ",".join(map(str, cores))
    with serving(log, f"{APPS}:make_server", "--workers", "2", "--pin", listed) as served:
        assert call(served.address)
        found = [threads_bound_to(pid) for pid in served.pids]
    shares = [share_of(cores, number, 2) for number in range(2)]
    assert sorted(map(sorted, found)) == sorted(map(sorted, shares))


def threads_bound_to(pid: int) -> frozenset[int]:
    """The cores of all threads of a process, which are the same."""
    threads = [int(name) for name in os.listdir(f"/proc/{pid}/task")]
    assert len(threads) > 1
    (cores,) = {frozenset(os.sched_getaffinity(thread)) for thread in threads}
    return cores


def test_module_sets_up_the_logging_of_its_worker(log: Path, tmp_path: Path) -> None:
    (tmp_path / "logging_app.py").write_text(
        "import logging\n"
        f"from {APPS} import make_server\n"
        "logging.basicConfig(format='mine: %(message)s')\n"
        "logging.getLogger('app').warning('imported')\n"
    )
    arguments = ("logging_app:make_server", "--directory", str(tmp_path))
    with serving(log, *arguments) as served:
        wait_until(lambda: "mine: imported" in served.logged.splitlines())


def test_loop_that_a_plain_function_does_not_use_is_named(log: Path) -> None:
    with serving(log, f"{APPS}:make_server", "--loop", "uvloop") as served:
        wait_until(lambda: "loop uvloop is not used" in served.logged)


@pytest.mark.parametrize("output", ["full", "without a reader"])
def test_server_serves_on_when_its_output_can_not_be_written(log: Path, output: str) -> None:
    """The disk of its output is full; or `| head -1`, or a log collector that has died."""
    address = f"127.0.0.1:{free_port()}"
    with contextlib.ExitStack() as stack:
        if output == "full":
            stdout = os.open("/dev/full", os.O_WRONLY)
        else:
            reader, stdout = os.pipe()
            os.close(reader)
        stack.callback(os.close, stdout)
        process = subprocess.Popen(
            [*COMMAND, f"{APPS}:make_server", "--bind", address],
            cwd=ROOT,
            stdout=stdout,
            stderr=stack.enter_context(log.open("w")),
        )
        stack.callback(process.wait)
        stack.callback(process.kill)
        wait_until(lambda: "the standard output can't be written" in log.read_text())
        assert call(address, timeout=30) == "hello"
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    assert "Traceback" not in log.read_text()
