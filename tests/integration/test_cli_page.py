"""The examples of docs/command-line.md run, and print what the page shows."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest

import pybrpc
from bench.echo_messages import EXAMPLE
from pybrpc.cli.main import COMMANDS, main
from tests.peers.pages import ROOT, run_page

pytestmark = pytest.mark.same_everywhere

PAGE = "docs/command-line.md"
TEXT = (ROOT / PAGE).read_text()
BLOCKS = re.findall(r"```console\n(.*?)```", TEXT, re.DOTALL)


class Echo:
    """Answers what was sent."""

    def Echo(self, request: Any, controller: pybrpc.Controller) -> Any:
        return EXAMPLE.response(message=request.message)


def commands() -> list[tuple[str, list[str]]]:
    """Each command of the page, and the lines that it prints there."""
    found: list[tuple[str, list[str]]] = []
    for line in "".join(BLOCKS).splitlines():
        if line.startswith("$ pybrpc "):
            found.append((line.removeprefix("$ pybrpc "), []))
        else:
            found[-1][1].append(line)
    return found


def shape(line: str) -> str:
    """A line without what differs from run to run: numbers, units, paths, widths."""
    return re.sub(r"\s+", " ", re.sub(r"[\d.,:]+|[µm]?s\b|/[\w/.-]+", "#", line)).strip()


@pytest.mark.slow
def test_commands_print_what_the_page_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    dump = pybrpc.RpcDump(directory=str(tmp_path / "dump"), enabled=False)
    with pybrpc.Server(internal_port=0, rpc_dump=dump) as server:
        server.add_service(EXAMPLE.service, Echo())
        address = str(server.start("127.0.0.1:0"))
        real = {"127.0.0.1:8000": address, "127.0.0.1:8001": str(server.internal_endpoint)}
        real["rpc_server_8000"] = f"rpc_server_{address.rpartition(':')[2]}"
        for command, shown in commands():
            for written, used in real.items():
                command = command.replace(written, used)
            arguments = shlex.split(command)
            assert main(arguments) == 0, command
            printed = {shape(line) for line in capsys.readouterr().out.splitlines()}
            if arguments[0] == "check":
                continue  # that is another machine
            for line in shown:
                assert line.startswith("...") or shape(line) in printed, (command, line, printed)


def test_page_has_a_chapter_for_every_command() -> None:
    for entry in COMMANDS:
        assert f"| [`{entry.name}`](#" in TEXT
        assert re.search(rf"^## .*\b{entry.name}\b", TEXT, re.MULTILINE), entry.name


def test_servers_of_the_page_can_be_made() -> None:
    names: dict[str, Any] = {"pybrpc": pybrpc}
    run_page(PAGE, names, {})
    assert "echo_dump" in repr(names["server"]._settings.rpc_dump)
