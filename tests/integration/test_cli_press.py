"""pybrpc press, against servers."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import pybrpc
from pybrpc.cli.main import main
from pybrpc.protocols.http1.http_protocol import HTTP
from pybrpc.protocols.traits import CONNECTION_TYPES, connection_types_of
from tests.fakes.threads import wait_until
from tests.peers.cli_server import CliService, cli_server
from tests.peers.command import command, in_terminal, run_command
from tests.peers.echo import ECHO
from tests.peers.pages import ROOT
from tests.protos import conformance_pb2 as pb

pytestmark = pytest.mark.same_everywhere

HELLO = '{"message": "hello"}'
SHORT = ("--duration", "0.4")


@pytest.fixture
def address() -> Iterator[str]:
    with cli_server() as served:
        yield served


def press_json(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, Any]:
    status = main(["press", *arguments, "--json"])
    return status, json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("protocol", ["baidu_std", "http"])
def test_calls_at_a_rate_are_as_many_as_that(
    address: str, capsys: pytest.CaptureFixture[str], protocol: str
) -> None:
    arguments = (address, "EchoService.Echo", HELLO, "--qps", "100", "--protocol", protocol)
    status, found = press_json(capsys, *arguments, *SHORT, "--timeout", "30")
    assert (status, found["failed"], found["errors"]) == (0, 0, [])
    # Calls that are due while the machine is busy are made later, unless the time is over.
    assert 1 <= found["calls"] <= 41
    latencies = found["latency_us"]
    assert 0 < latencies["p50"] <= latencies["p99"] <= latencies["p99.99"]
    assert latencies["max"] > 0


@pytest.mark.parametrize(
    ("protocol", "connection_type"),
    [
        *(("baidu_std", each) for each in CONNECTION_TYPES),
        *(("http:proto", each) for each in connection_types_of(HTTP)),
    ],
)
def test_connections_are_of_any_type_that_the_protocol_has(
    address: str, capsys: pytest.CaptureFixture[str], protocol: str, connection_type: str
) -> None:
    arguments = ("--protocol", protocol, "--connection-type", connection_type, "--timeout", "30")
    limits = ("--qps", "0", "--concurrency", "2", "--duration", "0.05")
    status, found = press_json(capsys, address, "EchoService.Echo", HELLO, *arguments, *limits)
    assert (status, found["failed"]) == (0, 0)
    assert found["calls"] > 0


def test_connection_type_that_the_protocol_lacks_is_told(
    address: str, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("--protocol", "http", "--connection-type", "auto")
    status, found = press_json(capsys, address, "EchoService.Echo", HELLO, *arguments)
    assert status == 2
    assert "http needs the connection_type 'pooled' or 'short'" in found["error"]["text"]
    status, found = press_json(capsys, address, "EchoService.Echo", HELLO, "--protocol", "htpp")
    assert status == 2
    assert "unknown protocol 'htpp'" in found["error"]["text"]


def test_without_a_rate_calls_follow_each_other(
    address: str, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = (address, "EchoService.Echo", HELLO, "--qps", "0", "--concurrency", "3")
    status, found = press_json(capsys, *arguments, *SHORT, "--timeout", "30")
    assert (status, found["failed"]) == (0, 0)
    assert found["calls"] >= 3


def test_time_ends_while_calls_are_begun(address: str, capsys: pytest.CaptureFixture[str]) -> None:
    """They are begun in the turns of a loop, in which the timer runs too."""
    arguments = (address, "EchoService.Echo", HELLO, "--qps", "0", "--concurrency", "100000")
    _, found = press_json(capsys, *arguments, "--duration", "0.05", "--timeout", "30")
    assert 0 < found["calls"] < 100_000


def test_calls_at_once_have_a_limit(address: str, capsys: pytest.CaptureFixture[str]) -> None:
    status, found = press_json(capsys, address, "Echo", HELLO, "--concurrency", "100001")
    assert status == 2
    assert "must be at most 100000" in found["error"]["text"]


class Counting:
    """Keeps what it was asked, and how many calls ran at once."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, bytes]] = []

    def Echo(self, request: Any, controller: pybrpc.Controller) -> Any:
        self.asked.append((request.message, bytes(controller.request_attachment)))
        return pb.EchoResponse(message=request.message)

    Stream = Echo


def test_requests_of_a_file_are_sent_in_turn_with_the_attachment(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "requests").write_text('{"message": "a"} {"message": "b"}\n{"message": "c"}')
    (tmp_path / "attachment").write_bytes(b"beside")
    service = Counting()
    with pybrpc.Server(builtin_allow=["127.0.0.0/8"]) as server:
        server.add_service(ECHO, service)
        address = str(server.start("127.0.0.1:0"))
        arguments = ("--input", str(tmp_path / "requests"), "--qps", "0", "--concurrency", "1")
        more = ("--attachment", str(tmp_path / "attachment"), "--timeout", "30")
        status, found = press_json(capsys, address, "EchoService.Echo", *arguments, *more, *SHORT)
    assert status == 0
    assert len(service.asked) == found["calls"]
    assert [message for message, _ in service.asked[:4]] == list("abca")[: len(service.asked)]
    assert {attachment for _, attachment in service.asked} == {b"beside"}


def test_calls_that_fail_are_counted_and_the_status_is_1(
    address: str, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = (address, "EchoService.Echo", '{"message": "fail"}', "--qps", "0", *SHORT)
    status, found = press_json(capsys, *arguments, "--concurrency", "2")
    assert (status, found["failed"]) == (1, found["calls"])
    (error,) = found["errors"]
    assert error["count"] == found["calls"]
    assert set(found["latency_us"].values()) == {None}  # no call has one
    assert "asked to" in error["text"]
    # Each caller pauses after an error.
    assert found["calls"] <= 100


def test_calls_that_fail_have_no_latency_in_the_table(
    address: str, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [address, "EchoService.Echo", '{"message": "fail"}', "--qps", "100", *SHORT]
    assert main(["press", *arguments]) == 1
    assert re.search(r"p99 +│ +- ", capsys.readouterr().out)


def test_requests_with_what_servers_ignore_are_refused(
    address: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "requests"
    path.write_text('{"message": "a"} {"message": "b", "sleep_s": 1}')
    arguments = ["press", address, "EchoService.Echo", "--input", str(path), *SHORT]
    assert main(arguments) == 2
    said = capsys.readouterr().err
    assert f"{path}: unknown field sleep_s: conformance.EchoRequest has message" in said
    assert said.count("\n") == 1
    assert main([*arguments, "--lenient", "--timeout", "30"]) == 0


def test_people_get_a_table(address: str) -> None:
    done = run_command("press", address, "EchoService.Echo", HELLO, *SHORT)
    assert (done.status, done.err) == (0, "")
    assert done.out.startswith(f"conformance.EchoService.Echo on {address}\n")
    assert "p99.9" in done.out
    assert "\x1b" not in done.out


def test_interruption_ends_the_load_and_prints_the_table(address: str) -> None:
    service = Counting()
    with pybrpc.Server(builtin_allow=["127.0.0.0/8"]) as server:
        server.add_service(ECHO, service)
        address = str(server.start("127.0.0.1:0"))
        arguments = command("press", address, "EchoService.Echo", HELLO, "--duration", "600")
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        with subprocess.Popen(arguments, cwd=ROOT, text=True, **pipes) as process:
            wait_until(lambda: len(service.asked) > 2)
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, "")
    assert re.search(r"failed +│ +0 ", out)


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_calls_without_an_answer_do_not_keep_a_load_from_ending(number: int, status: int) -> None:
    asked, released = threading.Event(), threading.Event()

    class Hanging(CliService):
        def Echo(self, request: Any, controller: pybrpc.Controller) -> Any:
            asked.set()
            released.wait(60)

    with pybrpc.Server(builtin_allow=["127.0.0.0/8"]) as server:
        server.add_service(ECHO, Hanging())
        address = str(server.start("127.0.0.1:0"))
        load = ("--qps", "0", "--concurrency", "1", "--timeout", "600", "--json")
        arguments = command("press", address, "EchoService.Echo", HELLO, *load)
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        with subprocess.Popen(arguments, cwd=ROOT, text=True, **pipes) as process:
            assert asked.wait(60)
            process.send_signal(number)
            out, err = process.communicate(timeout=60)
        released.set()
    assert (process.returncode, err) == (status, "calls that had not ended: 1\n")
    assert (json.loads(out)["calls"], json.loads(out)["failed"]) == (0, 0)


@pytest.mark.parametrize("qps", ["0.001", "1e-300", "1e-320"])
def test_time_ends_while_no_call_is_due(address: str, qps: str) -> None:
    arguments = (address, "EchoService.Echo", HELLO, "--qps", qps, *SHORT, "--timeout", "30")
    done = run_command("press", *arguments, "--json")
    assert (done.status, done.err) == (0, "")
    assert done.values()[0]["calls"] == 1


def test_interruption_ends_the_load_while_no_call_is_due() -> None:
    service = Counting()
    with pybrpc.Server(builtin_allow=["127.0.0.0/8"]) as server:
        server.add_service(ECHO, service)
        address = str(server.start("127.0.0.1:0"))
        rate = ("--qps", "0.001", "--duration", "600", "--json")
        arguments = command("press", address, "EchoService.Echo", HELLO, *rate)
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        with subprocess.Popen(arguments, cwd=ROOT, text=True, **pipes) as process:
            wait_until(lambda: bool(service.asked))
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, "")
    assert json.loads(out)["calls"] == 1


def test_terminal_gets_a_live_plot(address: str) -> None:
    arguments = command("press", address, "EchoService.Echo", HELLO, "--duration", "1.2")
    status, text = in_terminal(arguments)
    assert status == 0
    assert "running, 0 failed" in text
    assert "█" in text
    assert "\x1b[" in text


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--input", "/no/such/file"], "/no/such/file: No such file"),
        (["--input", "/dev/null"], "/dev/null has no request"),
        (["nonsense"], "this is no JSON"),
        (["--protocol", "http", "--connection-type", "single", HELLO], "connection_type"),
    ],
)
def test_wrong_usage_is_status_2(
    address: str, capsys: pytest.CaptureFixture[str], arguments: list[str], text: str
) -> None:
    assert main(["press", address, "EchoService.Echo", *arguments]) == 2
    assert text in capsys.readouterr().err


@pytest.mark.parametrize("qps", ["-1", "inf", "nan", "many"])
def test_rate_that_is_none_is_told(qps: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["press", "127.0.0.1:1", "Echo", f"--qps={qps}"])
    assert caught.value.code == 2
    assert "must be a number of calls >= 0" in capsys.readouterr().err


def test_without_the_extra_the_error_says_what_to_install() -> None:
    code = "import sys; sys.modules['rich'] = None; from pybrpc.cli.main import main; "
    arguments = ["press", "127.0.0.1:1", "Echo"]
    done = subprocess.run(
        [sys.executable, "-c", f"{code}sys.exit(main({arguments}))"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 3
    needed = 'needs rich; install it with: pip install "pybrpc[cli]"'
    assert done.stderr == f"pybrpc press: this {needed}\n"
