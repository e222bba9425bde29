"""examples/chat.py, tokens.py and files.py, as programs that are started and talk to each other."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.threads import WAIT_S
from tests.peers.pages import ROOT

pytestmark = pytest.mark.slow

SMALL, BIG = 1 << 20, 192 << 20
"""Bytes of files."""


@contextlib.contextmanager
def program(*arguments: object) -> Iterator[subprocess.Popen[str]]:
    """It is killed at the end, if it still runs."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [sys.executable, *map(str, arguments)],
        cwd=ROOT,
        env=environment,
        stdin=pipe,
        stdout=pipe,
        stderr=pipe,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@contextlib.contextmanager
def server(name: str, *arguments: object) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The program, and its address. Ctrl-C must end it without a word on stderr."""
    with program(f"examples/{name}.py", "server", "127.0.0.1:0", *arguments) as process:
        address = next_line(process).split()[-1]
        yield process, address
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=WAIT_S)
        assert (process.returncode, errors) == (0, "")


def next_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().rstrip("\n")


def type_line(process: subprocess.Popen[str], line: str) -> None:
    assert process.stdin is not None
    process.stdin.write(f"{line}\n")
    process.stdin.flush()


def end_of(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    output, errors = process.communicate(timeout=WAIT_S)
    return process.returncode, output, errors


def chat(address: str, name: str) -> contextlib.AbstractContextManager[subprocess.Popen[str]]:
    return program("examples/chat.py", "client", address, name)


def test_members_of_a_chat_read_what_others_type() -> None:
    with server("chat") as (_, address), chat(address, "Ann") as ann:
        assert next_line(ann) == "* Ann comes, and makes 1 of us"
        with chat(address, "Bob") as bob:
            assert next_line(bob) == next_line(ann) == "* Bob comes, and makes 2 of us"
            type_line(ann, "hello")
            assert next_line(bob) == "Ann: hello"
            type_line(bob, "grüße")
            assert next_line(ann) == "Bob: grüße"
            with chat(address, "Bob") as second:
                code, _, errors = end_of(second)
                assert code == 1
                assert "the name 'Bob' is taken" in errors
            assert end_of(bob) == (0, "", "")  # the end of its input
        assert next_line(ann) == "* Bob leaves"
        ann.send_signal(signal.SIGINT)
        assert end_of(ann) == (0, "", "")


@pytest.mark.proof
def test_chat_ends_when_its_server_does() -> None:
    with server("chat") as (_, address), chat(address, "Ann") as ann:
        assert next_line(ann).startswith("* Ann comes")
        with server("chat") as (other, other_address), chat(other_address, "Bob") as bob:
            next_line(bob)
            other.send_signal(signal.SIGTERM)
            assert end_of(bob)[0::2] == (0, "")
            other.wait(WAIT_S)
        type_line(ann, "still here")


def test_member_whose_connection_breaks_leaves() -> None:
    with server("chat") as (_, address), chat(address, "Ann") as ann:
        next_line(ann)
        with chat(address, "Bob") as bob:
            next_line(bob)
            bob.kill()
        assert next_line(ann) == "* Bob comes, and makes 2 of us"
        assert next_line(ann) == "* Bob leaves"


def test_client_that_has_enough_tokens_ends_the_generator() -> None:
    with server("tokens") as (process, address):
        with program("examples/tokens.py", "client", address, "a b c", "--at-most", "7") as client:
            assert end_of(client) == (0, "a b c a b c a \n", "")
        made = int(next_line(process).split()[-2])
        assert 7 <= made < 7 + 256


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_client_that_is_interrupted_ends_the_generator(number: int) -> None:
    with server("tokens") as (process, address):
        with program("examples/tokens.py", "client", address, "a") as client:
            assert client.stdout is not None
            assert client.stdout.read(4) == "a a "
            client.send_signal(number)
            code, _, errors = end_of(client)
            assert (code, errors) == (0 if number == signal.SIGINT else -number, "")
        assert next_line(process).startswith("The generator ended after ")


def make_file(path: Path, size: int) -> Path:
    """Sparse: it costs no disk."""
    with path.open("wb") as file:
        file.write(b"begin")
        file.truncate(size)
    return path


def transfer(*arguments: object) -> tuple[int, str, int]:
    """The exit code, stderr, and the most memory that it had, in bytes."""
    with program("examples/files.py", "client", *arguments) as client:
        assert client.stderr is not None
        errors = client.stderr.read()
        _, status, usage = os.wait4(client.pid, 0)
        client.returncode = os.waitstatus_to_exitcode(status)
        return (
            client.returncode,
            errors,
            usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024),
        )


@pytest.mark.proof
def test_files_go_up_and_down_with_progress(tmp_path: Path) -> None:
    (folder := tmp_path / "folder").mkdir()
    content = os.urandom(3 * SMALL + 7)
    (tmp_path / "up").write_bytes(content)
    (tmp_path / "empty").touch()
    with server("files", folder) as (_, address):
        code, errors, _ = transfer(address, "put", tmp_path / "up")
        assert (code, errors.endswith("up: 100 %\n")) == (0, True)
        assert transfer(address, "get", "up", tmp_path / "down")[0] == 0
        assert transfer(address, "put", tmp_path / "empty")[0] == 0
        assert transfer(address, "get", "empty", tmp_path / "nothing")[0] == 0
        code, errors, _ = transfer(address, "get", "missing", tmp_path / "missing")
        assert code == 1
        assert "no missing: No such file or directory" in errors
        code, errors, _ = transfer(address, "get", "../up", tmp_path / "missing")
        assert code == 1
        assert "is no name of a file" in errors
    assert (tmp_path / "down").read_bytes() == (folder / "up").read_bytes() == content
    assert (tmp_path / "nothing").read_bytes() == b""
    assert sorted(path.name for path in folder.iterdir()) == ["empty", "up"]
    assert not (tmp_path / "missing").exists()


@pytest.mark.proof
def test_client_that_is_interrupted_leaves_no_part_of_a_file(tmp_path: Path) -> None:
    (folder := tmp_path / "folder").mkdir()
    path = make_file(tmp_path / "big", 64 * BIG)
    with server("files", folder) as (_, address):
        with program("examples/files.py", "client", address, "put", path) as client:
            assert client.stderr is not None
            assert client.stderr.read(3) == "\nbi"  # a carriage return, in text
            client.send_signal(signal.SIGINT)
            code, _, errors = end_of(client)
            assert code == 130
            assert "Traceback" not in errors
    assert list(folder.iterdir()) == []


@pytest.mark.proof
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_long_file_needs_no_more_memory_than_a_short_one(tmp_path: Path) -> None:
    (folder := tmp_path / "folder").mkdir()
    paths = [make_file(tmp_path / "short", SMALL), make_file(tmp_path / "long", BIG)]
    with server("files", folder) as (process, address):
        most: list[int] = []
        for path in paths:
            code, errors, up = transfer(address, "put", path)
            assert code == 0, errors
            code, errors, down = transfer(address, "get", path.name, tmp_path / "down")
            assert code == 0, errors
            most.append(max(up, down) + peak_of(process.pid))
    short, long = most
    assert long - short < BIG // 3
    assert (tmp_path / "down").stat().st_size == BIG


def peak_of(pid: int) -> int:
    """The most memory that it has had, in bytes."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no VmHWM")
