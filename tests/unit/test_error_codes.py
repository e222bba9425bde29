"""The codes of bRPC, their names, and phases."""

from __future__ import annotations

import errno

import pytest

from pybrpc.error_codes import NOTHING_LEFT, ErrorCode, Phase, error_name
from pybrpc.errors import make_rpc_error

CODES_OF_BRPC = {
    "ENOSERVICE": 1001,
    "ENOMETHOD": 1002,
    "EREQUEST": 1003,
    "ERPCAUTH": 1004,
    "ERPCTIMEDOUT": 1008,
    "EFAILEDSOCKET": 1009,
    "EOVERCROWDED": 1011,
    "EEOF": 1014,
    "EINTERNAL": 2001,
    "ERESPONSE": 2002,
    "ELOGOFF": 2003,
    "ELIMIT": 2004,
    "ECLOSE": 2005,
    "ESHUTDOWNWRITE": 2007,
}


@pytest.mark.parametrize(("name", "number"), CODES_OF_BRPC.items())
def test_codes_are_those_of_brpc(name: str, number: int) -> None:
    assert ErrorCode[name] == number
    assert error_name(number) == name


@pytest.mark.parametrize(
    ("code", "name"), [(errno.ECONNRESET, "ECONNRESET"), (errno.ENOSPC, "ENOSPC"), (4711, "E4711")]
)
def test_name_of_any_code(code: int, name: str) -> None:
    assert error_name(code) == name
    assert make_rpc_error(code, "text").name == name


def test_phases_in_which_a_byte_may_have_left() -> None:
    assert set(Phase) - NOTHING_LEFT == {Phase.SENT, Phase.WAITING, Phase.SERVER}
