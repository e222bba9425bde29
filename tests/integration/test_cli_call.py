"""pybrpc call, against servers."""

from __future__ import annotations

import io
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pybrpc.cli.main import main
from pybrpc.client.channel.options import protocol_names
from tests.peers.cli_server import cli_server
from tests.peers.command import command, run_command
from tests.peers.pages import ROOT
from tests.peers.redis_server import free_port

pytestmark = pytest.mark.same_everywhere

HELLO = '{"message": "hello"}'


@pytest.fixture
def address() -> Iterator[str]:
    with cli_server() as served:
        yield served


def call_json(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    status = main(["call", *arguments, "--json"])
    found = json.loads(capsys.readouterr().out)
    assert status == (1 if "error" in found else 0)
    return found


@pytest.mark.parametrize("protocol", protocol_names())
def test_method_is_called_by_every_protocol(
    address: str, capsys: pytest.CaptureFixture[str], protocol: str
) -> None:
    found = call_json(capsys, address, "EchoService.Echo", HELLO, "--protocol", protocol)
    assert found["response"]["message"] == "hello"
    assert found["latency_us"] > 0


def test_response_is_printed_as_json_in_lines(
    address: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["call", address, "EchoService.Echo", HELLO, "--log-id", "7"]) == 0
    shown = capsys.readouterr()
    assert shown.out == '{\n  "message": "hello",\n  "log_id": 7\n}\n'
    assert shown.err == ""


def test_defaults_are_printed_on_demand(address: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = call_json(capsys, address, "Echo", HELLO, "--defaults")
    assert found["response"]["attachment_bytes"] == 0


def test_error_of_the_server_is_status_1_and_has_its_code(
    address: str, capsys: pytest.CaptureFixture[str]
) -> None:
    found = call_json(capsys, address, "Echo", '{"message": "fail"}')
    assert found["error"]["code"] == 5001
    assert "asked to" in found["error"]["text"]
    assert main(["call", address, "Echo", '{"message": "fail"}']) == 1
    said = capsys.readouterr().err
    assert "\x1b" not in said
    assert said.count("\n") == 1


def test_server_that_is_not_there_is_status_1(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, address: str
) -> None:
    descriptors = str(tmp_path / "set")
    assert main(["descriptor", address, "-o", descriptors]) == 0
    found = call_json(capsys, f"127.0.0.1:{free_port()}", "Echo", HELLO, "-d", descriptors)
    assert found["error"]["name"] == "ECONNREFUSED"
    assert found["error"]["phase"] == "connect"


def test_several_servers_are_called_by_a_naming_service(
    capsys: pytest.CaptureFixture[str], address: str
) -> None:
    arguments = (f"list://{address}", "Echo", HELLO, "--load-balancer", "rr", "--pages", address)
    assert call_json(capsys, *arguments)["server"] == address


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["Nothing"], "there is no method Nothing; there are: conformance.EchoService.Echo"),
        (["Echo", "{"], "this is no JSON of a conformance.EchoRequest"),
        (["Echo", "{}"], "Missing required field"),
        (["Echo", "@/no/such/file"], "/no/such/file: No such file"),
        (["Echo", HELLO, "--protocol", "smoke"], "unknown protocol 'smoke'"),
        (["Echo", HELLO, "--attachment", "/no/such/file"], "/no/such/file: No such file"),
        (["Echo", HELLO, "--each", "--stream"], "--each and --stream exclude each other"),
        (["Echo", HELLO, "--log-id", str(1 << 70)], "log_id must be"),
        (["Echo", HELLO, "--max-retry", "-1"], "max_retry must be"),
        (["Stream", HELLO, "--stream", "--send-type", "x.Y"], "there is no message x.Y"),
    ],
)
def test_wrong_usage_is_status_2(
    address: str, capsys: pytest.CaptureFixture[str], arguments: list[str], text: str
) -> None:
    assert main(["call", address, *arguments]) == 2
    assert text in capsys.readouterr().err


@pytest.mark.parametrize(
    ("request_text", "text"),
    [
        ('{"message": "a", "titel": "x"}', "unknown field titel: conformance.EchoRequest has "),
        ('{"message": "a", "\\u001bx": 1}', "unknown field \ufffdx: conformance.EchoRequest has "),
        ('{"message": "a", "sleep_ms": "5s"}', 'sleep_ms: Invalid value `"5s"\' for optional '),
    ],
)
def test_what_servers_ignore_is_refused_unless_told(
    address: str, capsys: pytest.CaptureFixture[str], request_text: str, text: str
) -> None:
    assert main(["call", address, "Echo", request_text]) == 2
    said = capsys.readouterr().err
    assert text in said
    assert "--lenient" in said
    assert said.count("\n") == 1
    assert main(["call", address, "Echo", request_text, "--lenient"]) == 0


def test_request_may_come_from_a_file_or_the_standard_input(
    address: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = tmp_path / "request.json"
    path.write_text(HELLO)
    assert call_json(capsys, address, "Echo", f"@{path}")["response"]["message"] == "hello"
    path.write_bytes('{"message": "Grüße"}'.encode("latin-1"))
    assert main(["call", address, "Echo", f"@{path}"]) == 2
    assert f"{path} is no UTF-8: " in capsys.readouterr().err
    monkeypatch.setattr(sys, "stdin", io.StringIO('{"message": "typed"}'))
    assert call_json(capsys, address, "Echo", "-")["response"]["message"] == "typed"


def test_attachments_travel(
    address: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    sent, received = tmp_path / "sent", tmp_path / "received"
    sent.write_bytes(b"\0\xffbytes")
    arguments = ("Echo", HELLO, "--compress", "gzip", "--attachment", str(sent))
    assert call_json(capsys, address, *arguments)["attachment_bytes"] == 7
    assert main(["call", address, *arguments]) == 0
    assert "an attachment of 7 bytes" in capsys.readouterr().err
    assert main(["call", address, *arguments, "--attachment-out", str(received)]) == 0
    assert received.read_bytes() == b"\0\xffbytes"
    assert main(["call", address, *arguments, "--attachment-out", "/no/such/folder"]) == 1
    assert "/no/such/folder: No such file" in capsys.readouterr().err


def test_each_line_is_a_call_and_has_a_line_of_output(address: str) -> None:
    given = '{"message": "a"}\n\n{"message": "fail"}\nnonsense\n{"message": "b"}'
    done = run_command("call", address, "Echo", "--each", stdin=given)
    first, failed, wrong, last = done.values()
    assert (first["message"], last["message"]) == ("a", "b")
    assert failed["error"]["code"] == 5001
    assert "this is no JSON" in wrong["error"]["text"]
    assert (done.status, done.err) == (1, "")
    good = run_command("call", address, "Echo", "--each", "--json", stdin=HELLO)
    assert (good.status, good.values()[0]["response"]["message"]) == (0, "hello")


def test_stream_copies_lines_in_both_directions(address: str) -> None:
    arguments = ("call", address, "Stream", HELLO, "--stream", "--idle", "0.5")
    done = run_command(*arguments, stdin="one\n\nthree")
    assert (done.status, done.out) == (0, "one\n\nthree\n")
    assert done.err == 'response: {"message":"welcome"}\n'
    machine = run_command(*arguments, "--json", stdin="one\n")
    assert machine.values() == [{"response": {"message": "welcome"}}, {"text": "one"}]


def test_message_is_printed_before_the_input_has_ended(address: str) -> None:
    arguments = command("call", address, "Stream", HELLO, "--stream")
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(arguments, cwd=ROOT, text=True, bufsize=1, **pipes) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for text in ("first\n", "second\n"):
            process.stdin.write(text)
            assert process.stdout.readline() == text
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130


def test_messages_of_protobuf_are_json_in_both_directions(address: str) -> None:
    kind = "conformance.EchoRequest"
    types = ("--send-type", kind, "--receive-type", kind, "--idle", "0.5")
    arguments = ("call", address, "Stream", HELLO, "--stream", *types)
    done = run_command(*arguments, stdin=f"{HELLO}\n")
    assert (done.status, done.out) == (0, '{"message":"hello"}\n')
    wrong = run_command(*arguments, stdin="nonsense\n")
    assert (wrong.status, wrong.out) == (2, "")
    assert "this is no JSON of a conformance.EchoRequest" in wrong.err
    other = ("call", address, "Stream", '{"message": "push"}', "--stream", "--receive-type", kind)
    assert "a message of 2 bytes is no conformance.EchoRequest" in run_command(*other).err


def test_stream_ends_when_the_server_closes_it(address: str) -> None:
    arguments = command("call", address, "Stream", '{"message": "close"}', "--stream")
    # The standard input stays open.
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(arguments, cwd=ROOT, text=True, stderr=subprocess.PIPE, **pipes) as done:
        assert done.stdout is not None
        assert done.stderr is not None
        assert done.stdout.read() == "bye\n"
        assert done.stderr.read() == 'response: {"message":"welcome"}\n'
        assert done.wait(60) == 0


def test_wrong_line_ends_a_stream_on_which_nothing_comes(address: str) -> None:
    kind = ("--send-type", "conformance.EchoRequest")
    # The limit for a message to come is far away, and the standard input stays open.
    arguments = command("call", address, "Stream", HELLO, "--stream", *kind, "--idle", "1000000")
    pipes: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    with subprocess.Popen(arguments, cwd=ROOT, text=True, bufsize=1, **pipes) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdin.write(f"{HELLO}\n")
        assert process.stdout.readline()  # It waits for the next message.
        process.stdin.write("nonsense\n")
        assert "this is no JSON of a conformance.EchoRequest" in process.stderr.read()
        assert process.wait(60) == 2


def test_messages_that_are_no_text_do_not_reach_the_terminal(address: str) -> None:
    arguments = ("call", address, "Stream", '{"message": "push"}', "--stream", "--idle", "0.5")
    assert run_command(*arguments).out == "\ufffd\ufffd\n"
    assert run_command(*arguments, "--json").values()[1] == {"base64": "/xs="}


def test_stream_that_the_server_does_not_accept_is_status_1(address: str) -> None:
    done = run_command("call", address, "EchoService.Echo", HELLO, "--stream")
    assert (done.status, done.out) == (1, "")
    assert "didn't accept the stream" in done.err
