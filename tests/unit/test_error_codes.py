"""ErrorCode, and the names that it does not have."""

from __future__ import annotations

import copy
import errno
import pickle

import pytest

from pybrpc.error_codes import ErrorCode


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
