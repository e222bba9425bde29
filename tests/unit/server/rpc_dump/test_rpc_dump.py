"""The options of rpc_dump, its directory and its flag."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from pybrpc.server.rpc_dump.rpc_dump import (
    ENABLE_RPC_DUMP,
    SAMPLING,
    RpcDump,
    checked_rpc_dump,
)


class Sampling:
    """Stands for the writer of a server."""


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({"directory": ""}, TypeError),
        ({"directory": 5}, TypeError),
        ({"share": 0}, ValueError),
        ({"share": 1.1}, ValueError),
        ({"share": "all"}, TypeError),
        ({"share": float("nan")}, (TypeError, ValueError)),
        ({"enabled": 1}, TypeError),
        *(
            ({name: 0}, ValueError)
            for name in (
                *("per_second", "max_files", "max_requests_in_one_file"),
                *("max_file_bytes", "max_waiting_bytes"),
            )
        ),
    ],
)
def test_wrong_options_are_refused(options: dict[str, Any], kind: type[Exception]) -> None:
    with pytest.raises(kind):
        RpcDump(**{"directory": "dump", **options})


def test_option_of_a_server_may_be_a_path() -> None:
    assert checked_rpc_dump(None) is None
    assert checked_rpc_dump("a") == RpcDump(directory=os.path.abspath("a"))
    assert checked_rpc_dump(Path("a")) == RpcDump(directory="a")
    with pytest.raises(TypeError, match=r"must be None, a path or a pybrpc\.RpcDump"):
        checked_rpc_dump(True)


def test_directory_is_made_for_the_owner_alone(tmp_path: Path) -> None:
    dump = RpcDump(directory=str(tmp_path / "parent" / "dump"))
    dump.prepare()
    dump.prepare()
    assert os.stat(dump.directory).st_mode & 0o777 == 0o700


def test_directory_that_others_may_use_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o750)
    with pytest.raises(PermissionError, match=f"chmod 700 {tmp_path}"):
        RpcDump(directory=str(tmp_path)).prepare()


def test_flag_switches_what_is_not_enabled() -> None:
    dump = RpcDump(directory="dump", enabled=False)
    assert not dump.is_on()
    with pytest.raises(ValueError, match="no server of this process has the option rpc_dump"):
        ENABLE_RPC_DUMP.set(True)
    with pytest.raises(ValueError, match="no server of this process has the option rpc_dump"):
        ENABLE_RPC_DUMP.hold("a", 600)
    writer = Sampling()
    SAMPLING.add(writer)
    try:
        ENABLE_RPC_DUMP.set(True)
        assert dump.is_on()
        ENABLE_RPC_DUMP.set(False)
        assert not dump.is_on()
        ENABLE_RPC_DUMP.hold("a", 600)
        assert dump.is_on()
    finally:
        ENABLE_RPC_DUMP.set(False)
        SAMPLING.discard(writer)
    assert RpcDump(directory="dump").is_on()


def test_directory_that_is_a_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "dump"
    path.touch(0o600)
    with pytest.raises(NotADirectoryError):
        RpcDump(directory=str(path)).prepare()


def test_number_that_no_counter_holds_is_refused() -> None:
    with pytest.raises(ValueError, match="per_second must be a whole number from 1 to"):
        RpcDump(directory="dump", per_second=10**400)
