"""Requests that a server samples into files, pybrpc dump and pybrpc replay."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qsl

import pytest

import pybrpc
from pybrpc.cli.main import main
from pybrpc.server.rpc_dump.dump_format import DumpedRequest, head_of, read_requests
from pybrpc.server.rpc_dump.rpc_dump import ENABLE_RPC_DUMP
from tests.fakes.threads import wait_until
from tests.peers.cli_server import CliService
from tests.peers.command import command
from tests.peers.echo import ECHO, echo_request
from tests.peers.pages import ROOT
from tests.peers.worker_apps import DUMP_FOLDER
from tests.peers.worker_pages import paged
from tests.protos import conformance_pb2 as pb

pytestmark = pytest.mark.same_everywhere

SERVICE = ECHO.full_name


class Keeping(CliService):
    """Keeps what it was called with, and takes the attachment to pieces."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, bytes]] = []

    def Echo(self, request: Any, controller: pybrpc.Controller) -> Any:
        attachment = controller.request_attachment
        self.seen.append((request.message, bytes(attachment.cutn(len(attachment)))))
        return pb.EchoResponse(message=request.message)


def make_server(service: CliService, **options: Any) -> pybrpc.Server:
    server = pybrpc.Server(builtin_allow=["127.0.0.0/8"], **options)
    server.add_service(ECHO, service)
    return server


def requests_in(folder: Path) -> list[DumpedRequest]:
    found = []
    for path in sorted(folder.iterdir()):
        with path.open("rb") as file:
            found += read_requests(file)
    return found


def call(address: str, message: str, attachment: bytes = b"", **options: Any) -> None:
    with pybrpc.Channel(address, timeout=30, **options) as channel:
        controller = pybrpc.Controller()
        controller.request_attachment.append(attachment)
        pybrpc.Stub(ECHO, channel).Echo(echo_request(message), controller=controller)


@pytest.fixture
def dumped(tmp_path: Path) -> Path:
    """A directory with three requests, one of them compressed, one with an attachment."""
    folder = tmp_path / "dump"
    with make_server(Keeping(), rpc_dump=folder) as server:
        address = str(server.start("127.0.0.1:0"))
        call(address, "first", b"beside")
        call(address, "second", compress_type=pybrpc.CompressType.GZIP)
        call(address, "by http", protocol="http")
        call(address, "third")
    return folder


def test_server_writes_its_requests_as_they_came(dumped: Path) -> None:
    first, second, third = requests_in(dumped)
    assert (first.service, first.method, first.compress_type) == (SERVICE, "Echo", 0)
    assert pb.EchoRequest.FromString(first.body).message == "first"
    assert first.attachment == b"beside"
    assert (second.compress_type, second.attachment) == (pybrpc.CompressType.GZIP, b"")
    assert pb.EchoRequest.FromString(third.body).message == "third"


def test_credentials_are_not_written(tmp_path: Path) -> None:
    class Password(pybrpc.Authenticator):
        def generate_credential(self) -> bytes:
            return b"hunter2"

        def verify_credential(self, credential: bytes, client: Any) -> pybrpc.AuthContext:
            return pybrpc.AuthContext()

    folder = tmp_path / "dump"
    with make_server(Keeping(), rpc_dump=folder, auth=Password()) as server:
        call(str(server.start("127.0.0.1:0")), "hello", auth=Password())
    (path,) = folder.iterdir()
    assert b"hello" in path.read_bytes()
    assert b"hunter2" not in path.read_bytes()


def test_directory_that_others_may_use_keeps_the_server_from_starting(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    server = make_server(CliService(), rpc_dump=tmp_path)
    with pytest.raises(PermissionError, match="chmod 700"):
        server.start("127.0.0.1:0")
    tmp_path.chmod(0o700)
    server.start("127.0.0.1:0")
    server.stop()
    assert server.join(20)


def test_files_are_shown(dumped: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["dump", "--show", str(dumped)]) == 0
    first, *_ = lines = capsys.readouterr().out.splitlines()
    assert first == f"{SERVICE}.Echo  body 7, attachment 6, compression 0"
    assert len(lines) == 3
    (path,) = dumped.iterdir()
    assert main(["dump", "--show", str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[0])["attachment_bytes"] == 6


def test_name_in_a_file_makes_no_line_of_its_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "requests.1"
    path.write_bytes(head_of("a\nForged.Line  body 0\x9b", "Do", 0, (0, 0)))
    assert main(["dump", "--show", str(path)]) == 0
    said = "a\ufffdForged.Line  body 0\ufffd.Do  body 0, attachment 0, compression 0\n"
    assert capsys.readouterr().out == said


def test_requests_are_sent_again_as_they_came(
    dumped: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    service = Keeping()
    with make_server(service) as server:
        address = str(server.start("127.0.0.1:0"))
        arguments = ["replay", address, str(dumped), "--times", "2", "--concurrency", "1"]
        assert main([*arguments, "--timeout", "30", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["calls"], found["failed"]) == (6, 0)
    assert service.seen == [("first", b"beside"), ("second", b""), ("third", b"")] * 2


class Slow(Keeping):
    """Answers after a while."""

    def Echo(self, request: Any, controller: pybrpc.Controller) -> Any:
        time.sleep(0.2)
        return super().Echo(request, controller)


def test_time_of_a_replay_ends_with_its_last_answer(
    dumped: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with make_server(Slow()) as server:
        address = str(server.start("127.0.0.1:0"))
        assert main(["replay", address, str(dumped), "--timeout", "30", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["calls"] == 3
    assert found["seconds"] * 1e6 >= found["latency_us"]["max"] - 1000  # it is rounded
    assert found["qps"] == pytest.approx(3 / found["seconds"], rel=0.01)


def test_replay_at_a_rate_sends_all_of_them(
    dumped: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    service = Keeping()
    with make_server(service) as server:
        address = str(server.start("127.0.0.1:0"))
        assert main(["replay", address, str(dumped), "--qps", "1000", "--timeout", "30"]) == 0
    assert sorted(message for message, _ in service.seen) == ["first", "second", "third"]
    assert f"1 files to {address}" in capsys.readouterr().out


def test_calls_that_fail_are_status_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "requests.1"
    body = echo_request("a").SerializeToString()
    unknown = head_of("no.Service", "Do", 0, (0, 0))
    impossible = head_of("", "", 0, (0, 0))
    odd = head_of(SERVICE, "Echo", 77, (len(body), 0)) + body
    path.write_bytes(unknown + impossible + odd)
    with make_server(Keeping()) as server:
        address = str(server.start("127.0.0.1:0"))
        assert main(["replay", address, str(tmp_path), "--timeout", "30", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["calls"], found["failed"]) == (3, 3)
    assert "ENOSERVICE" in {each["name"] for each in found["errors"]}


@pytest.mark.parametrize(
    ("content", "text"),
    [(b"nonsense", "ends within a header"), (b"HULU" + bytes(8), "no file of rpc_dump")],
)
def test_file_that_makes_no_sense_is_status_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes, text: str
) -> None:
    path = tmp_path / "requests.1"
    path.write_bytes(content)
    assert main(["replay", "127.0.0.1:1", str(path)]) == 2
    assert f"{path}: " in (said := capsys.readouterr().err)
    assert text in said
    assert main(["dump", "--show", str(path)]) == 2


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["dump"], "give a SERVER, or --show PATH"),
        (["dump", "127.0.0.1:1", "--show", "x"], "give a SERVER, or --show PATH"),
        (["dump", "--show", "/no/such"], "/no/such: No such file"),
        (["replay", "127.0.0.1:1", "/no/such"], "/no/such: No such file"),
        (["replay", "127.0.0.1:1", "/sys/class"], "there is no file of rpc_dump in /sys/class"),
    ],
)
def test_wrong_usage_is_told(
    capsys: pytest.CaptureFixture[str], arguments: list[str], text: str
) -> None:
    assert main(arguments) == 2
    assert text in capsys.readouterr().err


def test_replay_refuses_what_would_block_its_loop(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pipe = tmp_path / "requests.1"
    os.mkfifo(pipe)
    for path in (pipe, tmp_path):
        assert main(["replay", "127.0.0.1:1", str(path)]) == 2
        assert f"{pipe} is no regular file" in capsys.readouterr().err


def test_directory_that_can_not_be_read_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(path: str) -> list[str]:
        raise PermissionError(errno.EACCES, "Permission denied", path)

    monkeypatch.setattr(os, "listdir", fail)
    for name in (["dump", "--show"], ["replay", "127.0.0.1:1"]):
        assert main([*name, str(tmp_path)]) == 2
        assert f"{tmp_path}: Permission denied" in capsys.readouterr().err


def test_replay_of_no_request_is_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "requests.1"
    path.touch()
    assert main(["replay", "127.0.0.1:1", str(path)]) == 2
    assert f"there is no request in {path}" in capsys.readouterr().err


def test_requests_are_sampled_while_the_command_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "dump"
    options = pybrpc.RpcDump(directory=str(folder), enabled=False)
    with make_server(Keeping(), rpc_dump=options) as server:
        address = str(server.start("127.0.0.1:0"))
        call(address, "before")
        arguments = command("dump", address, "--duration", "600")
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        with subprocess.Popen(arguments, cwd=ROOT, text=True, **pipes) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == f"{address} samples requests for 600 s\n"
            call(address, "meanwhile")
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=60)
        assert (process.returncode, err) == (130, "")
        call(address, "after")
        assert main(["dump", address, "--duration", "0.01"]) == 0
        wait_until(lambda: len(list(folder.iterdir())) == 1)
    assert [pb.EchoRequest.FromString(each.body).message for each in requests_in(folder)] == [
        "meanwhile"
    ]
    assert capsys.readouterr().out.endswith("\ndone\n")


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, 130)]
)
def test_signal_that_ends_the_command_ends_the_sampling(
    tmp_path: Path, number: signal.Signals, status: int
) -> None:
    options = pybrpc.RpcDump(directory=str(tmp_path / "dump"), enabled=False)
    with make_server(Keeping(), rpc_dump=options) as server:
        arguments = command("dump", server.start("127.0.0.1:0"), "--duration", "600")
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        with subprocess.Popen(arguments, cwd=ROOT, text=True, **pipes) as process:
            assert process.stdout is not None
            process.stdout.readline()
            assert ENABLE_RPC_DUMP.current()
            process.send_signal(number)
            _, err = process.communicate(timeout=60)
        assert (process.returncode, err) == (status, "")
        assert not ENABLE_RPC_DUMP.current()


@contextlib.contextmanager
def sampling(address: object, seconds: float = 600) -> Iterator[subprocess.Popen[str]]:
    """A command that samples; at the end Ctrl-C ends it, and what it says is read."""
    arguments = command("dump", address, "--duration", str(seconds))
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(arguments, cwd=ROOT, text=True, **pipes) as process:
        try:
            assert process.stdout is not None
            assert "samples requests" in process.stdout.readline()
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
            process.wait(60)


STILL = "the server still samples requests"


@pytest.mark.parametrize("ends_first", [0, 1])
def test_server_samples_until_the_last_of_two_commands_ends(
    tmp_path: Path, ends_first: int
) -> None:
    folder = tmp_path / "dump"
    options = pybrpc.RpcDump(directory=str(folder), enabled=False)
    with make_server(Keeping(), rpc_dump=options) as server:
        address = str(server.start("127.0.0.1:0"))
        with sampling(address) as first, sampling(address) as second:
            call(address, "both")
            pair = [first, second]
            ended = pair.pop(ends_first)
            ended.send_signal(signal.SIGINT)
            _, err = ended.communicate(timeout=60)
            assert err.startswith(STILL)
            assert ENABLE_RPC_DUMP.current()
            call(address, "one")
            pair[0].send_signal(signal.SIGINT)
            _, err = pair[0].communicate(timeout=60)
            assert err == ""
        assert not ENABLE_RPC_DUMP.current()
        call(address, "none")
    seen = [pb.EchoRequest.FromString(each.body).message for each in requests_in(folder)]
    assert seen == ["both", "one"]


def test_all_workers_sample_until_the_last_of_two_commands_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(DUMP_FOLDER, str(tmp_path / "dump"))
    with paged("make_dumping_server", workers=2) as pages:

        def shown() -> list[bool]:
            texts = [pages.text(f"/flags/rpc_dump?worker={number}") for number in (0, 1)]
            return ["rpc_dump (R) | true" in text for text in texts]

        address = pages.supervisor.internal_endpoint
        with sampling(address) as first:
            with sampling(address):
                assert shown() == [True, True]
                first.send_signal(signal.SIGINT)
                _, err = first.communicate(timeout=60)
                assert err.startswith(STILL)
                assert shown() == [True, True]
        assert shown() == [False, False]


def test_sampling_of_a_command_that_was_killed_ends_by_itself(tmp_path: Path) -> None:
    options = pybrpc.RpcDump(directory=str(tmp_path / "dump"), enabled=False)
    with make_server(Keeping(), rpc_dump=options) as server:
        arguments = command("dump", server.start("127.0.0.1:0"), "--duration", "1", "-t", "2")
        with subprocess.Popen(arguments, cwd=ROOT, text=True, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            process.kill()
        wait_until(lambda: not ENABLE_RPC_DUMP.current())


def test_server_that_does_not_sample_to_the_end_is_an_error(tmp_path: Path) -> None:
    """As one that was started again."""
    options = pybrpc.RpcDump(directory=str(tmp_path / "dump"), enabled=False)
    with make_server(Keeping(), rpc_dump=options) as server:
        arguments = command("dump", server.start("127.0.0.1:0"), "--duration", "3", "--json")
        with subprocess.Popen(arguments, cwd=ROOT, text=True, stdout=subprocess.PIPE) as process:
            wait_until(ENABLE_RPC_DUMP.current)
            ENABLE_RPC_DUMP.set(False)
            out, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "has not sampled all the time" in json.loads(out)["error"]["text"]


def test_sampling_that_was_on_before_stays_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = pybrpc.RpcDump(directory=str(tmp_path / "dump"), enabled=False)
    handlers = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)]
    with make_server(Keeping(), rpc_dump=options) as server:
        address = str(server.start("127.0.0.1:0"))
        ENABLE_RPC_DUMP.set(True)
        try:
            assert main(["dump", address, "--duration", "0.01"]) == 0
            assert ENABLE_RPC_DUMP.current()
        finally:
            ENABLE_RPC_DUMP.set(False)
        assert capsys.readouterr().err.startswith(STILL)
        assert main(["dump", address, "--duration", "0.01"]) == 0
        assert not ENABLE_RPC_DUMP.current()
    assert capsys.readouterr().err == ""
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)] == handlers


class SlowFlag(BaseHTTPRequestHandler):
    """A page of the flag that leaves the first POST without an answer until `released` is set."""

    bodies: ClassVar[list[bytes]] = []
    released: ClassVar[threading.Event] = threading.Event()

    def do_GET(self) -> None:
        self.answer(b"rpc_dump (R) | false | Sample requests\n")

    def do_POST(self) -> None:
        self.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
        if len(self.bodies) == 1:
            self.released.wait(60)
        with contextlib.suppress(OSError):
            self.answer(b"Set `rpc_dump' to what was asked\n")

    def answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def test_ctrl_c_before_the_server_has_answered_ends_the_sampling() -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), SlowFlag) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        arguments = command("dump", f"127.0.0.1:{server.server_port}", "--timeout", "60")
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        with subprocess.Popen(arguments, cwd=ROOT, text=True, **pipes) as process:
            wait_until(lambda: bool(SlowFlag.bodies))
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=60)
        SlowFlag.released.set()
        server.shutdown()
    assert (process.returncode, err) == (130, "")
    begin, end = (dict(parse_qsl(body.decode())) for body in SlowFlag.bodies)
    assert (begin["value"], begin["seconds"]) == ("true", "70.0")
    assert end == {"value": "false", "holder": begin["holder"]}


class OtherFlag(BaseHTTPRequestHandler):
    """A page that lists the flag, whatever it is sent, as C++ answers a form."""

    def do_GET(self) -> None:
        body = b"rpc_dump (R) | false | Dump requests into files\n"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.do_GET()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def test_server_that_does_not_set_the_flag_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), OtherFlag) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        assert main(["dump", f"127.0.0.1:{server.server_port}", "--duration", "0.01"]) == 1
        server.shutdown()
    assert "/flags/rpc_dump was not set: this is no server of pybrpc" in capsys.readouterr().err


def test_server_without_the_option_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    with make_server(CliService()) as server:
        assert main(["dump", str(server.start("127.0.0.1:0"))]) == 1
    assert "has the option rpc_dump" in capsys.readouterr().err


def test_server_that_allows_nobody_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pybrpc.Server(rpc_dump=tmp_path / "dump") as server:
        assert main(["dump", str(server.start("127.0.0.1:0"))]) == 1
    assert "403 Forbidden" in capsys.readouterr().err
