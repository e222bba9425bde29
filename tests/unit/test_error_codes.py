"""The codes of bRPC, their names, and phases."""

from __future__ import annotations

import copy
import errno
import pickle

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


@pytest.mark.parametrize("name", ["EPERM", "ENOENT", "EAGAIN"])
def test_code_that_only_the_system_has_is_looked_for_in_errno(name: str) -> None:
    with pytest.raises(AttributeError, match=rf"{name} is of the errno module, errno\.{name}$"):
        getattr(ErrorCode, name)


@pytest.mark.parametrize("name", ["ENOTHING", "errorcode", "eperm"])
def test_name_that_nobody_has_is_told(name: str) -> None:
    with pytest.raises(AttributeError, match=rf"ErrorCode has no code '{name}'$"):
        getattr(ErrorCode, name)


def test_code_is_found_by_name_number_and_copy() -> None:
    assert ErrorCode.EINVAL is ErrorCode["EINVAL"] is ErrorCode(errno.EINVAL)
    assert pickle.loads(pickle.dumps(ErrorCode.EEOF)) is copy.deepcopy(ErrorCode.EEOF)
    assert ErrorCode.__name__ == "ErrorCode"
    assert not hasattr(ErrorCode, "__missing_dunder__")
