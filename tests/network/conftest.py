"""The far host; tests are skipped where this machine does not allow one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from soak.network.namespace import why_no_namespaces
from tests.peers.far_echo import FarEcho, near_and_far
from tests.peers.programs import require_program


@pytest.fixture
def far() -> Iterator[FarEcho]:
    require_program("ip")
    if why_no_namespaces():
        pytest.skip(why_no_namespaces())
    with near_and_far() as far:
        yield far
