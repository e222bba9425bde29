"""Numbers on the command line that are too large, and lists that are those of the library."""

from __future__ import annotations

from typing import get_args

import pytest

from pybrpc.cli.calling import COMPRESSIONS
from pybrpc.cli.main import main, parsed
from pybrpc.client.channel.options import ConnectionType
from pybrpc.client.cluster.balancing.registry import load_balancer_names
from pybrpc.protocols.registry import all_protocols
from pybrpc.protocols.traits import CONNECTION_TYPES
from pybrpc.rpc.compress import CompressType, compress

pytestmark = pytest.mark.same_everywhere


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["view", "127.0.0.1:1", "x", "--watch", "1e300"], "at most 1000000000"),
        (["top", "127.0.0.1:1", "--interval", "1e300"], "at most 1000000000"),
        (["dump", "127.0.0.1:1", "--duration", "1e10"], "at most 1000000000"),
        (["health", "127.0.0.1:1", "--timeout", "inf"], "at most 1000000000"),
        (["press", "127.0.0.1:1", "Echo", "--connections", "99999999"], "at most 10000"),
        (["press", "127.0.0.1:1", "Echo", "--connections", "9" * 5000], "from 1 on"),
    ],
)
def test_number_that_is_too_large_is_told(
    arguments: list[str], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert text in capsys.readouterr().err


def test_types_of_connections_are_those_of_channels() -> None:
    assert get_args(ConnectionType) == CONNECTION_TYPES
    for each in CONNECTION_TYPES:
        options = parsed(["press", "127.0.0.1:1", "Echo", "--connection-type", each])
        assert options.connection_type == each


def test_compressions_are_all_that_there_are() -> None:
    assert set(CompressType) - set(COMPRESSIONS.values()) == {CompressType.LZ4}
    for name, kind in COMPRESSIONS.items():
        assert name == kind.name.lower()
        assert kind == CompressType.NONE or compress(b"a", kind)
        assert parsed(["call", "127.0.0.1:1", "Echo", "--compress", name]).compress == name


@pytest.mark.parametrize("command", ["call", "press"])
def test_help_lists_protocols_and_balancers(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main([command, "--help"])
    words = set(capsys.readouterr().out.replace(",", " ").split())
    assert {each.name for each in all_protocols()} | {"http:proto", "http:json"} <= words
    assert set(load_balancer_names()) <= words
