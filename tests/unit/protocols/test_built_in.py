from __future__ import annotations

from typing import Any

import pytest

from pybrpc.protocols.built_in import BUILT_IN_NAMES, OTHER_NAMES, built_in, framed_protocols
from pybrpc.protocols.registry import all_protocols
from pybrpc.protocols.traits import RPC, kind_of


@pytest.mark.parametrize("name", BUILT_IN_NAMES)
def test_each_name_is_that_of_the_protocol_which_it_finds(name: str) -> None:
    protocol: Any = built_in(name)
    assert protocol.name == name
    assert built_in(name) is protocol
    assert protocol in all_protocols()


def test_framed_protocols_are_those_that_share_connections() -> None:
    assert {kind_of(protocol) for protocol in framed_protocols()} == {RPC}
    assert RPC not in {kind_of(built_in(name)) for name in OTHER_NAMES}
    assert {*(each.name for each in framed_protocols()), *OTHER_NAMES} == set(BUILT_IN_NAMES)
