"""What users import: it is there, and it says what it is."""

from __future__ import annotations

from types import ModuleType

import pytest

import pybrpc
from pybrpc import aio, errors, iobuf, lowlevel

PUBLIC = [pybrpc, aio, iobuf, lowlevel]


@pytest.mark.parametrize("module", PUBLIC, ids=lambda module: module.__name__)
def test_every_public_name_is_there_and_documented(module: ModuleType) -> None:
    for name in module.__all__:
        assert getattr(getattr(module, name), "__doc__", None), f"{module.__name__}.{name}"


def test_every_error_is_one_of_pybrpc() -> None:
    raised = [thing for thing in vars(errors).values() if isinstance(thing, type)]
    for error in raised:
        if issubclass(error, Exception):
            assert issubclass(error, errors.PyBrpcError), error


def test_version_is_told() -> None:
    assert pybrpc.__version__.count(".") == 2
