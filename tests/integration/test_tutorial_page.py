"""docs/tutorial.md: its files and commands do what the page says, in its order."""

from __future__ import annotations

import contextlib
import shlex
import signal
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.peers.redis_server import free_port
from tests.peers.shell_pages import Step, reader_environment, steps_of, typed, with_addresses

pytestmark = [pytest.mark.program("curl"), pytest.mark.slow, pytest.mark.proof]

STEPS = steps_of("docs/tutorial.md")
SERVERS = ("python stock_server.py", "pybrpc serve")
"""Commands that a reader leaves running."""


@contextlib.contextmanager
def running(command: str, folder: Path, environment: Mapping[str, str]) -> Iterator[str]:
    """A server, until the block ends, and the first line that it prints."""
    with subprocess.Popen(
        shlex.split(command), cwd=folder, env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline()
        finally:
            process.send_signal(signal.SIGINT)
            assert process.wait(60) == 0


class Reader:
    """Somebody who follows the page, in a folder, with a terminal for each server."""

    def __init__(self, folder: Path, terminals: contextlib.ExitStack) -> None:
        self.environment = reader_environment(folder)
        self.folder = folder
        self.terminals = terminals
        self.servers: list[contextlib.ExitStack] = []
        self.has_run: list[str] = []

    def do(self, step: Step) -> None:
        if step.name:
            (self.folder / step.name).write_text(step.text)
            return
        if step.text.startswith("pip "):
            return
        if step.text.startswith(SERVERS):
            self.start(step)
            return
        if step.text in self.has_run:  # the page says: end the second server, and do it again
            self.servers.pop().close()
        self.has_run.append(step.text)
        printed = typed(step, self.folder, self.environment)
        if step.printed is not None:
            assert printed.strip() == step.printed.strip(), step.text

    def start(self, step: Step) -> None:
        if step.text.startswith("pybrpc serve"):
            self.servers.pop().close()
        terminal = self.terminals.enter_context(contextlib.ExitStack())
        line = terminal.enter_context(running(step.text, self.folder, self.environment))
        self.servers.append(terminal)
        if step.printed is not None:
            assert line == step.printed
        else:
            assert shlex.split(step.text)[4] in line  # the address


def test_a_reader_can_follow_the_page(tmp_path: Path) -> None:
    pytest.importorskip("grpc_tools.protoc", reason="there is no grpcio-tools here")
    # The page prints the addresses sorted.
    first, second = sorted(f"127.0.0.1:{free_port()}" for _ in range(2))
    addresses = {
        "127.0.0.1:8000": first,
        "127.0.0.1:8001": second,
        "--internal-port 8001": f"--internal-port {second.partition(':')[2]}",
    }
    with contextlib.ExitStack() as terminals:
        reader = Reader(tmp_path, terminals)
        for step in STEPS:
            reader.do(with_addresses(step, addresses))
        assert len(reader.servers) == 1
    assert len(reader.has_run) == 13


def test_no_block_is_left_out() -> None:
    files = [step.name for step in STEPS if step.name]
    assert files == [
        "stock.proto",
        "stock_server.py",
        "take.py",
        "too_many.py",
        "order.py",
        "many.py",
        "both.py",
        "test_stock.py",
    ]
    assert len(STEPS) == len(files) + 17
