"""The texts that say which features the library has."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import pybrpc
from pybrpc.metrics import describe_exposed, list_exposed, take_snapshot
from pybrpc.server.lifecycle.library_variables import expose_library_variables
from tests.fakes.metrics import own_variables


@pytest.fixture(autouse=True)
def variables() -> Iterator[None]:
    with own_variables():
        expose_library_variables()
        yield


def test_features_are_named_as_bRPC_does() -> None:
    assert describe_exposed("rpc_compressions") == "snappy gzip zlib"
    assert describe_exposed("rpc_checksums") == "crc32c"
    assert str(describe_exposed("rpc_protocols")).startswith("baidu_std ")
    assert describe_exposed("rpc_revision") == f"pybrpc {pybrpc.__version__}"
    assert take_snapshot().families == {}


def test_exposing_twice_changes_nothing() -> None:
    names = list_exposed()
    expose_library_variables()
    assert list_exposed() == names
