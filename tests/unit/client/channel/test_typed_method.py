"""The methods of all channels have the signatures that TypedMethod promises."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from pybrpc.client.channel.aio_stub_method import AioStubMethod
from pybrpc.client.channel.intercepted.aio_intercepted_method import AioInterceptedMethod
from pybrpc.client.channel.intercepted.intercepted_method import InterceptedMethod
from pybrpc.client.channel.stub import StubMethod
from pybrpc.client.channel.typed_method import AioTypedMethod, TypedMethod
from pybrpc.client.combo.combo_channel import AioComboMethod, ComboMethod

pytestmark = pytest.mark.python_only
"""The `__call__` of a compiled class shows no signature."""

OF_THREADS = ("__call__", "future", "with_callback", "stream")
OF_LOOPS = ("__call__", "stream")


def parameters(function: Any) -> list[tuple[str, Any, Any]]:
    found = inspect.signature(function).parameters.values()
    return [(one.name, one.kind, one.default) for one in found]


@pytest.mark.parametrize("kind", [StubMethod, InterceptedMethod, ComboMethod])
@pytest.mark.parametrize("way", OF_THREADS)
def test_way_of_threads(kind: type, way: str) -> None:
    promised, found = parameters(getattr(TypedMethod, way)), parameters(getattr(kind, way))
    if (kind, way) != (ComboMethod, "stream"):  # it refuses all
        assert found == promised


@pytest.mark.parametrize("kind", [AioStubMethod, AioInterceptedMethod, AioComboMethod])
@pytest.mark.parametrize("way", OF_LOOPS)
def test_way_of_loops(kind: type, way: str) -> None:
    promised, found = parameters(getattr(AioTypedMethod, way)), parameters(getattr(kind, way))
    if (kind, way) != (AioComboMethod, "stream"):
        assert found == promised


def test_ways_to_call_are_all_that_there_are() -> None:
    for kind, ways in ((TypedMethod, OF_THREADS), (AioTypedMethod, OF_LOOPS)):
        public = {name for name in vars(kind) if not name.startswith("_")} | {"__call__"}
        assert public == set(ways)
