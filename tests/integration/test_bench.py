"""The bench, for moments: every peer answers, failures are reported, Ctrl-C leaves no process."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.experiments import blocked_callers
from bench.measures import MEASURES, runs
from bench.options import asked_for, parse_options
from bench.peers import ENTRIES
from bench.peers.cpp_program import MULTI_THREADED, STREAMS, VARIABLE
from bench.peers.entry import Kind
from bench.rounds import Plan, make_plan, run
from bench.samples import Cell
from bench.site import Site
from bench.streams.numbered import Numbered, WrongMessageError
from bench.work import (
    ClosedLoop,
    FixedRate,
    Flood,
    PageRequests,
    RedisGets,
    ScrapedLoop,
    StreamCrowd,
    StreamEcho,
    StreamPing,
    StreamPull,
    StreamWork,
    Window,
)
from tests.peers.programs import require_program

ROOT = Path(__file__).parents[2]
MOMENT = Window(0.02, 0.1)

pytestmark = [pytest.mark.slow, pytest.mark.proof]


@pytest.fixture(scope="module", autouse=True)
def at_the_root() -> Iterator[None]:
    """Where children find the package of the bench."""
    before = os.getcwd()
    os.chdir(ROOT)
    yield
    os.chdir(before)


def present(name: str) -> str:
    """`name`, or the test is skipped because that peer can't take part here."""
    if reason := ENTRIES[name].missing():
        pytest.skip(reason)
    return name


STREAM_KINDS = (Kind.STREAMS, Kind.AIO_STREAMS)
CALLED = [n for n, e in ENTRIES.items() if e.kind not in (Kind.CPP, *STREAM_KINDS)]


@pytest.mark.parametrize("name", CALLED)
def test_each_peer_answers(name: str) -> None:
    """Clients check the bytes of the first answer."""
    with Site() as site:
        figures = runs.echo(site, present(name), ClosedLoop(2, size_bytes=100_000), MOMENT)
    assert figures["calls"] > 0
    assert figures["client_cpu_us"] > 0
    assert figures["server_cpu_us"] > 0


@pytest.mark.parametrize("name", MEASURES["chain"].peers)
def test_each_peer_hands_requests_on_to_another_server(name: str) -> None:
    with Site() as site:
        assert runs.chain(site, present(name), ClosedLoop(2), MOMENT)["calls"] > 0


@pytest.mark.parametrize("name", MEASURES["latency"].peers)
def test_each_peer_calls_at_a_fixed_rate_and_sleeps_when_asked(name: str) -> None:
    work = FixedRate(per_s=100, slow_share=0.5, slow_us=5_000)
    with Site() as site:
        figures = runs.echo(site, present(name), work, Window(0.1, 0.3))
    assert 0 < figures["p50_us"] <= figures["p99_us"] <= figures["max_us"]


def test_experiment_of_blocked_callers_is_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    small = "--callers 2 --handlers-ms 0 1 --types single pooled socket --rounds 1 --seconds 0.1"
    blocked_callers.main(small.split())
    head, rule, *rows = capsys.readouterr().out.splitlines()
    assert len(rows) == 6
    assert {line.count("|") for line in (head, rule, *rows)} == {head.count("|")}
    slow = [float(row.split("|")[7]) for row in rows[3:]]
    assert min(slow) >= 1  # the median of calls whose handlers sleep for 1 ms, in ms


def test_caller_is_late_while_its_slow_calls_last() -> None:
    work = FixedRate(per_s=100, slow_share=0.3, slow_us=30_000, callers=1)
    with Site() as site:
        figures = runs.echo(site, "socket", work, Window(0.1, 1.0))
    assert figures["late_percent"] > 10
    assert figures["p90_us"] > 10_000


def test_pybrpc_tells_how_many_messages_a_system_call_carried() -> None:
    with Site() as site:
        figures = runs.echo(site, "pybrpc-aio", ClosedLoop(64), MOMENT)
    assert figures["messages_per_write"] > 1
    assert figures["messages_per_read"] > 1


@pytest.mark.parametrize("name", MEASURES["observing-scrape"].peers)
def test_scrapes_are_made_beside_the_calls(name: str) -> None:
    work = ScrapedLoop(every_s=0.1, pairs=1, slice_s=0.5)
    with Site() as site:
        figures = MEASURES["observing-scrape"].run(site, present(name), work, MOMENT)
    assert figures["calls"] > 0
    assert figures["page_bytes"] > 1000
    assert {"more_cpu_percent", "fewer_calls_percent", "page_us"} <= set(figures)


def test_a_server_with_variables_has_larger_pages() -> None:
    measure = MEASURES["observing-pages"]
    with Site() as site:
        few, many = (
            measure.run(site, name, PageRequests("/vars"), MOMENT) for name in measure.peers
        )
    assert 0 < 20 * few["page_bytes"] < many["page_bytes"]
    assert min(few["server_cpu_us"], many["server_cpu_us"]) > 0


SHORT_STREAM_WORK: dict[str, StreamWork] = {
    "streams-echo": StreamEcho(3),
    "streams-bulk": StreamPull(1 << 20),
    "streams-ping": StreamPing(),
    "streams-crowd": StreamCrowd(20, has_slow_reader=True),
}


@pytest.mark.parametrize(
    ("measure", "name"),
    [(measure, name) for measure in SHORT_STREAM_WORK for name in MEASURES[measure].peers],
)
def test_each_peer_streams(measure: str, name: str) -> None:
    """Clients check the bytes of every message."""
    with Site() as site:
        figures = runs.echo(site, present(name), SHORT_STREAM_WORK[measure], Window(0.3, 0.3))
    assert figures["calls"] > 0
    assert figures["server_cpu_us"] > 0
    assert set(MEASURES[measure].tables[:1]) <= set(figures)


def test_client_notices_a_stream_that_echoes_something_else() -> None:
    """A server of SOURCE sends x without a number."""
    numbered = Numbered(32)
    assert numbered.check([b"00000000" + b"x" * 24], 0) == 1
    with pytest.raises(WrongMessageError):
        numbered.check([b"00000001" + b"x" * 24], 0)


def test_only_names_a_group_of_measures_too() -> None:
    named = asked_for(parse_options(["--only", "streams", "--only", "streams-ping"]))
    assert named == ["streams-echo", "streams-bulk", "streams-crowd", "streams-ping"]
    assert all(MEASURES[name].group == "streams" for name in named)


def test_a_flood_is_refused_and_returns() -> None:
    with Site() as site:
        figures = runs.flood(site, "pybrpc", Flood(2, size_bytes=1 << 20), Window(0.1, 0.5))
    assert figures["refused_percent"] > 0
    assert figures["longest_us"] > 0


def test_redis_is_asked() -> None:
    require_program("redis-server")
    if reason := MEASURES["redis"].missing("pybrpc"):
        pytest.skip(reason)
    with Site() as site:
        assert runs.redis(site, "pybrpc", RedisGets(2, together=3), MOMENT)["calls"] > 0


def test_a_peer_that_fails_is_told_and_the_run_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its processes know no such entry."""
    monkeypatch.setitem(ENTRIES, "broken", ENTRIES["socket"])
    cells = [Cell("threads", peer, "1") for peer in ("broken", "socket")]
    found = list(run(Plan(cells, 2, MOMENT)))
    assert [(s.round, s.cell.peer, bool(s.failure)) for s in found] == [
        (0, "broken", True),
        (0, "socket", False),
        (1, "socket", False),
    ]
    assert "KeyError: 'broken'" in found[0].failure


def test_a_peer_that_is_not_there_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    cells = [Cell("threads", peer, "1") for peer in ("brpc-cpp", "socket")]
    plan = make_plan(cells, 1, MOMENT)
    assert plan.cells == cells[1:]
    assert VARIABLE in plan.absent["brpc-cpp"]


def start_bench(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "bench", *arguments]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=ROOT, stdout=pipe, stderr=pipe, text=True)


def test_headlines_take_a_moment_and_are_lines() -> None:
    arguments = ["quick", "--rounds", "1", "--seconds", "0.05", "--only", "bulk", "--only"]
    with start_bench(*arguments, "latency") as process:
        output, errors = process.communicate(timeout=100)
    assert process.returncode == 0, errors
    lines = [line.split() for line in output.splitlines()]
    assert [line[0] for line in lines] == [
        "attachment_1MiB_vs_bare_socket",
        "p99_with_1_percent_slow_vs_without",
    ]
    assert all(float(line[1]) > 0 for line in lines)


def test_a_run_leaves_a_page_with_its_plots_and_numbers(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    chosen = ["--only", "threads", "--peer", "socket", "--peer", "pybrpc", "--point", "8"]
    with start_bench(*chosen, "--quick", "--seconds", "0.1", "--out", str(tmp_path)) as process:
        output, errors = process.communicate(timeout=100)
    assert process.returncode == 0, errors
    assert f"Written to {tmp_path / 'benchmark.md'}" in output
    page = (tmp_path / "benchmark.md").read_text()
    assert "| threads | pybrpc | socket |" in page
    assert "](bench/threads.svg)" in page
    assert (tmp_path / "bench" / "threads.svg").read_text().startswith("<?xml")
    found = json.loads((tmp_path / "bench" / "results.json").read_text())
    assert found["is_complete"]
    assert [cell["peer"] for cell in found["cells"]] == ["pybrpc", "socket"]
    assert all(cell["figures"]["calls_per_s"][0] > 0 for cell in found["cells"])


def children_of(pid: int) -> list[int]:
    found = subprocess.run(["pgrep", "-P", str(pid)], stdout=subprocess.PIPE, check=False)
    return [int(line) for line in found.stdout.split()]


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.timeout(400)
def test_ctrl_c_ends_it_with_what_there_is_and_without_children(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    chosen = ["--only", "threads", "--peer", "socket", "--point", "1", "--rounds", "1000"]
    with start_bench(*chosen, "--seconds", "0.2", "--out", str(tmp_path)) as process:
        assert process.stderr is not None
        first = process.stderr.readline()
        assert first.startswith("threads, 1: socket "), first + process.stderr.read()
        children = children_of(process.pid)
        assert children
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=300)
    assert process.returncode == 130, errors
    assert "Written to" in output
    assert "**interrupted**" in (tmp_path / "benchmark.md").read_text()
    end = time.monotonic() + 10
    while any(map(is_alive, children)) and time.monotonic() < end:
        time.sleep(0.05)
    assert not any(map(is_alive, children))


STAND_IN = """#!{python}
import socket, sys, time
flags = dict(word.lstrip("-").partition("=")[::2] for word in sys.argv[1:])
if "port" in flags:
    with socket.create_server(("127.0.0.1", int(flags["port"]))) as listener:
        time.sleep(1000)
socket.create_connection(flags["server"].rsplit(":", 1)).close()
end = time.process_time() + 0.01
while time.process_time() < end:
    pass
callers = int(flags.get("thread_num") or flags["stream_num"])
for qps in (7, 1000 * callers + int(flags.get("request_size") or flags["message_size"]), 9, 9):
    print(f"I1124 01:02:03 client.cpp:132] Sending EchoRequest at qps={{qps}} latency=50",
          file=sys.stderr, flush=True)
    print("E1124 client.cpp:99] error=[E111]" if "{failing}" else "", file=sys.stderr, flush=True)
time.sleep(1000)
"""


def make_stand_ins(
    folder: Path,
    patch: pytest.MonkeyPatch,
    failing: str = "",
    example: str = MULTI_THREADED,
) -> None:
    """Programs that take the example's flags and print its lines: the example needs all of C++
    bRPC. test_brpc_cpp_clients.py and test_brpc_cpp_servers.py have the real ones."""
    for side in ("server", "client"):
        path = folder / example / f"echo_{side}"
        path.parent.mkdir(exist_ok=True)
        path.write_text(STAND_IN.format(python=sys.executable, failing=failing))
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
    patch.setenv(VARIABLE, str(folder))


@pytest.mark.parametrize("name", ["brpc-cpp", "brpc-cpp-bthreads", "cpp-to-pybrpc"])
def test_cpp_programs_are_started_as_the_example_wants_and_read(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_stand_ins(tmp_path, monkeypatch)
    assert ENTRIES[name].missing() == ""
    with Site() as site:
        figures = runs.echo(site, name, ClosedLoop(8, size_bytes=16), MOMENT)
    assert figures["calls_per_s"] == 8016
    assert figures["calls"] > 0
    assert figures["client_cpu_us"] >= 0
    assert figures["server_cpu_us"] >= 0


def test_cpp_streams_are_started_as_their_program_wants_and_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_stand_ins(tmp_path, monkeypatch, example=STREAMS)
    assert ENTRIES["streams-brpc-cpp"].missing() == ""
    with Site() as site:
        figures = runs.echo(site, "streams-brpc-cpp", StreamEcho(8, size_bytes=16), MOMENT)
    assert figures["calls_per_s"] == 8016


def test_cpp_client_that_tells_of_a_failed_call_is_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_stand_ins(tmp_path, monkeypatch, failing="yes")
    (sample,) = run(Plan([Cell("threads", "brpc-cpp", "8")], 1, MOMENT))
    assert "error=[E111]" in sample.failure


def test_cpp_server_that_does_not_listen_is_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_stand_ins(tmp_path, monkeypatch)
    (tmp_path / MULTI_THREADED / "echo_server").write_text("#!/bin/sh\necho no >&2\n")
    (sample,) = run(Plan([Cell("threads", "brpc-cpp", "8")], 1, MOMENT))
    assert sample.failure == f"the server of {MULTI_THREADED} doesn't listen: no"
