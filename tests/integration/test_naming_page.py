"""docs/naming.md: its examples run, and it names all schemes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import pybrpc
import pybrpc.naming
from pybrpc.naming import schemes
from tests.peers.echo import ECHO
from tests.peers.etcd_server import EtcdServer
from tests.peers.naming_watchers import watching
from tests.peers.pages import examples_of, run_example
from tests.peers.redis_server import free_port
from tests.peers.serving import EchoService
from tests.protos import conformance_pb2 as pb

PAGE = Path(__file__).parents[2] / "docs" / "naming.md"
EXAMPLES = examples_of("docs/naming.md")


def test_watched_shows_lists_and_errors(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "servers"
    file.write_text("a:1\n")
    with watching(f"file://{file}") as watcher:
        watcher.wait_list("a:1")
        run_example(EXAMPLES[0], {}, {})
    assert capsys.readouterr().out == f"file://{file} 1 False None\n"


@pytest.mark.slow
@pytest.mark.program("etcd")
def test_server_that_registers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, Any] = {
        "pybrpc": pybrpc,
        "SERVICE": ECHO,
        "EchoRequest": pb.EchoRequest,
        "EchoService": EchoService,
    }
    with EtcdServer(tmp_path) as etcd:
        where = {"127.0.0.1:8000": f"127.0.0.1:{free_port()}"}
        run_example(EXAMPLES[1].replace("127.0.0.1:2379", etcd.address), names, where)
        assert capsys.readouterr().out == "True\nhello\n"
        assert etcd.keys("services/") == {}
        assert names["registration"].node.tag == "3 zone=a"
        assert not names["server"].is_running


@pytest.mark.program("etcd")
def test_registration(tmp_path: Path) -> None:
    with EtcdServer(tmp_path) as etcd:
        names: dict[str, Any] = {}
        run_example(EXAMPLES[2].replace("127.0.0.1:2379", etcd.address), names, {})
        assert not names["registration"].state.is_registered
        assert etcd.keys("services/") == {}
        assert names["registration"].state.renewed_s > 0


def test_own_service() -> None:
    try:
        run_example(EXAMPLES[3], {}, {})
        with watching("mydb://echo_servers") as watcher:
            watcher.wait_list("10.0.0.1:8000 3")
    finally:
        schemes._factories.pop("mydb", None)


def test_watch_with_a_filter(capsys: pytest.CaptureFixture[str]) -> None:
    run_example(EXAMPLES[4], {}, {})
    assert capsys.readouterr().out == "['10.0.0.1:80 zone=a']\n"


def test_all_schemes_and_names_are_there() -> None:
    text = PAGE.read_text()
    for scheme in (*schemes._BUILT_IN, "list", "dlist", "zk"):
        assert f"`{scheme}://" in text, scheme
    assert len(EXAMPLES) == 5
    assert pybrpc.naming.__doc__
