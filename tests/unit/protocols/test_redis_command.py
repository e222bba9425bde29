"""Commands of Redis on the wire, and those that a shared connection refuses."""

from __future__ import annotations

import enum
from typing import Any

import hiredis
import pytest

from pybrpc.errors import BadRequestError
from pybrpc.iobuf import IOBuf
from pybrpc.protocols.redis.command import SHARE_ABOVE_BYTES, command_name, pack_command
from pybrpc.protocols.redis.shareable import check_sequence, check_shareable


class Number(enum.IntEnum):
    SEVEN = 7


def packed(*arguments: Any) -> IOBuf:
    buffer = IOBuf()
    pack_command(arguments, buffer)
    return buffer


def check(*arguments: Any) -> None:
    check_shareable(command_name(arguments), arguments)


@pytest.mark.parametrize(
    ("argument", "data"),
    [
        ("k\u00e9", "k\u00e9".encode()),
        ("", b""),
        (b"\r\n\x00\xff", b"\r\n\x00\xff"),
        (bytearray(b"ab"), b"ab"),
        (memoryview(b"abc")[1:], b"bc"),
        (-5, b"-5"),
        (Number.SEVEN, b"7"),
        (0.1, b"0.1"),
        (float("inf"), b"inf"),
        (bytes(SHARE_ABOVE_BYTES + 1), bytes(SHARE_ABOVE_BYTES + 1)),
    ],
)
def test_arguments_of_all_types_are_packed(argument: Any, data: bytes) -> None:
    expected = hiredis.pack_command(("SET", "key", data, b"after"))
    assert bytes(packed("SET", "key", argument, b"after")) == expected


def test_long_argument_is_not_copied() -> None:
    value = bytes(1_000_000)
    assert any(view.obj is value for view in packed("SET", "key", value))


@pytest.mark.parametrize("argument", [None, True, ["a"], object(), {"k": 1}, 1j])
def test_argument_of_another_type_is_refused(argument: Any) -> None:
    buffer = IOBuf()
    with pytest.raises(BadRequestError, match=r"is str, bytes, int or float, not .* turn it into"):
        pack_command(["SET", "key", argument], buffer)
    assert not buffer


def test_text_without_utf8_is_refused() -> None:
    with pytest.raises(BadRequestError, match="surrogates not allowed; pass bytes"):
        packed("SET", "\ud800")


def test_command_without_a_name_is_refused() -> None:
    with pytest.raises(BadRequestError, match="at least a name"):
        command_name(())
    with pytest.raises(BadRequestError, match="is str, bytes"):
        command_name([None])  # type: ignore[list-item]


@pytest.mark.parametrize(
    ("command", "instead"),
    [
        ("SUBSCRIBE channel", "connection of your own"),
        ("ssubscribe channel", "connection of your own"),
        ("UNSUBSCRIBE", "connection of your own"),
        ("BLPOP list 0", "form that does not block"),
        ("BZMPOP 1 1 set MIN", "form that does not block"),
        ("WAIT 1 0", "form that does not block"),
        ("XREAD COUNT 1 block 0 STREAMS s $", "form that does not block"),
        ("XREADGROUP GROUP g c BLOCK 0 STREAMS s >", "form that does not block"),
        ("XREADGROUP BLOCK 0 GROUP g c STREAMS s >", "form that does not block"),
        ("XREADGROUP NOACK COUNT 1 BLOCK 0 GROUP g c STREAMS s >", "form that does not block"),
        ("XREADGROUP GROUP g c COUNT 1 NOACK CLAIM 5 BLOCK 0 STREAMS s >", "does not block"),
        ("XREADGROUP GROUP g c NEW BLOCK 0 STREAMS s >", "form that does not block"),
        ("XREAD NEW NEWER 1 2 3 4 5 6 BLOCK 0 STREAMS s $", "form that does not block"),
        ("XREAD COUNT\0 1 BLOCK\0x 0 STREAMS s $", "form that does not block"),
        ("POST /", "by way of HTTP"),
        ("Host: example.org", "by way of HTTP"),
        ("CLIENT REPLY\0 OFF", "matched by their order"),
        ("CLIENT SETNAME mine", "give client_name= to a RedisChannel"),
        ("CLIENT SETINFO LIB-NAME mine", "give client_name= to a RedisChannel"),
        ("CLIENT TRACKING ON", "nobody would see its invalidations"),
        ("CLIENT CACHING YES", "nobody would see its invalidations"),
        ("CLIENT no-evict ON", "connection of your own"),
        ("CLIENT NO-TOUCH ON", "connection of your own"),
        ("READONLY", "connection of your own"),
        ("readwrite", "connection of your own"),
        ("CLUSTER SYNCSLOTS SYNC", "use redis-cli"),
        ("MONITOR", "use redis-cli"),
        ("PSYNC ? -1", "use redis-cli"),
        ("SCRIPT DEBUG YES", "use redis-cli"),
        ("CLIENT REPLY OFF", "matched by their order"),
        ("client reply skip", "matched by their order"),
        ("SELECT 3", "give db= to a RedisChannel"),
        ("AUTH secret", "give username=, password="),
        ("HELLO 2", "protocol= to a RedisChannel"),
        ("RESET", "RedisChannel of your own"),
        ("QUIT", "close the channel instead"),
        ("WATCH key", "Lua script"),
        ("UNWATCH", "Lua script"),
        ("DISCARD", "leave MULTI out"),
        ("MULTI now", "takes no arguments"),
        ("EXEC now", "takes no arguments"),
    ],
)
@pytest.mark.parametrize("as_bytes", [False, True])
def test_command_that_disturbs_other_callers_is_refused(
    command: str, instead: str, as_bytes: bool
) -> None:
    arguments: list[Any] = command.split()
    with pytest.raises(BadRequestError, match=instead) as caught:
        check(*[a.encode() for a in arguments] if as_bytes else arguments)
    assert arguments[0].upper() in caught.value.text


@pytest.mark.parametrize(
    "command",
    [
        "GET SELECT",
        "CLIENT LIST",
        "CLIENT",
        "SCRIPT LOAD x",
        "XREAD COUNT 1 STREAMS BLOCK 0",
        "XREADGROUP GROUP BLOCK BLOCK STREAMS s >",
        "XREADGROUP COUNT 1 NOACK GROUP g BLOCK STREAMS s >",
        "XREAD COUNT BLOCK STREAMS s $",
        "XREAD",
        "CLIENT ID",
        "CLIENT PAUSE 1",
        "CLUSTER INFO",
        "ASKING",
        "PUBLISH channel message",
        "LPOP list",
        "MULTI",
        "EXEC",
        "NOSUCHCOMMAND",
    ],
)
def test_other_commands_are_accepted(command: str) -> None:
    check(*command.split())


@pytest.mark.parametrize(
    "names",
    [
        [],
        ["GET"],
        ["MULTI", "EXEC"],
        ["GET", "MULTI", "SET", "EXEC", "MULTI", "EXEC"],
        ["ASKING", "GET"],
    ],
)
def test_complete_transaction_in_one_request_is_accepted(names: list[str]) -> None:
    check_sequence(names)


@pytest.mark.parametrize(
    "names",
    [["MULTI"], ["EXEC"], ["MULTI", "SET"], ["MULTI", "MULTI", "EXEC"], ["MULTI", "EXEC", "EXEC"]],
)
def test_part_of_a_transaction_is_refused(names: list[str]) -> None:
    with pytest.raises(BadRequestError, match=r"MULTI and EXEC must be in one request"):
        check_sequence(names)


@pytest.mark.parametrize("names", [["ASKING"], ["GET", "ASKING"]])
def test_asking_without_its_command_is_refused(names: list[str]) -> None:
    with pytest.raises(BadRequestError, match="add that command to the same request"):
        check_sequence(names)
