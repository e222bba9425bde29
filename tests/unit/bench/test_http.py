"""HTTP in the bench: what wrk says is read, and refused if any request had no good answer."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from bench import quick
from bench.child_process import ChildFailedError
from bench.http.servers import SERVERS, names_for
from bench.http.tasks import TASKS
from bench.http.wrk import Found, read_output, script_for
from bench.measures import MEASURES
from bench.process_time import cpu_s_of, group_cpu_s, members
from bench.rounds import Plan
from bench.samples import Cell, Sample, Samples
from bench.work import Window

GOOD = {
    "calls": 2000,
    "micros": 1_000_000,
    "connect": 0,
    "read": 0,
    "write": 0,
    "status": 0,
    "timeout": 0,
    "p50_us": 300,
    "p99_us": 900,
}


def output(**changed: int) -> str:
    fields = ", ".join(f'"{name}": {value}' for name, value in (GOOD | changed).items())
    return f"Running 1s test\n  2000 requests in 1.00s\n\nfound {{{fields}}}\n"


def test_output_of_wrk_is_read() -> None:
    assert read_output(output()) == Found(2000, 1.0, 300, 900)


@pytest.mark.parametrize("kind", ["connect", "read", "write", "status", "timeout"])
def test_a_run_with_an_error_has_no_figure(kind: str) -> None:
    with pytest.raises(ChildFailedError, match=f"3 of {kind}"):
        read_output(output(**{kind: 3}))


def test_a_run_without_answers_has_no_figure() -> None:
    with pytest.raises(ChildFailedError, match="no answer"):
        read_output(output(calls=0))


def test_last_words_of_a_wrk_that_fails_are_told() -> None:
    with pytest.raises(ChildFailedError, match="unable to connect"):
        read_output("Running\nunable to connect to 127.0.0.1:1\n")


def test_script_posts_a_body_and_gets_without_one() -> None:
    echo, text = script_for(TASKS["echo"], False), script_for(TASKS["text"], False)
    assert 'wrk.method = "POST"' in echo
    assert r'wrk.body = "{\"message\":\"xx' in echo
    assert 'wrk.method = "GET"' in text
    assert "wrk.body = nil" in text
    assert "function request" not in text
    assert "function request" in script_for(TASKS["text"], True)


def test_json_with_blanks_is_the_same_answer() -> None:
    echo = TASKS["echo"]
    assert echo.is_answer("application/json; charset=utf-8", echo.answer.replace(b":", b": "))
    assert not echo.is_answer("application/json", b'{"message": "other"}')
    assert not echo.is_answer("application/json", b"no json")
    assert not echo.is_answer("text/plain", echo.answer)


def test_text_is_the_answer_to_the_byte() -> None:
    text = TASKS["text"]
    assert text.is_answer("text/plain; charset=utf-8", text.answer)
    assert not text.is_answer("text/plain", text.answer + b" ")


def test_pybrpc_comes_first_among_the_servers_of_each_measure() -> None:
    for task in TASKS:
        peers = MEASURES[f"http-{task}"].peers
        assert tuple(peers) == names_for(task)
        assert peers[0] == "http-pybrpc"
        assert set(peers) <= set(SERVERS)


def test_server_that_takes_less_time_has_the_higher_ratio(
    capsys: pytest.CaptureFixture[str],
) -> None:
    ours, theirs = (Cell("http-echo", f"http-{name}", "the same") for name in ("pybrpc", "fastapi"))
    samples = Samples()
    samples.append(Sample(0, ours, {"calls_per_s": 10_000.0, "server_cpu_us": 100.0}))
    samples.append(Sample(0, theirs, {"calls_per_s": 5_000.0, "server_cpu_us": 500.0}))
    quick.show_bars(Plan([ours, theirs], 1, Window(0, 1)), samples)
    lines = [line for line in capsys.readouterr().out.splitlines() if "fastapi" in line]
    assert lines == [
        "http_echo_vs_fastapi 2.00  # expected >= 4: missed",
        "http_echo_vs_fastapi_by_cpu 5.00  # expected >= 4: met",
    ]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="groups are read from /proc")
def test_time_of_a_group_is_that_of_all_its_processes() -> None:
    work = "import os, sys; sum(range(3_000_000)); os.write(1, b'done\\n'); sys.stdin.read()"
    fork = f"import os; os.fork(); {work}"
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", fork]
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, process_group=0) as process:
        assert process.stdout is not None
        assert [process.stdout.readline() for _ in range(2)] == [b"done\n"] * 2
        found = members(process.pid)
        assert process.pid in found
        assert len(found) == 2
        assert group_cpu_s(process.pid) > cpu_s_of(process.pid) > 0
        process.communicate()


def test_time_of_a_process_that_is_gone_is_an_error() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    with pytest.raises(OSError, match=os.strerror(3)):
        cpu_s_of(process.pid)
